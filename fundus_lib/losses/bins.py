"""Bin loss: class-balanced cross-entropy over the lesion and the hardest background pixels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from fundus_lib.checks import check_choice, check_setting
from fundus_lib.losses.pixel_loss import PixelLoss

BIN_EDGES = (0.2, 0.4, 0.6, 0.8)
"""Edges between the five bins of predicted probability; a higher one is harder for background."""


class BinLoss(PixelLoss):
    r"""Class-balanced cross-entropy that leaves out easy background.

    The background pixels of a channel are put into five bins by their predicted probability: from 0.8 on, 0.6 to 0.8,
    and so on. Whole bins are kept from the hardest down, until they hold at least ``ratio`` times as many pixels as the
    lesion, or until there are no more. With :math:`K` the background pixels kept,

    .. math:: \frac{|K|}{|Y_+| + |K|} \sum_{j \in Y_+} -\log \sigma(x_j)
              + \frac{|Y_+|}{|Y_+| + |K|} \sum_{j \in K} -\log(1 - \sigma(x_j))

    for logits :math:`x_j` and lesion pixels :math:`Y_+`. A network with a small error has few hard pixels, so
    that all bins are needed and the loss is :class:`~fundus_lib.losses.ClassBalancedCrossEntropy`. Source: S. Guo et
    al., "Bin loss for hard exudates segmentation in fundus images", Neurocomputing 2020, and its code, which sums over
    the pixels of each image (``reduction="sum"``); a row in Table 6 of `dual_branch`. The loss is discontinuous where a
    pixel changes its bin; its gradient is that between the jumps.

    An empty mask gives 0 and so does a full one: the weight of the only class is 0.

    Args:
        ratio: Background pixels to keep for each lesion pixel, at least 1; 20 in the bin loss's code, 10 in L-Seg's
            (which also adds up the counts of its four lesions, and takes a quarter of those kept as weight).
        pool: Count pixels over each ``"image"``, or over the ``"batch"``.
        reduction: ``"mean"`` divides the sum by the number of kept pixels :math:`|Y_+| + |K|`; ``"sum"`` does not.
    """

    def __init__(self, ratio: float = 20.0, pool: str = "image", reduction: str = "mean"):
        super().__init__(pool)
        self.ratio = check_setting(type(self).__name__, "ratio", ratio, 1)
        self.reduction = check_choice(type(self).__name__, "reduction", reduction, ("mean", "sum"))

    def compute_losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """Bin loss of each channel: (M, P) twice to (M,)."""
        losses = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        lesion = target.sum(1)
        kept = self.select_background(logits, target)
        background = kept.sum(1)
        pixels = (lesion + background).clamp(min=1)
        lesion_loss, background_loss = (losses * target).sum(1), (losses * kept).sum(1)
        loss = (background * lesion_loss + lesion * background_loss) / pixels
        return loss / pixels if self.reduction == "mean" else loss

    @torch.no_grad()
    def select_background(self, logits: Tensor, target: Tensor) -> Tensor:
        """The background pixels that enter the loss: (M, P) twice to bool (M, P)."""
        probability = logits.sigmoid()
        background = target == 0
        hardness = torch.stack([probability >= edge for edge in BIN_EDGES]).sum(
            0, dtype=torch.uint8
        )  # (M, P), from 0 to 4
        counts = torch.stack([(background & (hardness >= b)).sum(1) for b in range(5)])  # (5, M), decreasing
        enough = counts >= self.ratio * target.sum(1)
        last = enough.sum(0) - 1  # (M,), the hardest bin that completes the number; −1 if all are too few
        return background & (hardness >= last[:, None])
