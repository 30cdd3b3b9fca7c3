"""What the teacher's pages say about the other pages, read from these: prerequisites and measured running times.

The directive `page-graph` draws which page needs which, `page-times` lists the pages, and the role `runtime` gives the
running time of one page.
"""

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective, SphinxRole

TIME = re.compile(r"^\*\*Time\*\*: (\d+) s on (.+?)(?: \(\w+ profile\))? · ", re.M)
NEEDS = re.compile(r"^\*\*Needs\*\*: (.+)$", re.M)
PAGE = re.compile(r"\{doc\}`(?:[^`<]*<)?([^`>]+)>?`")

FOUNDATION, PAPER = "#0072B2", "#D55E00"
PLACES = {
    "foundations/fundus_and_lesions": (0.8, 0, "Fundus images,\nlesions, grades", FOUNDATION),
    "foundations/first_segmenter": (0.8, 1, "A first U-Net", FOUNDATION),
    "foundations/metrics": (0.8, 2, "Metrics", FOUNDATION),
    "foundations/losses": (0.8, 3, "Losses", FOUNDATION),
    "local_global": (0, 2, "local_global", PAPER),
    "dual_branch": (0, 3, "dual_branch", PAPER),
    "sunet": (0, 4, "sunet", PAPER),
    "hecl": (0.8, 4, "hecl", PAPER),
    "pldmlt": (1.6, 4, "pldmlt", PAPER),
    "benchmark": (1.6, 1, "A base, and\nmany scores", PAPER),
    "reference/published_tables": (1.6, 2, "Reading tables\nlike a referee", ""),
    "reference/ledger": (1.6, 3, "The ledger", ""),
    "reference/models": (1.6, 0, "Networks\nthat ship", ""),
}
"""Chapters, and pages that are chapters of their own: column, row, text and colour in the diagram."""


CONTINUES = {
    "foundations/lesions_and_grades": "foundations/metrics",
    "foundations/losses_in_training": "foundations/losses",
    "reference/comparing_rows": "reference/published_tables",
    "reference/all_tables": "reference/published_tables",
}
"""Further pages of what has one box."""


def run_time(book: Path, page: str) -> tuple[int, str]:
    """Seconds that a page took when it was last executed, and on what.

    Raises:
        ValueError: There is no such notebook, or it has no measured time.
    """
    if not (file := book / f"{page}.md").is_file():
        raise ValueError(f"{page}: no such page in {book}; write FOLDER/PAGE without a suffix")
    if not (found := TIME.search(file.read_text(encoding="utf-8"))):
        raise ValueError(f"{page}: no measured time in its first cell; run `make execute`")
    return int(found[1]), found[2]


def needs(book: Path, page: str) -> list[str]:
    """The pages that a page names as its prerequisites, as FOLDER/PAGE."""
    line = NEEDS.search((book / f"{page}.md").read_text(encoding="utf-8"))
    named = PAGE.findall(line[1]) if line else []
    return [_absolute(name, PurePosixPath(page).parent) for name in named]


def _absolute(name: str, folder: PurePosixPath) -> str:
    if name.startswith("/"):
        return name.removeprefix("/book/")
    parts: list[str] = []
    for part in (folder / name).parts:
        parts = parts[:-1] if part == ".." else [*parts, part]
    return "/".join(parts)


def pages(book: Path) -> list[str]:
    """All notebooks in the order of the table of contents, as FOLDER/PAGE."""
    contents = (book.parent / "_toc.yml").read_text(encoding="utf-8")
    return re.findall(r"file: book/(\S+)\.ipynb", contents)


def chapter(page: str) -> str:
    """The box of the diagram that a page belongs to, or nothing if it has none."""
    page = CONTINUES.get(page, page)
    return page if page in PLACES else page.split("/")[0] if page.split("/")[0] in PLACES else ""


def edges(book: Path) -> list[tuple[str, str]]:
    """Which chapter comes before which, without what follows from the others."""
    before: dict[str, set[str]] = {name: set() for name in PLACES}
    for page in pages(book):
        if own := chapter(page):
            before[own] |= {chapter(one) for one in needs(book, page)} - {own, ""}
    return [(a, b) for b in before for a in PLACES if a in before[b] and not _reached(before, before[b] - {a}, a)]


def _reached(before: dict[str, set[str]], starts: Iterable[str], goal: str) -> bool:
    """Whether the goal comes before one of the starts."""
    todo, seen = list(starts), set()
    while todo:
        name = todo.pop()
        if goal in before[name]:
            return True
        if name not in seen:
            seen.add(name)
            todo += before[name]
    return False


class PageGraph(SphinxDirective):
    """Draw which chapter needs which."""

    def run(self) -> list[nodes.Node]:
        """Make an SVG, described for screen readers by the same edges."""
        from fundus_lib.viz import diagram
        from fundus_lib.viz.diagram import Box

        book = Path(self.env.srcdir) / "book"
        for page in pages(book):
            self.env.note_dependency(str(book / f"{page}.md"))
        boxes = {name: Box(column, row, text, colour, 0.8) for name, (column, row, text, colour) in PLACES.items()}
        arrows = edges(book)
        plain = {name: box.text.replace("\n", " ") for name, box in boxes.items()}
        told = "; ".join(f"{plain[b]} needs {plain[a]}" for a, b in arrows)
        svg = diagram(boxes, arrows, f"What to read before what. {told}.")
        return [nodes.raw("", svg._repr_html_(), format="html")]


class PageTimes(SphinxDirective):
    """List all pages with what they need and how long they run."""

    def run(self) -> list[nodes.Node]:
        """Write a table."""
        book = Path(self.env.srcdir) / "book"
        lines = ["| page | needs | runs for |", "| :--- | :--- | ---: |"]
        for page in pages(book):
            self.env.note_dependency(str(book / f"{page}.md"))
            named = ", ".join(f"`{_short(one, page)}`" for one in needs(book, page)) or "–"
            lines.append(f"| {{doc}}`{page} </book/{page}>` | {named} | {_seconds(self, book, page)} |")
        node = nodes.container()
        self.state.nested_parse(StringList(lines, source=self.env.docname), self.content_offset, node)
        return node.children


def _short(name: str, page: str) -> str:
    """The name of a page, as seen from another one."""
    folder, _, rest = name.rpartition("/")
    return rest if folder == page.rpartition("/")[0] else name


def _seconds(directive: SphinxDirective, book: Path, page: str) -> str:
    try:
        return f"{run_time(book, page)[0]} s"
    except ValueError as error:
        raise directive.error(str(error)) from None


class RunTime(SphinxRole):
    """`{runtime}`FOLDER/PAGE``: the measured seconds."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Read the page's time."""
        book = Path(self.env.srcdir) / "book"
        try:
            seconds, _ = run_time(book, self.text)
        except ValueError as error:
            problem = self.inliner.reporter.error(str(error), line=self.lineno)
            return [], [problem]
        self.env.note_dependency(str(book / f"{self.text}.md"))
        return [nodes.Text(f"{seconds} s")], []


def setup(app):
    """Sphinx calls this."""
    app.add_directive("page-graph", PageGraph)
    app.add_directive("page-times", PageTimes)
    app.add_role("runtime", RunTime())
    return {"parallel_read_safe": True}
