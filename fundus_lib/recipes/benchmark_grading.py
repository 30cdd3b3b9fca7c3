"""The benchmark's rows of grading: does learning lesions help to grade?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from fundus_lib.recipes.grading import GradingRecipe


def _grader(
    row: str,
    model: Literal["sunet", "grader"] = "sunet",
    criterion: Mapping[str, Any] | None = None,
    **model_args: Any,
) -> GradingRecipe:
    """Grades of both diseases from ImageNet's EfficientNet-Lite0, each image once in an epoch: minutes of one core."""
    return GradingRecipe(
        paper="benchmark",
        table="grading",
        row=row,
        model=model,
        criterion=criterion or {},
        model_args={"backbone": "efficientnetlite0", **model_args},
        order="mixed",
        imagenet=True,
        side=224,
        epochs=12,
        learning_rate=5e-4,
        precision="32",
    )


NO_LESIONS: dict[str, Any] = {"lesions": 0.0}
"""The lesions' loss does not count: the same images, layers and order without it."""

BLENDING = (_grader("sunet"), _grader("sunet_control", criterion=NO_LESIONS))
SHARED = (_grader("shared", steps=0), _grader("shared_control", criterion=NO_LESIONS, steps=0))
"""Lesions and grades from one feature map, without the block that separates and unites two of them."""

PRETRAINED: dict[str, Any] = {"pretraining_images": 400, "pretraining_epochs": 10}
"""On synthetic images first, all of which have masks, so that the lesion path has learnt when IDRiD begins."""

LONG: dict[str, Any] = {"side": 512, "epochs": 60, "order": "alternate", "precision": "bf16"}
"""At the paper's side every second batch has masks, for 60 epochs: for a GPU."""


def _like(rows: tuple[GradingRecipe, ...], ending: str, **changes: Any) -> tuple[GradingRecipe, ...]:
    return tuple(row.replace(row=f"{row.row}_{ending}", **changes) for row in rows)


GRADING: tuple[GradingRecipe, ...] = (
    _grader("grader", "grader"),
    *BLENDING,
    *SHARED,
    *_like(BLENDING, "pretrained", **PRETRAINED),
    *_like(BLENDING, "long", **LONG),
)
"""Does learning lesions help to grade? A plain grader, and networks of both tasks with and without lesions' loss."""
