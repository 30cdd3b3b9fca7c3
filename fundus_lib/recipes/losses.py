"""The race of the chapter on losses: one network, the same crops in the same order, and one loss per row."""

from typing import Any

from fundus_lib.recipes.first_segmenter import SegmentationRecipe

BASE = SegmentationRecipe(
    paper="losses", table="race", row="crossentropy", size=(480, 720), crop=192, epochs=10, steps=30
)
"""Hard exudates on IDRiD at 480×720, in about a minute and a half of one core's time."""

LOSSES: dict[str, dict[str, Any]] = {
    "crossentropy": {},
    "dice": {"pool": "batch"},
    "classbalanced": {"pool": "batch"},
    "focal": {},
    "bin": {"pool": "batch"},
    "weighted": {"pool": "batch"},
}
"""The losses, with their settings. Those that count pixels count them over the batch, as a crop may hold no lesion."""

RACE = tuple(
    BASE.replace(row=name, criterion={"loss": name, "loss_args": settings}) for name, settings in LOSSES.items()
)
"""All with the same learning rate. Nine of ten crops are placed around a lesion, as in the first segmenter."""

ANYWHERE = tuple(
    recipe.replace(table="anywhere", lesion_fraction=0.0)
    for recipe in RACE
    if recipe.row in ("crossentropy", "dice", "classbalanced")
)
"""The same with crops placed anywhere: half as many lesion pixels, and a fifth of the crops without any."""

FASTER = tuple(recipe.replace(table="faster", learning_rate=5e-3) for recipe in RACE)
"""The race at another learning rate: does the order depend on it?"""

RECIPES = RACE + ANYWHERE + FASTER
