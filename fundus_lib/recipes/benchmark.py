"""The benchmark: one base network for four lesions, what was tried to make it good, and the papers' ideas on it.

All rows are trained on IDRiD's training images, and tested on its others at their own size, but for the table
`external`, which is tested on other data sets. Minutes are process time of training on one core of a server's processor
that multiplies bf16.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from fundus_lib.recipes.base import Recipe
from fundus_lib.recipes.benchmark_grading import GRADING
from fundus_lib.recipes.first_segmenter import SegmentationRecipe


@dataclass(frozen=True, kw_only=True)
class BenchmarkRecipe(SegmentationRecipe):
    """A network trained on crops, with the idea of one of the papers or none.

    What the idea is follows from `model` and `criterion`: `"dualbranch"`, whose two branches see the same crops, has
    the settings of :class:`~fundus_lib.losses.DualBranchCriterion`; `"localglobal"`, which sees the shrunk image of
    each crop besides, those of :class:`~fundus_lib.losses.LocalGlobalCriterion`; with `"terms"` they are those of
    :class:`~fundus_lib.losses.HECLCriterion`, otherwise of :class:`~fundus_lib.losses.SingleBranchCriterion`.
    `"gradedunet"` is shown a graded image beside each crop.

    Attributes:
        average: Decay of the moving average of the weights, which is what is tested and saved; 0: the weights
            themselves are.
        zoom: By how much crops are enlarged or shrunk at most; 1: not at all.
        sampling: Around which lesion a crop is placed: a random one of a random `"image"`; or each kind of `"lesion"`
            equally often, in a random image that has it.
        graded_size: (height, width) of the graded images; None without them.
        labels: Which grades: the `"true"` ones of IDRiD's grading part, but for images that both parts share; or
            `"pseudo"` labels of the training images themselves.
        grade_weight: Of the grades' loss; at 0 the same images are shown, and it does not count.
        test_on: The data set whose test images are tested on, at the scale of training; empty for IDRiD's own.
    """

    kind: ClassVar[str] = "benchmark"

    average: float = 0.0
    zoom: float = 1.0
    sampling: Literal["image", "lesion"] = "image"
    graded_size: tuple[int, int] | None = None
    labels: Literal["true", "pseudo"] = "true"
    grade_weight: float = 1.0
    test_on: Literal["", "DDR", "DiaRetDB1"] = ""

    def problem(self) -> str | None:
        """What does not go together, in words; None if everything does."""
        if not 0 <= self.average < 1:
            return f"average={self.average}: a decay, from 0 to below 1"
        if self.zoom < 1 or round(self.crop * self.zoom) > min(self.size):
            return f"zoom={self.zoom} with crop={self.crop} and size={self.size}: from 1 on, within the image"
        if "terms" in self.criterion and self.model in ("dualbranch", "localglobal"):
            return f"model={self.model!r} has no contrastive terms"
        if (self.graded_size is None) != (self.model != "gradedunet") or self.grade_weight < 0:
            return f"model={self.model!r}, graded_size={self.graded_size}, grade_weight={self.grade_weight}"
        if self.test_on and self.fold:
            return f"test_on={self.test_on!r}, fold={self.fold}: folds go with test_on='' alone"
        return super().problem()

    @property
    def needs(self) -> tuple[str, ...]:
        """The data sets that it is trained and tested on."""
        return (self.dataset, self.test_on) if self.test_on else (self.dataset,)

    def smoke(self) -> BenchmarkRecipe:
        """The same experiment shrunk to seconds on a CPU: every code path, no result worth quoting."""
        made = super().smoke().replace(crop=min(self.crop, 48), graded_size=self.graded_size and (48, 72))
        return made.replace(model_args={**self.model_args, **NARROW.get(self.model, {})})  # type: ignore[return-value]

    @classmethod
    def defaults_of_old(cls, plain: Mapping[str, Any]) -> Mapping[str, Any]:
        """The first runs had no graded images, and were tested on IDRiD."""
        return {"graded_size": None, "labels": "true", "grade_weight": 1.0, "test_on": ""}


NARROW: dict[str, dict[str, Any]] = {
    "unet": {"width": 4, "depth": 2},
    "dualbranch": {"width": 4, "depth": 2},
    "gradedunet": {"width": 4, "depth": 2, "channels": 8},
    "localglobal": {"global_width": 4, "global_depth": 2, "local_width": 4, "local_depth": 2, "global_size": 32},
}
"""What makes a network small."""

START = BenchmarkRecipe(
    paper="benchmark",
    table="base",
    row="base",
    lesions=("MA", "HE", "EX", "SE"),
    precision="bf16",
    size=(640, 960),
    model_args={"width": 16},
    crop=256,
    batch=6,
    epochs=10,
    steps=100,
    colour_jitter=0.2,
    test_flips=True,
)
"""Where the search began: a U-Net of five levels, 1.9 million parameters, cross-entropy, 1,000 steps of six crops."""

OVER_THE_BATCH: dict[str, Any] = {"loss_args": {"pool": "batch"}}
"""Losses that count pixels count them over the batch, as a crop may hold no lesion of a kind."""

LOSSES: dict[str, dict[str, Any]] = {
    "dice": {"loss": "dice", **OVER_THE_BATCH},
    "classbalanced": {"loss": "classbalanced", **OVER_THE_BATCH},
    "bin": {"loss": "bin", **OVER_THE_BATCH},
    "weighted": {"loss": "weighted", **OVER_THE_BATCH},
    "focal": {"loss": "focal"},
}
"""The papers' losses, in place of cross-entropy."""

