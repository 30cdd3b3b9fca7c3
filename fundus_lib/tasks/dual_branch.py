"""A network of one branch or of two, trained on whole photographs: what happens in a step of dual_branch."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from fundus_lib.errors import ArgumentError
from fundus_lib.losses import DualBranchCriterion, SingleBranchCriterion, branch_weights
from fundus_lib.models import create_model
from fundus_lib.models.imagenet import COLOURS
from fundus_lib.tasks.base import normalise
from fundus_lib.tasks.dual_branch_evaluation import PROTOCOL, at_full_size, while_training
from fundus_lib.tasks.experiment import Experiment
from fundus_lib.tasks.lesions import LesionTask
from fundus_lib.tasks.whole_images import (
    Photographs,
    StepsModule,
    draw_photographs,
    mean_colour,
    read_photographs,
    version,
)

if TYPE_CHECKING:
    from fundus_lib.recipes.whole_images import DualBranchRecipe

POWER = 0.9
"""Of the poly schedule."""


class DualBranchTask(LesionTask):
    """Trains one network with one loss, or two branches, each on photographs of its own, with the DSM loss.

    Args:
        recipe: What to train and how.
        start: Load the weights that the recipe starts from.

    Attributes:
        statistics: What images are normalised by, (2, 3); to be set before training.
        steps: Steps in an epoch of pre-training, and in one of training; to be set before training.
    """

    statistics: Tensor

    def __init__(self, recipe: DualBranchRecipe, *, start: bool = True):
        pretrained = {"pretrained": True} if recipe.imagenet and start else {}
        super().__init__(
            recipe, create_model(recipe.model, lesions=len(recipe.lesions), **recipe.model_args, **pretrained)
        )
        self.criterion: nn.Module = (DualBranchCriterion if recipe.dual else SingleBranchCriterion)(**recipe.criterion)
        self.statistics = COLOURS.clone()
        self.steps = (0, 0)

    @property
    def progress(self) -> float:
        """Epoch, counted from 0, by the number of epochs: of pre-training while it lasts, of training after it."""
        epoch, before = self.current_epoch, self.recipe.pretraining_epochs
        return float(epoch / before if epoch < before else (epoch - before) / self.recipe.epochs)

    def training_step(self, batch: list[dict[str, Any]], index: int) -> Tensor:
        """The mean loss of the photographs of a step, or of its pairs, each sent through the network on its own."""
        parts = [self.parts_of(items) for items in ([batch] if self.recipe.together else [[item] for item in batch])]
        mean = {name: torch.stack([part[name] for part in parts]).mean() for name in parts[0]}
        shown = {name: value.detach() for name, value in mean.items() if name in ("large", "small")}
        if isinstance(self.criterion, DualBranchCriterion):
            shown["large_weight"] = torch.tensor(branch_weights(self.progress, self.criterion.schedule)[0])
        self.log_dict(
            {"loss": mean["total"].detach(), **shown},
            on_step=False,
            on_epoch=True,
            sync_dist=True,
            batch_size=len(batch),
        )
        return mean["total"]

    def parts_of(self, items: list[dict[str, Any]]) -> dict[str, Tensor]:
        """The criterion's parts for photographs or pairs of one shape (see `tasks.whole_images.Steps`)."""
        output: dict[str, Tensor] = {}
        masks: dict[str, Tensor] = {}
        for prefix in self.recipe.prefixes:
            image, mask = (
                torch.stack([version(item[f"{prefix}{kind}"], item[f"{prefix}version"]) for item in items])
                for kind in ("image", "mask")
            )
            x = normalise(image, self.statistics[None]).contiguous(memory_format=torch.channels_last)
            given = self.model(x, prefix[:-1]) if prefix else self.model(x)
            output |= {f"{prefix}{name}": value.float() for name, value in given.items()}
            masks[f"{prefix}mask"] = mask.float()
        parts: dict[str, Tensor] = self.criterion(output, masks, self.progress)
        return parts

    @torch.inference_mode()
    def branches(self, image: Tensor) -> dict[str, Tensor]:
        """Logits of one photograph by each branch, and their combination; the shared parts run once.

        Args:
            image: uint8 (3, H, W).

        Returns:
            ``"logits"``, and of two branches ``"large_logits"`` and ``"small_logits"``; float32 (L, H, W) each.
        """
        training = self.training
        self.eval()
        x = normalise(image[None].to(self.device), self.statistics[None])
        output = self.model(x.contiguous(memory_format=torch.channels_last))
        self.train(training)
        return {name: value[0].float() for name, value in output.items() if name.endswith("logits")}

    def configure_optimizers(self) -> Any:
        """SGD or AdamW under the poly schedule, once for pre-training and once for training; or HED's own."""
        recipe = self.recipe
        if recipe.optimiser == "hed":
            return torch.optim.SGD(hed_groups(self.model, recipe.learning_rate, recipe.weight_decay), momentum=0.9)
        settings = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay}
        optimiser: torch.optim.Optimizer
        if recipe.optimiser == "sgd":
            optimiser = torch.optim.SGD(self.model.parameters(), momentum=0.9, **settings)
        else:
            optimiser = torch.optim.AdamW(self.model.parameters(), **settings)
        first, second = self.steps[0] * recipe.pretraining_epochs, self.steps[1] * recipe.epochs

        def poly(step: int) -> float:
            done = step / first if step < first else (step - first) / max(second, 1)
            return float(max(1 - done, 0) ** POWER)

        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, poly)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def hed_groups(model: nn.Module, rate: float, decay: float) -> list[dict[str, Any]]:
    """Parameters of HED or of two branches of it, each with its multiple of the rate (authors' code).

    Stages 1 to 4 learn at the rate, stage 5 at 100 times, side outputs at a hundredth, the fusion at a thousandth;
    biases at twice their layer's rate, without decay.
    """
    groups: dict[float, tuple[list[nn.Parameter], list[nn.Parameter]]] = {}
    for name, parameter in model.named_parameters():
        multiple = 0.001 if "fuse" in name else 0.01 if ".side." in name else 100.0 if "stage5" in name else 1.0
        groups.setdefault(multiple, ([], []))[name.endswith("bias")].append(parameter)
    return [
        {"params": parameters, "lr": rate * multiple * (2 if bias else 1), "weight_decay": 0.0 if bias else decay}
        for multiple, pair in groups.items()
        for bias, parameters in enumerate(pair)
        if parameters
    ]


