"""Every law on every row of every table, and what comes of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING, Literal, get_args

from fundus_lib.published.across import NOWHERE, between_rows
from fundus_lib.published.digits import Interval, Reading, count_of, interval
from fundus_lib.published.laws import LAWS, Kind, region_ceiling
from fundus_lib.published.printed import PAPERS, TableInfo, info, table, tables

if TYPE_CHECKING:
    import pandas as pd

Verdict = Literal["holds", "truncated", "broken"]
"""`holds`: some values that round to the printed digits obey the law. `truncated`: none do, but some that were
truncated after the last digit. `broken`: none at all."""


@dataclass(frozen=True)
class Check:
    """One law on one row.

    Attributes:
        paper: One of `PAPERS`.
        table: Its number.
        row: Label of the row.
        law: Name of the law.
        kind: When the law holds, see :data:`fundus_lib.published.laws.Kind`.
        cells: The columns at fault, or, where the law holds, those that were tested.
        printed: What is printed there.
        expected: What would obey the law, in the unit of the table.
        verdict: See `fundus_lib.published.audits.Verdict`.
    """

    paper: str
    table: int
    row: str
    law: str
    kind: Kind
    cells: tuple[str, ...]
    printed: str
    expected: str
    verdict: Verdict


class Row:
    """A printed row, ready to be read in either way."""

    def __init__(self, known: TableInfo, label: str, cells: dict[str, str]):
        self.known, self.label = known, label
        self.texts = {c: t for c in known.headings if (t := cells[c]) not in ("", "-")}
        self.columns = {known.metric(column): column for column in self.texts}

    def read(self, column: str, reading: Reading) -> Interval:
        """The values that may stand behind a cell, as fractions of 1."""
        found = interval(self.texts[column], reading, self.known.scale)
        return Interval(max(Fraction(0), found.low), found.high)

    def expected(self, column: str, allowed: Interval) -> str:
        """An interval as the table would print it, one digit finer than the cell."""
        if allowed == NOWHERE:
            return "other digits"
        digits = len(self.texts[column].partition(".")[2]) + 1
        ends = [f"{float(end / self.known.scale):.{digits}f}" for end in (allowed.low, allowed.high)]
        return ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"

    def check(self, law: str, kind: Kind, tests: list[tuple[str, dict[Reading, Interval]]]) -> Check:
        """The verdict on several cells, each with the interval in which it must lie, for both readings."""

        def bad(reading: Reading) -> list[tuple[str, dict[Reading, Interval]]]:
            return [test for test in tests if not self.read(test[0], reading).meets(test[1][reading])]

        verdict: Verdict = "holds" if not bad("rounded") else "truncated" if not bad("truncated") else "broken"
        shown = bad("truncated") or bad("rounded") or tests
        return Check(
            self.known.paper,
            self.known.number,
            self.label,
            law,
            kind,
            tuple(column for column, _ in shown),
            ", ".join(self.texts[column] for column, _ in shown),
            ", ".join(dict.fromkeys(self.expected(column, allowed["rounded"]) for column, allowed in shown)),
            verdict,
        )


def rows(known: TableInfo) -> list[Row]:
    """The rows of a table."""
    cells = table(known.paper, known.number, text=True)
    return [Row(known, str(label), {str(k): str(v) for k, v in line.items()}) for label, line in cells.iterrows()]


def _within(row: Row) -> Iterator[Check]:
    """The laws that concern one row."""
    for law in LAWS:
        if not {law.target, *law.needs} <= row.columns.keys():
            continue
        column = row.columns[law.target]
        read = {
            reading: law.allowed({name: row.read(row.columns[name], reading) for name in law.needs})
            for reading in get_args(Reading)
        }
        yield row.check(law.name, law.kind, [(column, read)])
    yield from _regions(row)
    yield from _counts(row)
    yield from _deviations(row)


def _regions(row: Row) -> Iterator[Check]:
    scores = sorted((c for c in row.texts if c.startswith("f_")), key=lambda c: float(c[2:]))
    if not scores:
        return
    tests = []
    for index, column in enumerate(scores[1:], 1):
        top = {r: Interval(Fraction(0), min(row.read(c, r).high for c in scores[:index])) for r in get_args(Reading)}
        tests.append((column, top))
    yield row.check("F_σ falls with σ", "always", tests)
    if "f1" in row.columns:
        floor = {r: Interval(row.read(row.columns["f1"], r).low, Fraction(1)) for r in get_args(Reading)}
        yield row.check("F_σ above pixel F1", "always", [(column, floor) for column in scores])
        yield row.check("F_σ below its ceiling", "always", [(c, _ceiling(row, c)) for c in scores])


def _ceiling(row: Row, column: str) -> dict[Reading, Interval]:
    sigma = Fraction(column[2:])
    tops = {r: region_ceiling(row.read(row.columns["f1"], r).high, sigma) for r in get_args(Reading)}
    return {reading: Interval(Fraction(0), top) for reading, top in tops.items()}


def _counts(row: Row) -> Iterator[Check]:
    columns = [c for c in row.texts if row.known.metric(c).endswith("accuracy")]
    sizes = (row.known.n,) if row.known.n else row.known.named
    if not columns or not sizes:
        return
    for column in columns:
        allowed = {}
        for reading in get_args(Reading):
            fits = {n: k for n in sizes if (k := count_of(row.texts[column], n, reading, row.known.scale)) is not None}
            n, k = next(iter(fits.items()), (sizes[0], _nearest(row.read(column, "rounded"), sizes[0])))
            allowed[reading] = Interval(Fraction(k, n), Fraction(k, n))
        name = f"accuracy is k/{row.known.n}" if row.known.n else "accuracy is k/n"
        yield row.check(name, "always" if row.known.n else "count", [(column, allowed)])


def _nearest(value: Interval, n: int) -> int:
    return round(n * (value.low + value.high) / 2)


def _deviations(row: Row) -> Iterator[Check]:
    runs = row.known.runs
    if not runs:
        return
    tests = []
    for column in (c for c in row.texts if c.endswith("_sd")):
        most = {}
        for reading in get_args(Reading):
            mean = row.read(column[:-3], reading)
            high = max(end * (1 - end) for end in (mean.low, mean.high)) * runs / (runs - 1)
            most[reading] = Interval(Fraction(0), Fraction(float(high) ** 0.5))
        tests.append((column, most))
    yield row.check("deviation possible at this mean", "always", tests)


def checks(paper: str | None = None, number: int | None = None) -> list[Check]:
    """Every law on every row that it applies to; see :func:`fundus_lib.published.audit`."""
    if paper is None and number is None:
        return [check for name in PAPERS for check in _of_paper(name)]
    known = info(paper or "", 1 if number is None else number)  # a number without a paper is no table either
    return [check for check in _of_paper(known.paper) if number in (None, check.table)]


@cache
def _of_paper(paper: str) -> tuple[Check, ...]:
    lines = [row for known in tables() if known.paper == paper for row in rows(known)]
    found = [check for row in lines for check in _within(row)]
    found += [row.check(law, "always", tests) for row, law, tests in between_rows(lines)]
    return tuple(sorted(found, key=lambda check: check.table))


def audit(paper: str | None = None, number: int | None = None) -> pd.DataFrame:
    """Every law on every row that it applies to.

    Args:
        paper: Only this paper.
        number: Only this table of that paper.

    Returns:
        One line per check, with the attributes of `Check` as columns.

    Raises:
        UnknownNameError: There is no such table.
    """
    import pandas as pd

    names = list(Check.__annotations__)
    lines = [[getattr(check, name) for name in names] for check in checks(paper, number)]
    return pd.DataFrame(lines, columns=names)


def summary() -> pd.DataFrame:
    """How many rows of each paper were checked, and how many are broken.

    Returns:
        One line per paper and one for all, with the columns tables, rows (printed), checked (rows with at least one
        law), checks (laws times rows), broken (rows that break a law that always holds), truncated (rows that obey it
        only if digits were truncated instead of rounded), not_pooled (rows that pooled counts cannot have given),
        no_count (accuracies that are no count out of any set that the paper names), no_area (areas that cannot lie
        under the curve that they are said to lie under).
    """
    import pandas as pd

    found = audit()
    found["line"] = found[["table", "row"]].astype(str).agg(" ".join, axis=1)
    lines = []
    for paper in PAPERS:
        own = found[found.paper == paper]
        broken = own[own.verdict == "broken"]
        always = set(broken[broken.kind == "always"].line)
        lines.append(
            {
                "paper": paper,
                "tables": sum(known.paper == paper for known in tables()),
                "rows": sum(len(table(paper, known.number)) for known in tables() if known.paper == paper),
                "checked": own.line.nunique(),
                "checks": len(own),
                "broken": len(always),
                "truncated": len(set(own[(own.verdict == "truncated") & (own.kind == "always")].line) - always),
                "not_pooled": broken[broken.kind == "pooled"].line.nunique(),
                "no_count": broken[broken.kind == "count"].line.nunique(),
                "no_area": broken[broken.kind == "area"].line.nunique(),
            }
        )
    counts = pd.DataFrame(lines).set_index("paper")
    counts.loc["all"] = counts.sum()
    return counts
