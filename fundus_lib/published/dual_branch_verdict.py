"""What our records say about the claim of dual_branch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from fundus_lib.published.benchmark_leaderboard import BASE, Gain
from fundus_lib.published.benchmark_leaderboard import gain as gain_on_base
from fundus_lib.published.printed import table
from fundus_lib.published.verdict import (
    ENOUGH,
    NOT_YET,
    Evidence,
    Result,
    Verdict,
    count_seeds,
    find_runs,
    judge_gain,
    tell_seeds,
)
from fundus_lib.records import load
from fundus_lib.records.differences import Difference, difference

if TYPE_CHECKING:
    import pandas as pd

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

ON_BASE = ("ideas", "two_branches_dsm"), ("ideas", "loss_dice")
"""Rows of the benchmark: two branches with the DSM loss, and one branch with the Dice loss."""


def judge() -> Verdict:
    """The verdict, from the records of the library."""
    printed = table("dual_branch", 4)["aupr"]
    numbers = ", ".join(f"{printed[two]:.4f} against {printed[one]:.4f} ({n})" for n, (two, one) in NETWORKS.items())
    claim = (
        "Two branches, one for large and one for small exudates, each with a Dice loss on sampled pixels, find hard "
        f"exudates better than one network with a Dice loss: AUPR on IDRiD {numbers} (Table 4)."
    )
    found = {row: gains for row in OTHERS if (gains := compare(row))}
    on_base = gain_on_base(*ON_BASE)
    if not found and not on_base:
        need = f"Both networks with {ENOUGH} seeds at the paper's size would tell."
        return Verdict(claim, "Nothing yet.", "Cannot be told yet.", need)
    runs = find_runs("dual_branch", "small", (OURS, *found)) if found else None
    answer = [NOT_THERE, decide_on_base(on_base)]
    if runs is not None:
        answer.append(f"At 320×480, {decide_branches(compare_branches())}")
        answer.append("" if on_base else decide(found))
    return Verdict(
        claim,
        "Networks with one and with two branches, trained and tested on real IDRiD."
        f"{_tell_base(on_base)}{_tell_small(runs)}{_tell_paper_rows()}",
        " ".join(filter(None, answer)),
        f"{_HOW_SURE}{_tell_level(runs)}",
        Evidence(
            "Of hard exudates. AUPR at 640×960: 95 % interval over images and, from three seeds on, over seeds; all "
            "others: range over seeds",
            _list_gains(on_base, found),
        ),
    )


NOT_THERE = "Cannot be told yet for the paper's networks and size."

_HOW_SURE = (
    f"{ENOUGH} seeds of the paper's networks at its size, 960×1440, would settle it; the paper prints one number for "
    "each and does not say how many runs it is from."
)


def _tell_base(gain: Gain) -> str:
    """What was run on the benchmark's base, in a sentence; empty without a run."""
    return " A U-Net for four lesions, crops at 640×960, tested at full size (the benchmark's base)." if gain else ""


def _tell_small(runs: pd.DataFrame | None) -> str:
    """What was run at 320×480, in a sentence; empty without a run."""
    if runs is None:
        return ""
    return (
        " A U-Net on whole images at 320×480, a third of the paper's height and width, from random initial weights, "
        f"{count_seeds(runs)} ({', '.join(sorted(runs.device.unique()))})."
    )


def _tell_level(runs: pd.DataFrame | None) -> str:
    """What the networks at 320×480 reach, in a sentence; empty without a run."""
    if runs is None:
        return ""
    return (
        f" At 320×480 the networks reach an AUPR of {runs.EX_aupr.min():.2f} to {runs.EX_aupr.max():.2f} only, small "
        "exudates are hardly visible, and these records hold no score of single images, so that there is no interval "
        "over images."
    )


