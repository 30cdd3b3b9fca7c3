"""What printed digits can stand for."""

from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fundus_lib.errors import ArgumentError
from fundus_lib.published import Interval, count_of, denominators, interval

VALUES = st.fractions(0, 1)
DIGITS = st.integers(1, 5)


def printed(value: Fraction, digits: int, rounding: str = ROUND_HALF_EVEN) -> str:
    """A value as a paper would print it."""
    exact = Decimal(value.numerator) / Decimal(value.denominator)
    return str(exact.quantize(Decimal(1).scaleb(-digits), rounding=rounding))


@given(VALUES, DIGITS)
def test_what_was_rounded_lies_inside(value: Fraction, digits: int) -> None:
    for rounding in (ROUND_HALF_EVEN, ROUND_HALF_UP):
        found = interval(printed(value, digits, rounding))
        assert found.low <= value <= found.high
        assert found.high - found.low == Fraction(1, 10**digits)


@given(VALUES, DIGITS)
def test_what_was_cut_lies_inside(value: Fraction, digits: int) -> None:
    for rounding in (ROUND_DOWN, ROUND_HALF_UP):
        found = interval(printed(value, digits, rounding), "truncated")
        assert found.low <= value <= found.high


def test_a_trailing_zero_says_more() -> None:
    assert interval("0.7") == Interval(Fraction(65, 100), Fraction(75, 100))
    assert interval("0.70") == Interval(Fraction(695, 1000), Fraction(705, 1000))
    assert interval("70", unit=Fraction(1, 100)) == interval("0.70")
    assert interval("1.1e-4") == Interval(Fraction(105, 10**6), Fraction(115, 10**6))
    assert interval("512") == Interval(Fraction(1023, 2), Fraction(1025, 2))


@pytest.mark.parametrize("text", ["", "-", "0,5", "1.2.3", "nan", "0.5 (0.1)", "-0.5"])
def test_no_number(text: str) -> None:
    with pytest.raises(ArgumentError, match="not a printed number"):
        interval(text)


def test_no_such_reading() -> None:
    with pytest.raises(ArgumentError):
        interval("0.5", "guessed")  # type: ignore[arg-type]


def test_meets() -> None:
    one, two, three = interval("0.5"), interval("0.6"), interval("0.7")
    assert one.meets(two) and two.meets(one) and not one.meets(three) and not three.meets(one)
    assert interval("0.52").meets(one) and one.meets(interval("0.52"))


@given(st.integers(1, 1000), st.data(), st.integers(2, 5))
def test_every_count_is_found_again(n: int, data: st.DataObject, digits: int) -> None:
    k = data.draw(st.integers(0, n))
    text = printed(Fraction(k, n), digits)
    found = count_of(text, n)
    assert found is not None and found <= k and Fraction(k - found, n) <= Fraction(1, 10**digits)
    assert count_of(printed(Fraction(k, n), digits, ROUND_DOWN), n, "truncated") is not None


def test_counts() -> None:
    assert [count_of(text, 103) for text in ("0.6117", "0.6116", "0.6505", "0.6506")] == [63, None, 67, None]
    assert [count_of(text, 103, "truncated") for text in ("0.6116", "0.6506")] == [63, None]
    assert count_of("1.0", 7) == 7 and count_of("0.0", 7) == 0
    with pytest.raises(ArgumentError):
        count_of("0.5", 0)


def test_denominators_against_a_loop_over_all_fractions() -> None:
    texts = ["53.01", "57.83"]
    slow = [n for n in range(1, 400) if all(any(f"{100 * k / n:.2f}" == t for k in range(n + 1)) for t in texts)]
    assert denominators(texts, 399, unit=Fraction(1, 100)) == slow
    assert slow[0] == 83


def test_enough_images_explain_everything() -> None:
    assert denominators(["0.37", "0.81"], 130)[-30:] == list(range(101, 131))
