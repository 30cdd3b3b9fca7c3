"""The race of the chapter on losses: one network, the same crops in the same order, and one loss per row."""

from typing import Any

from fundus_lib.recipes.base import Recipe

BASE = Recipe(
    paper="losses", table="race", row="crossentropy", size=(480, 720), crop=192, epochs=10, steps=30, learning_rate=5e-3
)
"""Hard exudates on IDRiD at 480×720, in about two minutes on one core."""

LOSSES: dict[str, dict[str, Any]] = {
    "crossentropy": {},
    "classbalanced": {"pool": "batch"},
    "weighted": {"pool": "batch"},
    "focal": {},
    "dice": {"pool": "batch"},
    "bin": {"pool": "batch"},
}
"""The losses, with their settings. Those that count pixels count them over the batch, as a crop may hold no lesion."""

RACE = tuple(BASE.replace(row=name, loss=name, loss_args=settings) for name, settings in LOSSES.items())
"""Nine of ten crops are placed around a lesion, as in the first segmenter."""

RECIPES = RACE
