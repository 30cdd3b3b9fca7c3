"""Segmentation of lesions, each pixel a yes-or-no question per lesion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import lightning as L
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fundus_lib.metrics import average_precision, pixel_counts
from fundus_lib.models import create_model

if TYPE_CHECKING:
    from fundus_lib.recipes.base import Recipe
    from fundus_lib.tasks.arrays import Arrays

THRESHOLD = 0.5
"""Probability from which on a pixel is called lesion, in the metrics that need a yes or no."""


class Segmentation(L.LightningModule):
    """Trains the model of a recipe with binary cross-entropy on crops.

    Colour jitter and normalisation happen on the device; a step never waits for the device.

    Args:
        recipe: What to train and how.
    """

    def __init__(self, recipe: Recipe):
        super().__init__()
        self.recipe = recipe
        model = create_model(recipe.model, lesions=len(recipe.lesions), **recipe.model_args)
        self.model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, images: Tensor, statistics: Tensor) -> Tensor:
        """Logits of photographs.

        Args:
            images: uint8 (B, 3, H, W).
            statistics: float (B, 2, 3), mean and standard deviation of each photograph's colours.

        Returns:
            float32 (B, L, H, W).
        """
        return self._logits(normalise(images, statistics))

    def training_step(self, batch: dict[str, Tensor], index: int) -> Tensor:
        """Mean binary cross-entropy over all pixels and lesions of a batch of crops (see `data.patches.Crops`)."""
        images = jitter(normalise(batch["image"], batch["statistics"]), self.recipe.colour_jitter)
        loss = F.binary_cross_entropy_with_logits(self._logits(images), batch["mask"].float())
        self.log("loss", loss, on_step=False, on_epoch=True, prog_bar=True, sync_dist=True, batch_size=len(images))
        return loss

    def on_train_batch_start(self, batch: dict[str, Tensor], index: int) -> None:
        """Make what is random in a step depend on seed and step alone, so that a killed run goes on alike."""
        step = np.random.SeedSequence([self.recipe.seed, self.global_step, self.global_rank])
        torch.manual_seed(int(step.generate_state(1)[0]))

    def configure_optimizers(self) -> Any:
        """AdamW under a one-cycle schedule over the whole run."""
        recipe = self.recipe
        optimiser = torch.optim.AdamW(self.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, max_lr=recipe.learning_rate, total_steps=max(recipe.epochs * recipe.steps, 4)
        )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    @torch.inference_mode()
    def logits(self, image: Tensor, statistics: Tensor) -> Tensor:
        """Logits of one whole photograph, in float32, averaged over its mirror images if the recipe says so.

        Args:
            image: uint8 (3, H, W).
            statistics: float (2, 3).

        Returns:
            float32 (L, H, W), on the CPU.
        """
        training = self.training
        self.eval()
        images, colours = image[None].to(self.device), statistics[None].to(self.device)
        mirrored = [(), (3,), (2,), (2, 3)] if self.recipe.test_flips else [()]
        views = [self(images.flip(axes), colours).flip(axes) for axes in mirrored]
        self.train(training)
        return torch.stack(views).mean(0)[0].cpu()

    def _logits(self, normalised: Tensor) -> Tensor:
        logits: Tensor = self.model(normalised.to(memory_format=torch.channels_last))["logits"]
        return logits.float()


def normalise(images: Tensor, statistics: Tensor) -> Tensor:
    """Colours in standard deviations from the photograph's mean: uint8 (B, 3, H, W) to float32."""
    mean, deviation = statistics.unbind(1)  # (B, 3) each
    return (images.float() - mean[:, :, None, None]) / deviation[:, :, None, None]


def jitter(images: Tensor, amount: float) -> Tensor:
    """Vary contrast (all colours alike) and brightness (each colour for itself) of normalised images.

    Args:
        images: float (B, 3, H, W).
        amount: Largest change of the contrast as a share, and of the brightness in standard deviations.
    """
    if not amount:
        return images
    contrast = 1 + amount * (2 * torch.rand(len(images), 1, 1, 1, device=images.device) - 1)
    brightness = amount * (2 * torch.rand(len(images), 3, 1, 1, device=images.device) - 1)
    return images * contrast + brightness


def evaluate(task: Segmentation, arrays: Arrays) -> dict[str, float]:
    """Score whole images, lesion by lesion.

    Returns:
        For each lesion, say EX, `EX_aupr` (exact average precision, pixels of all images pooled), `EX_aupr_image_mean`
        (mean over the images that have the lesion), `EX_prevalence` (the AUPR of guessing), and at a probability of
        0.5, pooled, `EX_f1`, `EX_iou`, `EX_sensitivity`, `EX_ppv`.
    """
    scores = torch.stack([task.logits(i, s) for i, s in zip(arrays.images, arrays.statistics, strict=True)])
    metrics: dict[str, float] = {}
    for channel, lesion in enumerate(task.recipe.lesions):
        score, mask = scores[:, channel], arrays.masks[:, channel]
        singly = [average_precision(s, m) for s, m in zip(score, mask, strict=True) if m.any()]
        counts = pixel_counts(score.sigmoid() >= THRESHOLD, mask)
        metrics |= {
            f"{lesion}_aupr": average_precision(score, mask),
            f"{lesion}_aupr_image_mean": sum(singly) / len(singly) if singly else float("nan"),
            f"{lesion}_prevalence": float(mask.float().mean()),
            f"{lesion}_f1": counts.f1,
            f"{lesion}_iou": counts.iou,
            f"{lesion}_sensitivity": counts.sensitivity,
            f"{lesion}_ppv": counts.ppv,
        }
    return metrics
