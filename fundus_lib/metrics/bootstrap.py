"""How far a score would move on other images of the same kind."""

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
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def bootstrap(
    images: Sequence[Any] | NDArray[Any],
    statistic: Callable[[Any], Any],
    *,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """The interval of a score over images, by drawing as many images with replacement, again and again.

    Images are drawn whole: pixels and lesions of one image are alike, so counting them as independent would promise far
    too much. Keep of every image what the score needs of it, and say how the score follows from that::

        def pooled(some):
            return sum(some, PixelCounts()).f1

        counts = [pixel_counts(pred, target) for pred, target in pairs]
        bootstrap(counts, pooled)
        bootstrap([count.f1 for count in counts], np.mean)  # mean of images

    Two systems are compared by drawing the images for both at once, since what is hard for one is hard for the other::

        def difference(some):
            ours, theirs = zip(*some)
            return pooled(ours) - pooled(theirs)

        bootstrap(list(zip(ours, theirs)), difference)

    The ends are percentiles of the resampled scores. They know only the images that are there: 27 right of 27 gives
    [1, 1]. In simulated studies an interval of 95 % held the truth in 93 % for an accuracy of .61 of 27 images and in
    94 % of 103; for an F1 pooled over images whose lesions differ in area as IDRiD's do, in 90 % with 27 images and in
    93 % with 103, because few images decide and a test set may lack them.

    Args:
        images: What is known of each image, (N, ...) or a list of N anything.
        statistic: The score of a selection of them, an array (N, ...) or a list, as `images` is: a number or an array.
        resamples: How many selections to draw.
        confidence: Share of the resampled scores that lies within the interval.
        seed: Of the drawing. Equal seeds draw equal selections of equally many images, so scores can be compared.

    Returns:
        Value and ends. Selections whose score is NaN, drawn from images without a lesion say, are left out. The
        interval then holds for selections that have a score; it is NaN if none has.

    Raises:
        ArgumentError: There is no image, no resample, or confidence is not between 0 and 1.
    """
    if len(images) < 1 or resamples < 1:
        raise ArgumentError(
            "bootstrap",
            "there is nothing to draw",
            found=f"{len(images)} images, {resamples} resamples",
            expected="at least one of each",
            remedy="ask for some thousand resamples of all images of a test set",
        )
    if not 0 < confidence < 1:
        raise ArgumentError(
            "bootstrap",
            "confidence is not a share",
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
    return Estimate(*(_plain(number) for number in (statistic(images), low, high)))


def _select(images: Sequence[Any] | NDArray[Any], draw: NDArray[np.int64]) -> Sequence[Any] | NDArray[Any]:
    return images[draw] if isinstance(images, np.ndarray) else [images[i] for i in draw]


def _plain(number: Any) -> Any:
    """A number as Python's own, for records; an array as it is."""
    return float(number) if np.ndim(number) == 0 else np.asarray(number)
