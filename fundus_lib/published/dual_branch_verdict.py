"""What our records say about the claim of dual_branch."""

from __future__ import annotations

from fundus_lib.published.printed import table
from fundus_lib.published.verdict import ENOUGH, Verdict, count_seeds, find_runs
from fundus_lib.records import load
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

FAIR = "unet_dice_long"
"""With which the numbers are given: it makes as many updates as two branches."""

SMALL, EQUAL = "EX_breakeven_recall_small", " at equal predicted area"
SCORES = {
    SMALL: f"fraction of small exudates found{EQUAL}",
    "EX_f1": "F1 at a probability of one half",
    "EX_aupr": "AUPR",
}


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
    fair = FAIR if FAIR in found else next(iter(found))
    said = ", ".join(f"{name.removesuffix(EQUAL)} {gain}" for name, gain in found[fair].items())
    decided = (
        "Cannot be told yet for the paper's networks and size. At 320×480, "
        f"{decide_branches(compare_branches())} {decide(found)}"
    )
    return Verdict(
        claim,
        f"A U-Net with one and with two branches, on whole images at 320×480, a third of the paper's height and width, "
        f"from random numbers; tested on real IDRiD, {count_seeds(runs)} "
        f"({', '.join(sorted(runs.device.unique()))}).{_tell_paper_rows()}",
        f"{decided} Two branches with the DSM loss minus {OTHERS[fair]}, mean and range over seeds: {said}.",
        f"These records hold no score of single images, so that there is no interval over images. The networks reach "
        f"an AUPR of {reached.min():.2f} to {reached.max():.2f} only, where small exudates are hardly visible: a "
        "comparison at a size at which they learn the task would change more than further seeds.",
        decided,
    )


def _tell_paper_rows() -> str:
    """Whether rows of the paper's Table 4 were run."""
    known = load()
    own = known[(known.paper == "dual_branch") & (known.table == "4")]
    return " No row of the paper's tables." if own.empty else " Rows of Table 4 that were run are in the ledger."


def compare(row: str) -> dict[str, Difference]:
    """Name of a score → two branches with the DSM loss minus that row, where both were run."""
    found = {name: difference("dual_branch", ("small", OURS), ("small", row), key) for key, name in SCORES.items()}
    return {name: gain for name, gain in found.items() if gain}


def compare_branches() -> Difference:
    """Small exudates found at equal predicted area: the small branch of the dual network minus its large branch."""
    small, large = (("small", OURS, f"{size} branch") for size in ("small", "large"))
    return difference("dual_branch", small, large, SMALL)


def decide_branches(gain: Difference) -> str:
    """What the branches of one network say of small exudates, in a sentence that begins in lower case."""
    if len(gain.by_seed) < ENOUGH:
        return f"fewer than {ENOUGH} seeds show how many small exudates each branch finds, too few to compare them."
    shown = "an advantage" if gain.low > 0 else "a disadvantage" if gain.high < 0 else "no advantage"
    return (
        f"{shown} of the small branch at small exudates is shown: at equal predicted area (as many pixels as the "
        f"exudates have), the fraction of them that it finds, minus that of the large branch, is {gain}."
    )


def decide(found: dict[str, dict[str, Difference]]) -> str:
    """In each score, over which networks two branches are ahead or behind with every seed, in sentences."""
    parts = []
    for name in SCORES.values():
        sides: dict[str, list[str]] = {}
        for row, gains in found.items():
            if name in gains:
                sides.setdefault(_side(gains[name]), []).append(OTHERS[row])
        said: list[str] = []
        for side, others in sorted(sides.items(), key=lambda item: "every" not in item[0]):
            rest = f"all {len(others)}" if len(others) == len(found) else f"the {len(others)} others"
            known = len(others) == 1 or (len(others) < len(found) and not said)
            said.append(f"{side} that of {' and that of '.join(others) if known else rest}")
        if said:
            parts.append(f" The {name} is {'; it is '.join(said)}.")
    networks = f"{len(found)} network{'s' * (len(found) > 1)} with plain Dice losses"
    return f"Both branches together, with the DSM loss, were compared with {networks}.{''.join(parts)}"


def _side(gain: Difference) -> str:
    """How it compares, as words that come before "that of"."""
    if len(gain.by_seed) < ENOUGH:
        return f"known for fewer than {ENOUGH} seeds, too few to compare with"
    if gain.low > 0:
        return "higher with every seed than"
    if gain.high < 0:
        return "lower with every seed than"
    return "higher with some seeds and lower with others than"
