"""Precision-recall and ROC curves and the areas under them, exact or as one of the papers computes them.

========================  ===========================================================================================
Score of                  Call
========================  ===========================================================================================
exact average precision   ``auprc(scores, target, thresholds=None, interpolation="step")``
dual_branch, its code     ``auprc(grey, target, thresholds=25.6 * np.arange(11), strict=True,
                          interpolation="trapezoid")``, grey levels from 0 to 255
IDRiD's challenge         ``auprc(scores, target, thresholds=33, interpolation="trapezoid")``; linear
                          interpolation between the 33 thresholds is our assumption
hecl, its code            ``roc_auc(scores, target, thresholds=np.arange(255) / 255, ends=False)``
scikit-learn's ``auc``    ``auprc(scores, target, thresholds=None, interpolation="trapezoid")``
========================  ===========================================================================================

All pool the given pixels. For a mean over images, call them image by image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from fundus_lib.metrics.threshold_counts import PrecisionRecallCurve, ROCCurve, threshold_counts

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def precision_recall_curve(
    scores: ArrayLike | Tensor,
    target: ArrayLike | Tensor,
    *,
    thresholds: int | ArrayLike | None = None,
    strict: bool = False,
) -> PrecisionRecallCurve:
    """Precision and recall at descending thresholds, from the point recall 0, precision 1.

    Args:
        scores: Any shape, any real type.
        target: 0 and 1, or bool; the same shape.
        thresholds: As in `threshold_counts`; None for every point at which the curve changes.
        strict: As in `threshold_counts`.

    Returns:
        Three arrays of (K + 1,); recall is NaN without lesion pixels.

    Raises:
        ArgumentError: As in `threshold_counts`.
    """
    return threshold_counts(scores, target, thresholds=thresholds, strict=strict).precision_recall()


def roc_curve(
    scores: ArrayLike | Tensor,
    target: ArrayLike | Tensor,
    *,
    thresholds: int | ArrayLike | None = None,
    strict: bool = False,
) -> ROCCurve:
    """False positive rate and sensitivity at descending thresholds, from (0, 0) to (1, 1).

    Args:
        scores: Any shape, any real type.
        target: 0 and 1, or bool; the same shape.
        thresholds: As in `threshold_counts`; None for every point at which the curve changes.
        strict: As in `threshold_counts`.

    Returns:
        Three arrays of (K + 2,); both rates are NaN without lesion pixels or without background pixels.

    Raises:
        ArgumentError: As in `threshold_counts`.
    """
    return threshold_counts(scores, target, thresholds=thresholds, strict=strict).roc()


def auprc(
    scores: ArrayLike | Tensor,
    target: ArrayLike | Tensor,
    *,
    thresholds: int | ArrayLike | None,
    interpolation: str,
    strict: bool = False,
) -> float:
    """Area under the precision-recall curve. Both choices change the result, so neither has a default.

    Args:
        scores: Any shape, any real type.
        target: 0 and 1, or bool; the same shape.
        thresholds: As in `threshold_counts`: a number from 0 to 1 (11 or 33, say), a sequence, or None for all.
        interpolation: ``"step"``: each increase of recall is weighted with the precision at its end, which with all
            thresholds is `average_precision`. ``"trapezoid"``: with the mean of the precision at both ends, which
            overestimates the area between distant thresholds.
        strict: As in `threshold_counts`.

    Returns:
        0 to 1; NaN without lesion pixels.

    Raises:
        ArgumentError: As in `threshold_counts`; or the interpolation is neither.
    """
    counts = threshold_counts(scores, target, thresholds=thresholds, strict=strict)
    return counts.auprc(interpolation=interpolation)


def roc_auc(
    scores: ArrayLike | Tensor,
    target: ArrayLike | Tensor,
    *,
    thresholds: int | ArrayLike | None = None,
    strict: bool = False,
    ends: bool = True,
) -> float:
    """Area under the ROC curve: the probability that a lesion pixel scores higher than a background pixel, ties half.

    Args:
        scores: Any shape, any real type.
        target: 0 and 1, or bool; the same shape.
        thresholds: As in `threshold_counts`; None for the exact area.
        strict: As in `threshold_counts`.
        ends: Whether the curve is extended to (0, 0) and to (1, 1) when the thresholds end before.

    Returns:
        0 to 1, 0.5 for random scores; NaN without lesion pixels or without background pixels.

    Raises:
        ArgumentError: As in `threshold_counts`.
    """
    return threshold_counts(scores, target, thresholds=thresholds, strict=strict).roc_auc(ends=ends)
