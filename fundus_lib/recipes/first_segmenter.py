"""The first segmenter: hard exudates with a small U-Net, and how far synthetic images replace real ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from fundus_lib.recipes.base import Recipe, before_stages

TrainingData = Literal["IDRiD", "SyntheticFundus"]


@dataclass(frozen=True, kw_only=True)
class SegmentationRecipe(Recipe):
    """A network trained on crops of images and tested on whole ones: the recipe of the chapters on foundations.

    The same recipe gives the same crops in the same order on every device and for any number of processes, and on one
    kind of processor, at one number of threads, the same weights.

    Attributes:
        size: (height, width) in pixels at which images are read, trained and tested on.
        train_on: `"IDRiD"` (its training split) or `"SyntheticFundus"`. The test is always on IDRiD's testing split.
        criterion: `"loss"`, a name for `create_loss`, and `"loss_args"`, its settings.
        crop: Side of the square training crops in pixels.
        lesion_fraction: Fraction of the crops that are placed around a random lesion pixel; the others lie anywhere.
        normalise_by: The channel mean and standard deviation that are brought to 0 and 1: each `"image"`'s own, which
            evens out cameras, or those of the whole `"training set"`, which keeps an image's brightness as a clue.
        colour_jitter: By how much contrast and brightness of a crop vary, in standard deviations of the image.
        steps: Steps in an epoch.
        learning_rate: Peak of the one-cycle schedule (Smith & Topin 2017).
        weight_decay: That of AdamW (Loshchilov & Hutter 2019).
        clip: Largest norm of the gradient.
        test_flips: Whether the test averages the logits of an image and its three mirror images.
        choose_by: Score of the first lesion on the validation images: `"aupr"`, or `"f1"` at a probability of 0.5;
            empty: the last epoch counts.
    """

    kind: ClassVar[str] = "segmentation"
    RENAMED: ClassVar[Mapping[str, str]] = {"lesion_fraction": "lesion_share", "validation": "validation_images"}

    size: tuple[int, int] = (640, 960)
    train_on: TrainingData = "IDRiD"
    crop: int = 256
    lesion_fraction: float = 0.9
    normalise_by: Literal["image", "training set"] = "training set"
    colour_jitter: float = 0.0
    steps: int = 30
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    clip: float = 1.0
    test_flips: bool = False
    choose_by: Literal["", "f1", "aupr"] = ""

    def problem(self) -> str | None:
        """What does not go together, in words; None if everything does."""
        if min(self.size) < self.crop or self.crop < 1:
            return f"crop={self.crop} with size={self.size}: crops must fit into the image"
        if self.steps < 1:
            return "steps must be at least 1"
        if not 0 <= self.lesion_fraction <= 1:
            return f"lesion_fraction={self.lesion_fraction}: must lie between 0 and 1"
        if self.train_on == "SyntheticFundus" and (self.train_images is None or self.fold):
            return "train_on='SyntheticFundus' needs a number of train_images, and has no folds"
        return super().problem()

    def smoke(self) -> SegmentationRecipe:
        """The same experiment shrunk to seconds on a CPU: every code path, no result worth quoting."""
        return (
            super()
            .smoke()
            .replace(
                size=(96, 144),
                train_images=min(self.train_images or 4, 4),
                test_images=min(self.test_images or 3, 3),
                validation=min(self.validation or 0, 1),
                crop=min(self.crop, 64),
                batch=2,
                epochs=2,
                steps=3,
                model_args={**self.model_args, **({"width": 4, "depth": 2} if self.model == "unet" else {})},
                imagenet=False,
            )
        )

    @classmethod
    def defaults_of_old(cls, plain: Mapping[str, Any]) -> Mapping[str, Any]:
        """Older runs minimised cross-entropy, and before `kind` was written there was this one."""
        old = {"kind": cls.kind, "dataset": "IDRiD", "imagenet": False, "choose_by": ""}
        return old | {"pretraining_images": 0, "pretraining_epochs": 0} | before_stages(plain)

    @classmethod
    def upgrade(cls, plain: Mapping[str, Any]) -> Mapping[str, Any]:
        """Older records have `loss` and `loss_args` beside each other."""
        values = dict(plain)
        values["criterion"] = {
            **plain.get("criterion", {}),
            **{name: values.pop(name) for name in ("loss", "loss_args") if values.get(name)},
        }
        return {name: value for name, value in values.items() if name not in ("loss", "loss_args")}

    @classmethod
    def downgrade(cls, plain: dict[str, Any]) -> dict[str, Any]:
        """`loss` and `loss_args` beside each other; cross-entropy without settings did not enter."""
        criterion = dict(plain.pop("criterion", {}))
        loss, settings = criterion.pop("loss", "crossentropy"), criterion.pop("loss_args", {})
        plain |= {"loss": loss} if loss != "crossentropy" else {}
        plain |= {"loss_args": settings} if settings else {}
        return plain | ({"criterion": criterion} if criterion else {})


UNET = SegmentationRecipe(paper="first_segmenter", table="main", row="unet")
"""Trained and tested on IDRiD at 640×960, in under five minutes on two cores."""

UNET_512 = UNET.replace(table="realism", row="unet_512", size=(512, 768))
"""The same at 512×768: what real images teach."""

UNET_512_SYNTHETIC = UNET_512.replace(row="unet_512_synthetic", train_on="SyntheticFundus", train_images=216)
"""Trained on synthetic images alone, tested on real ones: how real the synthetic ones are, for a network."""

FOUR_LESIONS = UNET.replace(
    table="gpu",
    row="unet_four_lesions",
    lesions=("MA", "HE", "EX", "SE"),
    size=(1424, 2144),
    model_args={"width": 16},
    crop=384,
    batch=16,
    epochs=30,
    steps=100,
    colour_jitter=0.2,
    test_flips=True,
)
"""All four lesions at half of IDRiD's size: seven minutes of a busy GPU, about two of one that has nothing else."""

RECIPES = (UNET, UNET_512, UNET_512_SYNTHETIC, FOUR_LESIONS)
