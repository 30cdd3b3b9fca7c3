"""Dice loss."""

from __future__ import annotations

from torch import Tensor

from fundus_lib.checks import check_setting
from fundus_lib.losses.pixel_loss import PixelLoss


class DiceLoss(PixelLoss):
    r"""One minus the soft Dice coefficient.

    .. math:: 1 - \frac{2 \sum_j \hat y_j y_j + s}{\sum_j \hat y_j + \sum_j y_j + s}, \qquad \hat y_j = \sigma(x_j)

    for logits :math:`x_j` and targets :math:`y_j`. Source: Eqs. 2 and 3 of `dual_branch`, which has no :math:`s`; its
    code has :math:`2(\sum \hat y y + 1)` in the numerator and :math:`+1` in the denominator, which gives −1 where both
    prediction and mask are empty. With :math:`s` in both places the loss lies in [0, 1) and is 0 for a perfect
    prediction. Like the code, the default pools all pixels of a process's batch; in the code's own script that is one
    image. (The ``DiceLoss`` of segmentation_models_pytorch with ``smooth=s/2`` is the same, except that empty masks
    give 0.)

    An empty mask gives :math:`1 - s / (\sum_j \hat y_j + s)`: 0 for an empty prediction, and for :math:`s = 1` already
    0.95 for a false positive of 20 pixels. A full mask is no exception.

    Args:
        smooth: :math:`s`, in pixels, 1e-6 or more: 0 would leave 0/0 for empty masks.
        pool: One coefficient for each lesion over the whole ``"batch"``, or for each lesion of each ``"image"``.
    """

    def __init__(self, smooth: float = 1.0, pool: str = "batch"):
        super().__init__(pool)
        self.smooth = check_setting(type(self).__name__, "smooth", smooth, 1e-6)

    def compute_losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """One minus the soft Dice coefficient of each channel: (M, P) twice to (M,)."""
        predicted = logits.sigmoid()
        overlap = (predicted * target).sum(1)
        return 1 - (2 * overlap + self.smooth) / (predicted.sum(1) + target.sum(1) + self.smooth)
