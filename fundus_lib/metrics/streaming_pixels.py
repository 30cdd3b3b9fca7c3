"""Scores of binary predictions and of label maps as classes of torchmetrics."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torchmetrics import Metric

from fundus_lib.checks import check_choice
from fundus_lib.metrics._settings import count_apart
from fundus_lib.metrics.classes import class_counts, mean_score
from fundus_lib.metrics.pixel_counts import SCORES, mean, pixel_counts, values
from fundus_lib.metrics.pixel_counts import PixelCounts as Counts

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class PixelCounts(Metric):
    """Counts of binary predictions and their ratios, pooled.

    ``compute()`` gives a dict of tensors: ``tp``, ``fp``, ``fn``, ``tn`` (int64) and the six scores of
    `fundus_lib.metrics.PixelCounts` (float64), NaN where a denominator is zero.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    counts: Tensor

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.add_state("counts", torch.zeros(4, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, pred: ArrayLike | Tensor, target: ArrayLike | Tensor) -> None:
        """Add the pixels of a binary prediction, see `fundus_lib.metrics.pixel_counts`."""
        self.counts += _row(pixel_counts(pred, target)).to(self.device)

    def compute(self) -> dict[str, Tensor]:
        """The pooled counts and scores."""
        counts = _counts(self.counts)
        tensors = {name: torch.tensor(number) for name, number in asdict(counts).items()}
        return tensors | {name: torch.tensor(values([counts], name)[0], dtype=torch.float64) for name in SCORES}


class ImageMean(Metric):
    """Mean of a score over images, see `fundus_lib.metrics.image_mean`.

    Args:
        score: The name of a score of `fundus_lib.metrics.PixelCounts`.
        empty: What an image counts in which the score is not defined, or ``"skip"``.
        **kwargs: Passed to `torchmetrics.Metric`.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    total: Tensor
    images: Tensor

    def __init__(self, score: str, *, empty: float | str, **kwargs: Any):
        super().__init__(**kwargs)
        check_choice(type(self).__name__, "score", score, SCORES)
        self.score, self.empty = score, empty
        count_apart(self, score, empty)
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("images", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")
        mean([], empty)  # a bad choice fails here

    def update(self, pred: Tensor, target: Tensor) -> None:
        """Add the images of a batch: pred and target (B, ...), 0 and 1 or bool."""
        for called, lesion in zip(pred, target, strict=True):
            scores = values([pixel_counts(called, lesion)], self.score)
            if not (math.isnan(scores[0]) and self.empty == "skip"):
                self.total += mean(scores, self.empty)
                self.images += 1

    def compute(self) -> Tensor:
        """The mean over the images of all processes; NaN if none is left."""
        return self.total / self.images


class MeanScore(Metric):
    """Mean over classes of label maps, pooled over images: mDice, mIoU, see `fundus_lib.metrics.mean_score`.

    Args:
        classes: How many there are, background included.
        score: The name of a score of `fundus_lib.metrics.PixelCounts`.
        background: Whether the first class counts as well.
        average: ``"macro"`` or ``"micro"``.
        empty: What a class counts that is absent everywhere, or ``"skip"``.
        **kwargs: Passed to `torchmetrics.Metric`.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    counts: Tensor

    def __init__(self, classes: int, score: str, *, background: bool, average: str, empty: float | str, **kwargs: Any):
        super().__init__(**kwargs)
        self.classes = classes
        self.choices: dict[str, Any] = {"background": background, "average": average, "empty": empty}
        self.score = score
        self.add_state("counts", torch.zeros(classes, 4, dtype=torch.long), dist_reduce_fx="sum")
        mean_score([_counts(row) for row in self.counts], score, **self.choices)  # a bad choice fails here

    def update(self, pred: ArrayLike | Tensor, target: ArrayLike | Tensor) -> None:
        """Add the pixels of label maps, see `fundus_lib.metrics.class_counts`."""
        counts = class_counts(pred, target, self.classes)
        self.counts += torch.stack([_row(one) for one in counts]).to(self.device)

    def compute(self) -> Tensor:
        """The mean over classes."""
        score = mean_score([_counts(row) for row in self.counts], self.score, **self.choices)
        return torch.tensor(score, dtype=torch.float64)


def _row(counts: Counts) -> Tensor:
    return torch.tensor([counts.tp, counts.fp, counts.fn, counts.tn])


def _counts(row: Tensor) -> Counts:
    return Counts(*row.tolist())
