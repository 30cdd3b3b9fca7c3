"""Quizzes that need no kernel: the directive `quiz` turns a YAML file into questions with radio buttons.

Without JavaScript every question still has its answers in a fold; `quiz.js` adds a button that checks a choice.
"""

from pathlib import Path

import yaml
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

QUESTION, OPTION = {"question", "options"}, {"text", "why"}


def read(path: Path) -> list[dict]:
    """Read the questions of a quiz.

    Each question has `question` (its text) and `options`, a list of two or more, each with `text`, with `why` it is
    right or wrong, and one of them with `right: true`. All texts are inline MyST.

    Args:
        path: The YAML file.

    Raises:
        ValueError: The file is no such list; says which question, and what is wrong with it.
    """
    questions = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(questions, list) or not questions:
        raise ValueError(f"{path}: expected a list of questions; start each with `- question:`")
    for number, question in enumerate(questions, start=1):
        if fault := _fault(question):
            raise ValueError(f"{path}, question {number}: {fault}")
    return questions


def _fault(question: object) -> str | None:
    """What is wrong with a question, or None."""
    if not isinstance(question, dict) or set(question) != QUESTION:
        return f"expected the keys {sorted(QUESTION)}, found {question!r:.80}"
    options = question["options"]
    if not isinstance(options, list) or len(options) < 2:
        return "expected at least two options"
    for option in options:
        if not isinstance(option, dict) or not OPTION <= set(option) <= {*OPTION, "right"}:
            return f"each option has `text`, `why` and, if it is the right one, `right: true`; found {option!r:.80}"
        if not all(isinstance(option[key], str) and option[key].strip() for key in OPTION):
            return f"`text` and `why` are texts (put quotation marks around numbers); found {option!r:.80}"
    right = sum(option.get("right") is True for option in options)
    if right != 1:
        return f"{right} options have `right: true`, expected one"
    texts = [option["text"] for option in options]
    return None if len(set(texts)) == len(texts) else "two options are the same"


class Quiz(SphinxDirective):
    """`{quiz} FILE.yml`, beside the page."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Read the file and make the questions."""
        name = self.env.relfn2path(self.arguments[0])[1]
        self.env.note_dependency(name)
        try:
            questions = read(Path(name))
        except (OSError, ValueError) as error:
            raise self.error(str(error)) from None
        self.env.metadata[self.env.docname]["quiz"] = "yes"
        found = [_html(f'<div class="fundus-quiz" data-questions="{len(questions)}">')]
        for number, question in enumerate(questions, start=1):
            found += self._question(number, question)
        return [*found, _html("</div>")]

    def _question(self, number: int, question: dict) -> list[nodes.Node]:
        """One question: a group of radio buttons, and the answers in a fold."""
        found = [_html(f'<fieldset><legend><span class="quiz-number">Question {number}.</span> ')]
        found += [self._inline(question["question"]), _html("</legend>")]
        for k, option in enumerate(question["options"]):
            found += [
                _html(f'<label><input type="radio" name="quiz-{number}" value="{k}"> '),
                self._inline(option["text"]),
                _html("</label>"),
            ]
        found.append(_html(f"<details><summary>Answer to question {number}, and why</summary><ul>"))
        for k, option in enumerate(question["options"]):
            verdict = "right" if option.get("right") else "wrong"
            found += [
                _html(f'<li data-option="{k}" data-verdict="{verdict}"><strong>'),
                self._inline(option["text"]),
                _html(f'</strong> ({verdict}). <span class="quiz-why">'),
                self._inline(option["why"]),
                _html("</span></li>"),
            ]
        return [*found, _html("</ul></details></fieldset>")]

    def _inline(self, text: str) -> nodes.Node:
        """Inline MyST as nodes, so that terms, formulas and links work."""
        children, problems = self.state.inline_text(text.strip(), self.lineno)
        return nodes.inline("", "", *children, *problems)


def _html(text: str) -> nodes.raw:
    return nodes.raw("", text, format="html")


def load_script(app, page, template, context, doctree):
    """Load the script on pages with a quiz only."""
    if "quiz" in (app.env.metadata.get(page) or {}):
        app.add_js_file("quiz.js", loading_method="defer")


def setup(app):
    """Sphinx calls this."""
    app.add_directive("quiz", Quiz)
    app.connect("html-page-context", load_script)
    return {"parallel_read_safe": True}
