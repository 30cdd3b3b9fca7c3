"""What a row of the benchmark costs: parameters, and arithmetic of a training step and of a test image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from fundus_lib.models.gradedunet import GradedUNet
from fundus_lib.models.localglobal import LocalGlobal
from fundus_lib.recipes import BenchmarkRecipe
from fundus_lib.tasks.benchmark import Task


@dataclass(frozen=True)
class Costs:
    """What a row costs, in convolutions and products of matrices; a multiplication with its addition counts as two.

    Attributes:
        parameters: That are trained.
        step: Operations of a step, forward and backward.
        image: Operations for a test image, in all its mirrored views.
    """

    parameters: int
    step: int
    image: int


def count_costs(recipe: BenchmarkRecipe) -> Costs:
    """The costs of a row, counted on shapes without numbers.

    Args:
        recipe: The row.
    """
    with torch.device("meta"):
        task = Task(recipe, start=False)
        crops = torch.empty(recipe.batch, 3, recipe.crop, recipe.crop)
        image = torch.empty(1, 3, *recipe.size)
        parameters = sum(p.numel() for p in task.model.parameters())
        with FlopCounterMode(display=False) as forward, torch.no_grad():
            _run(task.model, image)
        with FlopCounterMode(display=False) as step:
            outputs = _run(task.model, crops)
            if isinstance(task.model, GradedUNet):
                outputs.append(task.model.grade(torch.empty(recipe.batch, 3, *(recipe.graded_size or recipe.size))))
            torch.stack([output.sum() for output in outputs]).sum().backward()  # type: ignore[no-untyped-call]
    return Costs(parameters, step.get_total_flops(), forward.get_total_flops() * len(task.mirrored))


def _run(model: nn.Module, images: Tensor) -> list[Tensor]:
    """What a network computes of crops or of an image, with the shrunk image of each where it needs one."""
    if isinstance(model, LocalGlobal):
        whole = torch.empty(len(images), 3, model.global_size, model.global_size)
        return list(model.forward_patches(whole, images, torch.empty(len(images), 5)).values())
    return list(model(images).values())
