"""Cross-entropy: every pixel counts alike."""

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

    An empty mask and a full mask are masks like others: the loss falls to 0 as the prediction becomes all background
    or all lesion.
    """

    def __init__(self) -> None:
        super().__init__()  # a mean of means over maps of one size is the mean: how pixels are pooled does not matter

    def of_maps(self, logits: Tensor, target: Tensor) -> Tensor:
        """Mean cross-entropy of each map: (M, P) twice to (M,)."""
        return F.binary_cross_entropy_with_logits(logits, target, reduction="none").mean(1)
