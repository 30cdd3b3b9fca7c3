"""Segmentation of lesions, each pixel a yes-or-no question per lesion."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import lightning as L
import numpy as np
import torch
from torch import Tensor

from fundus_lib.losses import create_loss
from fundus_lib.metrics import LesionRecall, average_precision, lesion_recall, pixel_counts
from fundus_lib.models import create_model

if TYPE_CHECKING:
    from fundus_lib.recipes.base import Recipe
    from fundus_lib.tasks.arrays import Arrays

THRESHOLD = 0.5
"""Probability from which on a pixel is called lesion, in the metrics that need a yes or no."""

LESION_SIZES = {"small": 0.0, "medium": 2e-5, "large": 1e-4}
"""Classes of size, and the share of the photograph's area from which on a lesion belongs to each.

Shares mean the same at every resolution. In a photograph of 4288×2848 a medium lesion has at least 245 pixels, as a
disc has whose diameter is 18, and a large one 1222 (a diameter of 39). Of IDRiD's hard exudates half are small and a
ninth are large, and that ninth holds three quarters of the pixels (test images, read at 720×480 or at 1440×960).
"""


class Segmentation(L.LightningModule):
    """Trains the model of a recipe with the loss of the recipe on crops.

    Colour jitter and normalisation happen on the device; a step never waits for the device.

    Args:
        recipe: What to train and how.
    """

    def __init__(self, recipe: Recipe):
        super().__init__()
        self.recipe = recipe
        model = create_model(recipe.model, lesions=len(recipe.lesions), **recipe.model_args)
        self.model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.loss = create_loss(recipe.loss, **recipe.loss_args)

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
        """The loss of a batch of crops (see `data.patches.Crops`)."""
        images = jitter(normalise(batch["image"], batch["statistics"]), self.recipe.colour_jitter)
        loss: Tensor = self.loss(self._logits(images), batch["mask"].float())
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

    Two masks are made of the scores: at a probability of 0.5; and at the **break-even** threshold, where as many pixels
    are called lesion as there are lesion pixels, so that PPV and sensitivity are equal. At 0.5 two networks sit at two
    operating points; at break-even both spend the same number of pixels, and the question is on what.

    Returns:
        For each lesion, say EX, pooled over all images where nothing else is said.

        - `EX_aupr` (exact average precision), `EX_aupr_image_mean` (mean over the images that have the lesion),
          `EX_prevalence` (the AUPR of guessing), `EX_mean_score` (mean probability; the prevalence, if calibrated);
        - at 0.5: `EX_f1`, `EX_iou`, `EX_sensitivity`, `EX_ppv`; at break-even all of these but IoU are the one number
          `EX_breakeven`;
        - for each size of :data:`LESION_SIZES`, at 0.5: `EX_recall_small` (share of the small lesions of which at least
          one pixel is found), `EX_pixel_recall_small` (share of their pixels that is found); at break-even:
          `EX_breakeven_recall_small`, `EX_breakeven_pixel_recall_small`; and `EX_lesions_small`, their number.
    """
    scores = torch.stack([task.logits(i, s) for i, s in zip(arrays.images, arrays.statistics, strict=True)])
    metrics: dict[str, float] = {}
    for channel, lesion in enumerate(task.recipe.lesions):
        score, mask = scores[:, channel], arrays.masks[:, channel]  # (N, H, W) each
        singly = [average_precision(s, m) for s, m in zip(score, mask, strict=True) if m.any()]
        probability = score.sigmoid()
        called, even = probability >= THRESHOLD, score >= breakeven_threshold(score, mask)
        counts = pixel_counts(called, mask)
        metrics |= {
            f"{lesion}_aupr": average_precision(score, mask),
            f"{lesion}_aupr_image_mean": sum(singly) / len(singly) if singly else float("nan"),
            f"{lesion}_prevalence": float(mask.float().mean()),
            f"{lesion}_mean_score": float(probability.double().mean()),
            f"{lesion}_f1": counts.f1,
            f"{lesion}_iou": counts.iou,
            f"{lesion}_sensitivity": counts.sensitivity,
            f"{lesion}_ppv": counts.ppv,
            f"{lesion}_breakeven": pixel_counts(even, mask).sensitivity,
            **{f"{lesion}_{name}": value for name, value in _by_size(called, mask, "").items()},
            **{f"{lesion}_{name}": value for name, value in _by_size(even, mask, "breakeven_").items()},
        }
    return metrics


def breakeven_threshold(scores: Tensor, mask: Tensor) -> float:
    """The threshold at which as many pixels are called lesion as there are lesion pixels (more, if scores are equal).

    Args:
        scores: float, any shape.
        mask: {0, 1}, the same shape.

    Returns:
        The lowest score that is called lesion; infinite if no pixel is lesion.
    """
    lesion = int(mask.count_nonzero())
    return float(scores.flatten().kthvalue(scores.numel() - lesion + 1).values) if lesion else float("inf")


def size_edges(height: int, width: int) -> tuple[int, int]:
    """The areas in pixels from which on a lesion is medium and large (:data:`LESION_SIZES`), at least 1 apart."""
    medium, large = (math.ceil(LESION_SIZES[size] * height * width) for size in ("medium", "large"))
    return medium, max(large, medium + 1)


def _by_size(called: Tensor, mask: Tensor, prefix: str) -> dict[str, float]:
    """Recall of lesions and of their pixels for each class of size, pooled over images (N, H, W)."""
    edges = size_edges(*mask.shape[-2:])
    pooled = sum((lesion_recall(c, m, edges) for c, m in zip(called, mask, strict=True)), LesionRecall())
    metrics: dict[str, float] = {}
    for k, size in enumerate(LESION_SIZES):
        metrics[f"{prefix}recall_{size}"] = pooled.recall[k]
        metrics[f"{prefix}pixel_recall_{size}"] = pooled.pixel_recall[k]
        metrics[f"lesions_{size}"] = pooled.lesions[k]
    return metrics
