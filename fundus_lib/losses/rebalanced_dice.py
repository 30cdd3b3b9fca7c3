"""Dice loss over a sample of pixels in which lesion pixels are oversampled: sampled, and in expectation."""

from __future__ import annotations

import torch
from torch import Tensor

from fundus_lib.checks import check_setting
from fundus_lib.losses.pixel_loss import PixelLoss


class RebalancedDiceLoss(PixelLoss):
    r"""Dice loss of a re-balanced sample of pixels, with the sample replaced by its expectation.

    `dual_branch` samples from a channel of :math:`N` pixels, with replacement, :math:`k = \lfloor pN \rfloor` pixels of
    the lesion and :math:`N - k` of the background, and takes the Dice loss of the sample
    (:class:`~fundus_lib.losses.SampledDiceLoss`). With :math:`m_+` and :math:`m_-` the mean probability over the lesion
    and over the background, the sampled probabilities sum to :math:`k m_+` and :math:`(N - k) m_-` on average:

    .. math:: 1 - \frac{2 k m_+ + s}{k m_+ + (N - k) m_- + k + s}
              \approx 1 - \frac{2 p m_+}{p m_+ + (1 - p) m_- + p}

    Three things follow. It is the Dice loss of a channel in which the lesion covers the fraction :math:`p`; with the
    channel's own fraction it **is** :class:`~fundus_lib.losses.DiceLoss`. It depends on two means only: whether a
    lesion pixel belongs to a large lesion or to a small one does not enter. And no sampling is needed.

    This is the ratio of two expectations, not the expectation of the ratio. With :math:`D` the fraction above,
    :math:`S` its denominator and :math:`v_\pm` the variance of the probabilities within each class, the mean of the
    sampled coefficient exceeds :math:`D` by :math:`[D(k v_+ + (N-k) v_-) - 2 k v_+] / S^2` up to higher orders in
    :math:`1/N`, which is between :math:`\pm 1/(4 p^2 N)`. The standard deviation of one sample is about
    :math:`\sqrt{(2-D)^2 k v_+ + D^2 (N-k) v_-} / S`. For an image of 1440×960 and p = 0.5 the first is below 1e-6
    and the second up to 1e-3: what is neglected is a thousandth of the noise that is avoided.

    Source: Eq. 4 of `dual_branch` and "Sample rate"; the closed form is ours.

    An empty mask has no lesion pixels to sample and a full one no background; all :math:`N` pixels then come from the
    other class, so that both give what they give in :class:`~fundus_lib.losses.DiceLoss`. (The paper's code fails on
    either, and trains on no image without lesion.)

    Args:
        p: Fraction of lesion pixels in the sample, from 0 to 1; the paper's N₁/N. None is its "reverse class
            frequency", the background's fraction of the channel.
        smooth: :math:`s`, in pixels, 1e-6 or more.
        pool: Sample each lesion's pixels from the whole ``"batch"``, or from each ``"image"`` separately.
    """

    def __init__(self, p: float | None = 0.5, smooth: float = 1.0, pool: str = "batch"):
        super().__init__(pool)
        where = type(self).__name__
        self.p = p if p is None else check_setting(where, "p", p, 0, 1)
        self.smooth = check_setting(where, "smooth", smooth, 1e-6)

    def compute_losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """Re-balanced Dice loss of each channel: (M, P) twice to (M,)."""
        predicted = logits.sigmoid()
        hit = predicted * target
        lesion, pixels = target.sum(1), target.shape[1]
        sampled = self.count_lesion_samples(target)
        hits = sampled * (hit.sum(1) / lesion.clamp(min=1))  # k·m₊
        false_positives = (pixels - sampled) * ((predicted - hit).sum(1) / (pixels - lesion).clamp(min=1))
        return 1 - (2 * hits + self.smooth) / (hits + false_positives + sampled + self.smooth)

    def count_lesion_samples(self, target: Tensor) -> Tensor:
        """Number k of lesion pixels in the sample: (M, P) to (M,), whole numbers as floats."""
        lesion, pixels = target.sum(1), target.shape[1]
        wanted = pixels - lesion if self.p is None else torch.full_like(lesion, int(self.p * pixels))
        return torch.where((lesion > 0) & (lesion < pixels), wanted, lesion)


class SampledDiceLoss(RebalancedDiceLoss):
    """Dice loss of a re-balanced sample of pixels, sampled anew at each call, as in `dual_branch`.

    For comparison: :class:`~fundus_lib.losses.RebalancedDiceLoss` gives the same on average, without noise, faster and
    with a fraction of the memory. Settings, empty and full masks are those of that class. The samples come from torch's
    random numbers of the device (``torch.manual_seed``). A pixel that is not sampled has no gradient, and a NaN there
    has no effect.
    """

    def compute_losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """Dice loss of a sample of each channel: (M, P) twice to (M,)."""
        sampled = self.count_lesion_samples(target)
        chosen = self.sample(target, sampled)  # (M, P)
        predicted = logits.sigmoid().gather(1, chosen)
        hits = (predicted * target.gather(1, chosen)).sum(1)
        return 1 - (2 * hits + self.smooth) / (predicted.sum(1) + sampled + self.smooth)

    @torch.no_grad()
    def sample(self, target: Tensor, sampled: Tensor) -> Tensor:
        """Sample as many pixels as the channel has, with replacement and without synchronising with the device.

        Args:
            target: (M, P), 0 and 1.
            sampled: (M,), number of lesion pixels; 0 where there is none, P where there is no background.

        Returns:
            int64 (M, P), indices of the sampled pixels; lesion pixels first.
        """
        lesion = target == 1
        count = lesion.sum(1, keepdim=True)  # (M, 1)
        pixels = target.shape[1]
        rank = torch.where(lesion, lesion.cumsum(1), count + (~lesion).cumsum(1)) - 1  # index in a list, lesion first
        index = torch.arange(pixels, device=target.device).expand_as(rank)
        listed = torch.empty_like(rank).scatter_(1, rank, index)
        number = torch.randint(2**62, rank.shape, device=target.device)
        of_lesion, of_background = number % count.clamp(min=1), count + number % (pixels - count).clamp(min=1)
        chosen = torch.where(index < sampled[:, None], of_lesion, of_background)
        return listed.gather(1, chosen.clamp(max=pixels - 1))
