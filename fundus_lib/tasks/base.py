"""What every task has in common: a model with its recipe, and steps whose random numbers depend on seed and step."""

from __future__ import annotations

from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn


class FundusTask(L.LightningModule):
    """A model with its recipe.

    Args:
        recipe: What to train and how. It has the attribute `seed`.
        model: ``forward(images) -> dict`` of tensors.

    Attributes:
        statistics: What every photograph is normalised by, float32 (2, 3); None if each has its own.
    """

    statistics: Tensor | None

    def __init__(self, recipe: Any, model: nn.Module):
        super().__init__()
        self.recipe = recipe
        self.model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.register_buffer("statistics", None, persistent=False)

    def on_train_batch_start(self, batch: Any, index: int) -> None:
        """Make what is random in a step depend on seed and step alone, so that a killed run goes on alike."""
        step = np.random.SeedSequence([self.recipe.seed, self.global_step, self.global_rank])
        torch.manual_seed(int(step.generate_state(1)[0]))


def normalise(images: Tensor, statistics: Tensor) -> Tensor:
    """Colours in standard deviations from the mean: uint8 (B, 3, H, W) to float32.

    Args:
        images: uint8 (B, 3, H, W).
        statistics: float (B, 2, 3), mean and standard deviation of each colour.
    """
    mean, deviation = statistics.unbind(1)  # (B, 3) each
    normalised = images.to(torch.float32, copy=True)  # and then in place: a third of the memory
    return normalised.sub_(mean[:, :, None, None]).div_(deviation[:, :, None, None])
