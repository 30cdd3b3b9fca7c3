"""Focal loss: cross-entropy with less weight for easy pixels."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from fundus_lib.checks import check_setting
from fundus_lib.losses.pixel_loss import PixelLoss


class FocalLoss(PixelLoss):
    r"""Binary focal loss, mean over all pixels.

    .. math:: -\frac1P \sum_j \alpha_j (1 - p_j)^\gamma \log p_j

    where :math:`p_j` is the predicted probability of the true class (:math:`\sigma(x_j)` for lesion, :math:`1 -
    \sigma(x_j)` for background) and :math:`\alpha_j` is :math:`\alpha` for lesion, :math:`1 - \alpha` for background.
    Source: T.-Y. Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, Eq. 5, whose :math:`\alpha = 0.25,
    \gamma = 2` are also those of `pldmlt` (its Eq. 2 is :class:`~fundus_lib.losses.CategoricalFocalLoss`). Note that
    with this :math:`\alpha` a lesion pixel, of the rare class, has a third of the weight of a background pixel.

    The values are those of ``torchvision.ops.sigmoid_focal_loss``. It is not called because it computes
    :math:`1 - p_j` as a difference, which in float32 is 0 from a logit of 17 on and has a gradient of NaN there for
    :math:`\gamma < 1`. In logarithms no precision is lost: with :math:`z_j = \pm x_j`, the logit of the true class,
    :math:`\log p_j = \log \sigma(z_j)` and :math:`\log(1 - p_j) = \log p_j - z_j`.

    Empty and full masks are no exception: the loss falls to 0 as the prediction becomes correct.

    Args:
        alpha: Weight of lesion pixels, from 0 to 1; that of background is 1 − alpha.
        gamma: Focusing exponent, which reduces the weight of easy pixels, 0 or more; 0 gives a weighted cross-entropy.
    """

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0):
        super().__init__()
        self.alpha = check_setting(type(self).__name__, "alpha", alpha, 0, 1)
        self.gamma = check_setting(type(self).__name__, "gamma", gamma, 0)

    def compute_losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """Mean focal loss of each channel: (M, P) twice to (M,)."""
        true_logit = logits * (2 * target - 1)
        log_true = F.logsigmoid(true_logit)  # log p
        hardness = (self.gamma * (log_true - true_logit)).exp()  # (1 − p)^γ
        weight = self.alpha * target + (1 - self.alpha) * (1 - target)
        return -(weight * hardness * log_true).mean(1)
