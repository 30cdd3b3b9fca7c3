"""Laws between rows: one system in two tables, two systems with the same numbers, the best run and the mean of all."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import sqrt
from typing import TYPE_CHECKING, get_args

from fundus_lib.published.digits import Interval, Reading

if TYPE_CHECKING:
    from fundus_lib.published.audits import Row

    Found = Iterator[tuple[Row, str, list[tuple[str, dict[Reading, Interval]]]]]

ANYWHERE = Interval(Fraction(0), Fraction(10**6))
"""Any number will do."""

NOWHERE = Interval(Fraction(2), Fraction(2))
"""Where a cell that copies another system's must not lie: any other digits would do."""


def between_rows(rows: list[Row]) -> Found:
    """The tests on one paper's rows: the row, the law, and (column, interval for each reading) to test."""
    named = {(row.known.number, row.label): row for row in rows}
    for row in rows:
        if row.label in row.known.same_as:
            yield from _same(named[row.known.same_as[row.label]], row)
        if row.label in row.known.best_of:
            yield from _best(row, named[row.known.best_of[row.label]])
    yield from _coinciding(rows)


def _same(first: Row, second: Row) -> Found:
    shared = [column for column in second.texts if column in first.texts]
    law = f"as in Table {first.known.number}, {first.label}"
    yield second, law, [(c, {r: first.read(c, r) for r in get_args(Reading)}) for c in shared]


def _best(best: Row, mean: Row) -> Found:
    # of n numbers none lies farther than sqrt(n - 1) deviations from their mean, whether by n or by n - 1
    reach = Fraction(sqrt((mean.known.runs or 1) - 1))
    tests = []
    for column in best.texts:
        allowed = {}
        for r in get_args(Reading):
            middle, deviation = mean.read(column, r), mean.read(f"{column}_sd", r)
            allowed[r] = Interval(middle.low, middle.high + reach * deviation.high)
        tests.append((column, allowed))
    yield best, f"best of the {mean.known.runs} runs in Table {mean.known.number}", tests


def _coinciding(rows: list[Row]) -> Found:
    """Look for a row further up, of another system, with the same digits in all shared columns, at least three."""
    same = {frozenset([(row.known.number, row.label), row.known.same_as.get(row.label)]) for row in rows}
    for place, row in enumerate(rows):
        compared, twin = False, None
        for other in rows[:place]:
            shared = [column for column in row.texts if column in other.texts]
            pair = frozenset((x.known.number, x.label) for x in (row, other))
            if len(shared) >= 3 and pair not in same:
                compared = True
                twin = other if all(row.texts[c] == other.texts[c] for c in shared) else twin
        if twin is not None:
            tests = [(c, dict.fromkeys(get_args(Reading), NOWHERE)) for c in row.texts if c in twin.texts]
            yield row, f"unlike Table {twin.known.number}, {twin.label}", tests
        elif compared:
            yield row, "unlike every other system", [(c, dict.fromkeys(get_args(Reading), ANYWHERE)) for c in row.texts]
