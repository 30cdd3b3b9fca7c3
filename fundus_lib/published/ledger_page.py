"""The ledger on the page: what is printed, and below it what we measured, how often, and under which deviations."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fundus_lib import records
from fundus_lib.published.ledger import MEASURED, RUN, STATES, ledger
from fundus_lib.published.printed import PAPERS, TableInfo, info, table
from fundus_lib.published.show import heading

if TYPE_CHECKING:
    import pandas as pd

_CELL = "text-align:left;padding:.1em .4em;vertical-align:top"
_OURS = "background:rgba(0,114,178,.13)"
_DIGITS = {"fraction": ".3f", "percent": ".1f"}
"""Of our numbers; the seeds differ in the second or third already."""

_Note = tuple[str, str, tuple[str, ...]]
"""Recipe, device, and what differs from the published set-up."""


class LedgerTable:
    """One printed table with our lines in it; displays itself in a notebook and in the book.

    Attributes:
        info: What is known about the printed table.
        lines: Its lines of :func:`~fundus_lib.published.ledger`.
    """

    def __init__(self, known: TableInfo, lines: pd.DataFrame, title: str):
        self.info, self.lines, self._title = known, lines, title

    def __repr__(self) -> str:
        shown = self.lines[["row", "status", "seeds", "deviations"]].to_string(index=False)
        return f"{self.info.paper}, Table {self.info.number}\n{shown}"

    def _repr_html_(self) -> str:
        known = self.info
        head = "".join(f'<th style="{_CELL}">{heading(known, column)}</th>' for column in ("", *known.headings))
        common = _common(self.lines)
        notes: list[_Note] = []
        body = ""
        texts = table(known.paper, known.number, text=True).to_dict("index")
        for row, lines in self.lines.groupby("row", sort=False):
            states = [str(state) for state in lines.status if state not in (RUN, MEASURED)]
            printed = [str(texts[row][column]) for column in known.headings]
            body += _line(f"{escape(str(row))}{_small(*states, *_quoted(lines))}", map(escape, printed))
            for _, line in lines[lines.status.isin((RUN, MEASURED))].iterrows():
                body += _line(
                    self._name(line, common, notes), (self._number(line, column) for column in known.headings), _OURS
                )
        title = f"<b>{escape(known.paper)}, Table {known.number}{escape(self._title)}</b>, {self._count()}"
        below = _list_runs(notes, common)
        if self.lines.uncommitted.any():
            below += f"<p>{records.DAGGER} {escape(records.UNCOMMITTED)}</p>"
        return (
            f'<details class="published" style="margin:.4em 0"{" open" if self._is_run() else ""}>'
            f'<summary style="cursor:pointer">{title}</summary>'
            f'<p style="margin:.3em 0">{escape(known.caption)}</p>'
            '<table class="dataframe" style="font-size:.8em;font-variant-numeric:tabular-nums">'
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
            f'<div style="font-size:.85em;margin:.3em 0">{below}</div></details>'
        )

    def _is_run(self) -> bool:
        """Whether rows of the table itself were run or measured, and not only some at another scale."""
        return not self._title and bool(self.lines.status.isin((RUN, MEASURED)).any())

    def _count(self) -> str:
        """How many rows are in which state."""
        states = self.lines.drop_duplicates("row").status.value_counts()
        if self._title:
            return f"{len(self.lines)} of ours beside {states.sum()} printed rows"
        return ", ".join(f"{states[state]} {state}" for state in STATES if state in states)

    def _name(self, line: pd.Series[Any], common: list[str], notes: list[_Note]) -> str:
        """What stands in front of our numbers, with the number of the run that is described below the table."""
        if line.status == MEASURED:
            return f"ours, {MEASURED}"
        note = line.recipe, line.device, tuple(t for t in line.deviations.split("; ") if t and t not in common)
        if note not in notes:
            notes.append(note)
        seeds = "one seed" if line.seeds == 1 else f"{line.seeds} seeds"
        return f"ours, {seeds}<sup>{notes.index(note) + 1}{records.DAGGER if line.uncommitted else ''}</sup>"

    def _number(self, line: pd.Series[Any], column: str) -> str:
        digits = _DIGITS.get(self.info.unit, ".4g" if line[f"{column}_ours"] > 1 else ".2e")
        mean, low, high = (line[f"{column}{end}"] for end in ("_ours", "_low", "_high"))
        if mean != mean:
            return "–"
        spread = _small(f"{low:{digits}}–{high:{digits}}") if line.seeds > 1 else ""
        return f'<span style="white-space:nowrap">{mean:{digits}}</span>{spread}'


def show_ledger(paper: str, number: int, *folders: str | Path, nearest: bool = False) -> LedgerTable:
    """A printed table with ours below each row: mean, least and greatest over the seeds, and notes on the deviations.

    Args:
        paper: One of :data:`~fundus_lib.published.printed.PAPERS`.
        number: As printed.
        *folders: Folders of records besides those of the library.
        nearest: Show the nearest runs instead, for the rows that have one.

    Returns:
        The table; end the cell with it.

    Raises:
        UnknownNameError: There is no such table.
        RecordError: A folder does not exist, or a record is damaged.
    """
    known = info(paper, number)
    lines = ledger(paper, *folders, nearest=nearest)
    title = " and the nearest that was run, at another scale" if nearest else ""
    return LedgerTable(known, lines[lines.table == number], title)


def ledger_summary(*folders: str | Path) -> pd.DataFrame:
    """How many published rows of each paper have become what.

    Args:
        *folders: Folders of records besides those of the library.

    Returns:
        One line for each paper, one column for each state. A row that was run in several ways counts once.

    Raises:
        RecordError: A folder does not exist, or a record is damaged.
    """
    import pandas as pd

    counts = {}
    for paper in PAPERS:
        rows = ledger(paper, *folders).drop_duplicates(["table", "row"])
        counts[paper] = {state: int((rows.status == state).sum()) for state in STATES} | {"rows": len(rows)}
    return pd.DataFrame(counts).T


def _list_runs(notes: list[_Note], common: list[str]) -> str:
    """Folded: which runs these are, and once for each deviation, in which of them."""
    if not notes:
        return ""
    runs = "; ".join(f"{k} {escape(name)} on {escape(device)}" for k, (name, device, _) in enumerate(notes, 1))
    where: dict[str, list[str]] = {}
    for k, (*_, said) in enumerate(notes, 1):
        for text in said:
            where.setdefault(text, []).append(str(k))
    rows = "".join(
        _line(escape(text), [", ".join(numbers)]) for text, numbers in ({t: ["all"] for t in common} | where).items()
    )
    table_of = (
        f'<table class="dataframe" style="font-size:1em"><thead><tr><th style="{_CELL}">differs from the paper</th>'
        f'<th style="{_CELL}">in run</th></tr></thead><tbody>{rows}</tbody></table>'
    )
    return (
        f'<details><summary style="cursor:pointer">Runs, and what differs from the paper ({len(notes)} runs, '
        f"{len(common) + len(where)} settings)</summary><p>{runs}.</p>{table_of if rows else ''}</details>"
    )


def _common(lines: pd.DataFrame) -> list[str]:
    """The deviations that all runs have in common, in the order of the first."""
    all_of_them = [texts.split("; ") for texts in lines.deviations[lines.status == RUN] if texts]
    if len(all_of_them) < max(2, int((lines.status == RUN).sum())):
        return []
    return [text for text in all_of_them[0] if all(text in texts for texts in all_of_them)]


def _quoted(lines: pd.DataFrame) -> list[str]:
    return [f"published number: {source}" for source in lines.quoted_from.unique() if source]


def _small(*texts: str) -> str:
    return "".join(f'<br><span style="font-size:.85em;opacity:.75">{escape(text)}</span>' for text in texts)


def _line(name: str, cells: Any, style: str = "") -> str:
    first = f'<td style="{_CELL};min-width:9em">{name}</td>'
    return f'<tr style="{style}">{first}{"".join(f"<td style={chr(34)}{_CELL}{chr(34)}>{c}</td>" for c in cells)}</tr>'
