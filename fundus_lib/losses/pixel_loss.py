"""Base class of the losses on masks: a formula for one channel of pixels, and the mean over channels."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fundus_lib.checks import check_choice, check_logits, check_target, explained
from fundus_lib.losses._precision import wide


class PixelLoss(nn.Module, ABC):
    """A loss on masks, ``(logits, target) -> scalar``; a subclass is one formula, in :meth:`compute_losses`.

    Every lesion is a binary classification. Formulas that count or sum pixels do so over a *channel*: either one lesion
    of one image, or one lesion of all images of the batch. The loss is the mean over channels.

    Args:
        pool: ``"image"`` or ``"batch"``, over which images a channel extends.
    """

    def __init__(self, pool: str = "image"):
        super().__init__()
        self.pool = check_choice(type(self).__name__, "pool", pool, ("image", "batch"))

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of a batch.

        Args:
            logits: float (B, L, H, W), any magnitude up to 1e4 and beyond; float16 and bfloat16 are widened first.
            target: The same shape, 0 and 1 of any real type, or bool.

        Returns:
            A scalar in float32, or in float64 if the logits are. NaN for wrong values on an accelerator.

        Raises:
            ArgumentError: Type, shape or device are wrong; on the CPU also if a target is neither 0 nor 1, or if the
                loss is not finite because a logit is not. On an accelerator the step would have to wait for that.
        """
        where = type(self).__name__
        check_logits(where, logits, "(B, L, H, W)", (4,))
        check_target(where, target, logits, logits.shape)
        binary = (target == 0) | (target == 1)
        values = wide(logits)
        truth = torch.where(binary, target.to(values.dtype), torch.nan)
        loss = self.compute_losses(self._flatten(values), self._flatten(truth)).mean()
        return explained(where, loss, logits, binary, "0 and 1, or bool")

    @abstractmethod
    def compute_losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of each channel.

        Args:
            logits: float32 or float64 (M, P), P pixels of each of M channels.
            target: The same shape and type, 0 and 1.

        Returns:
            (M,).
        """

    def _flatten(self, pixels: Tensor) -> Tensor:
        """(B, L, H, W) to (B·L, H·W), or to (L, B·H·W) for ``pool="batch"``."""
        return pixels.flatten(0, 1).flatten(1) if self.pool == "image" else pixels.transpose(0, 1).flatten(1)

    def extra_repr(self) -> str:
        """The settings, for ``print(loss)``."""
        settings = {name: value for name, value in vars(self).items() if name[0] != "_" and name != "training"}
        return ", ".join(f"{name}={value!r}" for name, value in settings.items())


def sum_by_class(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Cross-entropy summed over lesion and over background, and their pixel counts.

    Args:
        logits: (M, P).
        target: (M, P), 0 and 1.

    Returns:
        (M,) each: loss of the lesion, loss of the background, pixels of lesion, pixels of background.
    """
    losses = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    lesion = target.sum(1)
    return (losses * target).sum(1), (losses * (1 - target)).sum(1), lesion, target.shape[1] - lesion
