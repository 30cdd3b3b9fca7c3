"""Recipes of networks that are trained on whole images, one with one loss or two branches with two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from fundus_lib.recipes.base import Recipe, before_stages


@dataclass(frozen=True, kw_only=True)
class DualBranchRecipe(Recipe):
    """A network of one branch or of two, trained on whole images and tested at their original size.

    The defaults are the paper's single networks on IDRiD.

    Attributes:
        size: (height, width) in pixels to which IDRiD's images are resized. For DDR, the side of the square that
            training images are brought to, twice, and the long side of the others.
        model: Name for `create_model`; `"dualbranch"` is trained with two losses.
        criterion: Settings of :class:`~fundus_lib.losses.SingleBranchCriterion`, or for `"dualbranch"` of
            :class:`~fundus_lib.losses.DualBranchCriterion`.
        validation: None for 9 of IDRiD's training images, and for DDR's validation images.
        normalise_by: What is subtracted from each channel, and what it is divided by: the training set's `"mean"` and
            nothing, as in the authors' code; its mean and its standard `"deviation"`; or those of `"imagenet"`.
        dihedral: In how many of its six augmentations (`fundus_lib.data.augment.DIHEDRAL`) an image comes in an epoch;
            if below six, they are drawn at random.
        batch: Images in a step, or pairs of them for two branches, over all processes together. Each goes through
            the network on its own, as on the authors' two GPUs, and its loss counts alike.
        together: Send the images of a step through the network together, which must then be square. Networks that
            normalise one value per channel and image over the batch need it.
        optimiser: `"sgd"`: momentum 0.9 under the poly schedule with power 0.9, as the text has it; `"hed"`: that of
            the authors' code for HED, a constant rate, which differs from layer to layer; `"adamw"`, under the poly
            schedule.
        weight_decay: That of the optimiser.
        choose_by: `"aupr"`, or `"f1"` at a probability of 0.5, by which the authors' code can choose (on the test
            images). Under a loss with which a network over-segments, f1 can be highest before much is learnt.
    """

    kind: ClassVar[str] = "dual_branch"
    RENAMED: ClassVar[Mapping[str, str]] = {
        "dataset": "test_on",
        "validation": "validation_images",
        "dihedral": "versions",
    }

    model: str = "pspnet"
    size: tuple[int, int] = (960, 1440)
    validation: float | None = None
    normalise_by: Literal["mean", "deviation", "imagenet"] = "mean"
    dihedral: int = 6
    batch: int = 2
    together: bool = False
    optimiser: Literal["sgd", "hed", "adamw"] = "sgd"
    learning_rate: float = 0.03
    weight_decay: float = 5e-4
    choose_by: Literal["aupr", "f1"] = "aupr"

    def problem(self) -> str | None:
        """What does not go together, in words; None if everything does."""
        if not 1 <= self.dihedral <= 6:
            return f"dihedral={self.dihedral}: there are six"
        if self.optimiser == "hed" and self.base not in ("hed", "lseg"):
            return f"optimiser='hed' knows the layers of 'hed' and 'lseg', not those of {self.base!r}"
        if self.dataset == "DDR" and self.validation is not None and self.validation % 1:
            return f"validation={self.validation}: DDR has validation images of its own; how many, or None for all"
        return super().problem()

    @property
    def dual(self) -> bool:
        """Whether there are two branches."""
        return self.model == "dualbranch"

    @property
    def base(self) -> str:
        """The network, or that of each branch."""
        return str(self.model_args.get("base", "pspnet")) if self.dual else self.model

    def smoke(self) -> DualBranchRecipe:
        """The same experiment shrunk to seconds on a CPU: every code path, no result worth quoting."""
        narrow: dict[str, Any] = {"unet": {"width": 4, "depth": 2}, "deeplabv3plus": {"encoder": "resnet18"}}
        return self.replace(
            size=(96, 96) if self.dataset == "DDR" or self.together else (64, 96),
            train_images=4,
            validation=2,
            test_images=2,
            model_args={**self.model_args, **narrow.get(self.base, {"width": 8})},
            imagenet=False,
            normalise_by="mean" if self.normalise_by == "imagenet" else self.normalise_by,
            dihedral=1,
            batch=2,
            epochs=2,
            pretraining_images=min(self.pretraining_images, 2),
            pretraining_epochs=min(self.pretraining_epochs, 1),
        )

    @classmethod
    def defaults_of_old(cls, plain: Mapping[str, Any]) -> Mapping[str, Any]:
        """See :func:`~fundus_lib.recipes.base.before_stages`."""
        return before_stages(plain)
