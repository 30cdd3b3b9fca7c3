"""The four counts of a binary prediction, and their ratios."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fundus_lib.checks import check_choice, check_shapes
from fundus_lib.metrics._inputs import as_binary

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

SCORES = ("iou", "f1", "sensitivity", "ppv", "specificity", "accuracy")
"""The names of the scores of `PixelCounts`."""


@dataclass(frozen=True)
class PixelCounts:
    """Pixels by true and predicted class.

    Counts of several images add up with ``+`` (and ``sum(counts, PixelCounts())``): their ratios are then *pooled*. The
    mean of the ratios of single images is `image_mean`; the two differ, and a result should state which it is.

    A ratio whose denominator is zero is NaN. The caller decides how to treat it. Of an empty prediction on an empty
    mask, IoU, F1, sensitivity and PPV are NaN, specificity and accuracy 1; of an empty prediction on a mask with
    lesions, PPV is NaN and IoU, F1 and sensitivity are 0; of a prediction on an empty mask, sensitivity is NaN and IoU,
    F1 and PPV are 0.

    Attributes:
        tp: Lesion pixels predicted as lesion.
        fp: Background pixels predicted as lesion.
        fn: Lesion pixels predicted as background.
        tn: Background pixels predicted as background.
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
        return _divide(self.tp, self.tp + self.fp + self.fn)

    @property
    def f1(self) -> float:
        """F1, also called Dice coefficient: 2 tp / (2 tp + fp + fn)."""
        return _divide(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def sensitivity(self) -> float:
        """Fraction of the lesion pixels that are predicted as lesion, also called recall: tp / (tp + fn)."""
        return _divide(self.tp, self.tp + self.fn)

    @property
    def ppv(self) -> float:
        """Positive predictive value, also called precision: tp / (tp + fp)."""
        return _divide(self.tp, self.tp + self.fp)

    @property
    def specificity(self) -> float:
        """Fraction of the background pixels that are predicted as background: tn / (tn + fp)."""
        return _divide(self.tn, self.tn + self.fp)

    @property
    def accuracy(self) -> float:
        """Fraction of correct pixels: (tp + tn) / all. High for an empty prediction, since lesion pixels are rare."""
        return _divide(self.tp + self.tn, self.tp + self.fp + self.fn + self.tn)


def pixel_counts(pred: ArrayLike | Tensor, target: ArrayLike | Tensor) -> PixelCounts:
    """Count the pixels of a binary prediction, all pooled.

    Args:
        pred: 0 and 1, or bool, any shape.
        target: 0 and 1, or bool, the same shape.

    Raises:
        ArgumentError: Shapes differ, or a value is neither 0 nor 1.
    """
    check_shapes("pixel_counts", pred, target)
    predicted = as_binary(pred, "pixel_counts")
    lesion = as_binary(target, "pixel_counts").to(predicted.device)
    tp = int(torch.count_nonzero(predicted & lesion))
    positive, actual = int(torch.count_nonzero(predicted)), int(torch.count_nonzero(lesion))
    return PixelCounts(tp, positive - tp, actual - tp, predicted.numel() - positive - actual + tp)


def image_mean(counts: Sequence[PixelCounts], score: str, *, empty: float | str) -> float:
    """Mean of a score over images, with equal weight for each.

    Args:
        counts: One per image.
        score: ``"iou"``, ``"f1"``, ``"sensitivity"``, ``"ppv"``, ``"specificity"`` or ``"accuracy"``.
        empty: Value for an image whose score is not defined (NaN, see `PixelCounts`): a number, or ``"skip"``
            to leave it out. Papers do either and rarely state which, so it has no default.

    Returns:
        0 to 1; NaN if no image is left.

    Raises:
        ArgumentError: The score or ``empty`` is none of these.
    """
    return mean(values(counts, score), empty)


def values(counts: Sequence[PixelCounts], score: str) -> list[float]:
    """The score of that name of each."""
    check_choice("image_mean", "score", score, SCORES)
    return [float(getattr(one, score)) for one in counts]


def mean(scores: Sequence[float], empty: float | str) -> float:
    """Mean in which NaN is replaced by ``empty``, or left out if that is ``"skip"``; NaN if nothing is left."""
    if isinstance(empty, str):
        check_choice("image_mean", "empty", empty, ("skip",))
        counted = [one for one in scores if not math.isnan(one)]
    else:
        counted = [empty if math.isnan(one) else one for one in scores]
    return sum(counted) / len(counted) if counted else math.nan


def _divide(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
