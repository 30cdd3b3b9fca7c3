"""What our records say about the claim of dual_branch."""

from __future__ import annotations

from fundus_lib.published.printed import table
from fundus_lib.published.verdict import ENOUGH, Verdict, count_seeds, find_runs
from fundus_lib.records.differences import Difference, difference

NETWORKS = {
    "PSPNet": ("Dual PSPNet + DSM", "PSPNet + Dice"),
    "DeepLabV3": ("Dual Deeplabv3+DSM", "Deeplabv3 + Dice"),
    "HED": ("Dual HED + DSM", "HED + Dice"),
}
"""Network → its rows of Table 4 with two branches, and with one under the Dice loss."""

OURS = "unet_dual_dsm"
OTHERS = {
    "unet_dice": "one branch with the Dice loss",
    "unet_dice_long": "one branch with the Dice loss and as many updates",
    "unet_dual_dice": "two branches with plain Dice losses",
}
"""Rows of the table `small` that two branches with the DSM loss are compared with."""

SCORES = {"EX_aupr": "AUPR", "EX_f1": "F1 at a probability of .5"}


def judge() -> Verdict:
    """The verdict, from the records of the library."""
    printed = table("dual_branch", 4)["aupr"]
    numbers = ", ".join(f"{printed[two]:.4f} against {printed[one]:.4f} ({n})" for n, (two, one) in NETWORKS.items())
    claim = (
        "Two branches, one for large and one for small exudates, each with a Dice loss on sampled pixels, find hard "
        f"exudates better than one network with a Dice loss: AUPR on IDRiD {numbers} (Table 4)."
    )
    found = {row: gains for row in OTHERS if (gains := compare(row))}
    if not found:
        need = f"Both networks with {ENOUGH} seeds at the paper's size would tell."
        return Verdict(claim, "Nothing yet.", "Cannot be told yet.", need)
    runs = find_runs("dual_branch", "small", (OURS, *found))
    reached = runs.EX_aupr
    said = "; ".join(
        f"{OTHERS[row]}: " + ", ".join(f"{name} {gain}" for name, gain in gains.items()) for row, gains in found.items()
    )
    return Verdict(
        claim,
        f"A U-Net with one and with two branches, on whole images at 320×480, a third of the paper's height and width, "
        f"from random numbers; tested on real IDRiD, {count_seeds(runs)} "
        f"({', '.join(sorted(runs.device.unique()))}). No row of the paper's tables.",
        f"Cannot be told yet for the paper's networks and size. At 320×480, {decide(found)} Two branches with the DSM "
        f"loss minus another, mean and range over seeds: {said}.",
        f"These records hold no score of single images, so that there is no interval over images. The networks reach "
        f"an AUPR of {reached.min():.2f} to {reached.max():.2f} only, where small exudates are hardly visible: a "
        "comparison at a size at which they learn the task would change more than further seeds.",
        f"Cannot be told yet for the paper's networks and size. At 320×480, {decide(found)}",
    )


def compare(row: str) -> dict[str, Difference]:
    """Name of a score → two branches with the DSM loss minus that row, where both were run."""
    found = {name: difference("dual_branch", ("small", OURS), ("small", row), key) for key, name in SCORES.items()}
    return {name: gain for name, gain in found.items() if gain}


def decide(found: dict[str, dict[str, Difference]]) -> str:
    """In each score, over which networks it is ahead or behind in every seed, in a sentence."""
    parts = []
    for name in SCORES.values():
        sides: dict[str, list[str]] = {}
        for row, gains in found.items():
            if name in gains:
                sides.setdefault(_side(gains[name]), []).append(OTHERS[row])
        for side, others in sides.items():
            against = f"all {len(others)} others" if len(others) == len(found) > 1 else " and ".join(others)
            parts.append(f"the {name} of two branches with the DSM loss is {side} that of {against}")
    return f"{'; '.join(parts)}."


def _side(gain: Difference) -> str:
    """How it compares, as words that come before "that of"."""
    if len(gain.by_seed) < ENOUGH:
        return f"known for fewer than {ENOUGH} seeds, too few to compare with"
    if gain.low > 0:
        return "higher in every seed than"
    if gain.high < 0:
        return "lower in every seed than"
    return "higher with some seeds and lower with others than"
