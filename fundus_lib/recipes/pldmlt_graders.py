"""pldmlt, stage 1: the graders whose answers become pseudo labels, and small ones for a CPU."""

from __future__ import annotations

from typing import Any

from fundus_lib.recipes.grading import GradingRecipe

SHARED: dict[str, Any] = {"leaks": True, "shared": True}
"""All 413 graded images are trained on, as in the paper; also those whose masks stage 2 is tested on."""

UNSHARED: dict[str, Any] = {"leaks": False, "shared": False}
"""No image that the segmentation part holds is trained on, and no contradictory duplicate."""

WITHOUT = "_unshared"
"""The end of the names of rows that are trained so."""


def grade(row: str, **changes: Any) -> GradingRecipe:
    """A grader of retinopathy that is trained on all graded images, without masks; the last epoch counts."""
    recipe = GradingRecipe(
        paper="pldmlt",
        table="graders",
        row=row,
        model="grader",
        model_args={"diseases": ["dr"], "backbone": "efficientnetlite0"},
        order="mixed",
        masks=0,
        validation=0,
        choose_by="kappa",
        imagenet=True,
        side=224,
        epochs=8,
        learning_rate=5e-4,
        precision="32",
    )
    return recipe.replace(**SHARED).replace(**changes)


def _both(recipe: GradingRecipe) -> tuple[GradingRecipe, GradingRecipe]:
    return recipe, recipe.replace(row=f"{recipe.row}{WITHOUT}", **UNSHARED)


FIRST = grade("dr")

SECOND = grade("dr_dme", model_args={"diseases": ["dr", "dme"], "backbone": "efficientnetlite0"}, seed=1)
"""It learns the risk of macular edema besides, so that the two are not the same network twice."""

LITE = (*_both(FIRST), *_both(SECOND))
"""The two graders on a CPU, on the one backbone whose ImageNet weights come with a package: EfficientNet-Lite0."""
