"""pldmlt: every row of its Tables 1 to 3, what it leaves open, and small versions of Table 3 for a CPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from fundus_lib.recipes.base import Recipe
from fundus_lib.recipes.grading import GradingRecipe
from fundus_lib.recipes.pldmlt_graders import LITE


@dataclass(frozen=True, kw_only=True)
class PLDMLTRecipe(Recipe):
    """A network that segments all lesions as one and may grade; the grades that it learns may be rewritten meanwhile.

    Images are the square around the field of view. A training image is turned by any angle, mirrored and zoomed. The
    network is tested at that size.

    Attributes:
        lesions: The one channel that is segmented, all lesions fused.
        further: Data sets that are joined to `dataset`.
        pooled: Training and test images are one set, of which `fold` takes its parts, as with the paper's 81 images of
            IDRiD; otherwise, or without a fold, only training images are divided.
        side: Of the square in pixels.
        model: `"pldmlt"`, or a segmenter that does not grade.
        model_args: Its settings; `grades=False` leaves the grade head out.
        criterion: Settings of :class:`~fundus_lib.losses.PLDMLTCriterion`.
        labels: What grades the images have at first. `"graders"`: the answer of the more confident of two;
            `"corrected"`: the same corrected by heat maps and lesions; `"rule"`: the least grade that the medical rule
            allows by the masks (0, 1 or 2); `"true"`: the grade in IDRiD's grading part of the images that are there
            too, or in DDR's, unknown for the others.
        label_leaks: Whether the graders were trained on images that both parts of IDRiD share.
        update: Whether a label network rewrites them.
        label_args: Its settings, see :class:`~fundus_lib.models.pldmlt.LabelNet`.
        label_rate: Rate of Adam for it.
        start: Probability that it gives to the initial label before it has learnt anything; 0.2 for none, as in MAXL.
        order: `"batch"`: after each step of the network one of the label network on the same batch. `"nested"`:
            `block` epochs of the network, `block` of the label network, and so on; 1 is MAXL's, 100 Algorithm 1's.
        block: See `order`.
        every: In the order `"batch"`, the label network steps after an epoch's first batch, and then after every so
            many.
        virtual_rate: ε of the virtual step.
        outer: Whose loss after the virtual step the label network minimises.
        derivative: Of that loss: `"second"` order, exact, or `"first"`, approximate.
        entropy: Weight of MAXL's term against collapse.
        form: Of the masked softmax, see :func:`~fundus_lib.losses.mask_softmax`.
        allowed: Which grades it leaves an image: `"all"`, or those that the medical rule allows by its masks.
        optimiser: Of the network: `"adam"` at a constant rate, or `"one-cycle"`, AdamW under such a schedule.
        learning_rate: Of it, at its peak if there is one.
        zoom: By how much images are enlarged (and cropped) or shrunk at most.
        choose_by: Score of the lesions on the validation images; empty: the last epoch counts.
    """

    kind: ClassVar[str] = "pldmlt"

    lesions: tuple[str, ...] = ("ANY",)
    further: tuple[str, ...] = ()
    pooled: bool = True
    side: int = 1024
    model: str = "pldmlt"
    labels: Literal["corrected", "graders", "rule", "true"] = "corrected"
    label_leaks: bool = False
    update: bool = False
    label_args: Mapping[str, Any] = field(default_factory=dict)
    label_rate: float = 5e-5
    start: float = 0.9
    order: Literal["batch", "nested"] = "batch"
    block: int = 1
    every: int = 1
    virtual_rate: float = 5e-5
    outer: Literal["segmentation", "grading", "total"] = "segmentation"
    derivative: Literal["second", "first"] = "second"
    entropy: float = 0.0
    form: Literal["equation", "maxl"] = "equation"
    allowed: Literal["all", "rule"] = "all"
    optimiser: Literal["adam", "one-cycle"] = "adam"
    learning_rate: float = 5e-5
    epochs: int = 100
    batch: int = 4
    zoom: float = 1.2
    choose_by: Literal["", "f1", "aupr"] = ""

    def problem(self) -> str | None:
        """What does not go together, in words; None if everything does."""
        if self.lesions != ("ANY",):
            return f"lesions={self.lesions}: all lesions are fused, ('ANY',)"
        if self.update and not self.grades:
            return "update=True: a network that does not grade needs no labels"
        if self.side < 32 or min(self.block, self.every) < 1 or self.zoom < 1 or not 0.2 <= self.start < 1:
            return f"side={self.side}, block={self.block}, every={self.every}, zoom={self.zoom}, start={self.start}"
        if min(self.virtual_rate, self.label_rate) <= 0 or self.entropy < 0:
            return f"virtual_rate={self.virtual_rate}, label_rate={self.label_rate}, entropy={self.entropy}"
        if self.order == "nested" and self.update and self.epochs % (2 * self.block):
            return f"epochs={self.epochs}: with order='nested' a multiple of twice block={self.block}"
        if self.validation is None or self.pretraining_epochs:
            return "validation=None, pretraining_epochs: there is no validation split, and no synthetic training data"
        return super().problem()

    @property
    def grades(self) -> bool:
        """Whether the network grades."""
        return self.model == "pldmlt" and bool(self.model_args.get("grades", True))

    @property
    def needs(self) -> tuple[str, ...]:
        """The data sets that it is trained and tested on."""
        return (self.dataset, *self.further)

    def smoke(self) -> PLDMLTRecipe:
        """The same experiment shrunk to seconds on a CPU: every code path, no result worth quoting."""
        args = {**self.model_args}
        if self.model == "pldmlt":
            args |= {"width": 4}
        elif self.model in ENCODERS:
            args["encoder"] = "resnet18"
        nested = self.update and self.order == "nested"
        changes: dict[str, Any] = {
            "side": 64,
            "model_args": args,
            "label_args": {**self.label_args, "width": 4} if self.update else {},
            "batch": 2,
            "epochs": 2,
            "block": 1 if nested else self.block,
            "every": min(self.every, 2),
            "train_images": min(self.train_images or 8, 8),
            "test_images": min(self.test_images or 4, 4),
            "validation": min(self.validation or 0, 1),
            "imagenet": False,
        }
        return self.replace(**changes)


ENCODERS = ("linknet", "deeplabv3plus", "fpn")
"""Segmenters whose encoder is a setting."""

EVEN: dict[str, Any] = {"criterion": {"beta": 1.0}}
"""Both losses weigh the same."""

FOLDS = (1, 5)
"""Of five; `fundus run` runs each."""


def network(row: str, **changes: Any) -> PLDMLTRecipe:
    """The network at the paper's size with fixed labels; epochs and batch are ours."""
    recipe = PLDMLTRecipe(paper="pldmlt", table="3", row=row, further=("DiaRetDB1",), imagenet=True, fold=FOLDS)
    return recipe.replace(label_leaks=True).replace(**changes)