DICE_AND_CROSS_ENTROPY: dict[str, Any] = {"loss": "dicecrossentropy"}
"""No paper's here, but the usual one."""


def _search(row: str, **changes: Any) -> BenchmarkRecipe:
    """The start with nine training images held out, on which its score is looked at, and with something changed."""
    return START.replace(table="search", row=row, validation=9, **changes)


SEARCH = (
    _search("base"),
    _search("steps_2000", steps=200),
    _search("steps_4000", steps=400),
    _search("batch_3", batch=3, steps=200),
    _search("batch_12", batch=12, steps=50),
    _search("rate_0.001", learning_rate=1e-3),
    _search("rate_0.004", learning_rate=4e-3),
    _search("average_0.99", average=0.99),
    _search("average_0.998", average=0.998),
    _search("width_8", model_args={"width": 8}),
    _search("width_32", model_args={"width": 32}),
    _search("depth_3", model_args={"width": 16, "depth": 3}),
    _search("depth_5", model_args={"width": 16, "depth": 5}),
    _search("crop_192", crop=192, batch=11),
    _search("crop_320", crop=320, batch=4),
    _search("crop_448", crop=448, batch=2),
    _search("lesion_sampling", sampling="lesion"),
    _search("anywhere", lesion_fraction=0.0),
    _search("half_anywhere", lesion_fraction=0.5),
    _search("colour_0", colour_jitter=0.0),
    _search("colour_0.4", colour_jitter=0.4),
    _search("zoom_1.3", zoom=1.3),
    _search("one_view", test_flips=False),
    _search("by_image", normalise_by="image"),
    _search("dice", criterion=LOSSES["dice"]),
    _search("classbalanced", criterion=LOSSES["classbalanced"]),
    _search("dice_crossentropy", criterion=DICE_AND_CROSS_ENTROPY),
    _search("dice_crossentropy_batch_3", criterion=DICE_AND_CROSS_ENTROPY, batch=3, steps=200),
    _search("dice_crossentropy_lesions", criterion=DICE_AND_CROSS_ENTROPY, batch=3, steps=200, sampling="lesion"),
)
"""One change at a time, then two or three. All have as many pixels in all as the start, but for the longer schedules.

Minutes of one core where they are not twelve, from measured steps: ``steps_2000`` 24, ``steps_4000`` 48.
"""

BASE = START.replace(row="chosen", steps=200)
"""What the search chose, and the ideas are compared with: 2,000 steps, a quarter of an hour of one core."""

SHOWN: dict[str, Any] = {"graded_size": (224, 336)}
"""Size of graded images, which a laptop's grader takes too; masks of lesions are seen at 640×960."""


def _idea(
    row: str, model: str = "unet", criterion: Mapping[str, Any] | None = None, **model_args: Any
) -> BenchmarkRecipe:
    """The base with another criterion or network."""
    made = {"table": "ideas", "row": row, "model": model, "model_args": {**BASE.model_args, **model_args}}
    return BASE.replace(**made, criterion=criterion or {}, **(SHOWN if model == "gradedunet" else {}))


