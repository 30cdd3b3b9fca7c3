"""Photographs graded as a whole, with or without a lesion regulariser: the recipe of sunet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from fundus_lib.recipes.base import Recipe, check_together

if TYPE_CHECKING:
    from fundus_lib.tasks.experiment import Experiment
    from fundus_lib.tasks.sunet import SUNetTask

CHOICES = {"model": ("sunet", "grader"), "order": ("alternate", "once", "mixed"), "choose_by": ("accuracy", "kappa")}


@dataclass(frozen=True)
class GradingRecipe(Recipe):
    """A network that grades retinopathy, macular edema or both, tested on IDRiD's 103 test photographs.

    The defaults are sunet's, and our choices where it is silent.

    Attributes:
        lesions: Lesions that the regulariser learns.
        side: Photographs are cut to the square around the field of view and brought to this size in pixels.
        train_images: How many training images with grades; None for all.
        test_images: How many test images; None for all.
        mask_images: How many images with masks are read, of either split; None for all.
        masks: How many of the training images with masks are trained on with them (φ of Fig. 4 times the number of
            training images); None for all.
        leaks: Train on what the test sets hold too, under the grades that it has there; see
            :func:`fundus_lib.tasks.graded_images.read_graded`.
        validation: Share of the training images on which the epoch is chosen. 0: all are trained on, and the last
            epoch counts.
        model: ``"sunet"`` or ``"grader"``.
        model_args: Its settings, other than `lesions`.
        criterion: Settings of :class:`~fundus_lib.losses.SUNetCriterion`; the training images give the weights of
            ``form="weighted"``.
        order: Of an epoch's batches, see :class:`~fundus_lib.tasks.graded_batches.Batches`.
        imagenet: Start from ImageNet, and normalise by the colours that the trunk's weights expect; otherwise every
            photograph is normalised by its own.
        rotate: Turn images by any angle; otherwise, as always, only mirror them.
        learning_rate: Of Adam, at the start; it falls to 0 along a cosine.
        choose_by: The score on the validation images by which the epoch is chosen: ``"accuracy"``, joint if there are
            two diseases, or ``"kappa"``, of retinopathy if there are two.
        pretraining_images: How many drawn photographs, with grades and masks, to train on first.
        pretraining_epochs: For how many epochs, before the `epochs` on photographs, under a cosine of their own.
    """

    kind: ClassVar[str] = "grading"

    epochs: int = 50
    batch: int = 16
    lesions: tuple[str, ...] = ("MA", "HE", "EX", "SE")
    side: int = 512
    train_images: int | None = None
    test_images: int | None = None
    mask_images: int | None = None
    masks: int | None = None
    leaks: bool = False
    validation: float = 0.15
    model: Literal["sunet", "grader"] = "sunet"
    model_args: Mapping[str, Any] = field(default_factory=dict)
    criterion: Mapping[str, Any] = field(default_factory=dict)
    order: Literal["alternate", "once", "mixed"] = "alternate"
    imagenet: bool = False
    rotate: bool = True
    learning_rate: float = 1e-4
    choose_by: Literal["accuracy", "kappa"] = "accuracy"
    pretraining_images: int = 0
    pretraining_epochs: int = 0

    def __post_init__(self) -> None:
        problem = None
        chosen = {name: getattr(self, name) for name in CHOICES}
        unknown = [f"{name}={value!r}" for name, value in chosen.items() if value not in CHOICES[name]]
        if min(self.batch, self.epochs, len(self.lesions)) < 1:
            problem = "batch, epochs and the number of lesions must be at least 1"
        elif bool(self.pretraining_images) != bool(self.pretraining_epochs):
            problem = f"pretraining_images={self.pretraining_images}, pretraining_epochs={self.pretraining_epochs}"
        elif self.masks is not None and self.masks < self.regulariser:
            problem = f"masks={self.masks}"
        elif not 0 <= self.validation < 1:
            problem = f"validation={self.validation}: a share below 1"
        elif unknown:
            problem = f"{', '.join(unknown)}: there is no such choice"
        check_together(self, problem)

    @property
    def counts(self) -> tuple[int | None, int | None]:
        """How many training and test images with grades."""
        return self.train_images, self.test_images

    @property
    def diseases(self) -> tuple[str, ...]:
        """What is graded."""
        return tuple(self.model_args.get("diseases", ("dr", "dme")))

    @property
    def regulariser(self) -> bool:
        """Whether lesions are learnt too."""
        return self.model == "sunet" and bool(self.model_args.get("regulariser", True))

    @property
    def chosen(self) -> str:
        """The score by which the epoch is chosen."""
        if self.choose_by == "accuracy" and len(self.diseases) > 1:
            return "joint_accuracy"
        return f"{self.diseases[0]}_{self.choose_by}"

    def smoke(self) -> GradingRecipe:
        """The same experiment shrunk to seconds on a CPU: every code path, no result worth quoting."""
        args = dict(self.model_args)
        if args.get("backbone") == "vgg19":
            args |= {"width": 8, "hidden": 32}
        else:
            args["backbone"] = "resnet18"
        if self.model == "sunet":
            args["channels"] = 16
        return self.replace(
            side=64,
            train_images=40,
            test_images=12,
            mask_images=6,
            masks=None if self.masks is None else min(self.masks, 4),
            model_args=args,
            imagenet=False,
            batch=4,
            epochs=2,
            pretraining_images=min(self.pretraining_images, 8),
            pretraining_epochs=min(self.pretraining_epochs, 1),
        )

    def test_fingerprint(self, root: Path) -> str:
        """Digits that change with the test data."""
        from fundus_lib.data.idrid import IDRiDGrading

        return IDRiDGrading(root, "test").fingerprint()

    def task(self, *, start: bool = True) -> SUNetTask:
        """A :class:`~fundus_lib.tasks.sunet.SUNetTask`."""
        from fundus_lib.tasks.sunet import SUNetTask

        return SUNetTask(self, start=start)

    def experiment(self, root: Path) -> Experiment:
        """Read the data and build the task; see :class:`~fundus_lib.tasks.experiment.Experiment`."""
        from fundus_lib.tasks.sunet import experiment

        return experiment(self, root)
