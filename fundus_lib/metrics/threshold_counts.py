"""True and false positives at every threshold, from which all curves and the areas under them are computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from torch import Tensor

from fundus_lib.checks import check_choice
from fundus_lib.errors import ArgumentError
from fundus_lib.metrics._edges import as_edges, as_levels, check_range, count_reaching, turning_points
from fundus_lib.metrics._inputs import as_pair
from fundus_lib.metrics.pixel_counts import PixelCounts

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


class PrecisionRecallCurve(NamedTuple):
    """Points from high to low thresholds, so recall increases; first is recall 0, precision 1, threshold infinity."""

    recall: NDArray[np.float64]
    precision: NDArray[np.float64]
    thresholds: NDArray[np.float64]


class ROCCurve(NamedTuple):
    """Points from high to low thresholds, so both rates increase."""

    false_positive_rate: NDArray[np.float64]
    sensitivity: NDArray[np.float64]
    thresholds: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ThresholdCounts:
    """Pixels predicted as lesion at descending thresholds. Counts at the same thresholds add up with ``+``: pooled.

    Attributes:
        thresholds: (K,) float64, descending.
        tp: (K,) int64, lesion pixels whose score is at least the threshold (above it, if ``strict``).
        fp: (K,) int64, background pixels likewise.
        positives: All lesion pixels.
        negatives: All background pixels.
        strict: Whether a pixel whose score equals the threshold is left out.
    """

    thresholds: NDArray[np.float64]
    tp: NDArray[np.int64]
    fp: NDArray[np.int64]
    positives: int
    negatives: int
    strict: bool = False

    def __len__(self) -> int:
        return len(self.thresholds)

    def __getitem__(self, k: int) -> PixelCounts:
        """The counts at the ``k``-th highest threshold."""
        tp, fp = int(self.tp[k]), int(self.fp[k])
        return PixelCounts(tp, fp, self.positives - tp, self.negatives - fp)

    def __add__(self, other: ThresholdCounts) -> ThresholdCounts:
        if self.strict != other.strict or not np.array_equal(self.thresholds, other.thresholds):
            raise ArgumentError(
                "ThresholdCounts",
                "counts at different thresholds cannot be added",
                found=f"{len(self)} and {len(other)} thresholds, which differ",
                expected="the same thresholds, and the same `strict`",
                remedy="give both the same thresholds, or count the images together, concatenated",
            )
        positives, negatives = self.positives + other.positives, self.negatives + other.negatives
        return ThresholdCounts(
            self.thresholds, self.tp + other.tp, self.fp + other.fp, positives, negatives, self.strict
        )

    def with_last(self, positives: int, negatives: int) -> ThresholdCounts:
        """The counts with so many more pixels, which are predicted as lesion last of all, at minus infinity."""
        return ThresholdCounts(
            np.append(self.thresholds, -np.inf),
            np.append(self.tp, self.positives + positives),
            np.append(self.fp, self.negatives + negatives),
            self.positives + positives,
            self.negatives + negatives,
            self.strict,
        )

    @property
    def sensitivity(self) -> NDArray[np.float64]:
        """(K,), also called recall or true positive rate: tp / positives. NaN without lesion pixels."""
        return _divide(self.tp, self.positives)

    @property
    def ppv(self) -> NDArray[np.float64]:
        """(K,), also called precision: tp / (tp + fp). NaN at thresholds that no pixel reaches."""
        return _divide(self.tp, self.tp + self.fp)

    @property
    def false_positive_rate(self) -> NDArray[np.float64]:
        """(K,), one minus specificity: fp / negatives. NaN without background pixels."""
        return _divide(self.fp, self.negatives)

    @property
    def f1(self) -> NDArray[np.float64]:
        """(K,), also called Dice coefficient: 2 tp / (2 tp + fp + fn). NaN where the denominator is zero."""
        return _divide(2 * self.tp, self.tp + self.fp + self.positives)

    @property
    def iou(self) -> NDArray[np.float64]:
        """(K,), intersection over union: tp / (tp + fp + fn). NaN where the denominator is zero."""
        return _divide(self.tp, self.fp + self.positives)

    def precision_recall(self) -> PrecisionRecallCurve:
        """K + 1 points. Precision is 1 where no pixel is predicted as lesion."""
        recall = np.concatenate([[0.0 if self.positives else np.nan], self.sensitivity])
        ppv = np.concatenate([[1.0], np.where(self.tp + self.fp, self.ppv, 1.0)])
        return PrecisionRecallCurve(recall, ppv, np.concatenate([[np.inf], self.thresholds]))

    def roc(self, *, ends: bool = True) -> ROCCurve:
        """The K points, and with ``ends`` the two of every ROC curve, (0, 0) and (1, 1)."""
        first, last, top, bottom = ([0.0], [1.0], [np.inf], [-np.inf]) if ends else ([], [], [], [])
        x, y = (np.concatenate([first, rate, last]) for rate in (self.false_positive_rate, self.sensitivity))
        if not (self.positives and self.negatives):
            x, y = np.full_like(x, np.nan), np.full_like(y, np.nan)
        return ROCCurve(x, y, np.concatenate([top, self.thresholds, bottom]))

    def auprc(self, *, interpolation: str) -> float:
        """Area under `precision_recall`. It ends at the lowest threshold.

        Args:
            interpolation: ``"step"``: each increase of recall is weighted with the precision at its end (average
                precision). ``"trapezoid"``: with the mean of the precision at its two ends.

        Returns:
            0 to 1; NaN without lesion pixels.
        """
        check_choice("area under the curve", "interpolation", interpolation, ("step", "trapezoid"))
        precision = self.precision_recall().precision
        height = precision[1:] if interpolation == "step" else (precision[1:] + precision[:-1]) / 2
        rise = np.diff(np.concatenate([[0], self.tp]))
        return float(_divide(np.sum(rise * height), self.positives))

    def roc_auc(self, *, ends: bool = True) -> float:
        """Area under `roc`, by trapezoids: 0 to 1; NaN without lesion pixels or without background pixels."""
        x, y, _ = self.roc(ends=ends)
        return float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2))


def threshold_counts(
    scores: ArrayLike | Tensor, target: ArrayLike | Tensor, *, thresholds: int | ArrayLike | None, strict: bool = False
) -> ThresholdCounts:
    """Count true and false positives at every threshold, all pixels pooled.

    Args:
        scores: Any shape, any real type. Infinite scores are allowed.
        target: 0 and 1, or bool; the same shape.
        thresholds: A number n: n thresholds from 0 to 1, equally spaced, for scores between 0 and 1. A sequence: these.
            They are rounded to the type of floating-point scores, as in ``scores >= 0.7``. None: every threshold at
            which a curve changes, which is each distinct score of a lesion pixel and the next number above it. Between
            two of them the true positives do not change, so areas under curves are exact.
        strict: Predict lesion if the score is above the threshold, not if it is equal. With None both are in the table.

    Raises:
        ArgumentError: Shapes differ, a score is NaN, a target is neither 0 nor 1, thresholds are too few or NaN, or a
            number of them is given for scores outside 0 to 1.
    """
    values, lesion = as_pair(scores, target, "threshold_counts")
    if thresholds is None:
        return count_at_edges(values, lesion, turning_points(values[lesion]))
    levels = as_levels(thresholds)
    check_range(thresholds, values)
    return count_at_edges(values, lesion, as_edges(levels, values, strict), levels, strict)


def count_at_edges(
    scores: Tensor,
    lesion: Tensor,
    edges: Tensor,
    levels: NDArray[np.float64] | None = None,
    strict: bool = False,
) -> ThresholdCounts:
    """Count true and false positives at ascending edges (K,), reported as the levels (K,) if given."""
    found = scores[lesion]
    tp, every = count_reaching(found, edges), count_reaching(scores, edges)
    levels = edges.cpu().double().numpy() if levels is None else levels
    positives, negatives = found.numel(), scores.numel() - found.numel()
    return ThresholdCounts(levels[::-1], tp[::-1], (every - tp)[::-1], positives, negatives, strict)


def _divide(part: NDArray[np.number] | np.number, whole: NDArray[np.int64] | int) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):
        return np.asarray(part / np.asarray(whole, np.float64))