DICE: dict[str, Any] = {"large": "dice", "large_args": {"pool": "batch"}}

TWO_BRANCHES = tuple(
    _idea(row, "dualbranch", criterion, base="unet")
    for row, criterion in (
        ("two_branches", {"large": "crossentropy", "small": "crossentropy"}),
        ("two_branches_dice", {**DICE, "small": "dice", "small_args": {"pool": "batch"}}),
        ("two_branches_dsm", {**DICE, "small": "rebalanceddice", "small_args": {"p": 0.5, "pool": "batch"}}),
    )
)
"""Two decoders on one encoder: both with the base's loss, both with Dice, and with the dual-sampling modulated loss.

All three have the same weights of the branches from epoch to epoch. That both branches learn from the same crops is
what makes data and updates those of the base; the paper draws images for each.
"""

BOTH_TERMS: dict[str, Any] = {"terms": ("density", "edge")}

CONTRASTS = tuple(
    _idea(row, criterion=criterion)
    for row, criterion in (
        ("hecl", BOTH_TERMS),
        ("hecl_density", {"terms": ("density",)}),
        ("hecl_edge", {"terms": ("edge",)}),
        ("hecl_EX", {**BOTH_TERMS, "channels": (BASE.lesions.index("EX"),)}),
        ("hecl_weak", {**BOTH_TERMS, "alpha": 0.001}),
    )
)
"""Contrast of dense and other patches, of inner and outer contours, and both.

All lesions count as one; in `hecl_EX` hard exudates alone are contrasted, as in the paper. The weight is the paper's,
.01, at which the terms are more than twice the loss of the four masks; in `hecl_weak` it is a tenth of that.
"""

CONTEXT = (
    _idea("global_context", "localglobal", {"loss": "crossentropy"}).replace(
        model_args={"global_width": 8, "global_depth": 5, "local_width": 16, "local_depth": 4, "global_size": 192}
    ),
    _idea("wide", width=23),
)
"""The base as the local network, with a narrow one on the image shrunk to 192²; and one U-Net of as many parameters.

All parts are trained together from the start, as one stage has the base's updates.
"""

GRADES = (
    _idea("grades_control", "gradedunet").replace(grade_weight=0.0),
    _idea("grades_shared", "gradedunet", steps=0),
    _idea("grades_blending", "gradedunet"),
    _idea("grades_pseudo", "gradedunet", steps=0).replace(labels="pseudo"),
    _idea("grades_weak", "gradedunet").replace(grade_weight=0.01),
)
"""The base learns to grade: on one shared map, with the blending block, and from pseudo labels of its own images.

In the control, with the blending block, the loss of grades does not count. At a weight of 1 it is some thirty times
that of the four masks; in `grades_weak`, with the blending block, it has a hundredth of that.
"""

IDEAS = (
    *TWO_BRANCHES,
    *CONTRASTS,
    *CONTEXT,
    *GRADES,
    *(_idea(f"loss_{name}", criterion=criterion) for name, criterion in LOSSES.items()),
)
"""The base with each idea: the same data, crops, updates and test; what a row costs more is the idea's own cost."""

LARGE: dict[str, Any] = {"table": "gpu", "size": (1424, 2144), "crop": 384, "batch": 16, "epochs": 30, "steps": 100}
"""The first segmenter's regime at half of IDRiD's size: two minutes of a GPU for the base."""


def _large(recipe: BenchmarkRecipe) -> BenchmarkRecipe:
    shrunk = {"global_size": 384} if recipe.model == "localglobal" else {}
    return recipe.replace(**LARGE, model_args={**recipe.model_args, **shrunk})


EXTERNAL = tuple(
    BASE.replace(table="external", row=f"{camera.lower()}{ending}", test_on=camera, normalise_by=colours)
    for camera in ("DDR", "DiaRetDB1")
    for ending, colours in (("", "training set"), ("_by_image", "image"))
)
"""The base on two other cameras, and what normalisation by each image's own colours gives there."""


RECIPES: tuple[Recipe, ...] = (BASE, START, *SEARCH, *IDEAS, *map(_large, (BASE, *IDEAS)), *EXTERNAL, *GRADING)
