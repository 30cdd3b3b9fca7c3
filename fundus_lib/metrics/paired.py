"""Whether one system is better than another, both having answered for the same images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import binomtest
from torch import Tensor

from fundus_lib.errors import ArgumentError
from fundus_lib.metrics._inputs import as_binary, check_shapes
from fundus_lib.metrics.bootstrap import Estimate, bootstrap

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass(frozen=True)
class PairedTest:
    """Two systems on the same images.

    Attributes:
        both: Images that both got right.
        only_a: Images that A got right and B wrong.
        only_b: Images that B got right and A wrong.
        neither: Images that both got wrong.
        difference: Accuracy of A minus accuracy of B, with its interval.
        p_value: How often a difference at least as large, in either direction, would come about if A and B were equally
            likely to win an image on which they differ (exact McNemar test).
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
    """Test "A is more often right than B" on the images that both were asked about.

    Only images on which the two differ say anything. The p-value is McNemar's, from the binomial distribution instead
    of its normal approximation, so it holds for the dozen images on which two systems differ in a test set of 103. The
    interval is a `bootstrap` of the difference, drawing both systems' answers for an image together.

    Args:
        correct_a: Whether A got each image right: bool, or 0 and 1; (N,).
        correct_b: The same for B, the images in the same order; (N,).
        resamples: As in `bootstrap`.
        confidence: As in `bootstrap`.
        seed: As in `bootstrap`.

    Raises:
        ArgumentError: Lengths differ, there is no image, answers are not (N,), or an answer is neither 0 nor 1.
    """
    check_shapes(correct_a, correct_b, "paired_test")
    if len(np.shape(correct_a)) != 1:  # type: ignore[arg-type]
        raise ArgumentError(
            "paired_test",
            "answers are one per image",
            found=f"the shape {np.shape(correct_a)}",  # type: ignore[arg-type]
            expected="(N,)",
            remedy="for scores over pixels, bootstrap the difference over images",
        )
    a, b = (as_binary(correct, "paired_test").cpu().numpy() for correct in (correct_a, correct_b))
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    gain = a.astype(np.int64) - b  # 1 where A alone is right, −1 where B alone is
    return PairedTest(
        both=int((a & b).sum()),
        only_a=only_a,
        only_b=only_b,
        neither=int((~a & ~b).sum()),
        difference=bootstrap(gain, np.mean, resamples=resamples, confidence=confidence, seed=seed),
        p_value=mcnemar(only_a, only_b),
    )


def mcnemar(only_a: int, only_b: int) -> float:
    """Exact two-sided p-value of McNemar's test.

    Args:
        only_a: Images that only A got right.
        only_b: Images that only B got right.

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
            remedy="count the images that one got right and the other wrong",
        )
    throws = only_a + only_b
    return float(binomtest(only_a, throws).pvalue) if throws else 1.0
