"""Segmentation of lesions, each pixel a yes-or-no question per lesion."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fundus_lib.losses import create_loss
from fundus_lib.metrics import LesionRecall, average_precision, lesion_recall, pixel_counts
from fundus_lib.models import create_model
from fundus_lib.tasks.arrays import Arrays, CropsModule, read_arrays
from fundus_lib.tasks.base import normalise
from fundus_lib.tasks.experiment import Experiment, Scores, Source
from fundus_lib.tasks.lesions import LesionTask

if TYPE_CHECKING:
    from pathlib import Path

    from fundus_lib.recipes.segmentation import SegmentationRecipe

THRESHOLD = 0.5
"""Probability from which on a pixel is called lesion, in the metrics that need a yes or no."""

LESION_SIZES = {"small": 0.0, "medium": 2e-5, "large": 1e-4}
"""Classes of size, and the share of the photograph's area from which on a lesion belongs to each.

Shares mean the same at every resolution. In a photograph of 4288×2848 a medium lesion has at least 245 pixels, as a
disc has whose diameter is 18, and a large one 1222 (a diameter of 39). Of IDRiD's hard exudates half are small and a
ninth are large, and that ninth holds three quarters of the pixels (test images, read at 720×480 or at 1440×960).
"""


class Segmentation(LesionTask):
    """Trains the model of a recipe with the loss of the recipe on crops.

    Colour jitter and normalisation happen on the device; a step never waits for the device.

    Args:
        recipe: What to train and how.
    """

    def __init__(self, recipe: SegmentationRecipe):
        super().__init__(recipe, create_model(recipe.model, lesions=len(recipe.lesions), **recipe.model_args))
        self.loss = create_loss(recipe.loss, **recipe.loss_args)
        if recipe.test_flips:
            self.mirrored = [(), (3,), (2,), (2, 3)]

    def training_step(self, batch: dict[str, Tensor], index: int) -> Tensor:
        """The loss of a batch of crops (see `data.patches.Crops`)."""
        images = jitter(normalise(batch["image"], batch["statistics"]), self.recipe.colour_jitter)
        loss: Tensor = self.loss(self.logits_of(images), batch["mask"].float())
        self.log("loss", loss, on_step=False, on_epoch=True, prog_bar=True, sync_dist=True, batch_size=len(images))
        return loss

    def configure_optimizers(self) -> Any:
        """AdamW under a one-cycle schedule over the whole run."""
        recipe = self.recipe
        optimiser = torch.optim.AdamW(self.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, max_lr=recipe.learning_rate, total_steps=max(recipe.epochs * recipe.steps, 4)
        )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def experiment(recipe: SegmentationRecipe, root: Path) -> Experiment:
    """The experiment of a recipe on the data under `root`: trained on crops, tested on whole images."""
    training, validation, test = read_arrays(recipe, root)
    task = Segmentation(recipe)

    def watch() -> dict[str, float]:
        scores = evaluate(task, validation) if validation else {}
        return {f"validation_{name}": value for name, value in scores.items() if name.endswith("_aupr")}

    return Experiment(
        task,
        CropsModule(recipe, training),
        recipe.epochs,
        Source(training.title, training.fingerprint, len(training)),
        Source(test.title, test.fingerprint, len(test)),
        watch,
        lambda variants: Scores(evaluate(task, test)),
        _protocol(recipe, test),
        clip=recipe.clip,
        model={
            "field_width": training.field_width,
            "statistics": training.statistics[0] if recipe.normalise_by == "training set" else None,
        },
    )


def _protocol(recipe: SegmentationRecipe, test: Arrays) -> str:
    height, width = recipe.size
    flips = "logits averaged over 4 mirror images, " if recipe.test_flips else ""
    return (
        f"{len(test)} whole test images of {test.title} at {height}×{width} (lesion: at least half of a pixel), "
        f"weights after the last epoch, {flips}no selection on the test images. aupr: exact average precision, all "
        f"pixels of all images pooled; aupr_image_mean: mean over the images that have the lesion; f1, iou, "
        f"sensitivity, ppv: at probability {THRESHOLD}, pooled; breakeven: sensitivity (and PPV) where as many pixels "
        f"are called lesion as are lesion; recall: lesions (8-connected) of which at least one pixel is found, "
        f"pixel_recall: their pixels found, at probability {THRESHOLD} and at break-even; medium, large: from "
        f"{LESION_SIZES['medium']:g} and {LESION_SIZES['large']:g} of the image's area on."
    )


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
