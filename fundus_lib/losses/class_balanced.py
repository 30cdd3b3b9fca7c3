"""Class-balanced cross-entropy: both classes have the same total weight."""

from __future__ import annotations

from torch import Tensor

from fundus_lib.checks import check_choice
from fundus_lib.losses.pixel_loss import PixelLoss, sum_by_class


class ClassBalancedCrossEntropy(PixelLoss):
    r"""Cross-entropy with each class weighted by the fraction of the other one.

    .. math:: \frac{|Y_-|}{|Y|} \sum_{j \in Y_+} -\log \sigma(x_j)
              + \frac{|Y_+|}{|Y|} \sum_{j \in Y_-} -\log(1 - \sigma(x_j))

    for logits :math:`x_j` and the pixels :math:`Y = Y_+ \cup Y_-` of lesion and background. Both classes have the same
    total weight, :math:`|Y_+||Y_-|/|Y|`, however rare one of them is. Source: S. Xie, Z. Tu, "Holistically-Nested Edge
    Detection", ICCV 2015, Eq. 2; the rows "CBCE" in Tables 3 to 6 of `dual_branch`, whose code counts the pixels of
    each image and sums the losses (``reduction="sum"``).

    An empty mask gives 0, whatever the prediction: the weight of its background is 0. A full mask gives 0 likewise.
    Value and gradient are then 0; with ``pool="batch"`` only if the whole batch has no lesion.

    Args:
        pool: Count pixels over each ``"image"``, or over the ``"batch"``.
        reduction: ``"mean"`` divides the sum by the number of pixels :math:`|Y|`, so that the learning rate does
            not depend on the image size; ``"sum"`` does not.
    """

    def __init__(self, pool: str = "image", reduction: str = "mean"):
        super().__init__(pool)
        self.reduction = check_choice(type(self).__name__, "reduction", reduction, ("mean", "sum"))

    def compute_losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """Class-balanced cross-entropy of each channel: (M, P) twice to (M,)."""
        lesion_loss, background_loss, lesion, background = sum_by_class(logits, target)
        pixels = target.shape[1]
        loss = (background * lesion_loss + lesion * background_loss) / pixels
        return loss / pixels if self.reduction == "mean" else loss
