"""Base class of the supervised contrastive losses: cosine similarities, positives and negatives."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fundus_lib.checks import check_logits, check_setting, check_target, explained
from fundus_lib.errors import ArgumentError
from fundus_lib.losses._precision import wide, without_autocast


class ContrastiveLoss(nn.Module, ABC):
    """A loss on pairs of labelled features, ``(features, labels) -> scalar``; a subclass is one formula.

    Features of one label are *positives* of each other, those of other labels *negatives*. A feature without positives,
    or without negatives, does not enter the mean; if that is so for all of them, as in a batch
    of one label, the loss is 0 and so is its gradient. A zero vector has no direction: its similarity to every
    other is 0, and its gradient too.

    Args:
        temperature: Divides the similarities, 1e-3 or more; `hecl` takes 0.05.
    """

    def __init__(self, temperature: float = 0.05):
        super().__init__()
        self.temperature = check_setting(type(self).__name__, "temperature", temperature, 1e-3)

    def forward(self, features: Tensor, labels: Tensor, counted: Tensor | None = None) -> Tensor:
        """The loss of a batch.

        Args:
            features: float (N, D), of any length from 1e-12 to 1e18; float16 and bfloat16 are widened first, under
                autocast too.
            labels: Integers or bool (N,).
            counted: bool (N,); false where a feature is neither anchor nor positive nor negative. None: all count.

        Returns:
            A scalar in float32, or in float64 if the features are. NaN for features of NaN on an accelerator.

        Raises:
            ArgumentError: Type, shape or device are wrong; on the CPU also if the loss is not finite because a
                feature is not. On an accelerator the step would have to wait for that.
        """
        where = type(self).__name__
        check_logits(where, features, "(N, D)", (2,))
        check_target(where, labels, features, features.shape[:1])
        if labels.is_floating_point() or labels.is_complex():
            raise ArgumentError(
                where,
                "labels are not integers",
                found=labels.dtype,
                expected="integers or bool, one for each feature",
                remedy="labels.long()",
            )
        if counted is not None:
            check_target(where, counted, features, features.shape[:1])
            counted = counted.bool()
        values = wide(features)
        there = (values != 0).any(1, keepdim=True)
        directions = F.normalize(torch.where(there, values, 1)) * there  # the norm of 0 has no second derivative
        with without_autocast(values):  # 1/temperature would amplify the rounding
            similarity = directions @ directions.T / self.temperature  # (N, N)
        same = labels[:, None] == labels
        itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        pairs = ~itself if counted is None else ~itself & counted[:, None] & counted
        loss = self.compute_loss(similarity, same & pairs, ~same & pairs)
        return explained(where, loss, features)

    @abstractmethod
    def compute_loss(self, similarity: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """The loss of all pairs.

        Args:
            similarity: (N, N), cosine over temperature; rows are anchors.
            positive: bool (N, N), the pairs of one label; false on the diagonal.
            negative: bool (N, N), the pairs of two labels.

        Returns:
            A scalar.
        """

    def extra_repr(self) -> str:
        """The settings, for ``print(loss)``."""
        return f"temperature={self.temperature}"


def masked_logsumexp(values: Tensor, chosen: Tensor) -> Tensor:
    """Logarithm of the sum of exponentials over the chosen values of each row: (N, N) twice to (N,).

    A row without any gives the lowest number there is: minus infinity would make the second derivative NaN.
    """
    return values.masked_fill(~chosen, torch.finfo(values.dtype).min).logsumexp(1)
