"""An experiment: a recipe with its data, its task in stages, and its protocol."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fundus_lib.data.idrid import IDRiDSegmentation
from fundus_lib.data.image_set import combine_fingerprints
from fundus_lib.recipes import TASKS, Recipe, SegmentationRecipe
from fundus_lib.tasks.base import Data, FundusTask, Stage

if TYPE_CHECKING:
    from fundus_lib.protocols.base import TestProtocol

__all__ = ["Data", "Experiment", "Stage", "create_experiment", "create_task", "read_data", "test_fingerprint"]


@dataclass(frozen=True)
class Experiment:
    """What `fundus_lib.run.run` trains, scores and saves.

    Attributes:
        recipe: What to train and how.
        task: What happens in a step, ready to train.
        data: What it is trained and tested on.
        stages: What is trained, one after the other.
        protocol: How it is scored.
    """

    recipe: Recipe
    task: FundusTask
    data: Data
    stages: tuple[Stage, ...]
    protocol: TestProtocol

    @property
    def epochs(self) -> int:
        """Of all stages together."""
        return sum(stage.epochs for stage in self.stages)

    @property
    def training_fingerprint(self) -> str:
        """Hash of all that is trained on."""
        training, synthetic = self.data.training.fingerprint, self.data.synthetic
        return training if synthetic is None else combine_fingerprints(f"{training} {synthetic.fingerprint}")

    def score_epoch(self) -> dict[str, float]:
        """Quick scores of the task as it is; their names begin with `validation_` or `test_`."""
        data, choose = self.data, self.stages[-1].choose_by
        parts = {"validation": data.validation, **({"test": data.test} if choose else {})}
        return {
            f"{part}_{name}": value
            for part, images in parts.items()
            for name, value in self.protocol.quick(self.task, images).items()
        }

    def describe_choice(self) -> str:
        """Which epoch's weights are tested, in words."""
        count, choose = len(self.data.validation), self.stages[-1].choose_by
        if choose and count:
            return f"Weights of the epoch with the highest {choose} on {count} validation images (the first of equals)."
        return "Weights of the last epoch; no selection on the test images."

    def find_test_images_in_training(self) -> list[str]:
        """Names of the test images that are equal, pixel by pixel, to images that are trained on."""
        data = self.data
        trained = set(data.training.hashes) | set(data.synthetic.hashes if data.synthetic else ())
        tested = data.test.hashes | (data.test_masks.hashes if data.test_masks else {})
        return sorted(name for digest, name in tested.items() if digest in trained)


def create_task(recipe: Recipe, *, start: bool = True) -> FundusTask:
    """The network of a recipe and what happens in a step.

    Args:
        recipe: What to train and how.
        start: Load what the recipe starts from, such as weights from ImageNet; no need where a checkpoint follows.
    """
    task: FundusTask = _module(recipe).Task(recipe, start=start)
    return task


def read_data(recipe: Recipe, root: str | Path) -> Data:
    """The images of a recipe from a copy of its data set."""
    data: Data = _module(recipe).read_data(recipe, Path(root))
    return data


def test_fingerprint(recipe: Recipe, root: str | Path) -> str:
    """Hash of the test data of a recipe under `root`; takes no more than tenths of a second."""
    return str(_module(recipe).test_fingerprint(recipe, Path(root)))


def training_fingerprint(recipe: Recipe, root: str | Path) -> str | None:
    """Hash of the training images and masks of a recipe for lesions, as its record has it.

    Returns:
        None where it is not the hash of one folder's split alone: of folds, of graded or synthetic images besides, of
        other data sets, and of recipes that are no :class:`~fundus_lib.recipes.SegmentationRecipe`.
    """
    if not isinstance(recipe, SegmentationRecipe) or {recipe.dataset, recipe.train_on} != {"IDRiD"}:
        return None
    if recipe.fold or recipe.pretraining_epochs or getattr(recipe, "graded_size", None):
        return None
    return IDRiDSegmentation(Path(root), "train", lesions=recipe.lesions, size=recipe.size).fingerprint()


def create_experiment(recipe: Recipe, root: str | Path, data: Data | None = None) -> Experiment:
    """Read the data under `root` and build what is trained.

    Args:
        recipe: What to train and how.
        root: Root of a copy of its data set.
        data: What `read_data` gave, if it is at hand.
    """
    data = data or read_data(recipe, root)
    task = create_task(recipe)
    task.adapt(data)
    return Experiment(recipe, task, data, task.stages(data), _module(recipe).protocol(recipe, data))


def _module(recipe: Recipe) -> Any:
    return import_module(f"fundus_lib.tasks.{TASKS[type(recipe)]}")
