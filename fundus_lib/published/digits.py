"""What a printed number says: the interval of values that could have been printed like this.

Everything is exact: intervals have rational ends, so that no verdict hangs on a float.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import ceil, floor
from typing import Literal

from fundus_lib.errors import ArgumentError

Reading = Literal["rounded", "truncated"]
"""How digits are taken: `rounded` to the nearest last digit, or perhaps merely `truncated` after it."""

_NUMBER = re.compile(r"(\d+)(?:\.(\d*))?(?:e([+-]?\d+))?|\.(\d+)")


@dataclass(frozen=True)
class Interval:
    """All numbers from `low` to `high`, both included.

    Attributes:
        low: Lower end.
        high: Upper end.
    """

    low: Fraction
    high: Fraction

    def meets(self, other: Interval) -> bool:
        """Whether some number lies in both."""
        return self.low <= other.high and other.low <= self.high

    def __str__(self) -> str:
        return f"{float(self.low):.6g} to {float(self.high):.6g}"


@cache
def interval(printed: str, reading: Reading = "rounded", unit: Fraction = Fraction(1)) -> Interval:
    """The values that may stand behind printed digits.

    Args:
        printed: Digits as printed; `0.70` says more than `0.7`.
        reading: `rounded` takes half a last digit on both sides, ends included, because a half is rounded up by some
            programs and to the even digit by others. `truncated` also allows that the digits beyond were dropped, so
            it reaches a whole last digit upwards.
        unit: What one printed unit is worth: 1/100 for percent.

    Returns:
        The interval, times `unit`.

    Raises:
        ArgumentError: The text is no number, or the reading unknown.

    Example:
        >>> print(interval("0.61"), "|", interval("0.61", "truncated"))
        0.605 to 0.615 | 0.605 to 0.62
    """
    match = _NUMBER.fullmatch(printed.strip())
    if match is None or reading not in ("rounded", "truncated"):
        raise ArgumentError(
            "printed",
            "this is not a printed number, or not a way to read one",
            found=f"{printed!r}, read as {reading!r}",
            expected="digits such as '0.70', '57' or '1.1e-4', 'rounded' or 'truncated'",
            remedy="pass the digits as text, as they are printed",
        )
    decimals = len(match[2] or match[4] or "") - int(match[3] or 0)
    value, last = Fraction(printed.strip()), Fraction(10) ** -decimals
    return Interval((value - last / 2) * unit, (value + (last / 2 if reading == "rounded" else last)) * unit)


def count_of(printed: str, n: int, reading: Reading = "rounded", unit: Fraction = Fraction(1)) -> int | None:
    """The k for which k/n is printed like this, or None if there is none.

    Args:
        printed: Digits of an accuracy.
        n: Number of images.
        reading: See :func:`fundus_lib.published.interval`.
        unit: See :func:`fundus_lib.published.interval`.

    Returns:
        The smallest such k between 0 and n.

    Raises:
        ArgumentError: As for :func:`fundus_lib.published.interval`, or n is not positive.

    Example:
        >>> count_of("0.6505", 103), count_of("0.6506", 103)
        (67, None)
    """
    if n < 1:
        raise ArgumentError("n", "there must be images", found=n, expected="1 or more", remedy="pass their number")
    may_be = interval(printed, reading, unit)
    k = max(0, ceil(may_be.low * n))
    return k if k <= min(n, floor(may_be.high * n)) else None


def denominators(printed: list[str], limit: int, unit: Fraction = Fraction(1)) -> list[int]:
    """All n up to `limit` for which every one of the printed accuracies, rounded, is some count out of n.

    Args:
        printed: Digits of several accuracies on the same test set.
        limit: Largest n to try.
        unit: See :func:`fundus_lib.published.interval`.

    Returns:
        The n that explain them all, ascending. From n = 10^digits on every n explains everything.

    Raises:
        ArgumentError: As for :func:`fundus_lib.published.interval`.

    Example:
        >>> denominators(["53.01", "57.83"], 100, unit=Fraction(1, 100))
        [83]
    """
    return [n for n in range(1, limit + 1) if all(count_of(text, n, unit=unit) is not None for text in printed)]
