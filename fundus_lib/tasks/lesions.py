"""What every task that finds lesions has in common: a model, its input, and its logits of a whole photograph."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fundus_lib.tasks.base import FundusTask, normalise


class LesionTask(FundusTask):
    """A model that finds lesions, with its recipe.

    Args:
        recipe: What to train and how. It has the attributes `lesions` and `seed`.
        model: ``forward(images) -> {"logits": …}``.

    Attributes:
        mirrored: Axes along which a whole photograph is mirrored, for each view whose logits are averaged.
    """

    def __init__(self, recipe: Any, model: nn.Module):
        super().__init__(recipe, model)
        self.mirrored: list[tuple[int, ...]] = [()]

    def forward(self, images: Tensor, statistics: Tensor) -> Tensor:
        """Logits of photographs.

        Args:
            images: uint8 (B, 3, H, W).
            statistics: float (B, 2, 3), mean and standard deviation of each photograph's colours.

        Returns:
            float32 (B, L, H, W).
        """
        return self.logits_of(normalise(images, statistics))

    def logits_of(self, normalised: Tensor) -> Tensor:
        """Logits, float32 (B, L, H, W), of normalised images (B, 3, H, W)."""
        logits: Tensor = self.model(normalised.to(memory_format=torch.channels_last))["logits"]
        return logits.float()

    @torch.inference_mode()
    def logits(self, image: Tensor, statistics: Tensor) -> Tensor:
        """Logits of one whole photograph, in float32, averaged over the mirrored views.

        Args:
            image: uint8 (3, H, W).
            statistics: float (2, 3).

        Returns:
            float32 (L, H, W), on the CPU.
        """
        training = self.training
        self.eval()
        images, colours = image[None].to(self.device), statistics[None].to(self.device)
        views = [self(images.flip(axes), colours).flip(axes) for axes in self.mirrored]
        self.train(training)
        return torch.stack(views).mean(0)[0].cpu()
