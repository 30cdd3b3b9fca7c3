"""Areas under curves as classes of torchmetrics: within bounds in one sweep, exact in two."""

from __future__ import annotations

import math
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from fundus_lib.checks import check_choice
from fundus_lib.errors import ArgumentError
from fundus_lib.metrics._edges import as_levels, distinct, turning_points
from fundus_lib.metrics._inputs import as_pair
from fundus_lib.metrics._settings import count_apart
from fundus_lib.metrics.threshold_counts import ThresholdCounts, threshold_counts

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class CurveThresholds(Metric):
    """Every threshold at which the curve of all images turns: the first of two sweeps, see `streaming`.

    ``compute()`` gives (K,), rising: the distinct scores of the lesion pixels, and the next number above each. It
    keeps the scores of the lesion pixels.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    scores: list[Tensor]

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.add_state("scores", [], dist_reduce_fx="cat")

    def update(self, scores: ArrayLike | Tensor, target: ArrayLike | Tensor) -> None:
        """Keep the scores of the lesion pixels."""
        values, lesion = as_pair(scores, target, "CurveThresholds")
        self.scores.append(distinct(values[lesion]).to(self.device))

    def compute(self) -> Tensor:
        """The thresholds of all processes together."""
        return turning_points(dim_zero_cat(self.scores)) if len(self.scores) else torch.empty(0)


class CurveArea(Metric):
    """Base of the areas: hits and false alarms at given thresholds, or at all numbers of half precision.

    Args:
        thresholds: A number from 0 to 1, a sequence, or None for all numbers of half precision, see `streaming`.
        strict: Call a pixel lesion if its score is above the threshold, not if it is equal.
        **kwargs: Passed to `torchmetrics.Metric`.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    tp: Tensor
    fp: Tensor
    pixels: Tensor

    def __init__(self, thresholds: int | ArrayLike | Tensor | None = None, *, strict: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.rounded, self.strict = thresholds is None, strict
        if thresholds is None:
            numbers = np.arange(2**16, dtype=np.uint16).view(np.float16)
            thresholds = numbers[~np.isnan(numbers)].astype(np.float64)
        elif isinstance(thresholds, Tensor):
            thresholds = thresholds.cpu().double().numpy()
        self.thresholds, self.levels = thresholds, as_levels(thresholds)
        count_apart(self, zlib.crc32(self.levels.tobytes()), self.rounded, strict)
        for name in ("tp", "fp"):
            self.add_state(name, torch.zeros(len(self.levels), dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("pixels", torch.zeros(2, dtype=torch.long), dist_reduce_fx="sum")  # lesion, background

    def update(self, scores: ArrayLike | Tensor, target: ArrayLike | Tensor) -> None:
        """Add pixels: scores of any shape and real type, target 0 and 1 or bool of the same shape."""
        values, lesion = as_pair(scores, target, type(self).__name__)
        values = values.half() if self.rounded else values
        counts = threshold_counts(values, lesion, thresholds=self.thresholds, strict=self.strict)
        for state, numbers in ((self.tp, counts.tp), (self.fp, counts.fp)):
            state += torch.from_numpy(numbers.copy()).to(self.device)
        self.pixels += torch.tensor([counts.positives, counts.negatives], device=self.device)

    def _table(self) -> ThresholdCounts:
        tp, fp = self.tp.cpu().numpy(), self.fp.cpu().numpy()
        positives, negatives = self.pixels.tolist()
        return ThresholdCounts(self.levels[::-1], tp, fp, positives, negatives, self.strict)

    def _merged_levels(self) -> ThresholdCounts:
        if not self.rounded:
            raise ArgumentError(
                type(self).__name__,
                "has no bounds",
                found="thresholds",
                expected="None: scores rounded to half precision",
                remedy="take compute(): the area over given thresholds is exact as it is",
            )
        alone = not self._is_synced
        with self.sync_context(self.dist_sync_fn, should_sync=alone, should_unsync=alone):
            return self._table()


class AveragePrecision(CurveArea):
    """Average precision: area under the precision-recall curve by steps.

    Args:
        thresholds: A number from 0 to 1, a sequence, or None for all numbers of half precision, see `streaming`.
        strict: Call a pixel lesion if its score is above the threshold, not if it is equal.
        **kwargs: Passed to `torchmetrics.Metric`.
    """

    def compute(self) -> Tensor:
        """The area, float64; NaN without lesion pixels."""
        return torch.tensor(self._table().auprc(interpolation="step"), dtype=torch.float64)

    def bounds(self) -> tuple[float, float]:
        """Between which values the exact average precision lies, however scores of the same level are ordered.

        At worst the background pixels of a level come first, then its lesion pixels one by one; their precision rises
        ever more slowly, so the mean of the first and the last is below the mean of all. At best the lesion pixels come
        first, all at once.

        Raises:
            ArgumentError: Thresholds are given, and the area over these is exact as it is.
        """
        table = self._merged_levels()
        lesions = np.diff(table.tp, prepend=0)
        rows = np.flatnonzero(lesions)  # (K,)
        if not len(rows):
            return math.nan, math.nan
        lesions, tp, fp = lesions[rows], table.tp[rows], table.fp[rows]
        background = np.diff(table.fp, prepend=0)[rows]
        first = (tp - lesions + 1) / (tp - lesions + 1 + fp)
        last, best = tp / (tp + fp), tp / (tp + fp - background)
        low, high = np.sum(lesions * (first + last) / 2), np.sum(lesions * best)
        return float(low / table.positives), float(high / table.positives)


class AUPRC(CurveArea):
    """Area under the precision-recall curve, see `fundus_lib.metrics.auprc`.

    Args:
        thresholds: A number from 0 to 1, a sequence, or None for all numbers of half precision, see `streaming`.
        interpolation: ``"step"`` or ``"trapezoid"``.
        strict: Call a pixel lesion if its score is above the threshold, not if it is equal.
        **kwargs: Passed to `torchmetrics.Metric`.
    """

    def __init__(
        self, thresholds: int | ArrayLike | Tensor | None, *, interpolation: str, strict: bool = False, **kwargs: Any
    ):
        super().__init__(thresholds, strict=strict, **kwargs)
        check_choice("area under the curve", "interpolation", interpolation, ("step", "trapezoid"))
        self.interpolation = interpolation

    def compute(self) -> Tensor:
        """The area, float64; NaN without lesion pixels."""
        return torch.tensor(self._table().auprc(interpolation=self.interpolation), dtype=torch.float64)


class ROCAUC(CurveArea):
    """Area under the ROC curve, see `fundus_lib.metrics.roc_auc`.

    Args:
        thresholds: A number from 0 to 1, a sequence, or None for all numbers of half precision, see `streaming`.
        strict: Call a pixel lesion if its score is above the threshold, not if it is equal.
        ends: Whether the curve is drawn to (0, 0) and to (1, 1) when the thresholds end before.
        **kwargs: Passed to `torchmetrics.Metric`.
    """

    def __init__(
        self,
        thresholds: int | ArrayLike | Tensor | None = None,
        *,
        strict: bool = False,
        ends: bool = True,
        **kwargs: Any,
    ):
        super().__init__(thresholds, strict=strict, **kwargs)
        self.ends = ends

    def compute(self) -> Tensor:
        """The area, float64; NaN without lesion pixels or without background pixels."""
        return torch.tensor(self._table().roc_auc(ends=self.ends), dtype=torch.float64)

    def bounds(self) -> tuple[float, float]:
        """Between which values the exact area lies: pairs of the same level count as lost, or as won, not half.

        Raises:
            ArgumentError: Thresholds are given, and the area over these is exact as it is.
        """
        table = self._merged_levels()
        with np.errstate(invalid="ignore"):
            ties = np.float64(np.sum(np.diff(table.tp, prepend=0) * np.diff(table.fp, prepend=0)))
            half = ties / table.positives / table.negatives / 2
        area = table.roc_auc()
        return float(area - half), float(area + half)
