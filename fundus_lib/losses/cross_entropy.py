"""Cross-entropy with equal weight for all pixels."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from fundus_lib.losses.pixel_loss import PixelLoss


class CrossEntropy(PixelLoss):
    r"""Binary cross-entropy, mean over all pixels.

    .. math:: -\frac1P \sum_j \left[ y_j \log \sigma(x_j) + (1 - y_j) \log(1 - \sigma(x_j)) \right]

    for logits :math:`x_j`, targets :math:`y_j` and :math:`P` pixels; :math:`\sigma` is the logistic function. This is
    torch's ``binary_cross_entropy_with_logits``, which is what computes it; the class adds the checks that all losses
    here have. Source: the supervised term of `hecl` (its code), and the Lesion Regularizer of `sunet`.

    Empty and full masks are no exception: the loss falls to 0 as the prediction becomes all background
    or all lesion.
    """

    def __init__(self) -> None:
        super().__init__()  # a mean of means over channels of one size is the mean: pooling does not matter

    def compute_losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """Mean cross-entropy of each channel: (M, P) twice to (M,)."""
        return F.binary_cross_entropy_with_logits(logits, target, reduction="none").mean(1)