def experiment(recipe: DualBranchRecipe, root: Path) -> Experiment:
    """The experiment of a recipe on the data under `root`."""
    training, validation, test = read_photographs(recipe, root)
    drawn = draw_photographs(recipe)
    task = recipe.task()
    task.statistics = colours(recipe, training)
    task.steps = (_steps(recipe, drawn) if drawn else 0, _steps(recipe, training))

    def watch() -> dict[str, float]:
        return {
            f"{name}_{score}": value
            for name, images in (("validation", validation), ("test", test))
            for score, value in while_training(task, images).items()
        }

    chosen = "Weights of the last epoch."
    if len(validation):
        chosen = f"Weights of the epoch with the highest {recipe.choose_by} on {len(validation)} validation images."
    return Experiment(
        task,
        StepsModule(recipe, training, drawn),
        recipe.pretraining_epochs + recipe.epochs,
        replace(training.source, images=len(training), fingerprint=_fingerprint(training, drawn)),
        test.source,
        watch,
        lambda variants: at_full_size(task, test, variants),
        PROTOCOL.format(
            weights=chosen, images=len(test), title=test.source.title, size="×".join(map(str, recipe.size))
        ),
        select_by=f"{recipe.lesions[0]}_{recipe.choose_by}" if len(validation) else None,
        select_from=recipe.pretraining_epochs,
        model={"field_width": field_width(training), "statistics": task.statistics.cpu()},
    )


def colours(recipe: DualBranchRecipe, training: Photographs) -> Tensor:
    """What images are normalised by, mean and divisor of each colour, (2, 3)."""
    if recipe.normalise_by == "imagenet":
        return COLOURS.clone()
    mean = mean_colour(training)
    if recipe.normalise_by == "mean":
        return torch.stack([mean, torch.ones(3)])
    pixels = sum(image[0].numel() for image in training.images)
    spread = torch.stack([((image.float() - mean[:, None, None]) ** 2).sum((1, 2)) for image in training.images]).sum(0)
    return torch.stack([mean, (spread / pixels).sqrt()])


def field_width(photographs: Photographs) -> float:
    """Median width of the field of view in pixels."""
    from fundus_lib.data.field_of_view import bounding_box, field_of_view

    boxes = [bounding_box(field_of_view(image.permute(1, 2, 0).numpy()))[1] for image in photographs.images]
    return float(torch.tensor([box.stop - box.start for box in boxes]).float().median())


def _fingerprint(training: Photographs, drawn: Photographs | None) -> str:
    """Digits of the training data, with those of the drawn photographs that come first."""
    if drawn is None:
        return training.source.fingerprint
    return hashlib.sha256(f"{training.source.fingerprint} {drawn.source.fingerprint}".encode()).hexdigest()[:12]


def _steps(recipe: DualBranchRecipe, photographs: Photographs) -> int:
    steps = len(photographs) * recipe.versions // recipe.batch
    if not steps:
        raise ArgumentError(
            f"recipe {recipe.row!r}",
            "an epoch has no step",
            found=f"{len(photographs)} photographs in {recipe.versions} version(s), for a batch of {recipe.batch}",
            expected="at least one batch",
            remedy="recipe.replace(batch=…), or more photographs",
        )
    return steps
