"""Bootstrap intervals of scores over images."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fundus_lib.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Estimate:
    """A score with its uncertainty.

    Attributes:
        value: The score on the images themselves: a number, or an array of any shape.
        low: Lower end of the interval; of the same shape.
        high: Upper end of the interval; of the same shape.
    """

    value: Any
    low: Any
    high: Any

    def __str__(self) -> str:
        if np.ndim(self.value):
            return f"{self.value} [{self.low}, {self.high}]"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]".replace("-", "−")


def bootstrap(
    images: Sequence[Any] | NDArray[Any],
    statistic: Callable[[Any], Any],
    *,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Percentile bootstrap interval of a score, from resamples of the images with replacement.

    Whole images are resampled: pixels and lesions of one image are correlated, and intervals that treat them as
    independent are far too narrow. Pass what the score needs of each image, and the function that computes it::

        def pooled(some):
            return sum(some, PixelCounts()).f1

        counts = [pixel_counts(pred, target) for pred, target in pairs]
        bootstrap(counts, pooled)
        bootstrap([count.f1 for count in counts], np.mean)  # mean of images

    Two systems are compared on the same resampled images, since their errors are correlated::

        def difference(some):
            ours, theirs = zip(*some)
            return pooled(ours) - pooled(theirs)

        bootstrap(list(zip(ours, theirs)), difference)

    The ends are percentiles of the resampled scores. They depend on the given images alone: 27 correct of 27 gives
    [1, 1]. In simulated studies the 95 % interval covered the true value in 93 % for an accuracy of .61 of 27 images
    and in 94 % of 103; for an F1 pooled over images whose lesions differ in area as IDRiD's do, in 90 % with 27 images
    and in 93 % with 103, because few images dominate and a test set may lack them.

    Args:
        images: What the score needs of each image: an array (N, ...) or a list of N.
        statistic: The score of a resample, an array (N, ...) or a list like `images`: a number or an array.
        resamples: Number of resamples.
        confidence: Fraction of the resampled scores within the interval.
        seed: Of the random numbers. Equal seeds give equal resamples of equally many images, so scores can be compared.

    Returns:
        Value and ends. Resamples whose score is NaN, as of images without a lesion, are left out; the interval is NaN
        if no resample has a score.

    Raises:
        ArgumentError: There is no image, no resample, or confidence is not between 0 and 1.
    """
    if len(images) < 1 or resamples < 1:
        raise ArgumentError(
            "bootstrap",
            "there is nothing to resample",
            found=f"{len(images)} images, {resamples} resamples",
            expected="at least one of each",
            remedy="use some thousand resamples of all images of a test set",
        )
    if not 0 < confidence < 1:
        raise ArgumentError(
            "bootstrap",
            "confidence is not a fraction",
            found=confidence,
            expected="a number between 0 and 1",
            remedy="0.95 for an interval of 95 %",
        )
    draws = np.random.default_rng(seed).integers(len(images), size=(resamples, len(images)))
    scores = np.array([statistic(_select(images, draw)) for draw in draws], np.float64)  # (resamples, ...)
    ends = [(1 - confidence) / 2, (1 + confidence) / 2]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="All-NaN slice")
        low, high = np.nanquantile(scores, ends, axis=0)
    return Estimate(*(_to_python(number) for number in (statistic(images), low, high)))


def _select(images: Sequence[Any] | NDArray[Any], draw: NDArray[np.int64]) -> Sequence[Any] | NDArray[Any]:
    return images[draw] if isinstance(images, np.ndarray) else [images[i] for i in draw]


def _to_python(number: Any) -> Any:
    """A number as Python's own, for records; an array as it is."""
    return float(number) if np.ndim(number) == 0 else np.asarray(number)