def table(name: str, *rows: Recipe, **changes: Any) -> tuple[Recipe, ...]:
    """Rows as those of a table."""
    return tuple(row.replace(table=name, **changes) for row in rows)


SEGMENTATION = network("segmentation", model_args={"grades": False})
GRADES = network("grades", **EVEN)
UPDATED = network("update", **EVEN, update=True)
WEIGHTED = network("weight", criterion={"beta": 0.8}, update=True)
TABLE_3 = (SEGMENTATION, GRADES, UPDATED, WEIGHTED)
"""The segmentation loss alone; with the loss of grades; with the label network; with a weight of grades below 1."""

SEGMENTERS = (
    SEGMENTATION.replace(row="unet"),
    network("linknet", model="linknet", model_args={"encoder": "resnet18"}),
    network("deeplabv3plus", model="deeplabv3plus", model_args={"encoder": "resnet50"}),
    network("fpn", model="fpn", model_args={"encoder": "resnet50"}),
)
MTUNET = GRADES.replace(row="mtunet")
"""The multi-task network without label network, our reading of the row: there is no code of it."""

BEYOND = (
    UPDATED.replace(table="beyond", row="update_nested", order="nested", block=100, epochs=400),
    UPDATED.replace(table="beyond", row="update_first_order", derivative="first"),
    UPDATED.replace(table="beyond", row="update_entropy", entropy=0.2),
    UPDATED.replace(table="beyond", row="update_total", outer="total"),
)
"""Readings of what the paper prints or leaves open: 100 epochs of each network in turn, twice; and so on."""


