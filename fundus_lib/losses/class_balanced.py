"""Class-balanced cross-entropy: the rare class weighs as much as the frequent one."""

from __future__ import annotations

from torch import Tensor

from fundus_lib.checks import check_choice
from fundus_lib.losses.pixel_loss import PixelLoss, class_sums


class ClassBalancedCrossEntropy(PixelLoss):
    r"""Cross-entropy with each class weighted by the share of the other one.

    .. math:: \frac{|Y_-|}{|Y|} \sum_{j \in Y_+} -\log \sigma(x_j)
              + \frac{|Y_+|}{|Y|} \sum_{j \in Y_-} -\log(1 - \sigma(x_j))

    for logits :math:`x_j` and the pixels :math:`Y = Y_+ \cup Y_-` of lesion and background. Both classes have the same
    total weight, :math:`|Y_+||Y_-|/|Y|`, however rare one of them is. Source: S. Xie, Z. Tu, "Holistically-Nested Edge
    Detection", ICCV 2015, Eq. 2; the rows "CBCE" in Tables 3 to 6 of `dual_branch`, whose code counts the pixels of
    each image and sums the losses (``reduction="sum"``).

    An empty mask gives 0, whatever the prediction: its background weighs nothing. A full mask gives 0 likewise. Such a
    map teaches nothing, neither value nor gradient; with ``pool="batch"`` that needs a whole batch without lesion.

    Args:
        pool: Count pixels over each ``"image"``, or over the ``"batch"``.
        reduction: ``"mean"`` divides the sum by the number of pixels :math:`|Y|`, so that the learning rate need not
            know the image size; ``"sum"`` does not.
    """

    def __init__(self, pool: str = "image", reduction: str = "mean"):
        super().__init__(pool)
        self.reduction = check_choice(type(self).__name__, "reduction", reduction, ("mean", "sum"))

    def of_maps(self, logits: Tensor, target: Tensor) -> Tensor:
        """Class-balanced cross-entropy of each map: (M, P) twice to (M,)."""
        lesion_loss, background_loss, lesion, background = class_sums(logits, target)
        pixels = target.shape[1]
        loss = (background * lesion_loss + lesion * background_loss) / pixels
        return loss / pixels if self.reduction == "mean" else loss
