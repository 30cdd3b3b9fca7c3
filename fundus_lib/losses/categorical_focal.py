"""Focal loss over mutually exclusive classes, such as grades."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fundus_lib.checks import check_logits, check_setting, check_target, explained
from fundus_lib.errors import ArgumentError
from fundus_lib.losses._precision import wide

UNKNOWN = -1
"""The target of an unknown class, such as the grade of an image that has only masks; it does not enter the loss."""

SLACK = 0.01
"""By how much a soft target's sum may differ from 1."""


class CategoricalFocalLoss(nn.Module):
    r"""Focal loss of a softmax over classes, mean over images or pixels.

    .. math:: -\alpha \, (1 - p_y)^\gamma \log p_y

    where :math:`p_y` is the probability of the true class. Where the target is *soft*, a probability :math:`q_c` for
    each class, it is :math:`-\alpha \sum_c q_c (1 - p_c)^\gamma \log p_c`, differentiable in q, as MAXL (S. Liu et al.,
    "Self-Supervised Generalisation with Meta Auxiliary Learning", NeurIPS 2019) has it for generated labels. Source:
    Eq. 2 of `pldmlt`, which takes :math:`\alpha = 0.25` as one factor for all classes and :math:`\gamma = 2`, for its
    masks and for its grades.

    Targets of −1 (unknown) are left out of the mean; if all are unknown the loss is 0, without gradient.

    Args:
        alpha: Factor of the whole loss, from 0 to 1.
        gamma: Focusing exponent, which reduces the weight of easy cases, 0 or more; 0 gives ``alpha`` times the
            cross-entropy.
    """

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0):
        super().__init__()
        self.alpha = check_setting(type(self).__name__, "alpha", alpha, 0, 1)
        self.gamma = check_setting(type(self).__name__, "gamma", gamma, 0)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of a batch.

        Args:
            logits: float (B, C) or (B, C, H, W), C ≥ 2 classes.
            target: Integers from 0 to C − 1, or −1 for unknown: (B,) or (B, H, W). Or soft: float of the logits' shape,
                from 0 to 1, with a sum of 1 over the classes (to 1 %, which covers bfloat16).

        Returns:
            A scalar in float32, or in float64 if the logits are. NaN for wrong values on an accelerator.

        Raises:
            ArgumentError: Type, shape or device are wrong; on the CPU also if a target is no class, or if the loss is
                not finite because a logit is not. On an accelerator the step would have to wait for that.
        """
        where = type(self).__name__
        check_logits(where, logits, "(B, C) or (B, C, H, W)", (2, 4))
        classes = logits.shape[1]
        soft = isinstance(target, Tensor) and target.is_floating_point() and target.shape == logits.shape
        if soft and classes > 1:
            return self._forward_soft(logits, target)
        if not soft:
            check_target(where, target, logits, logits.shape[:1] + logits.shape[2:])
        if classes < 2 or target.is_floating_point() or target.is_complex():
            raise ArgumentError(
                where,
                "these are not logits and indices of classes",
                found=f"{classes} classes, targets of {target.dtype}",
                expected="two classes or more, targets as integers, or as a probability for each class",
                remedy="FocalLoss is the one for binary masks; class indices: target.long()",
            )
        target = target.long()  # uint8 has no −1 to compare with
        valid = (target >= UNKNOWN) & (target < classes)
        known = target != UNKNOWN
        log_p = wide(logits).log_softmax(1)  # of differences to the largest logit: a common offset costs no precision
        true_class = target.clamp(0, classes - 1)[:, None]  # (B, 1) or (B, 1, H, W)
        log_true = log_p.gather(1, true_class)[:, 0]
        log_false = log_p.scatter(1, true_class, -torch.inf).logsumexp(1)  # log(1 - p), without the difference
        losses = self.alpha * (self.gamma * log_false).exp() * -log_true
        losses = torch.where(valid, losses * known, torch.nan)
        loss = losses.sum() / known.sum().clamp(min=1)
        return explained(where, loss, logits, valid, f"integers from 0 to {classes - 1}, or −1 for unknown")

    def _forward_soft(self, logits: Tensor, target: Tensor) -> Tensor:
        where = type(self).__name__
        check_target(where, target, logits, logits.shape)
        log_p, labels = wide(logits).log_softmax(1), wide(target)
        classes = log_p.shape[1]
        own = torch.eye(classes, dtype=torch.bool, device=log_p.device).view(classes, classes, *[1] * (log_p.ndim - 2))
        log_false = log_p[:, None].masked_fill(own, -torch.inf).logsumexp(2)  # log(1 - p) of each class
        losses = self.alpha * (labels * (self.gamma * log_false).exp() * -log_p).sum(1)
        valid = (labels >= 0).all(1) & ((labels.sum(1) - 1).abs() <= SLACK)
        loss = torch.where(valid, losses, torch.nan).mean()
        return explained(where, loss, logits, valid, "probabilities of the classes, with a sum of 1")

    def extra_repr(self) -> str:
        """The settings, for ``print(loss)``."""
        return f"alpha={self.alpha}, gamma={self.gamma}"
