"""Whole photographs through a network of one branch or of two: the recipe of dual_branch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from fundus_lib.recipes.base import Recipe, check_together

if TYPE_CHECKING:
    from fundus_lib.tasks.dual_branch import DualBranchTask
    from fundus_lib.tasks.experiment import Experiment


@dataclass(frozen=True)
class DualBranchRecipe(Recipe):
    """A network of one branch or of two, trained on whole photographs and tested at their original size.

    The defaults are the paper's single networks on IDRiD.

    Attributes:
        lesions: Lesions to find, one output channel each.
        test_on: `"IDRiD"` or `"DDR"`; its training images are trained on.
        size: (height, width) in pixels to which IDRiD's photographs are resized. For DDR, the side of the square that
            training images are brought to, twice, and the long side of the others.
        train_images: How many training images; None for all.
        validation_images: How many images to choose the epoch on; None for 9 of IDRiD's training images, and for
            DDR's validation images.
        test_images: How many test images; None for all.
        model: Name for `create_model`; `"dualbranch"` is trained with two losses.
        model_args: Its settings, other than `lesions`.
        criterion: Settings of :class:`~fundus_lib.losses.SingleBranchCriterion`, or for `"dualbranch"` of
            :class:`~fundus_lib.losses.DualBranchCriterion`.
        imagenet: Start from torchvision's weights of ImageNet.
        normalise_by: What is subtracted from each colour, and what it is divided by: the training set's `"mean"` and
            nothing, as in the authors' code; its mean and its `"deviation"`; or those of `"imagenet"`.
        versions: In how many of its six versions an image comes in an epoch; if below six, they are drawn at random.
        batch: Photographs in a step, or pairs of them for two branches, over all processes together. Each goes through
            the network on its own, as on the authors' two GPUs, and its loss counts alike.
        together: Send the photographs of a step through the network together, which must then be square. Networks that
            normalise one value per channel and image over the batch need it.
        optimiser: `"sgd"`: momentum 0.9 under the poly schedule with power 0.9, as the text has it; `"hed"`: that of
            the authors' code for HED, a constant rate, which differs from layer to layer; `"adamw"`, under the poly
            schedule.
        learning_rate: At the start.
        weight_decay: That of the optimiser.
        choose_by: The score on the validation images by which the epoch is chosen: `"aupr"`, or `"f1"` at a probability
            of 0.5, by which the authors' code can choose (on the test images). Under a loss that makes a network call
            too much lesion, f1 can be highest before much is learnt.
        pretraining_images: How many drawn photographs to train on first.
        pretraining_epochs: For how many epochs, before the `epochs` on photographs, under a schedule of their own.
    """

    kind: ClassVar[str] = "dual_branch"

    lesions: tuple[str, ...] = ("EX",)
    test_on: Literal["IDRiD", "DDR"] = "IDRiD"
    size: tuple[int, int] = (960, 1440)
    train_images: int | None = None
    validation_images: int | None = None
    test_images: int | None = None
    model: str = "pspnet"
    model_args: Mapping[str, Any] = field(default_factory=dict)
    criterion: Mapping[str, Any] = field(default_factory=dict)
    imagenet: bool = False
    normalise_by: Literal["mean", "deviation", "imagenet"] = "mean"
    versions: int = 6
    batch: int = 2
    together: bool = False
    optimiser: Literal["sgd", "hed", "adamw"] = "sgd"
    learning_rate: float = 0.03
    weight_decay: float = 5e-4
    choose_by: Literal["aupr", "f1"] = "aupr"
    pretraining_images: int = 0
    pretraining_epochs: int = 0

    def __post_init__(self) -> None:
        problem = None
        if min(self.batch, self.epochs, len(self.lesions)) < 1:
            problem = "batch, epochs and the number of lesions must be at least 1"
        elif not 1 <= self.versions <= 6:
            problem = f"versions={self.versions}: there are six"
        elif bool(self.pretraining_images) != bool(self.pretraining_epochs):
            problem = f"pretraining_images={self.pretraining_images}, pretraining_epochs={self.pretraining_epochs}"
        elif self.optimiser == "hed" and self.base not in ("hed", "lseg"):
            problem = f"optimiser='hed' knows the layers of 'hed' and 'lseg', not those of {self.base!r}"
        check_together(self, problem)

    @property
    def dataset(self) -> str:
        """The folder under `FUNDUS_DATA`."""
        return self.test_on

    @property
    def dual(self) -> bool:
        """Whether there are two branches."""
        return self.model == "dualbranch"

    @property
    def base(self) -> str:
        """The network, or that of each branch."""
        return str(self.model_args.get("base", "pspnet")) if self.dual else self.model

    @property
    def prefixes(self) -> tuple[str, ...]:
        """Of the keys of a step's photographs: one for each branch."""
        return ("large_", "small_") if self.dual else ("",)

    def smoke(self) -> DualBranchRecipe:
        """The same experiment shrunk to seconds on a CPU: every code path, no result worth quoting."""
        narrow: dict[str, Any] = {"unet": {"width": 4, "depth": 2}, "deeplabv3plus": {"encoder": "resnet18"}}
        return self.replace(
            size=(96, 96) if self.test_on == "DDR" or self.together else (64, 96),
            train_images=4,
            validation_images=2,
            test_images=2,
            model_args={**self.model_args, **narrow.get(self.base, {"width": 8})},
            imagenet=False,
            normalise_by="mean" if self.normalise_by == "imagenet" else self.normalise_by,
            versions=1,
            batch=2,
            epochs=2,
            pretraining_images=min(self.pretraining_images, 2),
            pretraining_epochs=min(self.pretraining_epochs, 1),
        )

    def test_fingerprint(self, root: Path) -> str:
        """Digits that change with the test data."""
        from fundus_lib.tasks.whole_images import test_fingerprint

        return test_fingerprint(self, root)

    def task(self, *, start: bool = True) -> DualBranchTask:
        """A :class:`~fundus_lib.tasks.dual_branch.DualBranchTask`."""
        from fundus_lib.tasks.dual_branch import DualBranchTask

        return DualBranchTask(self, start=start)

    def experiment(self, root: Path) -> Experiment:
        """Read the data and build the task; see :class:`~fundus_lib.tasks.experiment.Experiment`."""
        from fundus_lib.tasks.dual_branch import experiment

        return experiment(self, root)