def _list_gains(on_base: Gain, found: Mapping[str, Mapping[str, Difference]]) -> dict[str, dict[str, str]]:
    """Scale and what minus what → score → difference; at 320×480 without the base's the fair comparison, too."""
    listed: dict[str, dict[str, str]] = {}
    two, branches = "two branches with the DSM loss minus", "their small branch minus the large one"
    if on_base:
        rest = {name: difference("benchmark", *ON_BASE, key) for key, name in SCORES.items() if key != "EX_aupr"}
        listed[f"640×960, {two} one with the Dice loss"] = {"AUPR": _tell(on_base)} | _texts(rest)
        if plain := gain_on_base(ON_BASE[0], BASE):
            listed[f"640×960, {two} one with cross-entropy"] = {"AUPR": _tell(plain)}
        small, large = ((*ON_BASE[0], f"{size} branch") for size in ("small", "large"))
        listed[f"640×960, {branches}"] = _texts({SCORES[SMALL]: difference("benchmark", small, large, SMALL)})
    if found:
        fair = FAIR if FAIR in found else next(iter(found))
        listed[f"320×480, {two} {OTHERS[fair]}"] = {} if on_base else _texts(found[fair])
        listed[f"320×480, {branches}"] = _texts({SCORES[SMALL]: compare_branches()})
    return {where: gains for where, gains in listed.items() if gains}


def _texts(gains: Mapping[str, Difference]) -> dict[str, str]:
    return {name: str(gain) for name, gain in gains.items() if gain}


def _tell(gain: Gain) -> str:
    return f"{gain.tell('EX')} ({tell_seeds(gain.seeds)})"


def decide_on_base(gain: Gain) -> str:
    """What two branches gain where networks learn the task, in sentences; empty without a run."""
    if not gain:
        return ""
    compared = "At 640×960, two branches with the DSM loss were compared with one branch with the Dice loss"
    if len(gain.seeds) < ENOUGH:
        return f"{compared}: not decided ({len(gain.seeds)} of the {ENOUGH} seeds that it takes)."
    said = f"{compared}: {judge_gain(gain.scores['EX'])[1]} in AUPR of hard exudates."
    plain = gain_on_base(ON_BASE[0], BASE)
    if len(plain.seeds) >= ENOUGH:
        said += f" Beside one branch with cross-entropy: {judge_gain(plain.scores['EX'])[1]}."
    small, large = ((*ON_BASE[0], f"{size} branch") for size in ("small", "large"))
    apart = difference("benchmark", small, large, SMALL)
    if len(apart.by_seed) >= ENOUGH:
        side = "more" if apart.low > 0 else "fewer" if apart.high < 0 else "with some seeds more, with others fewer"
        said += f" Their small branch finds {side} of the small exudates than the large one, at equal predicted area."
    return said


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
        f"{shown} of the small branch at small exudates is shown: both branches were compared at equal predicted area, "
        "as many pixels as the exudates have."
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


def headline() -> Result:
    """The paper's line of the six results."""
    rows = table("dual_branch", 4)["aupr"].astype(float)
    steps = f"the paper's differences are {_steps(rows)}"
    found = gain_on_base(*ON_BASE)
    if found:
        words = (
            "AUPR of hard exudates, two branches with the DSM loss minus one with the Dice loss, at 640×960, "
            f"{tell_seeds(found.seeds)}; {steps}"
        )
        number = found.tell("EX")
        if len(found.seeds) < ENOUGH:
            number, words = "not decided", f"{number} in {words}"
        plain = gain_on_base(ON_BASE[0], BASE)
        words += f"; minus one branch with cross-entropy {plain.tell('EX')}" if plain else ""
        return Result(number, words)
    small = compare(FAIR).get(SCORES["EX_aupr"])
    words = f"AUPR of hard exudates, two branches with the DSM loss minus {OTHERS[FAIR]}, at 320×480; {steps}"
    return Result(str(small) if small else NOT_YET, words)


def _steps(rows: pd.Series[float]) -> str:
    each = {name: rows[two] - rows[one] for name, (two, one) in NETWORKS.items()}
    return ", ".join(f"{step:+.4f} ({name})".replace("-", "−") for name, step in each.items())
