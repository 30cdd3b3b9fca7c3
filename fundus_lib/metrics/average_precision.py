"""Average precision, also called AUPR: the area under the precision-recall curve, without interpolation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fundus_lib.errors import ArgumentError
from fundus_lib.metrics._inputs import as_binary, as_tensor, check_shapes

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_CHUNK = 2**22
"""Pixels looked up at a time: bounds the memory beyond the inputs to about 100 MB."""


def average_precision(scores: ArrayLike | Tensor, target: ArrayLike | Tensor) -> float:
    r"""Exact average precision over all distinct scores, all pixels pooled.

    .. math:: AP = \sum_k (R_k - R_{k-1})\, P_k

    where :math:`P_k` and :math:`R_k` are precision and recall when the pixels with the :math:`k` highest distinct
    scores are called lesion. Recall only rises at scores that a lesion pixel has, so it is enough to sort the lesion
    pixels, a hundredth of all, and to count the others between them. Equal to scikit-learn's
    ``average_precision_score``, ties included. Pooled: to average over images, call it image by image.

    Args:
        scores: Any shape, any real type; only their order matters, so logits will do. Infinite scores are allowed.
        target: 0 and 1, or bool; the same shape.

    Returns:
        A number in (0, 1]; NaN where ``target`` holds no lesion pixel, since recall is not defined there.

    Raises:
        ArgumentError: Shapes differ, a score is NaN, or a target is neither 0 nor 1.
    """
    check_shapes(scores, target, "average_precision")
    values = as_tensor(scores)
    if values.dtype in (torch.bool, torch.float16, torch.bfloat16):
        values = values.float()  # exact, and every operation below knows this type
    lesion = as_binary(target, "average_precision").to(values.device)
    if values.is_floating_point() and bool(torch.isnan(values).any()):
        raise ArgumentError(
            "average_precision",
            "a score is not a number",
            found=f"{int(torch.isnan(values).sum())} NaN among {values.numel()} scores",
            expected="real numbers",
            remedy="look for a diverged training or a division by zero before the scores",
        )
    thresholds, positives = torch.unique(values[lesion], return_counts=True)  # ascending, (K,) each
    if thresholds.numel() == 0:
        return float("nan")
    # negatives[k]: how many lie at or above exactly the k lowest thresholds
    negatives = torch.zeros(thresholds.numel() + 1, dtype=torch.long, device=values.device)
    for part, part_lesion in zip(torch.split(values, _CHUNK), torch.split(lesion, _CHUNK), strict=True):
        others = part[~part_lesion]
        others = others[others >= thresholds[0]]
        index = torch.searchsorted(thresholds, others, right=True)
        negatives += torch.bincount(index, minlength=negatives.numel())
    true_positives = positives.flip(0).cumsum(0).double()  # from the highest threshold down
    false_positives = negatives[1:].flip(0).cumsum(0).double()
    precision = true_positives / (true_positives + false_positives)
    return float((positives.flip(0) * precision).sum() / true_positives[-1])
