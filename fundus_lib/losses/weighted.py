"""Weighted cross-entropy of the local-global U-nets: lesion pixels weighted by the ratio of the classes."""

from __future__ import annotations

from torch import Tensor

from fundus_lib.checks import check_choice, check_setting
from fundus_lib.losses.pixel_loss import PixelLoss, sum_by_class


class WeightedCrossEntropy(PixelLoss):
    r"""Cross-entropy in which a lesion pixel weighs :math:`w` and a background pixel 1.

    .. math:: \frac1{|Y|} \left[ w \sum_{j \in Y_+} -\log \sigma(x_j)
              + \sum_{j \in Y_-} -\log(1 - \sigma(x_j)) \right]

    for logits :math:`x_j` and the pixels :math:`Y = Y_+ \cup Y_-` of lesion and background. The paper gives two
    weights, with different meanings of :math:`\gamma`:

    .. math:: w_{\text{equation}} = \frac{|Y_-|}{|Y_+| + \gamma} \qquad
              w_{\text{text}} = \frac{|Y_-|}{\gamma |Y_+|}

    In its equation :math:`\gamma` is a number of pixels, which bounds the weight where lesions are tiny; in the text
    it is a factor. Source: Eq. 2 of `local_global`, and the sentence after it. The paper sums, which would give the
    409,600 pixels of the global network six times the loss of the 65,536 of a patch; here the mean is taken, unless
    ``reduction="sum"``. With ``variant="text"``, ``gamma=1`` this is
    :class:`~fundus_lib.losses.ClassBalancedCrossEntropy` divided by the fraction of lesion pixels.

    An empty mask gives the mean loss of its background: it has no lesion pixel to weight, although the text's weight
    would be infinite. A full mask gives 0, since its weight is 0.

    Args:
        gamma: Pixels (0 or more) for ``"equation"``, a factor above 0 for ``"text"``; the paper gives no value.
        variant: ``"equation"`` or ``"text"``.
        pool: Count pixels over each ``"image"``, or over the ``"batch"``.
        reduction: ``"mean"`` divides by the number of pixels :math:`|Y|`, ``"sum"`` does not, as Eq. 2 is printed.
    """

    def __init__(self, gamma: float = 1.0, variant: str = "equation", pool: str = "image", reduction: str = "mean"):
        super().__init__(pool)
        where = type(self).__name__
        self.variant = check_choice(where, "variant", variant, ("equation", "text"))
        self.reduction = check_choice(where, "reduction", reduction, ("mean", "sum"))
        self.gamma = check_setting(where, "gamma", gamma, 0 if variant == "equation" else 1e-6)

    def compute_losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """Weighted cross-entropy of each channel: (M, P) twice to (M,)."""
        lesion_loss, background_loss, lesion, background = sum_by_class(logits, target)
        count = lesion.clamp(min=1)  # of an empty mask: its lesion_loss is 0, whatever the weight
        weight = background / (count + self.gamma if self.variant == "equation" else count * self.gamma)
        loss = weight * lesion_loss + background_loss
        return loss / target.shape[1] if self.reduction == "mean" else loss
