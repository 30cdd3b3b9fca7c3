"""NT-Xent with labels: each positive of an anchor separately against the negatives."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from fundus_lib.losses.contrastive import ContrastiveLoss, masked_logsumexp


class NTXentLoss(ContrastiveLoss):
    r"""Normalised, temperature-scaled cross-entropy, mean over positive pairs.

    .. math:: -\log \frac{\exp(s_{ap})}{\exp(s_{ap}) + \sum_{n \in \mathcal N(a)} \exp(s_{an})}

    for an anchor :math:`a`, one of its positives :math:`p`, its negatives :math:`\mathcal N`, and their cosine
    similarity over the temperature, :math:`s`. Source: the code of `hecl`, whose Eq. 4 is
    :class:`~fundus_lib.losses.SupConLoss` instead; T. Chen et al., "A Simple Framework for Contrastive Learning of
    Visual Representations", ICML 2020, Eq. 1, there with one positive for each anchor, where the two agree. A label
    with many features has more pairs and so a larger weight in the mean; in SupCon each anchor has the same.

    Values are those of ``NTXentLoss`` of pytorch-metric-learning, which the code calls; that one looks up indices,
    which synchronises with the device at every step.
    """

    def compute_loss(self, similarity: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """Mean over the positive pairs; without negatives each is 0: (N, N) three times to a scalar."""
        losses = -F.logsigmoid(similarity - masked_logsumexp(similarity, negative)[:, None])  # −log(e^s / (e^s + Σ))
        return torch.where(positive, losses, 0).sum() / positive.sum().clamp(min=1)
