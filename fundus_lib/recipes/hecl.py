"""hecl: every row of its Tables 1 and 2, the same as its code has them, and small versions for a CPU or a GPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from fundus_lib.recipes.first_segmenter import SegmentationRecipe


@dataclass(frozen=True, kw_only=True)
class HECLRecipe(SegmentationRecipe):
    """A network trained with or without contrastive terms, on crops as in the first segmenter, or on whole images.

    On whole images the 3600 middle ones of 4288 columns are kept. A training image is rotated by any angle, a crop is
    cut at a random place and mirrored, once for each image in an epoch; what is tested is padded to a square.

    Attributes:
        size: (height, width) in pixels at which images are read, all columns included.
        square: Side of the square to which test images are brought; training then takes whole images. At 6/7 of the
            width that images are read at, both have one scale. 0: crops of images, and tests at `size`.
        crop: Side of the square crops in pixels.
        masks: Of whole images a pixel is lesion where lesion covers `"half"` of it; or wherever a bilinear resize of
            the grey mask leaves more than 0, as in the authors' code: then lesions are `"inflated"`.
        criterion: With `"terms"` the settings of :class:`~fundus_lib.losses.HECLCriterion`, otherwise those of
            :class:`~fundus_lib.losses.SingleBranchCriterion`.
        normalise_by: Also `"none"`: brightness from 0 to 1.
        colour_jitter: With `normalise_by="none"`, by how much brightness and contrast are multiplied at most.
        halve_after: Epochs after which the rate is halved each time; 0: the one-cycle schedule.
        renew: Start the moments of Adam anew in each epoch, as the authors' code does.
        clip: Largest norm of the gradient; 0 for any.
    """

    kind: ClassVar[str] = "hecl"

    model: str = "unetpp"
    square: int = 0
    masks: Literal["half", "inflated"] = "half"
    normalise_by: Literal["image", "training set", "none"] = "training set"  # type: ignore[assignment]
    halve_after: int = 0
    renew: bool = False

    def problem(self) -> str | None:
        """What does not go together, in words; None if everything does."""
        if self.masks != "half" and not self.square:
            return "masks='inflated' is for whole images, square=…"
        if self.square and (self.train_on != "IDRiD" or self.pretraining_epochs):
            return "whole images (square=…) have no synthetic training data"
        if self.square and self.crop > min(self.size[0], self.size[1] * 3600 // 4288):
            return f"crop={self.crop} with size={self.size}: crops must fit into the middle columns"
        return super().problem()

    def smoke(self) -> HECLRecipe:
        """The same experiment shrunk to seconds on a CPU: every code path, no result worth quoting."""
        made = super().smoke().replace(model_args={**self.model_args, **NARROW.get(self.model, {})})
        return made.replace(square=min(self.square, 81), halve_after=min(self.halve_after, 1))  # type: ignore[return-value]

    @classmethod
    def defaults_of_old(cls, plain: Mapping[str, Any]) -> Mapping[str, Any]:
        """None: all settings were there from the start."""
        return {}


NARROW: dict[str, dict[str, Any]] = {
    **{name: {"width": 4, "depth": 2} for name in ("unet", "unetpp", "attentionunet", "resunet")},
    "cenet": {"backbone": "resnet18"},
    "deeplabv3plus": {"encoder": "resnet18"},
    "hed": {"width": 8},
    "hdenseunet": {"width": 4, "blocks": (2, 2, 2, 2)},
}
"""What makes a network small."""

BOTH: dict[str, Any] = {"terms": ("density", "edge")}
"""Both terms, with our values of what the paper leaves open."""

CODE: dict[str, Any] = {
    **BOTH,
    "contrast": "ntxent",
    "extremes": 3,
    "borders": "edge",
    "strip": "left out",
}
"""The terms as the authors' code has them, but for batches that make it crash."""

WHOLE: dict[str, Any] = {
    "size": (580, 873),
    "square": 733,
    "crop": 512,
    "batch": 6,
    "epochs": 300,
    "halve_after": 100,
    "learning_rate": 3e-4,
    "weight_decay": 0.0,
    "clip": 0.0,
    "normalise_by": "none",
    "colour_jitter": 0.5,
}
"""The paper's regime, with test images at the scale of training."""

AS_CODE: dict[str, Any] = {"square": 512, "masks": "inflated", "renew": True}
"""What the authors' code does besides: test images 1.43 times smaller, inflated masks, Adam made anew in each epoch."""


def row(name: str, model: str, model_args: Mapping[str, Any] | None = None, **changes: Any) -> HECLRecipe:
    """A network in the paper's regime, without contrastive terms.

    Args:
        name: Of the row.
        model: Name for `create_model`.
        model_args: Its settings.
        **changes: Other settings.
    """
    made = HECLRecipe(paper="hecl", table="2", row=name, model=model, model_args=dict(model_args or {}), **WHOLE)
    return made.replace(**changes)


def with_terms(recipe: HECLRecipe, *terms: str, **settings: Any) -> HECLRecipe:
    """The same with contrastive terms, by default both."""
    end = "_".join(terms) or "hecl"
    return recipe.replace(row=f"{recipe.row}_{end}", criterion={"terms": terms or BOTH["terms"], **settings})


def table(name: str, *recipes: HECLRecipe, **changes: Any) -> tuple[HECLRecipe, ...]:
    """Rows as those of a table."""
    return tuple(recipe.replace(table=name, **changes) for recipe in recipes)


