"""Bin loss: class-balanced cross-entropy over the lesion and the background that is hardest."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from fundus_lib.checks import check_choice, check_setting
from fundus_lib.losses.pixel_loss import PixelLoss

BIN_EDGES = (0.2, 0.4, 0.6, 0.8)
"""Where one of the five bins of predicted probability ends and the next, harder for background, begins."""


class BinLoss(PixelLoss):
    r"""Class-balanced cross-entropy that leaves out easy background.

    The background pixels of a map are put into five bins by their predicted probability: from 0.8 on, 0.6 to 0.8, and
    so on. Whole bins are kept from the hardest down, until they hold at least ``ratio`` times as many pixels as the
    lesion, or until there are no more. With :math:`K` the background that was kept,

    .. math:: \frac{|K|}{|Y_+| + |K|} \sum_{j \in Y_+} -\log \sigma(x_j)
              + \frac{|Y_+|}{|Y_+| + |K|} \sum_{j \in K} -\log(1 - \sigma(x_j))

    for logits :math:`x_j` and lesion pixels :math:`Y_+`. A net that is nearly right has few hard pixels, so that soon
    all bins are needed and the loss is :class:`~fundus_lib.losses.ClassBalancedCrossEntropy`. Source: S. Guo et al.,
    "Bin loss for hard exudates segmentation in fundus images", Neurocomputing 2020, and its code, which sums over the
    pixels of each image (``reduction="sum"``); a row in Table 6 of `dual_branch`. The loss jumps where a pixel changes
    its bin; its gradient is the one between jumps.

    An empty mask gives 0 and so does a full one: the only class that is there weighs nothing.

    Args:
        ratio: Background pixels to keep for each lesion pixel, at least 1; 20 in the bin loss's code, 10 in L-Seg's
            (which also adds up the counts of its four lesions, and weighs with a quarter of those kept).
        pool: Count pixels over each ``"image"``, or over the ``"batch"``.
        reduction: ``"mean"`` divides the sum by the number of kept pixels :math:`|Y_+| + |K|`; ``"sum"`` does not.
    """

    def __init__(self, ratio: float = 20.0, pool: str = "image", reduction: str = "mean"):
        super().__init__(pool)
        self.ratio = check_setting(type(self).__name__, "ratio", ratio, 1)
        self.reduction = check_choice(type(self).__name__, "reduction", reduction, ("mean", "sum"))

    def of_maps(self, logits: Tensor, target: Tensor) -> Tensor:
        """Bin loss of each map: (M, P) twice to (M,)."""
        losses = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        lesion = target.sum(1)
        kept = self.kept(logits, target)
        background = kept.sum(1)
        pixels = (lesion + background).clamp(min=1)
        lesion_loss, background_loss = (losses * target).sum(1), (losses * kept).sum(1)
        loss = (background * lesion_loss + lesion * background_loss) / pixels
        return loss / pixels if self.reduction == "mean" else loss

    @torch.no_grad()
    def kept(self, logits: Tensor, target: Tensor) -> Tensor:
        """Which background pixels are hard enough: (M, P) twice to bool (M, P)."""
        probability = logits.sigmoid()
        background = target == 0
        hardness = torch.stack([probability >= edge for edge in BIN_EDGES]).sum(
            0, dtype=torch.uint8
        )  # (M, P), from 0 to 4
        counts = torch.stack([(background & (hardness >= b)).sum(1) for b in range(5)])  # (5, M), falling
        enough = counts >= self.ratio * target.sum(1)
        last = enough.sum(0) - 1  # (M,), the hardest bin that completes the need; −1 if even all are too few
        return background & (hardness >= last[:, None])
