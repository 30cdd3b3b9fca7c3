"""Average precision, also called AUPR: the area under the precision-recall curve, without interpolation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from fundus_lib.metrics._edges import distinct
from fundus_lib.metrics._inputs import as_pair
from fundus_lib.metrics.threshold_counts import count_at_edges

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def average_precision(scores: ArrayLike | Tensor, target: ArrayLike | Tensor) -> float:
    r"""Exact average precision over all distinct scores, all pixels pooled.

    .. math:: AP = \sum_k (R_k - R_{k-1})\, P_k

    where :math:`P_k` and :math:`R_k` are precision and recall when the pixels with the :math:`k` highest distinct
    scores are predicted as lesion. Recall only rises at scores that a lesion pixel has, so it is enough to count how
    many pixels reach each score of a lesion pixel. Equal to scikit-learn's ``average_precision_score``, ties included.
    Pooled: to average over images, call it image by image.

    Args:
        scores: Any shape, any real type; only their order matters, so logits are possible. Infinite scores are allowed.
        target: 0 and 1, or bool; the same shape.

    Returns:
        A number in (0, 1]; NaN where ``target`` holds no lesion pixel, since recall is not defined there.

    Raises:
        ArgumentError: Shapes differ, a score is NaN, or a target is neither 0 nor 1.
    """
    values, lesion = as_pair(scores, target, "average_precision")
    return count_at_edges(values, lesion, distinct(values[lesion])).auprc(interpolation="step")
