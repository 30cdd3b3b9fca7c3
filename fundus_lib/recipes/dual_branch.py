"""dual_branch: every row of its Tables 2 to 6, the same without ImageNet, and small versions for a CPU."""

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


def dual(row: str, base: str, p: float | None = 0.5, **changes: Any) -> DualBranchRecipe:
    """Two branches under the DSM loss: a step shows each branch one photograph, as in the authors' code.

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
    """One network under one loss: a step shows two photographs."""
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
"""The class-balanced losses of the authors' code sum over pixels."""

SCRATCH = (
    single("pspnet_cbce", "pspnet", "classbalanced"),
    single("pspnet_dice", "pspnet", "dice"),
    dual("dual_pspnet_dsm", "pspnet"),
    single("deeplabv3_cbce", "deeplabv3", "classbalanced"),
    single("deeplabv3_dice", "deeplabv3", "dice"),
    dual("dual_deeplabv3_dsm", "deeplabv3"),
    single("hed_cbce", "hed", "classbalanced", SUM, batch=1, **HED),
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
    return recipe.replace(test_on="DDR", size=(1024, 1024), epochs=100)


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
            single("lseg", "lseg", "bin", {"ratio": 10.0, **SUM}, batch=1, **HED),
            single("lwenet", "lwenet", "classbalanced", learning_rate=0.01),
            single("bin", "hed", "bin", SUM, batch=1, **HED),
        ),
    ),
)

SYNTHETIC = tuple(
    recipe.replace(table="synthetic", pretraining_images=324, pretraining_epochs=10, normalise_by="deviation")
    for recipe in SCRATCH
    if recipe.row in ("pspnet_dice", "dual_pspnet_dsm")
)
"""Pre-trained on drawn fundi in place of ImageNet."""

CPU: dict[str, Any] = {
    "table": "small",
    "size": (320, 480),
    "versions": 2,
    "epochs": 10,
    "optimiser": "adamw",
    "learning_rate": 2e-3,
    "weight_decay": 0.01,
    "normalise_by": "deviation",
}
"""Two to four minutes of one core: a third of the paper's height and width, two of the six versions, ten epochs, and
AdamW as in the first segmenter."""

DRAWN: dict[str, Any] = {"pretraining_images": 90, "pretraining_epochs": 10}
"""As many steps on drawn fundi first as on photographs afterwards."""

DUAL_UNET = dual("unet_dual_dsm", "unet", **CPU)
"""The base of the ablations: two branches of the first segmenter's U-Net, p = 0.5, the text's schedule."""

SMALL = (
    single("unet_dice", "unet", "dice", **CPU),
    DUAL_UNET,
    single("unet_dice_long", "unet", "dice", **CPU).replace(epochs=20),  # as many updates as with two branches
    DUAL_UNET.replace(row="unet_dual_dice", criterion={"small": "dice"}),  # two branches, and no re-balanced sampler
    single("unet_cbce", "unet", "classbalanced", **CPU),
    single("unet_dice_synthetic", "unet", "dice", **CPU, **DRAWN),
    DUAL_UNET.replace(row="unet_dual_dsm_synthetic", **DRAWN),
    single("pspnet_dice", "pspnet", "dice", model_args={"width": 16}, **CPU),
    dual("pspnet_dual_dsm", "pspnet", **CPU).replace(model_args={"base": "pspnet", "width": 16}),
)
"""The headline comparison at a size that two cores train in minutes: Dice against two branches with the DSM loss."""


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
)
"""One thing changed in `unet_dual_dsm`: the sample rate, the schedule as Eq. 5 prints it, nothing shared, and pixels
drawn instead of the closed form."""

RECIPES: tuple[DualBranchRecipe, ...] = (
    *TABLE_4,
    *TABLE_2,
    *TABLE_3,
    *TABLE_5,
    *TABLE_6,
    *_table("scratch", *SCRATCH),
    *SYNTHETIC,
    *SMALL,
    *ABLATIONS,
)
