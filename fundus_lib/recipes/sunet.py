"""sunet: every row of its Tables 1 and 2 and of Fig. 4, the same without ImageNet, and small versions for a CPU."""

from __future__ import annotations

from typing import Any

from fundus_lib.recipes.grading import GradingRecipe

DR: dict[str, Any] = {"diseases": ["dr"]}
DME: dict[str, Any] = {"diseases": ["dme"]}


def sunet(row: str, **changes: Any) -> GradingRecipe:
    """SUNet with the lesion regulariser, its batches with and without masks alternating."""
    return GradingRecipe(paper="sunet", table="scratch", row=row).replace(**changes)


def plain(row: str, model: str = "sunet", **model_args: Any) -> GradingRecipe:
    """A network without lesion regulariser: every image once in an epoch; those without a grade teach it nothing."""
    parts = {"regulariser": False} if model == "sunet" else {}
    return sunet(row, model=model, model_args={**parts, **model_args}, order="mixed")


TABLE_1 = (
    plain("dr", **DR),
    plain("dme", **DME),
    plain("dr_dme"),
    sunet("dr_lr", model_args=DR),
    sunet("dme_lr", model_args=DME),
    sunet("sunet"),
)
"""The six rows of Table 1, starting from random numbers."""

SPLITS = tuple(plain(split, "grader", split=split) for split in ("early", "middle", "late"))

TABLE_2 = (plain("vgg19", "grader", backbone="vgg19"), plain("resnet34", "grader"), *SPLITS)
"""The rows that Table 2 has besides SUNet."""

CONTROL = sunet("dr_dme_alternating", criterion={"lesions": 0.0})
"""SUNet, shown the same images in the same order, with the same layers, but the lesions' loss does not count.

Without it the row `dr_dme` differs from SUNet in three things at once: the loss of lesions, a second stream of layers,
and that training in turns shows the photographs with masks, most at the highest risk of edema, several times an epoch.
"""

MIXED = sunet("sunet_mixed", order="mixed")
"""Images with and without masks in one batch, each once an epoch, as in the row `dr_dme`."""

MIXED_CONTROL = MIXED.replace(row="dr_dme_mixed", criterion={"lesions": 0.0})
"""The same without the lesions' loss, so that nothing else differs."""

ORDERS = (CONTROL, MIXED, MIXED_CONTROL)

MIXED_SINGLES = (
    MIXED.replace(row="dr_lr_mixed", model_args=DR),
    MIXED.replace(row="dme_lr_mixed", model_args=DME),
)
"""One disease and the lesions, in mixed batches."""

MASKS = (0, 5, 9, 18, 27)
"""Of how many images the masks are used, in the sweep of Fig. 4; the row of all of them is SUNet."""


def _table(name: str, *recipes: GradingRecipe, **changes: Any) -> tuple[GradingRecipe, ...]:
    return tuple(recipe.replace(table=name, **changes) for recipe in recipes)


def _phi(base: GradingRecipe) -> tuple[GradingRecipe, ...]:
    """With fewer masks; without any there are no batches to alternate with, and no lesions to learn."""
    none = plain("masks_0").replace(model_args={**base.model_args, "regulariser": False})
    return (none, *(base.replace(row=f"masks_{count}", masks=count) for count in MASKS[1:]))


def _ablations(base: GradingRecipe, steps: tuple[int, ...]) -> tuple[GradingRecipe, ...]:
    """One thing changed in `sunet_mixed`; but from `leaks` on, each row adds one more.

    The leaks are trained on; then all photographs are, and none are kept to choose by; then batches come in turns, too.
    """

    def with_args(row: str, **model_args: Any) -> GradingRecipe:
        return base.replace(row=row, model_args={**base.model_args, **model_args})

    return (
        *(with_args(f"steps_{count}", steps=count) for count in steps),
        with_args("union_sum", union="sum"),
        with_args("pooling_mean", pooling="mean"),
        base.replace(row="once", order="once"),
        base.replace(row="weighted", criterion={"form": "weighted"}),
        base.replace(row="ordinal", criterion={"form": "ordinal"}),
        base.replace(row="leaks", leaks=True),
        base.replace(row="all_photographs", leaks=True, validation=0),
        base.replace(row="as_published", order="alternate", leaks=True, validation=0),
    )


IMAGENET = {"imagenet": True}

SYNTHETIC: dict[str, Any] = {"pretraining_images": 400, "pretraining_epochs": 20}
"""Pre-trained on synthetic images, which have grades and lesions, in place of ImageNet."""

SMALL: dict[str, Any] = {"side": 224, "epochs": 10, "learning_rate": 1e-3}
"""Three to eight minutes of one core: ResNet-18, less than half of the side, ten epochs, and a larger rate."""


def _small(recipe: GradingRecipe, **changes: Any) -> GradingRecipe:
    return recipe.replace(**SMALL, model_args={**recipe.model_args, "backbone": "resnet18"}, **changes)


LITE = {"epochs": 12, "learning_rate": 5e-4, "imagenet": True, "precision": "32"}
"""The small rows from ImageNet, on the one backbone whose weights come with a package: EfficientNet-Lite0."""


def _lite(recipe: GradingRecipe, **changes: Any) -> GradingRecipe:
    made = _small(recipe, table="lite", **changes)
    return made.replace(**LITE, model_args={**recipe.model_args, "backbone": "efficientnetlite0"})


LITE_512: dict[str, Any] = {"side": 512, "epochs": 30, "precision": "bf16"}
"""The lite rows at the paper's side: three to four minutes of a GPU."""

RECIPES: tuple[GradingRecipe, ...] = (
    *_table("1", *TABLE_1, **IMAGENET),
    *_table("2", *TABLE_2, **IMAGENET),
    *_table("phi", *_phi(sunet("sunet")), **IMAGENET),
    *_table("beyond", *ORDERS, *_ablations(MIXED, (0, 1, 2)), **IMAGENET),
    *_table("scratch", *TABLE_1, *TABLE_2, *ORDERS),
    *_table("synthetic", *TABLE_1[-1:], *ORDERS, **SYNTHETIC),
    *_table("small", *map(_small, (*TABLE_1, *ORDERS, plain("resnet18", "grader"), *SPLITS))),
    _small(plain("vgg19", "grader"), table="small").replace(learning_rate=1e-4, model_args={"backbone": "vgg19"}),
    *_table(
        "small",
        *(
            _small(recipe, row=f"{recipe.row}_synthetic", pretraining_images=400, pretraining_epochs=10).replace(
                pretraining_optimizer="shared"  # what their runs did
            )
            for recipe in (MIXED, MIXED_CONTROL)
        ),
    ),
    *map(_lite, (*TABLE_1[:3], *MIXED_SINGLES, sunet("sunet"), *ORDERS, plain("grader", "grader"))),
    _lite(plain("grader_scratch", "grader")).replace(imagenet=False),
    *_table(
        "lite_512",
        *map(_lite, (TABLE_1[0], TABLE_1[2], MIXED, MIXED_CONTROL, plain("grader", "grader"))),
        **LITE_512,
    ),
    *_table("ablations", *_phi(_lite(MIXED))[1:], *_ablations(_lite(MIXED), (0, 1))),
)