def grader(row: str, backbone: str, side: int = 512) -> GradingRecipe:
    """A grader of retinopathy at a size of ours; the paper says nothing of how they were trained."""
    return GradingRecipe(
        paper="pldmlt",
        table="1",
        row=row,
        model="grader",
        model_args={"diseases": ["dr"], "backbone": backbone},
        order="mixed",
        masks=0,
        imagenet=True,
        side=side,
    )


GRADERS = (
    grader("nasnet", "nasnet", 331),
    grader("densenet201", "densenet201"),
    grader("resnext50", "resnext50"),
    grader("resnext101", "resnext101"),
)

DDR: dict[str, Any] = {"dataset": "DDR"}

SMALL: dict[str, Any] = {
    "table": "small",
    "further": (),
    "side": 256,
    "imagenet": False,
    "label_leaks": False,
    "batch": 5,
    "epochs": 40,
    "optimiser": "one-cycle",
    "learning_rate": 4e-3,
    "label_rate": 3e-3,
    "virtual_rate": 0.1,
    "every": 8,
}
"""A quarter of the width at a quarter of the size, on IDRiD alone: three to seven minutes of one core for a fold."""


def small(recipe: PLDMLTRecipe, **changes: Any) -> PLDMLTRecipe:
    """The same for a CPU: narrow, with batch normalisation throughout."""
    labels = {"label_args": {"width": 8, "norm": True}} if recipe.update else {}
    args = {**recipe.model_args, "width": 16, "norm": True}
    return recipe.replace(**SMALL, **labels, model_args=args).replace(**changes)


SMALL_ROWS = tuple(map(small, TABLE_3))
SMALL_UPDATE = small(UPDATED)


def _ablation(row: str, base: PLDMLTRecipe = SMALL_UPDATE, **changes: Any) -> PLDMLTRecipe:
    return base.replace(table="ablations", row=row, **changes)


ABLATIONS = (
    _ablation("first_order", derivative="first"),
    _ablation("nested", order="nested", block=2, every=1, epochs=80),
    _ablation("entropy", entropy=0.2),
    _ablation("outer_total", outer="total"),
    _ablation("outer_grading", outer="grading"),
    _ablation("no_start", start=0.2),
    _ablation("rule_mask", allowed="rule"),
    _ablation("maxl_mask", allowed="rule", form="maxl"),
    *(_ablation(f"beta_{beta:g}", small(GRADES), criterion={"beta": beta}) for beta in (0.01, 0.1)),
    _ablation("update_beta_0.01", criterion={"beta": 0.01}),
    *(_ablation(f"labels_{labels}", small(GRADES), labels=labels) for labels in ("graders", "rule", "true")),
    _ablation("labels_with_leaks", small(GRADES), label_leaks=True),
)
"""One thing changed in the small row with a label network, or in that with fixed labels.

``update_beta_0.01`` has a label network where fixed labels with this weight of the grades leave the segmentation alone.
"""

GPU: dict[str, Any] = {
    "table": "gpu",
    "further": (),
    "imagenet": False,
    "label_leaks": False,
    "batch": 2,
    "epochs": 60,
    "optimiser": "one-cycle",
    "learning_rate": 1e-3,
    "label_rate": 1e-3,
    "virtual_rate": 0.1,
    "every": 4,
}
"""The paper's size and width on IDRiD alone, without ImageNet's weights, in a schedule for one GPU."""


def gpu(recipe: PLDMLTRecipe) -> PLDMLTRecipe:
    """The same for a GPU, with batch normalisation throughout."""
    labels = {"label_args": {"norm": True}} if recipe.update else {}
    return recipe.replace(**GPU, **labels, model_args={**recipe.model_args, "norm": True})


RECIPES: tuple[Recipe, ...] = (
    *table("1", *SEGMENTERS, MTUNET, WEIGHTED.replace(row="ours"), *GRADERS),
    *table("2", *SEGMENTERS, MTUNET, WEIGHTED.replace(row="ours", criterion={"beta": 0.95}), **DDR, further=()),
    *table("2", *GRADERS, **DDR),
    *TABLE_3,
    *BEYOND,
    *SMALL_ROWS,
    *ABLATIONS,
    *map(gpu, TABLE_3),
    *LITE,
)
