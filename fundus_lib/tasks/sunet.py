"""A network that grades photographs and may learn lesions besides: what happens in a step of sunet."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from fundus_lib.losses import SUNetCriterion, inverse_frequency
from fundus_lib.models import create_model
from fundus_lib.models.imagenet import COLOURS, LITE_COLOURS
from fundus_lib.models.trunks import GRADES
from fundus_lib.tasks.base import FundusTask, normalise
from fundus_lib.tasks.experiment import Experiment
from fundus_lib.tasks.graded_batches import BatchesModule
from fundus_lib.tasks.graded_images import GradedImages, draw_graded, read_graded
from fundus_lib.tasks.sunet_evaluation import PROTOCOL, evaluate, while_training

if TYPE_CHECKING:
    from fundus_lib.recipes.grading import GradingRecipe


class SUNetTask(FundusTask):
    """Trains a grader, on images with masks its lesion regulariser too.

    Args:
        recipe: What to train and how.
        start: Load the weights that the recipe starts from.

    Attributes:
        steps: Steps in an epoch of pre-training, and in one of training; to be set before training.
    """

    def __init__(self, recipe: GradingRecipe, *, start: bool = True):
        settings = dict(recipe.model_args)
        if recipe.model == "sunet":
            settings["lesions"] = len(recipe.lesions)
        super().__init__(recipe, create_model(recipe.model, **settings, pretrained=recipe.imagenet and start))
        self.weigh({})
        if recipe.imagenet:
            self.statistics = (LITE_COLOURS if settings.get("backbone") == "efficientnetlite0" else COLOURS).clone()
        self.steps = (0, 0)

    def weigh(self, grades: dict[str, Tensor]) -> None:
        """Make the criterion, with the weights of grades that the training images ask for (none: all alike)."""
        criterion = dict(self.recipe.criterion)
        if criterion.get("form") == "weighted":
            criterion["weights"] = {
                name: inverse_frequency(grades.get(name, torch.tensor([], dtype=torch.long)), count)
                for name, count in GRADES.items()
            }
        self.criterion = SUNetCriterion(**criterion)

    def forward(self, images: Tensor, statistics: Tensor) -> dict[str, Tensor]:
        """What the model says of photographs.

        Args:
            images: uint8 (B, 3, S, S).
            statistics: float (B, 2, 3), of each photograph; those of ImageNet count instead if it starts from there.

        Returns:
            The model's output, see :class:`~fundus_lib.models.sunet.SUNet`, float32.
        """
        return {name: value.float() for name, value in self.model(self.prepared(images, statistics)).items()}

    def prepared(self, images: Tensor, statistics: Tensor) -> Tensor:
        """Photographs as the model takes them: normalised, float32 (B, 3, S, S), channels last."""
        own = statistics if self.statistics is None else self.statistics[None].expand(len(images), -1, -1)
        return normalise(images, own).contiguous(memory_format=torch.channels_last)

    def training_step(self, batch: dict[str, Tensor], index: int) -> Tensor:
        """The loss of a batch (see :class:`~fundus_lib.tasks.graded_batches.Batches`), mirrored and turned."""
        images, masks = turned(
            self.prepared(batch["image"], batch["statistics"]), batch.get("mask"), self.recipe.rotate
        )
        output = self.model(images.contiguous(memory_format=torch.channels_last))
        parts = self.criterion(output, batch | ({} if masks is None else {"mask": masks}))
        shown = {"loss" if name == "total" else name: part.detach() for name, part in parts.items()}
        if "classes" in output:  # in every step of every process, since their means are taken together: in this order
            lesions, masked = shown.pop("lesions", torch.zeros_like(parts["total"])), len(batch.get("masked", ()))
            self.log("lesions", lesions, on_step=False, on_epoch=True, sync_dist=True, batch_size=masked)
        self.log_dict(shown, on_step=False, on_epoch=True, sync_dist=True, batch_size=len(images))
        total: Tensor = parts["total"]
        return total

    @torch.inference_mode()
    def outputs(self, images: GradedImages, batch: int = 16) -> dict[str, Tensor]:
        """What the model says of all images: its grades' logits and, of images with masks, its lesions' too.

        Returns:
            ``"dr"`` (N, 5), ``"dme"`` (N, 3), ``"logits"`` (N, L, S, S), of those that the model gives; on the CPU.
        """
        training = self.training
        self.eval()
        found: dict[str, list[Tensor]] = {}
        for start in range(0, len(images), batch):
            rows = slice(start, start + batch)
            output = self(images.images[rows].to(self.device), images.statistics[rows].to(self.device))
            for name, value in output.items():
                if name in GRADES or (name == "logits" and len(images.masks)):
                    found.setdefault(name, []).append(value.cpu())
        self.train(training)
        return {name: torch.cat(values) for name, values in found.items()}

    @torch.inference_mode()
    def class_maps(self, images: GradedImages, batch: int = 16) -> dict[str, Tensor]:
        """Class activation maps of all images, ``"dr"`` (N, 5, h, w) and ``"dme"`` (N, 3, h, w), on the CPU."""
        training = self.training
        self.eval()
        found: dict[str, list[Tensor]] = {}
        for start in range(0, len(images), batch):
            rows = slice(start, start + batch)
            x = self.prepared(images.images[rows].to(self.device), images.statistics[rows].to(self.device))
            for name, value in self.model.class_maps(x).items():  # type: ignore[operator]
                found.setdefault(name, []).append(value.float().cpu())
        self.train(training)
        return {name: torch.cat(values) for name, values in found.items()}

    def configure_optimizers(self) -> Any:
        """Adam, its rate falling to 0 along a cosine, once for pre-training and once for training."""
        optimiser = torch.optim.Adam(self.model.parameters(), lr=self.recipe.learning_rate)
        first, second = self.steps[0] * self.recipe.pretraining_epochs, self.steps[1] * self.recipe.epochs

        def cosine(step: int) -> float:
            done = step / first if step < first else (step - first) / max(second, 1)
            return (1 + math.cos(math.pi * min(done, 1))) / 2

        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, cosine)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def turned(images: Tensor, masks: Tensor | None, rotate: bool) -> tuple[Tensor, Tensor | None]:
    """Mirror half of the images and turn each by an angle of its own, masks alike.

    Args:
        images: Normalised, float (B, 3, S, S); what comes into view from outside is as the darkest pixel of the image.
        masks: 0 and 1, (B, L, S, S), or None.
        rotate: Turn by any angle; otherwise only mirror.
    """
    count = len(images)
    angle = 2 * math.pi * torch.rand(count, device=images.device) * rotate
    mirror = torch.where(torch.rand(count, device=images.device) < 0.5, -1.0, 1.0)
    sine, cosine, zero = angle.sin(), angle.cos(), torch.zeros_like(angle)
    rows = torch.stack([cosine * mirror, -sine, zero, sine * mirror, cosine, zero], dim=1)
    grid = F.affine_grid(rows.view(count, 2, 3), list(images.shape), align_corners=False)  # (B, S, S, 2)
    black = images.amin((2, 3), keepdim=True)
    new = F.grid_sample(images - black, grid, mode="bilinear", align_corners=False) + black
    if masks is None:
        return new, None
    return new, F.grid_sample(masks.to(images), grid, mode="nearest", align_corners=False).to(masks.dtype)


def experiment(recipe: GradingRecipe, root: Path) -> Experiment:
    """The experiment of a recipe on the data under `root`."""
    training, validation, test, pictures = read_graded(recipe, root)
    drawn = draw_graded(recipe)
    task = recipe.task()
    task.weigh({"dr": training.dr, "dme": training.dme})
    feeder = BatchesModule(recipe, training, drawn)
    task.steps = (len(feeder.batches(0)) if drawn else 0, len(feeder.batches(recipe.pretraining_epochs)))

    def watch() -> dict[str, float]:
        return {
            f"{name}_{score}": value
            for name, images in (("validation", validation), ("test", test))
            for score, value in while_training(task, images).items()
        }

    content = (
        training.source.fingerprint if drawn is None else f"{training.source.fingerprint} {drawn.source.fingerprint}"
    )
    digits = hashlib.sha256(content.encode()).hexdigest()[:12]
    return Experiment(
        task,
        feeder,
        recipe.pretraining_epochs + recipe.epochs,
        replace(training.source, fingerprint=digits),
        test.source,
        watch,
        lambda variants: evaluate(task, test, pictures),
        PROTOCOL.format(
            images=len(test),
            title=test.source.title,
            side=recipe.side,
            epoch=f"epoch with the highest {recipe.chosen} on {len(validation)} validation images (the first of equals)"
            if len(validation)
            else "last epoch; all training images were trained on, and none were left to choose by",
            pictures=len(pictures),
        ),
        select_by=recipe.chosen,
        select_from=recipe.pretraining_epochs,
        model={
            "field_width": float(recipe.side),
            "statistics": None if task.statistics is None else task.statistics.cpu(),
        },
    )
