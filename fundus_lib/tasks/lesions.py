"""What every task that finds lesions has in common: a model, its input, and its logits of a whole photograph."""

from __future__ import annotations

from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn


class LesionTask(L.LightningModule):
    """A model with its recipe.

    Args:
        recipe: What to train and how. It has the attributes `lesions` and `seed`.
        model: ``forward(images) -> {"logits": …}``.

    Attributes:
        statistics: What every photograph is normalised by, float32 (2, 3); None if each has its own.
        mirrored: Axes along which a whole photograph is mirrored, for each view whose logits are averaged.
    """

    statistics: Tensor | None

    def __init__(self, recipe: Any, model: nn.Module):
        super().__init__()
        self.recipe = recipe
        self.model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.register_buffer("statistics", None, persistent=False)
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

    def on_train_batch_start(self, batch: Any, index: int) -> None:
        """Make what is random in a step depend on seed and step alone, so that a killed run goes on alike."""
        step = np.random.SeedSequence([self.recipe.seed, self.global_step, self.global_rank])
        torch.manual_seed(int(step.generate_state(1)[0]))

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


def normalise(images: Tensor, statistics: Tensor) -> Tensor:
    """Colours in standard deviations from the mean: uint8 (B, 3, H, W) to float32.

    Args:
        images: uint8 (B, 3, H, W).
        statistics: float (B, 2, 3), mean and standard deviation of each colour.
    """
    mean, deviation = statistics.unbind(1)  # (B, 3) each
    normalised = images.to(torch.float32, copy=True)  # and then in place: a third of the memory
    return normalised.sub_(mean[:, :, None, None]).div_(deviation[:, :, None, None])
