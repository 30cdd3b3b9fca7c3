"""The four counts of a binary prediction, and the ratios that papers make of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from fundus_lib.metrics._inputs import as_binary, check_shapes

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass(frozen=True)
class PixelCounts:
    """Pixels by what they are and what they were called.

    Counts of several images add up with ``+`` (and ``sum(counts, PixelCounts())``): their ratios are then *pooled*. For
    a mean over images, average the ratios instead; the two differ, and a result should say which it is.

    A ratio whose denominator is zero is NaN: the sensitivity of an image without lesions, say, or the IoU of an empty
    prediction on an empty mask. It is neither a success nor a failure, and the caller decides what to do with it.

    Attributes:
        tp: Lesion called lesion.
        fp: Background called lesion.
        fn: Lesion called background.
        tn: Background called background.
    """

    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0

    def __add__(self, other: PixelCounts) -> PixelCounts:
        return PixelCounts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.tn + other.tn)

    @property
    def iou(self) -> float:
        """Intersection over union, also called Jaccard index: tp / (tp + fp + fn)."""
        return _ratio(self.tp, self.tp + self.fp + self.fn)

    @property
    def f1(self) -> float:
        """F1, also called Dice coefficient: 2 tp / (2 tp + fp + fn)."""
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def sensitivity(self) -> float:
        """Share of the lesion that was found, also called recall: tp / (tp + fn)."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def ppv(self) -> float:
        """Positive predictive value, also called precision: tp / (tp + fp)."""
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def specificity(self) -> float:
        """Share of the background that was left alone: tn / (tn + fp)."""
        return _ratio(self.tn, self.tn + self.fp)

    @property
    def accuracy(self) -> float:
        """Share of the pixels called right: (tp + tn) / all. High for an empty prediction, lesions being rare."""
        return _ratio(self.tp + self.tn, self.tp + self.fp + self.fn + self.tn)


def pixel_counts(pred: ArrayLike | Tensor, target: ArrayLike | Tensor) -> PixelCounts:
    """Count the pixels of a binary prediction, all pooled.

    Args:
        pred: 0 and 1, or bool, any shape.
        target: 0 and 1, or bool, the same shape.

    Raises:
        ArgumentError: Shapes differ, or a value is neither 0 nor 1.
    """
    check_shapes(pred, target, "pixel_counts")
    called = as_binary(pred, "pixel_counts")
    lesion = as_binary(target, "pixel_counts").to(called.device)
    tp = int((called & lesion).sum())
    positive, actual = int(called.sum()), int(lesion.sum())
    return PixelCounts(tp, positive - tp, actual - tp, called.numel() - positive - actual + tp)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
