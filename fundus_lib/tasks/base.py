"""What every task has in common: a model with its recipe, its stages, and how it predicts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn

from fundus_lib.data.augment import normalise
from fundus_lib.data.field_of_view import statistics as measure_statistics
from fundus_lib.grades import GRADES
from fundus_lib.models import create_model
from fundus_lib.modes import evaluating

if TYPE_CHECKING:
    from fundus_lib.data.epochs import Batches
    from fundus_lib.data.image_set import ImageSet


@dataclass(frozen=True)
class Data:
    """The images of an experiment.

    Attributes:
        training: To train on.
        validation: To choose the epoch by; may be empty.
        test: To test on.
        synthetic: To train on before; None without pre-training.
        test_masks: Test images with masks, where they are others than those with grades.
    """

    training: ImageSet
    validation: ImageSet
    test: ImageSet
    synthetic: ImageSet | None = None
    test_masks: ImageSet | None = None


@dataclass(frozen=True)
class Stage:
    """A part of training with an optimiser and a schedule of its own.

    Attributes:
        name: What it is.
        images: What it shows.
        epochs: How many epochs it has.
        batches: Gives the batches of an epoch of the experiment, see `fundus_lib.data.epochs`.
        load: Makes a batch of items.
        optimise: Gives what Lightning calls the optimiser's configuration, for the number of steps of the stage.
        batch: Items in a batch, over all processes.
        trainable: With what the names of the parameters begin that are trained.
        choose_by: The validation score whose highest value decides which epoch's weights the stage ends with; what the
            test images would have chosen goes into the record beside it. None: the last epoch's.
        shares_optimizer: Whether the moments of the stage before go on into this one.
    """

    name: str
    images: ImageSet
    epochs: int
    batches: Callable[[ImageSet, int], Batches]
    load: Callable[[ImageSet, Sequence[Any]], Any]
    optimise: Callable[[int], Any]
    batch: int
    trainable: tuple[str, ...] = ("",)
    choose_by: str | None = None
    shares_optimizer: bool = False

    def count_steps(self, first_epoch: int) -> int:
        """How many steps an epoch has."""
        return len(self.batches(self.images, first_epoch))


class FundusTask(L.LightningModule, ABC):
    """A model with its recipe; each paper's task says what happens in a step, what an epoch shows, and the optimiser.

    Args:
        recipe: What to train and how.
        model: ``forward(images) -> dict`` of tensors.

    Attributes:
        statistics: Channel mean and standard deviation by which every image is normalised, float32 (2, 3); None if each
            image has its own.
        mirrored: Axes along which an image is mirrored, for each view whose logits are averaged in `predict`.
        square: Whether it takes the square around the field of view, and not the whole image.
        segments: Whether its logits of lesions have been trained.
        clip: Largest norm of the gradient; None for any.
        field_width: Median width in pixels of the field of view in the training images: the scale that the model knows.
        stage: The stage under way, with the number of its steps; set by the run.
        steps_before: Steps of earlier stages.
        optimizer_state: The state of the stage before, for one that shares it.
    """

    statistics: Tensor | None
    square = False
    segments = True

    def __init__(self, recipe: Any, model: nn.Module):
        super().__init__()
        self.recipe = recipe
        self.model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.register_buffer("statistics", None, persistent=False)
        self.mirrored: tuple[tuple[int, ...], ...] = ((),)
        self.clip: float | None = None
        self.field_width = 0.0
        self.stage: Stage | None = None
        self.stage_steps = self.steps_before = 0
        self.optimizer_state: dict[str, Any] | None = None

    def adapt(self, data: Data) -> None:
        """Take what the task needs to know of the images before training, such as their channel means."""
        self.field_width = data.training.field_width

    @abstractmethod
    def epoch_batches(self, images: ImageSet, epoch: int) -> Batches:
        """The batches of an epoch, counted over all stages."""

    @abstractmethod
    def load_batch(self, images: ImageSet, items: Sequence[Any]) -> Any:
        """What `training_step` gets, of the items of a batch."""

    @abstractmethod
    def optimise(self, steps: int) -> Any:
        """Optimiser and schedule of a stage of so many steps."""

    @property
    def choose_by(self) -> str | None:
        """The score by which the epoch is chosen; None for the last epoch."""
        return None

    def stages(self, data: Data) -> tuple[Stage, ...]:
        """Pre-training on synthetic images, if the recipe has any, and training."""
        recipe = self.recipe
        made = []
        if data.synthetic is not None:
            made.append(self._stage("pre-training", data.synthetic, recipe.pretraining_epochs))
        shares = recipe.pretraining_optimizer == "shared" and bool(made)
        made.append(
            self._stage("training", data.training, recipe.epochs, choose_by=self.choose_by, shares_optimizer=shares)
        )
        return tuple(made)

    def _stage(self, name: str, images: ImageSet, epochs: int, **settings: Any) -> Stage:
        return Stage(
            name, images, epochs, self.epoch_batches, self.load_batch, self.optimise, self.recipe.batch, **settings
        )

    def configure_optimizers(self) -> Any:
        """Those of the stage under way."""
        assert self.stage is not None, "the run sets the stage before it trains"
        found = self.stage.optimise(self.stage_steps)
        if self.stage.shares_optimizer and self.optimizer_state is not None:
            optimizer = found["optimizer"] if isinstance(found, dict) else found
            optimizer.load_state_dict(
                {"state": self.optimizer_state, "param_groups": optimizer.state_dict()["param_groups"]}
            )
        return found

    def on_train_batch_start(self, batch: Any, index: int) -> None:
        """Make what is random in a step depend on seed and step alone, so that a killed run goes on alike."""
        step = np.random.SeedSequence([self.recipe.seed, self.steps_before + self.global_step, self.global_rank])
        torch.manual_seed(int(step.generate_state(1)[0]))

    def prepare(self, images: Tensor, statistics: Tensor | None = None) -> Tensor:
        """Images as the model takes them: normalised, float32 (B, 3, H, W), channels last.

        Args:
            images: uint8 (B, 3, H, W).
            statistics: float (B, 2, 3), channel mean and standard deviation of each image; the task's own, if it has
                any, count instead. Measured in the field of view if there are none.
        """
        if self.statistics is not None:
            statistics = self.statistics[None].to(images.device)
        elif statistics is None:
            arrays = (image.permute(1, 2, 0).cpu().numpy() for image in images)
            statistics = torch.stack([measure_statistics(array) for array in arrays]).to(images.device)
        return normalise(images, statistics).contiguous(memory_format=torch.channels_last)

    def forward(self, images: Tensor, statistics: Tensor | None = None) -> dict[str, Tensor]:
        """The model's output for images, see :meth:`prepare`, float32."""
        return {name: value.float() for name, value in self.model(self.prepare(images, statistics)).items()}

    @torch.inference_mode()
    def predict(self, images: Tensor, statistics: Tensor | None = None) -> dict[str, Tensor]:
        """Predictions at the images' own size, averaged over the mirrored views, in evaluation mode and float32.

        Args:
            images: uint8 (3, H, W), or (B, 3, H, W).
            statistics: float (2, 3), or (B, 2, 3), see :meth:`prepare`.

        Returns:
            What the model gives of ``"logits"`` of the lesions, (L, H, W), those of each branch under names that end in
            it, such as ``"large_logits"``, and of ``"dr"`` (5,) and ``"dme"`` (3,), logits of the grades. For a batch
            (B, …) each. On the task's device.
        """
        if images.ndim == 3:
            own = None if statistics is None else statistics[None]
            return {name: value[0] for name, value in self.predict(images[None], own).items()}
        images = images.to(self.device)
        statistics = None if statistics is None else statistics.to(self.device)
        views = []
        with evaluating(self):
            for axes in self.mirrored:
                found = {name: value for name, value in self(images.flip(axes), statistics).items() if _predicted(name)}
                views.append({name: v.flip(axes) if name.endswith("logits") else v for name, v in found.items()})
        return {name: torch.stack([view[name] for view in views]).mean(0) for name in views[0]}


def create_segmenter(recipe: Any, *, start: bool) -> nn.Module:
    """The network of a recipe, one output channel for each of its lesions.

    Args:
        recipe: With `model`, `model_args`, `lesions` and `imagenet`.
        start: Load the weights of ImageNet, if the recipe starts from them.
    """
    pretrained = {"pretrained": True} if recipe.imagenet and start else {}
    return create_model(recipe.model, lesions=len(recipe.lesions), **recipe.model_args, **pretrained)


def _predicted(name: str) -> bool:
    return name.endswith("logits") or name in GRADES