UNETPP = row("unetpp", "unetpp")
UNET = row("unet", "unet", {"width": 64})
FOUR = (UNETPP, with_terms(UNETPP), with_terms(UNETPP, "density"), with_terms(UNETPP, "edge"))
"""UNet++ without terms, with both, and with each."""

OTHERS = (UNET, row("resunet", "resunet"), row("cenet", "cenet"))
TABLE_2 = (*FOUR, *(one for other in OTHERS for one in (other, with_terms(other))))
TABLE_1 = table(
    "1",
    row("hdenseunet", "hdenseunet"),
    row("attentionunet", "attentionunet"),
    row("deeplabv3plus", "deeplabv3plus"),
    row("hed", "hed"),
    with_terms(UNETPP),
)
"""Its other row, CogSeg, is of a network that nobody has published the code of."""

AS_PUBLISHED = table(
    "code", UNETPP.replace(row="unetpp_code"), UNETPP.replace(row="unetpp_hecl_code", criterion=CODE), **AS_CODE
)
"""UNet++ without and with both terms as the authors' code trains and tests it."""

SMALL_BASE = HECLRecipe(paper="hecl", table="small", row="unetpp", model_args={"width": 8}, batch=6)
"""The regime of the first segmenter: crops of 256² at 640×960, one-cycle AdamW, minutes of one core."""

SMALL_UNET = SMALL_BASE.replace(row="unet", model="unet", model_args={})
SMALL_UNET_HECL = with_terms(SMALL_UNET)
SMALL = tuple(
    one
    for base in (SMALL_BASE, SMALL_UNET)
    for one in (base, with_terms(base), with_terms(base, "density"), with_terms(base, "edge"))
)

SMALL_16 = SMALL_BASE.replace(table="small_16", model_args={"width": 16, "depth": 3})
"""UNet++ of half the width with four levels: as many parameters as that of width 8 with five, and more accurate."""

SMALL_WHOLE: dict[str, Any] = {
    "size": (290, 436),
    "square": 366,
    "crop": 256,
    "epochs": 60,
    "halve_after": 20,
    "learning_rate": 2e-3,
    "model_args": {"width": 8},
}
"""The paper's regime at half of its scale, with a fifth of its epochs."""


def _ablation(name: str, **criterion: Any) -> HECLRecipe:
    """The small U-Net with both terms, with one thing changed in its criterion."""
    base = SMALL_UNET_HECL
    return base.replace(table="ablations", row=name, criterion={**base.criterion, **criterion})


ABLATIONS = (
    _ablation("alpha_0.001", alpha=0.001),
    _ablation("alpha_0.1", alpha=0.1),
    _ablation("alpha_1", alpha=1.0),
    _ablation("tau_0.5", temperature=0.5),
    _ablation("grid_3", grid=3),
    _ablation("grid_10", grid=10),
    _ablation("dense_0.1", dense=0.1),
    _ablation("dense_0.5", dense=0.5),
    _ablation("contours_1", dense_contours=(1, 1), sparse_contours=(1, 1)),
    _ablation("contours_5", dense_contours=(5, 5), sparse_contours=(5, 5)),
    _ablation("ntxent", contrast="ntxent"),
    _ablation("extremes_3", extremes=3),
    _ablation("first_map", feature="level0"),
    _ablation("third_map", feature="level2"),
    _ablation("borders_inside", borders="inside"),
    _ablation("borders_edge", borders="edge"),
    _ablation("strip_left_out", strip="left out"),
    _ablation("code", **CODE),
)
"""One thing changed in the small U-Net with both terms; `code` has all of the criterion that its code does."""

FAULTS = tuple(
    base.replace(row=f"{base.row}_{name}", **changes)
    for base in (UNETPP, with_terms(UNETPP))
    for name, changes in (
        ("renewed", {"renew": True}),
        ("inflated", {"masks": "inflated"}),
        ("other_scale", {"square": 512}),
    )
)
"""What the authors' code does to training and test, one by one."""


def _small_faults(recipe: HECLRecipe) -> HECLRecipe:
    scale = {"square": 256} if recipe.square == 512 else {}
    return recipe.replace(**SMALL_WHOLE).replace(**scale)


GPU: dict[str, Any] = {"epochs": 99, "halve_after": 33}
"""A third of the paper's epochs: about a minute on a GPU."""

GPU_CROPS = SMALL_BASE.replace(
    table="gpu_crops", model_args={}, size=(960, 1440), crop=384, epochs=20, steps=60, learning_rate=1e-3
)
"""The regime of the first segmenter with the paper's network, at half as large again."""

RECIPES: tuple[HECLRecipe, ...] = (
    *TABLE_2,
    *TABLE_1,
    *AS_PUBLISHED,
    *SMALL,
    *(SMALL_16, with_terms(SMALL_16), with_terms(SMALL_16, "density"), with_terms(SMALL_16, "edge")),
    *(_small_faults(recipe.replace(table="small_whole")) for recipe in (*FOUR, *FAULTS, *AS_PUBLISHED)),
    *ABLATIONS,
    *table("gpu", *FOUR, **GPU),
    GPU_CROPS,
    *(with_terms(GPU_CROPS, *terms) for terms in ((), ("density",), ("edge",))),
)
