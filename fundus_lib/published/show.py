"""Printed tables on the page: a sign on every cell that breaks a law, and every row in one figure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from fundus_lib.published.audits import Check, checks
from fundus_lib.published.printed import PAPERS, TableInfo, info, table, tables

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Sign:
    """How a broken cell is marked: by a sign and a colour, so that no reader needs to tell colours apart.

    Attributes:
        sign: Stands in front of the number.
        colour: Of the cell, `#rrggbb`; laid on thinly, for light and dark pages.
        means: What it says.
    """

    sign: str
    colour: str
    means: str


SIGNS: dict[str, Sign] = {
    "broken": Sign("✗", "#D55E00", "contradicts another number of the paper"),
    "area": Sign("◇", "#009E73", "is no area under a curve through the scores beside it"),
    "truncated": Sign("≈", "#E69F00", "can only be if digits were truncated instead of rounded"),
    "count": Sign("?", "#CC79A7", "is no count out of any set that the paper names, nor out of a fifth"),
    "pooled": Sign("≠", "#56B4E9", "cannot come from counts pooled over all images"),
}
"""The marks, the gravest first; the last is no fault."""


def mark(check: Check) -> str | None:
    """The key in `SIGNS` that a check earns, or None if its law holds."""
    if check.verdict == "holds":
        return None
    if check.kind == "always":
        return check.verdict
    return check.kind if check.verdict == "broken" else "truncated"


def _style(background: str = "") -> str:
    colour = f";background:{background}60" if background else ""
    return f' style="text-align:left;white-space:nowrap;padding:.1em .3em{colour}"'


def heading(known: TableInfo, column: str) -> str:
    """A heading as it is printed: `F_σ=0.2` with its index below the line."""
    name, _, index = known.headings[column].partition("_") if column in known.headings else (column, "", "")
    return escape(name) + (f"<sub>{escape(index)}</sub>" if index else "")


def _explained(check: Check) -> str:
    """A broken law in words, for readers without a pointer to rest on the sign."""
    several = len(check.cells) > 1
    fitting = "" if several or "other digits" in check.expected else f" What fits: {check.expected}."
    return f"{check.row.rpartition(': ')[2]}: the law is “{check.law}”.{fitting}"


class Shown:
    """A table with its marks; displays itself in a notebook and in the book, and prints as text elsewhere.

    Attributes:
        info: What is known about the table.
        marks: (row, column) → the gravest mark, and the checks that earned it.
    """

    def __init__(self, known: TableInfo):
        self.info = known
        found: dict[tuple[str, str], list[Check]] = defaultdict(list)
        for check in checks(known.paper, known.number):
            if mark(check):
                for column in check.cells:
                    found[check.row, column].append(check)
        self.marks: dict[tuple[str, str], tuple[str, list[Check]]] = {}
        for cell, earned in found.items():
            gravest = min((key for check in earned if (key := mark(check))), key=list(SIGNS).index)
            self.marks[cell] = gravest, [check for check in earned if mark(check) == gravest]

    def __repr__(self) -> str:
        cells = table(self.info.paper, self.info.number, text=True)
        signs = {cell: SIGNS[key].sign + " " for cell, (key, _) in self.marks.items()}
        for column in cells.columns:
            cells[column] = [signs.get((str(row), column), "") + text for row, text in cells[column].items()]
        return f"{self.info.paper}, Table {self.info.number}: {self.info.caption}\n{cells.to_string(index=False)}"

    def _repr_html_(self) -> str:
        known = self.info
        cells = table(known.paper, known.number, text=True).drop(columns="quoted_from")
        for column in [c for c in cells.columns if f"{c}_sd" in cells.columns]:
            cells[column] = cells[column] + " (" + cells.pop(f"{column}_sd") + ")"
        names = known.label or (str(cells.columns[0]),)
        head = "".join(f"<th{_style()}>{heading(known, c)}</th>" for c in cells.columns)
        body = "".join(
            f"<tr>{''.join(self._cell(str(row), str(c), str(text), names) for c, text in line.items())}</tr>"
            for row, line in cells.iterrows()
        )
        caption = f"<b>{escape(known.paper)}, Table {known.number}.</b> {escape(known.caption)}"
        return (
            '<div class="published" style="margin:1em 0">'
            f'<p style="margin:.3em 0">{caption} Data: {escape(known.data)}. Unit: {escape(known.unit)}.</p>'
            '<table class="dataframe" style="font-size:.8em;font-variant-numeric:tabular-nums">'
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
            f'<div style="font-size:.9em">{self._notes()}</div></div>'
        )

    def _cell(self, row: str, column: str, text: str, names: tuple[str, ...]) -> str:
        if column in names:
            dagger = " †" if row in self.info.quoted and column == names[-1] else ""
            return f"<td{_style()}>{escape(text)}{dagger}</td>"
        if (row, column) not in self.marks:
            return f"<td{_style()}>{escape(text)}</td>"
        key, earned = self.marks[row, column]
        why = escape("; ".join(dict.fromkeys(f"{check.law}: {SIGNS[key].means}" for check in earned)))
        return (
            f"<td{_style(SIGNS[key].colour)}>"
            f'<abbr title="{why}" style="text-decoration:none"><b>{SIGNS[key].sign}</b></abbr> {escape(text)}</td>'
        )

    def _notes(self) -> str:
        used = [key for key in SIGNS if key in {key for key, _ in self.marks.values()}]
        notes = []
        for key in used:
            notes.append(f"<b>{SIGNS[key].sign}</b> {escape(SIGNS[key].means)}")
            earned = dict.fromkeys(check for own, found in self.marks.values() if own == key for check in found)
            if key not in ("pooled", "count"):  # those say all there is to say
                notes += [f"&emsp;{escape(_explained(check))}" for check in earned]
        sources = dict.fromkeys(self.info.quoted.values())
        if sources:
            notes.append("† " + escape("; ".join(sources)))
        return "<br>".join(notes)


def show(paper: str, number: int) -> Shown:
    """A printed table with every cell marked that breaks a law.

    Args:
        paper: One of `PAPERS`.
        number: As printed.

    Returns:
        The table; end the cell with it.

    Raises:
        UnknownNameError: There is no such table.
    """
    return Shown(info(paper, number))


def overview() -> Figure:
    """One square per printed row, one line per paper, with the gravest sign that a row earns.

    Returns:
        The figure, not shown yet.
    """
    import matplotlib.pyplot as plt
    from matplotlib.patches import Rectangle

    figure, axis = plt.subplots(figsize=(8.5, 2.5))
    widest = 0.0
    for y, paper in enumerate(PAPERS):
        x = 0.0
        for known in (t for t in tables() if t.paper == paper):
            marks = Shown(known).marks
            for row in table(paper, known.number).index:
                earned = [key for (name, _), (key, _) in marks.items() if name == row]
                key = min(earned, key=list(SIGNS).index) if earned else None
                axis.add_patch(Rectangle((x, y - 0.4), 0.8, 0.8, color=SIGNS[key].colour if key else "0.88"))
                axis.text(x + 0.4, y, SIGNS[key].sign if key else "", ha="center", va="center", fontsize=8)
                x += 1
            x += 0.4  # a gap between tables
        widest = max(widest, x)
    axis.set(
        xlim=(-0.3, widest + 0.6),
        ylim=(len(PAPERS) - 0.4, -0.6),
        xticks=[],
        title="Every printed row; gaps separate tables",
    )
    axis.set_yticks(range(len(PAPERS)), PAPERS)
    axis.grid(visible=False)
    for side in ("left", "bottom"):
        axis.spines[side].set_visible(False)
    plt.close(figure)  # the returned figure is what the notebook shows; left open it would appear twice
    return figure
