"""What the papers say in words about their own tables, each claim put to the printed digits.

A claim is read as its authors would wish. Sensitivity and PPV do not count against "better", as each can be bought with
the other. An exception that the same section grants is granted, one that is granted elsewhere stands in brackets. So
does our reading of words that need a number, such as "similar" or "significantly".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fundus_lib.published.digits import count_of, interval
from fundus_lib.published.inference import best_case_p, welch_p
from fundus_lib.published.printed import info, table

Against = Callable[[], list[str]]


@dataclass(frozen=True)
class Claim:
    """A statement of a paper about numbers that it prints.

    Attributes:
        place: Where it stands in the paper.
        says: What it says, in our words.
        against: Finds what speaks against it; an empty list if nothing does.
    """

    place: str
    says: str
    against: Against


def check_ahead(
    paper: str, ours: tuple[int, str], others: list[tuple[int, str]], columns: list[str], margin: float = 0
) -> list[str]:
    """Cells in which a system is not ahead of another, whatever was rounded away.

    Args:
        paper: Name of the paper.
        ours: (table, row) of the system that is said to be ahead.
        others: (table, row) of those that it is compared with.
        columns: Columns in which higher is better.
        margin: By how much it is said to be ahead, in printed units.

    Returns:
        One line for each cell that contradicts, e.g. "f_0.2: L-seg 0.9508 against 0.9446", the rival's number first.
    """
    found = []
    cells = table(paper, ours[0], text=True)
    for number, row in others:
        rival = table(paper, number, text=True)
        for column in columns:
            a, b = str(cells.loc[ours[1], column]), str(rival.loc[row, column])
            if a in ("", "-") or b in ("", "-"):
                continue
            if float(interval(a).high - interval(b).low) <= margin:
                found.append(f"{column}: {row.rpartition(': ')[2]} {b} against {a}")
    return found


def read_cell(paper: str, number: int, row: str, column: str) -> str:
    """One cell, as printed."""
    return str(table(paper, number, text=True).loc[row, column])


def list_rows(paper: str, number: int, *without: str) -> list[tuple[int, str]]:
    """(table, row) of all rows of a table but those named."""
    return [(number, row) for row in table(paper, number).index if row not in without]


def check_equal(printed: str, expected: str) -> list[str]:
    """A sentence if two printed numbers are not the same."""
    return [] if printed == expected else [f"{printed}, the text has {expected}"]


def check_sum(parts: tuple[int, ...], total: int) -> list[str]:
    """A sentence if the parts do not give the total."""
    return [] if sum(parts) == total else [f"{' + '.join(map(str, parts))} = {sum(parts)}, not {total}"]


def check_difference(text_a: str, text_b: str, low: float, high: float) -> list[str]:
    """A sentence if a difference of two printed numbers cannot lie between two bounds."""
    a, b = interval(text_a), interval(text_b)
    least, most = float(a.low - b.high), float(a.high - b.low)
    return [] if least <= high and most >= low else [f"{text_a} − {text_b} is between {least:.4f} and {most:.4f}"]


def check_significant(paper: str, number: int, row: str, columns: list[str]) -> list[str]:
    """Rows that a system cannot be ahead of with p ≤ 0.05, however its right answers are spread over the images."""
    n = info(paper, number).n or 0
    cells = table(paper, number, text=True)
    found = []
    for column in columns:
        ours = count_of(str(cells.loc[row, column]), n, "truncated")
        for other, text in cells[column].items():
            theirs = None if other == row or text == "-" else count_of(text, n, "truncated")
            if ours is None or theirs is None or ours <= theirs:
                continue
            if (p := best_case_p(ours, theirs)) > 0.05:
                found.append(f"{column}: {ours - theirs} of {n} images more than {other}, p ≥ {p:.3g}")
    return found


def check_beyond_chance(paper: str, number: int, pairs: list[tuple[str, str]], columns: list[str]) -> list[str]:
    """Cells in which a method is worse, or better by no more than the deviation over the runs explains (Welch, 5 %).

    What was rounded away is taken in favour of the method: the larger gain, the smaller deviations.
    """
    cells, runs = table(paper, number, text=True), info(paper, number).runs or 0
    found = []
    for plain, ours in pairs:
        for column in columns:
            before, after = (interval(str(cells[column][row])) for row in (plain, ours))
            spreads = [float(interval(str(cells[f"{column}_sd"][row])).low) for row in (plain, ours)]
            p = welch_p(float(before.low), spreads[0], float(after.high), spreads[1], runs)
            if after.high < before.low or p > 0.05:
                way = "falls" if after.high < before.low else "rises"
                digits = f"from {cells[column][plain]} to {cells[column][ours]}"
                found.append(f"{column} of {plain} {way} {digits} (p = {p:.2g})")
    return found
