"""What our records say about the question of the benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fundus_lib import weights
from fundus_lib.published import benchmark_shipped
from fundus_lib.published.benchmark_leaderboard import BASE, CONTROLS, Standing, leaderboard
from fundus_lib.published.printed import table
from fundus_lib.published.verdict import ENOUGH, Result, Verdict, find_runs, judge_gain, tell_seeds

QUESTION = (
    "Each of five papers adds an idea to a network, and reports that it gains. On one base, under one protocol, what "
    "do their ideas add?"
)


def judge(*folders: str | Path) -> Verdict:
    """The answer, from the records of the library."""
    standings = leaderboard(*folders)
    ideas = [one for one in standings if one.row != BASE and one.row[1] not in CONTROLS and one.gain]
    if not ideas:
        return Verdict(QUESTION, "Nothing yet.", "Cannot be told yet.", f"{ENOUGH} seeds of the base and of each idea.")
    counts = sorted({len(one.gain.seeds) for one in ideas})
    seeds = " to ".join(map(str, counts[:1] + counts[1:][-1:])) + f" seed{'s' * (counts[-1] > 1)} of each"
    ran = (
        f"A U-Net for four lesions and {_count(ideas)} on it (some are no more than a paper's loss), trained and "
        f"tested on real IDRiD with the same crops and updates; {seeds}. AUPR pooled at full size, mean over the "
        "lesions, minus that of the base [95 % interval]."
    )
    return Verdict(QUESTION, ran, summarise(ideas), _sure(ideas))


def summarise(ideas: Sequence[Standing]) -> str:
    """In sentences, for which ideas a gain or a loss is shown."""
    sides: dict[str, list[Standing]] = {side: [] for side in (*SIDES.values(), FEW)}
    for one in ideas:
        side = SIDES[judge_gain(one.gain.scores["mean"])[1]] if len(one.gain.seeds) >= ENOUGH else FEW
        sides[side].append(one)
    return " ".join(f"{side}: {_list(own)}." for side, own in sides.items() if own)


SIDES = {side: side.capitalize() for side in ("a gain is shown", "a loss is shown", "no gain is shown")}
FEW = f"Cannot be told yet, with fewer than {ENOUGH} seeds"


def _count(ideas: Sequence[Standing]) -> str:
    return "one idea" if len(ideas) == 1 else f"{len(ideas)} ideas"


def _list(ideas: Sequence[Standing]) -> str:
    return "; ".join(f"{one.name} {one.gain.tell()}" for one in ideas)


def _sure(ideas: Sequence[Standing]) -> str:
    chance = (
        f"Of {_count(ideas)} that changed nothing, at least {len(ideas) / 20:.2f} would have an interval without zero "
        "on average."
        if min(len(one.gain.seeds) for one in ideas) >= ENOUGH
        else "With few seeds an interval covers other test images, hardly another training."
    )
    return f"27 test images of one clinic, one base at one size. {chance} More seeds and another data set would tell."


def headline() -> Result:
    """What a plain network reaches: a line of the six results."""
    printed = table("dual_branch", 4)["aupr"].astype(float).max()
    own = benchmark_shipped.measured()
    height, width = own["size"]
    task = weights.find().task
    millions = sum(one.numel() for one in task.model.parameters()) / 1e6
    runs = find_runs(task.recipe.paper, task.recipe.table, [task.recipe.row])
    device = " or ".join(sorted(set(runs.device)))
    words = (
        f"AUPR of hard exudates of a U-Net with {millions:.1f} million parameters, trained with cross-entropy on crops "
        f"at {height}×{width}, {runs.train_seconds.mean() / 60:.0f} minutes of an {device}, "
        f"{tell_seeds(set(runs.seed))}; `dual_branch` prints {printed:.3f} at best, under the same protocol and from "
        "960×1440"
    )
    return Result(f"{own['metrics']['EX_aupr_11']:.3f}", words)
