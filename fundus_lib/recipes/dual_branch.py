"""dual_branch: every row of its Tables 2 to 6, the same without ImageNet, and small versions for a CPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fundus_lib.recipes.whole_images import DualBranchRecipe


def dual(row: str, base: str, p: float | None = 0.5, **changes: Any) -> DualBranchRecipe:
    """Two branches under the DSM loss: a step shows each branch one image, as in the authors' code.

    Args:
        row: Name of the row.
        base: The branches' network.
        p: Sample rate of the re-balanced sampler.
        **changes: Other settings.
    """
    made = DualBranchRecipe(
        paper="dual_branch",
        table="4",
        row=row,
        epochs=40,
        model="dualbranch",
        model_args={"base": base},
        criterion={"small_args": {"p": p}},
        batch=1,
    )
    return made.replace(**changes)


def single(
    row: str, model: str, loss: str, loss_args: Mapping[str, Any] | None = None, **changes: Any
) -> DualBranchRecipe:
    """One network under one loss: a step shows two images."""
    made = DualBranchRecipe(
        paper="dual_branch",
        table="4",
        row=row,
        epochs=40,
        model=model,
        criterion={"loss": loss, "loss_args": dict(loss_args or {})},
    )
    return made.replace(**changes)


HED: dict[str, Any] = {"optimiser": "hed", "learning_rate": 2e-4, "weight_decay": 2e-4}
"""The authors' code trains HED otherwise than the text says, which has one setting for all."""

SUM = {"reduction": "sum"}
"""The class-balanced losses of the authors' code sum over pixels. At the text's rate, and at that of their code for
HED, a quarter-width network from random numbers then overflows within five steps. We give HED the rate of its own
paper, to which its multiples from layer to layer belong, and the other networks the mean."""

HED_SUM = {**HED, "learning_rate": 1e-6}

SCRATCH = (
    single("pspnet_cbce", "pspnet", "classbalanced"),
    single("pspnet_dice", "pspnet", "dice"),
    dual("dual_pspnet_dsm", "pspnet"),
    single("deeplabv3_cbce", "deeplabv3", "classbalanced"),
    single("deeplabv3_dice", "deeplabv3", "dice"),
    dual("dual_deeplabv3_dsm", "deeplabv3"),
    single("hed_cbce", "hed", "classbalanced", SUM, batch=1, **HED_SUM),
    single("hed_dice", "hed", "dice", batch=1, **HED),
    dual("dual_hed_dsm", "hed", **HED),
)
"""The rows of Tables 3 and 4, starting from random numbers."""

OTHERS = (
    single("dnl_cbce", "dnl", "classbalanced"),
    single("dnl_dice", "dnl", "dice"),
    single("spnet_cbce", "spnet", "classbalanced"),
    single("spnet_dice", "spnet", "dice"),
)
"""The rows that Tables 5 and 6 have in common and Tables 3 and 4 have not."""

DEEPLABV3PLUS = single("deeplabv3plus", "deeplabv3plus", "crossentropy", together=True)
"""A row of Table 5 that the authors took from another paper, which does not say how it was trained."""


def from_imagenet(recipe: DualBranchRecipe) -> DualBranchRecipe:
    """The same from torchvision's ImageNet weights, which for a ResNet-50 means torchvision's stem too."""
    if recipe.base == "lwenet":
        return recipe  # it was never trained on ImageNet
    stem = {"stem": "torchvision"} if recipe.base in ("pspnet", "deeplabv3", "dnl", "spnet") else {}
    return recipe.replace(imagenet=True, normalise_by="imagenet", model_args={**recipe.model_args, **stem})


def on_ddr(recipe: DualBranchRecipe) -> DualBranchRecipe:
    """The same on DDR, for 100 epochs."""
    return recipe.replace(dataset="DDR", size=(1024, 1024), epochs=100)


def _table(number: str, *recipes: DualBranchRecipe) -> tuple[DualBranchRecipe, ...]:
    return tuple(recipe.replace(table=number) for recipe in recipes)


TABLE_4 = _table("4", *map(from_imagenet, SCRATCH))
TABLE_3 = _table("3", *map(on_ddr, TABLE_4))
TABLE_2 = _table(
    "2",
    *(
        on_ddr(from_imagenet(dual(f"dual_pspnet_{name}", "pspnet", p)))
        for name, p in (("p25", 0.25), ("p50", 0.5), ("p75", 0.75), ("reverse", None))
    ),
)
TABLE_5 = _table("5", *(on_ddr(from_imagenet(r)) for r in (DEEPLABV3PLUS, *OTHERS)))
TABLE_6 = _table(
    "6",
    *map(
        from_imagenet,
        (
            *OTHERS,
            single("lseg", "lseg", "bin", {"ratio": 10.0, **SUM}, batch=1, **HED_SUM),
            single("lwenet", "lwenet", "classbalanced", learning_rate=0.01),
            single("bin", "hed", "bin", SUM, batch=1, **HED_SUM),
        ),
    ),
)

