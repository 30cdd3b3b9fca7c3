"""Paired comparison of two systems on the same images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import binomtest
from torch import Tensor

from fundus_lib.checks import check_shapes
from fundus_lib.errors import ArgumentError
from fundus_lib.metrics._inputs import as_binary
from fundus_lib.metrics.bootstrap import Estimate, bootstrap

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class PairedTest:
    """Two systems on the same images.

    Attributes:
        both: Images that both predict correctly.
        only_a: Images that A alone predicts correctly.
        only_b: Images that B alone predicts correctly.
        neither: Images that both predict wrongly.
        difference: Accuracy of A minus accuracy of B, with its interval.
        p_value: Probability of a difference at least as large, in either direction, if A and B are equally likely to be
            the correct one on an image on which they differ (exact McNemar test).
    """

    both: int
    only_a: int
    only_b: int
    neither: int
    difference: Estimate
    p_value: float


def paired_test(
    correct_a: ArrayLike | Tensor,
    correct_b: ArrayLike | Tensor,
    *,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> PairedTest:
    """Test whether A and B differ in accuracy on the same images.

    Only images on which the two differ enter. The p-value is McNemar's, from the binomial distribution instead
    of its normal approximation, so it is valid for the dozen images on which two systems differ in a test set of 103.
    The interval is a `bootstrap` of the difference, with both systems' predictions for an image resampled together.

    Args:
        correct_a: Whether A predicts each image correctly: bool, or 0 and 1; (N,).
        correct_b: The same for B, the images in the same order; (N,).
        resamples: As in `bootstrap`.
        confidence: As in `bootstrap`.
        seed: As in `bootstrap`.

    Raises:
        ArgumentError: Lengths differ, there is no image, the values are not (N,), or one is neither 0 nor 1.
    """
    check_shapes("paired_test", correct_a, correct_b)
    if len(np.shape(correct_a)) != 1:  # type: ignore[arg-type]
        raise ArgumentError(
            "paired_test",
            "not one value per image",
            found=f"the shape {np.shape(correct_a)}",  # type: ignore[arg-type]
            expected="(N,)",
            remedy="for scores over pixels, bootstrap the difference over images",
        )
    a, b = (as_binary(correct, "paired_test").cpu().numpy() for correct in (correct_a, correct_b))
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    gain = a.astype(np.int64) - b  # 1 where A alone is correct, −1 where B alone is
    return PairedTest(
        both=int((a & b).sum()),
        only_a=only_a,
        only_b=only_b,
        neither=int((~a & ~b).sum()),
        difference=bootstrap(gain, np.mean, resamples=resamples, confidence=confidence, seed=seed),
        p_value=mcnemar(only_a, only_b),
    )


def paired_interval(gains: NDArray[Any], *, resamples: int = 2000, confidence: float = 0.95, seed: int = 0) -> Estimate:
    """Mean gain of A over B on the same images, with its interval: paired over images, pooled over seeds.

    A percentile bootstrap that draws images, the same for all seeds, and seeds. With one seed it speaks of other
    images alone.

    Args:
        gains: (seeds, images), score of A minus score of B.
        resamples: How many selections to draw.
        confidence: Fraction of the resampled means that lies within the interval.
        seed: Of the drawing.
    """
    rng = np.random.default_rng(seed)
    seeds, images = (rng.integers(count, size=(resamples, count)) for count in gains.shape)
    drawn = gains[seeds[:, :, None], images[:, None, :]].mean((1, 2))
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Estimate(float(gains.mean()), float(low), float(high))


def mcnemar(only_a: int, only_b: int) -> float:
    """Exact two-sided p-value of McNemar's test.

    Args:
        only_a: Images that only A predicts correctly.
        only_b: Images that only B predicts correctly.

    Returns:
        The p-value of `only_a` heads in `only_a + only_b` throws of a fair coin (`scipy.stats.binomtest`); 1 for no
        throw.

    Raises:
        ArgumentError: A number is negative.
    """
    if min(only_a, only_b) < 0:
        raise ArgumentError(
            "mcnemar",
            "a number of images is negative",
            found=f"{only_a} and {only_b}",
            expected="0 or more",
            remedy="count the images that one predicts correctly and the other does not",
        )
    throws = only_a + only_b
    return float(binomtest(only_a, throws).pvalue) if throws else 1.0
