"""The quizzes are well formed and fair: one right answer each, all explained, none given away by place or length."""

from collections import Counter
from pathlib import Path

import pytest
import quiz
import yaml

BOOK = Path(__file__).parents[2] / "book"
CHAPTERS = ("foundations", "dual_branch", "sunet", "hecl", "local_global", "pldmlt")
GOOD = {"question": "Which?", "options": [{"text": "a", "why": "since", "right": True}, {"text": "b", "why": "no"}]}


def places(questions):
    return [next(k for k, option in enumerate(q["options"]) if option.get("right")) for q in questions]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_quiz_has_six_to_ten_questions_and_a_page(chapter):
    questions = quiz.read(BOOK / chapter / "quiz.yml")
    assert 6 <= len(questions) <= 10
    assert "```{quiz} quiz.yml" in (BOOK / chapter / "quiz.md").read_text(encoding="utf-8")
    assert f"file: book/{chapter}/quiz\n" in (BOOK.parent / "_toc.yml").read_text(encoding="utf-8")
    assert all(len(option["why"]) > 20 for question in questions for option in question["options"])


def test_every_chapter_has_a_quiz():
    assert {path.parent.name for path in BOOK.glob("*/index.ipynb")} | {"foundations"} == set(CHAPTERS)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_neither_place_nor_length_gives_the_answer_away(chapter):
    questions = quiz.read(BOOK / chapter / "quiz.yml")
    assert max(Counter(places(questions)).values()) <= 0.6 * len(questions)
    longest = [max(q["options"], key=lambda option: len(option["text"])).get("right", False) for q in questions]
    assert sum(longest) <= 0.5 * len(questions)


def read(tmp_path, *questions):
    path = tmp_path / "quiz.yml"
    path.write_text(yaml.safe_dump(list(questions)), encoding="utf-8")
    return quiz.read(path)


def test_a_good_question_is_read(tmp_path):
    assert read(tmp_path, GOOD) == [GOOD]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"options": [{"text": "a", "why": "w"}, {"text": "b", "why": "w"}]}, "0 options have `right: true`"),
        ({"options": [{"text": t, "why": "w", "right": True} for t in "ab"]}, "2 options have `right: true`"),
        ({"options": [{"text": "a", "why": "w", "right": True}]}, "at least two options"),
        ({"options": [{"text": "a", "right": True}, {"text": "b", "why": "w"}]}, "each option has `text`, `why`"),
        ({"options": [{"text": 1, "why": "w", "right": True}, {"text": "b", "why": "w"}]}, "are texts"),
        ({"options": [{"text": "a", "why": " ", "right": True}, {"text": "b", "why": "w"}]}, "are texts"),
        (
            {"options": [{"text": "a", "why": "w", "right": True}, {"text": "a", "why": "w"}]},
            "two options are the same",
        ),
        ({"hint": "no such key"}, "expected the keys"),
    ],
)
def test_a_faulty_question_is_named(tmp_path, change, says):
    with pytest.raises(ValueError, match=r"quiz\.yml, question 2: .*" + says):
        read(tmp_path, GOOD, GOOD | change)


def test_a_file_that_is_no_list_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"quiz\.yml: expected a list of questions"):
        read(tmp_path)
