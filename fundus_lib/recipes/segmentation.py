"""A network trained on crops of photographs: the recipe of the chapters on foundations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from fundus_lib.recipes.base import Recipe, check_together

if TYPE_CHECKING:
    from fundus_lib.tasks.experiment import Experiment
    from fundus_lib.tasks.lesions import LesionTask

TrainingData = Literal["IDRiD", "SyntheticFundus"]


@dataclass(frozen=True)
class SegmentationRecipe(Recipe):
    """One row of one table: what is trained, on what, how, and on what it is tested.

    The same recipe gives the same crops in the same order on every device and for any number of processes, and on one
    kind of processor the same weights.

    Attributes:
        lesions: Lesions to find, one output channel each.
        size: (height, width) in pixels at which images are read, trained and tested on.
        train_on: `"IDRiD"` (its training split) or `"SyntheticFundus"` (drawn by the program). The test is always on
            IDRiD's testing split.
        train_images: How many training images; None for all, and a number for SyntheticFundus.
        test_images: How many test images; None for all.
        validation_images: How many training images are kept out of training and scored after each epoch. Settings are
            chosen on these, never on the test images.
        model: Name for `create_model`.
        model_args: Its settings, other than `lesions`.
        loss: Name for `create_loss`.
        loss_args: Its settings.
        crop: Side of the square training crops in pixels.
        lesion_share: Share of the crops that are placed around a random lesion pixel; the others lie anywhere.
        normalise_by: Whose mean and standard deviation colours are brought to: each `"image"`'s own, which evens out
            cameras, or those of the whole `"training set"`, which keeps an image's brightness as a clue.
        colour_jitter: By how much contrast and brightness of a crop vary, in standard deviations of the image.
        batch: Crops in a step, over all processes together.
        steps: Steps in an epoch.
        learning_rate: Peak of the one-cycle schedule (Smith & Topin 2017).
        weight_decay: That of AdamW (Loshchilov & Hutter 2019).
        clip: Largest norm of the gradient.
        test_flips: Whether the test averages the logits of an image and its three mirror images.
    """

    kind: ClassVar[str] = "segmentation"

    lesions: tuple[str, ...] = ("EX",)
    size: tuple[int, int] = (640, 960)
    train_on: TrainingData = "IDRiD"
    train_images: int | None = None
    test_images: int | None = None
    validation_images: int = 0
    model: str = "unet"
    model_args: Mapping[str, Any] = field(default_factory=dict)
    loss: str = "crossentropy"
    loss_args: Mapping[str, Any] = field(default_factory=dict)
    crop: int = 256
    lesion_share: float = 0.9
    normalise_by: Literal["image", "training set"] = "training set"
    colour_jitter: float = 0.0
    batch: int = 8
    steps: int = 30
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    clip: float = 1.0
    test_flips: bool = False

    def __post_init__(self) -> None:
        problem = None
        if min(self.size) < self.crop or self.crop < 1:
            problem = f"crop={self.crop} with size={self.size}: crops must fit into the image"
        elif min(self.batch, self.epochs, self.steps, len(self.lesions)) < 1:
            problem = "batch, epochs, steps and the number of lesions must be at least 1"
        elif not 0 <= self.lesion_share <= 1:
            problem = f"lesion_share={self.lesion_share}: must lie between 0 and 1"
        elif self.train_on == "SyntheticFundus" and self.train_images is None:
            problem = "train_images=None: SyntheticFundus has as many images as one asks for"
        check_together(self, problem)

    def smoke(self) -> SegmentationRecipe:
        """The same experiment shrunk to seconds on a CPU: every code path, no result worth quoting."""
        return self.replace(
            size=(96, 144),
            train_images=min(self.train_images or 4, 4),
            test_images=min(self.test_images or 3, 3),
            validation_images=min(self.validation_images, 1),
            crop=min(self.crop, 64),
            batch=2,
            epochs=2,
            steps=3,
            model_args={**self.model_args, **({"width": 4, "depth": 2} if self.model == "unet" else {})},
        )

    def test_fingerprint(self, root: Path) -> str:
        """Digits that change with the test data."""
        from fundus_lib.data.idrid import IDRiDSegmentation

        return IDRiDSegmentation(root, "test", lesions=self.lesions, size=self.size).fingerprint()

    def task(self, *, start: bool = True) -> LesionTask:
        """A :class:`~fundus_lib.tasks.segmentation.Segmentation`."""
        from fundus_lib.tasks.segmentation import Segmentation

        return Segmentation(self)

    def experiment(self, root: Path) -> Experiment:
        """Read the data and build the task; see :class:`~fundus_lib.tasks.experiment.Experiment`."""
        from fundus_lib.tasks.segmentation import experiment

        return experiment(self, root)
