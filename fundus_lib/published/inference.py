"""What a few printed numbers imply: how far images differ, and whether a difference can be more than chance."""

from __future__ import annotations

from fractions import Fraction
from math import sqrt

from fundus_lib.errors import ArgumentError
from fundus_lib.published.digits import interval
from fundus_lib.published.laws import iou_of


def implied_spread(f1: str, iou: str, *, unit: Fraction = Fraction(1)) -> tuple[float, float]:
    r"""Bound the standard deviation of F1 over images by the printed mean F1 and mean IoU, both rounded.

    For one image IoU = g(F1) with g(F) = F/(2 - F). Written out, with D the mean of F1,
    g(F) - g(D) - g'(D)(F - D) = 2 (F - D)^2 / ((2 - D)^2 (2 - F)). The mean of the left side is the gap
    mean IoU - g(D). Since 1 <= 2 - F <= 2, the variance lies between gap (2 - D)^2 / 2 and gap (2 - D)^2.

    Args:
        f1: Mean F1 or Dice, digits as printed.
        iou: Mean IoU of the same images, digits as printed.
        unit: What one printed unit is worth: 1/100 for percent.

    Returns:
        Lower and upper bound, as fractions of 1. The lower one is 0 where all images may have the same score; pooled
        counts are one single image, and then the upper one is as small as the digits allow. NaN where no images can
        have these means.

    Raises:
        ArgumentError: A text is no printed number.

    Example:
        >>> low, high = implied_spread("65.48", "50.61", unit=Fraction(1, 100))
        >>> f"between {low:.3f} and {high:.3f}"
        'between 0.132 and 0.188'
    """
    dice, overlap = (interval(printed, unit=unit) for printed in (f1, iou))
    least, most = overlap.low - iou_of(dice.high), overlap.high - iou_of(dice.low)
    if most < 0:
        return float("nan"), float("nan")
    low = float(2 - dice.high) * sqrt(max(Fraction(0), least) / 2)
    return low, float(2 - dice.low) * sqrt(most)


def best_case_p(right_a: int, right_b: int) -> float:
    """The smallest p-value that McNemar's exact test can give for two accuracies on the same images.

    Which images each method gets right is never printed. Fewest disagreements favour significance most: the better
    method is right wherever the other is, and on d images more. Then p = 2 (1/2)^d, two-sided.

    Args:
        right_a: Images that one method gets right.
        right_b: Images that the other gets right.

    Returns:
        A p-value in (0, 1]; the true one is this or larger.

    Raises:
        ArgumentError: A count is negative.

    Example:
        >>> best_case_p(63, 59)
        0.125
    """
    if min(right_a, right_b) < 0:
        raise ArgumentError(
            "right_a, right_b",
            "a count cannot be negative",
            found=f"{right_a}, {right_b}",
            expected="0 or more",
            remedy="pass the number of images that each method gets right",
        )
    from fundus_lib.metrics import mcnemar

    return mcnemar(abs(right_a - right_b), 0)


def welch_p(mean_a: float, sd_a: float, mean_b: float, sd_b: float, runs: int) -> float:
    """Welch's two-sided test for two printed means with deviations over as many runs.

    Args:
        mean_a: Mean of one method.
        sd_a: Its standard deviation, with n - 1; if the paper divided by n, the true p-value is larger.
        mean_b: Mean of the other.
        sd_b: Its standard deviation.
        runs: Number of runs behind each, at least 2.

    Returns:
        p-value; the runs' seeds, not the images, are what is taken as random.

    Raises:
        ArgumentError: Fewer than two runs, or a deviation that is not positive.
    """
    if runs < 2 or min(sd_a, sd_b) <= 0:
        raise ArgumentError(
            "runs",
            "a test needs runs that differ",
            found=f"{runs} runs, deviations {sd_a} and {sd_b}",
            expected="2 runs or more, deviations above 0",
            remedy="print more digits, or run more often",
        )
    from scipy.stats import ttest_ind_from_stats

    return float(ttest_ind_from_stats(mean_a, sd_a, runs, mean_b, sd_b, runs, equal_var=False).pvalue)
