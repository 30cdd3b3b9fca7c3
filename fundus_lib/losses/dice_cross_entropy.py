"""Dice loss and cross-entropy, added."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from fundus_lib.checks import check_setting
from fundus_lib.losses.dice import DiceLoss


class DiceCrossEntropy(DiceLoss):
    r"""The Dice loss plus the mean cross-entropy, :math:`L_{\text{Dice}} + w L_{\text{CE}}`.

    Cross-entropy has a gradient at every pixel from the first step on, the Dice loss does not mind how rare a lesion
    is; their sum is the usual loss of medical segmentation. Source: Isensee et al., "nnU-Net", Nature Methods 2021
    (equal weights; its cross-entropy is over softmax classes, here each lesion is a binary one).

    Args:
        weight: :math:`w`, 0 or more; at 0 this is :class:`~fundus_lib.losses.DiceLoss`.
        smooth: Of the Dice loss, in pixels, 1e-6 or more.
        pool: One coefficient for each lesion over the whole ``"batch"``, or for each lesion of each ``"image"``.
    """

    def __init__(self, weight: float = 1.0, smooth: float = 1.0, pool: str = "batch"):
        super().__init__(smooth, pool)
        self.weight = check_setting(type(self).__name__, "weight", weight, 0)

    def compute_losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """Both losses of each channel, added: (M, P) twice to (M,)."""
        entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none").mean(1)
        return super().compute_losses(logits, target) + self.weight * entropy
