"""Trained models on disk: weights and the recipe that they belong to, loaded without running any code from the file."""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from fundus_lib.atomic import write_atomically
from fundus_lib.errors import ArgumentError, CheckpointError
from fundus_lib.experiment import create_task
from fundus_lib.recipes import from_dict

if TYPE_CHECKING:
    from fundus_lib.tasks.base import FundusTask

KIND = "fundus_lib segmentation"


@dataclass(frozen=True)
class Checkpoint:
    """A trained model.

    Attributes:
        task: The model with its recipe, in evaluation mode, on the CPU. It has the `statistics` that images are
            normalised by (None: each image's own), and the `field_width` of the training images.
        trained_on: What data it was trained on.
    """

    task: FundusTask
    trained_on: str


def save_model(path: Path, task: FundusTask, *, trained_on: str) -> None:
    """Write a trained model atomically; see :class:`Checkpoint` for what is written."""
    buffer = io.BytesIO()
    content = {
        "kind": KIND,
        "recipe": task.recipe.to_dict(),
        "weights": {name: value.cpu() for name, value in task.model.state_dict().items()},
        "statistics": None if task.statistics is None else task.statistics.cpu().clone(),
        "field_width": task.field_width,
        "trained_on": trained_on,
    }
    torch.save(content, buffer)
    write_atomically(path, buffer.getvalue())


def load_model(path: str | Path) -> Checkpoint:
    """Read a trained model, weights only: a file from elsewhere cannot run code.

    Raises:
        CheckpointError: There is no such file, it is damaged, or it is not a model of this library.
    """
    expected = "a model.pt that `fundus run` wrote"
    remedy = "name the model.pt in the folder of a finished run"
    if not Path(path).is_file():
        raise CheckpointError(path, "there is no such checkpoint", found="no file", expected=expected, remedy=remedy)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise CheckpointError(
            path, "this is no checkpoint, or a damaged one", found=reason, expected=expected, remedy=remedy
        ) from error
    if not isinstance(content, dict) or content.get("kind") != KIND:
        found = f"the keys {', '.join(map(str, content))[:200]}" if isinstance(content, dict) else type(content)
        raise CheckpointError(path, "this checkpoint is of another kind", found=found, expected=expected, remedy=remedy)
    try:
        task = create_task(from_dict(content["recipe"]), start=False)
        task.model.load_state_dict(content["weights"])
        task.statistics, task.field_width = content["statistics"], float(content["field_width"])
        return Checkpoint(task.eval(), str(content["trained_on"]))
    except (KeyError, RuntimeError, ArgumentError) as error:
        raise CheckpointError(
            path,
            "this checkpoint does not fit this version of the library",
            found=str(error).splitlines()[0][:200],
            expected="recipe, weights and model that belong together",
            remedy="use the version of the library that wrote it, or train again",
        ) from error
