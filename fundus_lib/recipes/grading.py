"""Recipes of graders, with a lesion regulariser or without."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from fundus_lib.recipes.base import Precision, Recipe, before_stages


@dataclass(frozen=True, kw_only=True)
class GradingRecipe(Recipe):
    """A network that grades retinopathy, macular edema or both, tested on IDRiD's 103 test images.

    The defaults are sunet's, the paper that such rows were first made for, and our choices where it is silent.

    Attributes:
        lesions: Lesions that the regulariser learns.
        side: Images are cropped to the square around the field of view and brought to this size in pixels.
        mask_images: How many images with masks are read, of either split; None for all.
        masks: How many of the training images with masks are trained on with them (φ of Fig. 4 times the number of
            training images); None for all.
        leaks: Train on what the test sets hold too, under the grades that it has there; see
            :func:`fundus_lib.tasks.sunet.read_data`.
        shared: Train on the grades of images that the segmentation part holds, too, of either split; otherwise these
            and their duplicates are left out, so that grades predicted for that part can be tested on them.
        validation: 0: all training images are trained on, and the last epoch counts.
        model: ``"sunet"`` or ``"grader"``.
        criterion: Settings of :class:`~fundus_lib.losses.SUNetCriterion`; the training images give the weights of
            ``form="weighted"``.
        order: Of an epoch's batches, see :func:`~fundus_lib.tasks.sunet.order_batches`.
        imagenet: Start from ImageNet, and normalise by the channel means that the backbone's weights expect; otherwise
            every image is normalised by its own.
        rotate: Rotate images by any angle; otherwise, as always, only mirror them.
        learning_rate: Of Adam, at the start; it falls to 0 along a cosine.
        choose_by: ``"accuracy"``, joint if there are two diseases, or ``"kappa"``, of retinopathy if there are two.
    """

    kind: ClassVar[str] = "grading"

    epochs: int = 50
    batch: int = 16
    lesions: tuple[str, ...] = ("MA", "HE", "EX", "SE")
    model: Literal["sunet", "grader"] = "sunet"
    side: int = 512
    mask_images: int | None = None
    masks: int | None = None
    leaks: bool = False
    shared: bool = True
    validation: float | None = 0.15
    order: Literal["alternate", "once", "mixed"] = "alternate"
    rotate: bool = True
    learning_rate: float = 1e-4
    choose_by: Literal["accuracy", "kappa"] = "accuracy"

    def problem(self) -> str | None:
        """What does not go together, in words; None if everything does."""
        if self.masks is not None and self.masks < self.regulariser:
            return f"masks={self.masks}"
        if self.validation is None or self.validation >= 1:
            return f"validation={self.validation}: a fraction below 1"
        return super().problem()

    @property
    def diseases(self) -> tuple[str, ...]:
        """What is graded."""
        return tuple(self.model_args.get("diseases", ("dr", "dme")))

    @property
    def regulariser(self) -> bool:
        """Whether lesions are learnt too."""
        return self.model != "grader" and bool(self.model_args.get("regulariser", True))

    @property
    def score_to_choose_by(self) -> str:
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
        if self.model != "grader":
            args["channels"] = 16
        return (
            super()
            .smoke()
            .replace(
                side=64,
                train_images=40,
                test_images=12,
                mask_images=6,
                masks=None if self.masks is None else min(self.masks, 4),
                model_args=args,
                imagenet=False,
                batch=4,
                epochs=2,
            )
        )

    @classmethod
    def defaults_of_old(cls, plain: Mapping[str, Any]) -> Mapping[str, Any]:
        """Older runs of the tables small and lite_512 were in bf16, those of lite and ablations in 32 bits."""
        precision: Precision = "bf16" if plain.get("table") in ("small", "lite_512") else "32"
        return {"dataset": "IDRiD", "shared": True} | before_stages(plain, precision)
