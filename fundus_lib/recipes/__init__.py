"""What each row of each table is: one file per paper, holding its rows as :class:`Recipe` objects."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from fundus_lib.errors import UnknownNameError, suggest
from fundus_lib.recipes.base import Recipe
from fundus_lib.recipes.benchmark import BenchmarkRecipe
from fundus_lib.recipes.first_segmenter import SegmentationRecipe
from fundus_lib.recipes.grading import GradingRecipe
from fundus_lib.recipes.hecl import HECLRecipe
from fundus_lib.recipes.local_global import LocalGlobalRecipe
from fundus_lib.recipes.pldmlt import PLDMLTRecipe
from fundus_lib.recipes.whole_images import DualBranchRecipe

__all__ = [
    "PAPERS",
    "TASKS",
    "BenchmarkRecipe",
    "DualBranchRecipe",
    "GradingRecipe",
    "HECLRecipe",
    "LocalGlobalRecipe",
    "PLDMLTRecipe",
    "Recipe",
    "SegmentationRecipe",
    "find",
    "from_dict",
    "recipes",
]

PAPERS = ("first_segmenter", "losses", "dual_branch", "sunet", "hecl", "local_global", "pldmlt", "benchmark")
"""Papers and chapters with recipes; each has a module of its name with the constant `RECIPES`."""

TASKS: Mapping[type[Recipe], str] = {
    SegmentationRecipe: "first_segmenter",
    DualBranchRecipe: "dual_branch",
    GradingRecipe: "sunet",
    HECLRecipe: "hecl",
    LocalGlobalRecipe: "local_global",
    PLDMLTRecipe: "pldmlt",
    BenchmarkRecipe: "benchmark",
}
"""Every class of recipes, with the module of `fundus_lib.tasks` that trains them."""


def recipes(paper: str, table: str | None = None, row: str | None = None) -> list[Recipe]:
    """The recipes of a paper, in the order of its tables.

    Args:
        paper: One of `PAPERS`.
        table: Only those of this table.
        row: Only this row.

    Raises:
        UnknownNameError: There is no such paper, table or row.
    """
    if paper not in PAPERS:
        raise _unknown("paper", paper, PAPERS)
    found: list[Recipe] = list(import_module(f"fundus_lib.recipes.{paper}").RECIPES)
    for kind, wanted in (("table", table), ("row", row)):
        if wanted is not None:
            names = tuple(dict.fromkeys(getattr(recipe, kind) for recipe in found))
            found = [recipe for recipe in found if getattr(recipe, kind) == wanted]
            if not found:
                raise _unknown(kind, wanted, names)
    return found


def find(paper: str, row: str) -> Recipe:
    """The first recipe of that paper and row."""
    return recipes(paper, row=row)[0]


def from_dict(plain: Mapping[str, Any]) -> Recipe:
    """A recipe from plain values, as records and checkpoints of any age hold it.

    Raises:
        UnknownNameError: There is no such kind of recipe.
        ArgumentError: Its settings are not those of its kind.
    """
    kinds = {made.kind: made for made in TASKS}
    kind = plain.get("kind", SegmentationRecipe.kind)  # the first kind there was
    if kind not in kinds:
        raise _unknown("kind", str(kind), tuple(kinds))
    return kinds[kind].from_dict(plain)


def _unknown(kind: str, found: str, names: tuple[str, ...]) -> UnknownNameError:
    return UnknownNameError(
        "recipes",
        f"there are no recipes for this {kind}",
        found=repr(found),
        expected=", ".join(names),
        remedy=suggest(found, names),
    )