SYNTHETIC = tuple(
    recipe.replace(table="synthetic", pretraining_images=324, pretraining_epochs=10, normalise_by="deviation")
    for recipe in SCRATCH
    if recipe.row in ("pspnet_dice", "dual_pspnet_dsm")
)
"""Pre-trained on synthetic images in place of ImageNet."""

CPU: dict[str, Any] = {
    "table": "small",
    "size": (320, 480),
    "dihedral": 2,
    "epochs": 10,
    "optimiser": "adamw",
    "learning_rate": 2e-3,
    "weight_decay": 0.01,
    "normalise_by": "deviation",
}
"""Two to four minutes of one core: a third of the paper's height and width, two of the six dihedral augmentations, ten
epochs, and AdamW as in the first segmenter."""

PRETRAINED: dict[str, Any] = {"pretraining_images": 90, "pretraining_epochs": 10, "pretraining_optimizer": "shared"}
"""As many steps on synthetic images first as on real ones afterwards; their runs kept the moments in between."""

DUAL_UNET = dual("unet_dual_dsm", "unet", **CPU)
"""The base of the ablations: two branches of the first segmenter's U-Net, p = 0.5, the text's schedule."""

SMALL = (
    single("unet_dice", "unet", "dice", **CPU),
    DUAL_UNET,
    single("unet_dice_long", "unet", "dice", **CPU).replace(epochs=20),  # as many updates as with two branches
    DUAL_UNET.replace(row="unet_dual_dice", criterion={"small": "dice"}),  # two branches, and no re-balanced sampler
    single("unet_cbce", "unet", "classbalanced", **CPU),
    single("unet_dice_synthetic", "unet", "dice", **CPU, **PRETRAINED),
    DUAL_UNET.replace(row="unet_dual_dsm_synthetic", **PRETRAINED),
    single("pspnet_dice", "pspnet", "dice", model_args={"width": 16}, **CPU),
    dual("pspnet_dual_dsm", "pspnet", **CPU).replace(model_args={"base": "pspnet", "width": 16}),
)
"""The headline comparison at a size that two cores train in minutes: Dice against two branches with the DSM loss."""

PAPER_SIZE: dict[str, Any] = {**CPU, "table": "paper_size", "size": (960, 1440), "dihedral": 6, "epochs": 20}
"""The small rows at the paper's size: a quarter of an hour of a GPU at most, or hours of a core."""


def _at_paper_size(recipe: DualBranchRecipe, **changes: Any) -> DualBranchRecipe:
    return recipe.replace(**PAPER_SIZE, model_args={**recipe.model_args, "width": 16}, **changes)


AT_PAPER_SIZE = (
    _at_paper_size(single("unet_dice", "unet", "dice")),
    _at_paper_size(single("unet_ce", "unet", "crossentropy")),
    _at_paper_size(DUAL_UNET),
    _at_paper_size(DUAL_UNET, row="unet_dual_dice", criterion={"small": "dice"}),
)

SGD: dict[str, Any] = {"optimiser": "sgd", "learning_rate": 0.1, "weight_decay": 5e-4}


def _ablation(row: str, model_args: Mapping[str, Any] | None = None, **criterion: Any) -> DualBranchRecipe:
    """The base with one thing changed."""
    return DUAL_UNET.replace(
        table="ablations",
        row=row,
        model_args={**DUAL_UNET.model_args, **(model_args or {})},
        criterion={**DUAL_UNET.criterion, **criterion},
    )


ABLATIONS = (
    _ablation("p25", small_args={"p": 0.25}),
    _ablation("p75", small_args={"p": 0.75}),
    _ablation("reverse", small_args={"p": None}),
    _ablation("equation", schedule="equation"),
    _ablation("not_shared", {"shared": "none"}),
    _ablation("sampled", small="sampleddice"),
    _ablation("sgd").replace(**SGD),
    _ablation("sgd_equation", schedule="equation").replace(**SGD),
)
"""One thing changed in `unet_dual_dsm`: the sample rate, the schedule as Eq. 5 prints it, nothing shared, pixels drawn
instead of the closed form; and SGD, under both schedules, since AdamW divides by the usual size of a gradient, and with
it by the weight of a branch's loss."""

RECIPES: tuple[DualBranchRecipe, ...] = (
    *TABLE_4,
    *TABLE_2,
    *TABLE_3,
    *TABLE_5,
    *TABLE_6,
    *_table("scratch", *SCRATCH),
    *SYNTHETIC,
    *SMALL,
    *AT_PAPER_SIZE,
    *ABLATIONS,
)
