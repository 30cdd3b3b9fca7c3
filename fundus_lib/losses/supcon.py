"""Supervised contrastive loss: all positives of an anchor against all others at once."""

from __future__ import annotations

import torch
from torch import Tensor

from fundus_lib.losses.contrastive import ContrastiveLoss, masked_logsumexp


class SupConLoss(ContrastiveLoss):
    r"""Supervised contrastive loss, mean over anchors.

    .. math:: \frac{-1}{|\mathcal P(a)|} \sum_{p \in \mathcal P(a)}
              \log \frac{\exp(s_{ap})}{\sum_{k \in \mathcal P(a) \cup \mathcal N(a)} \exp(s_{ak})}

    for an anchor :math:`a`, its positives :math:`\mathcal P` and negatives :math:`\mathcal N`, and their cosine
    similarity over the temperature, :math:`s`. Source: Eq. 4 of `hecl`; P. Khosla et al., "Supervised Contrastive
    Learning", NeurIPS 2020, Eq. 2. The other positives stand in the denominator too, so that an anchor's loss never
    falls below :math:`\log |\mathcal P(a)|`: with equally many positives for each anchor it is at least
    :class:`~fundus_lib.losses.NTXentLoss`, which is what the code of `hecl` computes.

    Values are those of ``SupConLoss`` of pytorch-metric-learning; that one looks up indices, which synchronises with
    the device at every step.
    """

    def compute_loss(self, similarity: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """Mean over the anchors that have positives and negatives: (N, N) three times to a scalar."""
        count = positive.sum(1)
        attraction = (similarity * positive).sum(1) / count.clamp(min=1)  # mean similarity to the positives
        losses = masked_logsumexp(similarity, positive | negative) - attraction
        anchors = (count > 0) & negative.any(1)
        return torch.where(anchors, losses, 0).sum() / anchors.sum().clamp(min=1)
