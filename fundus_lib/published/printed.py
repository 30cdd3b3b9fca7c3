"""The tables themselves: one CSV each, typed with the digits as printed, and what is known about each."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from fundus_lib.errors import UnknownNameError

if TYPE_CHECKING:
    import pandas as pd

PAPERS = ("dual_branch", "local_global", "pldmlt", "sunet", "hecl")
"""The five papers, by the names that they have everywhere in this project."""

METRICS: dict[str, str] = {
    "sn": "sensitivity",
    "recall": "sensitivity",
    "ppv": "ppv",
    "f1": "f1",
    "mdice": "f1",
    "iou": "iou",
    "miou": "iou",
    "aupr": "aupr",
    "ex": "aupr",
    "ma": "aupr",
    "he": "aupr",
    "se": "aupr",
    "auc": "auc",
    "accuracy": "accuracy",
    "total": "joint accuracy",
    "dr": "DR accuracy",
    "dme": "DME accuracy",
    "ratio": "background pixels for one exudate pixel",
    "size_large": "fraction of the image",
    "size_small": "fraction of the image",
}
"""What each column measures. Columns `f_0.2` to `f_0.8` are region scores F_σ; `…_sd` is the deviation over runs."""


@dataclass(frozen=True)
class TableInfo:
    """What is known about a printed table besides its cells.

    Attributes:
        paper: One of `PAPERS`.
        number: As printed.
        caption: What it shows, in our words.
        place: Where in the paper it is discussed.
        data: On which images, as far as the paper says.
        unit: `fraction` (0 to 1), `percent`, or in words.
        headings: Column of the CSV → heading as printed.
        label: Columns that together name a row; empty for the first one.
        n: Number of test images behind an accuracy, where the paper states it.
        named: Sizes that an accuracy may refer to, where the paper does not say to which: sets that it names, and a
            fifth of each, since it speaks of five folds.
        runs: Number of runs behind mean and deviation, where there are any.
        quoted: Row → where its numbers come from, for rows that the authors did not compute with their own predictions.
        bold: Cells (row, column) known to be printed bold.
        second: Cells known to be underlined as second best.
        same_as: Row → (table, row) further up of the same system on the same data set: their numbers must agree.
        best_of: Row → (table, row) with mean and deviation of all runs of the system of which it is the best run.
        uncertain: What the recognition of the text leaves open.
    """

    paper: str
    number: int
    caption: str
    place: str
    data: str
    unit: str
    headings: dict[str, str]
    label: tuple[str, ...] = ()
    n: int | None = None
    named: tuple[int, ...] = ()
    runs: int | None = None
    quoted: dict[str, str] = field(default_factory=dict)
    bold: tuple[tuple[str, str], ...] = ()
    second: tuple[tuple[str, str], ...] = ()
    same_as: dict[str, tuple[int, str]] = field(default_factory=dict)
    best_of: dict[str, tuple[int, str]] = field(default_factory=dict)
    uncertain: tuple[str, ...] = ()

    @property
    def scale(self) -> Fraction:
        """What one printed unit is worth: 1/100 for percent."""
        return Fraction(1, 100) if self.unit == "percent" else Fraction(1)

    def metric(self, column: str) -> str:
        """What a column measures, e.g. `sensitivity`, `region F 0.2`, `deviation of iou`."""
        if column.startswith("f_"):
            return f"region F {column[2:]}"
        return f"deviation of {column[:-3]}" if column.endswith("_sd") else METRICS[column]


@cache
def _infos() -> dict[tuple[str, int], TableInfo]:
    infos = {}
    for paper in PAPERS:
        file = resources.files("fundus_lib.published") / f"{paper}_tables.json"
        raw: dict[str, dict[str, Any]] = json.loads(file.read_text("utf-8"))
        for number, values in raw.items():
            for name in ("bold", "second"):
                values[name] = tuple((row, column) for row, column in values.get(name, ()))
            for name in ("label", "named", "uncertain"):
                values[name] = tuple(values.get(name, ()))
            for name in ("same_as", "best_of"):
                values[name] = {row: (place, other) for row, (place, other) in values.get(name, {}).items()}
            infos[paper, int(number)] = TableInfo(paper, int(number), **values)
    return infos


def info(paper: str, number: int) -> TableInfo:
    """What is known about a table.

    Raises:
        UnknownNameError: There is no such table.
    """
    try:
        return _infos()[paper, number]
    except KeyError:
        known = ", ".join(f"{p} {n}" for p, n in _infos())
        raise UnknownNameError(
            "published",
            "there is no such table",
            found=f"{paper!r} {number!r}",
            expected=known,
            remedy="choose one of these",
        ) from None


def tables() -> list[TableInfo]:
    """All tables of the five papers, in the order of `PAPERS` and of the tables' numbers."""
    return sorted(_infos().values(), key=lambda known: (PAPERS.index(known.paper), known.number))


def table(paper: str, number: int, *, text: bool = False) -> pd.DataFrame:
    """One printed table.

    Args:
        paper: One of `PAPERS`.
        number: As printed.
        text: Give the digits as they are printed, where `0.70` differs from `0.7`, instead of numbers.

    Returns:
        One line per printed row, in order, named by its label (index `row`). Columns as in the CSV, then
        `quoted_from`, empty for the authors' own results. Numbers are in the printed unit (see `TableInfo.unit`); a
        dash is NaN, as text `-`; a column that does not apply to the row is NaN, as text empty.

    Raises:
        UnknownNameError: There is no such table.

    Example:
        >>> table("sunet", 2).loc["SUNet", "dr"], table("sunet", 1, text=True).loc["SUNet", "dr"]
        (np.float64(0.6505), '0.6506')
    """
    import pandas as pd

    known = info(paper, number)
    cells = _texts(paper, number).copy()
    if not text:
        for column in known.headings:
            cells[column] = pd.to_numeric(cells[column], errors="coerce")
    return cells


@cache
def _texts(paper: str, number: int) -> pd.DataFrame:
    import pandas as pd

    known = info(paper, number)
    path = resources.files("fundus_lib.published") / f"{paper}_{number}.csv"
    with path.open(encoding="utf-8") as file:
        cells = pd.read_csv(file, dtype=str, keep_default_na=False)
    names = list(known.label) or [cells.columns[0]]
    cells.index = pd.Index(cells[names].agg(": ".join, axis=1), name="row")
    cells["quoted_from"] = [known.quoted.get(row, "") for row in cells.index]
    return cells


def cells() -> pd.DataFrame:
    """All printed numbers of all tables, one per line.

    Returns:
        Columns paper, table, row, column, metric (see `TableInfo.metric`), printed (the digits), value (a percentage as
        a fraction of 1) and quoted_from.
    """
    import pandas as pd

    lines = []
    for known in tables():
        texts = table(known.paper, known.number, text=True)
        for row, line in texts.iterrows():
            for column in known.headings:
                if (text := line[column]) not in ("", "-"):
                    value = float(text) * float(known.scale)
                    place = known.paper, known.number, row, column, known.metric(column)
                    lines.append((*place, text, value, line["quoted_from"]))
    names = ["paper", "table", "row", "column", "metric", "printed", "value", "quoted_from"]
    return pd.DataFrame(lines, columns=names)
