"""What our records say about the claim of local_global."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fundus_lib.published.printed import table
from fundus_lib.published.verdict import ENOUGH, Verdict, count_seeds, find_runs
from fundus_lib.recipes.local_global import RECIPES
from fundus_lib.records.image_gains import ImageGain, image_gain

LESIONS = {"EX": "hard exudates", "MA": "microaneurysms"}
"""Those for which the paper claims that the fused network is ahead."""

OTHERS = {"global": "the global network", "local": "the local network"}
"""The networks that the fused one is compared with, trained as its first stages are."""

FUSED = {"fused": "in four stages", "joint_only": "in one stage, without pre-training"}
"""How the fused network is trained: as in the paper, and as it is not."""

Gains = dict[str, ImageGain]
"""Name of a comparison → what the fused network gains in it, in the mean over the test images."""


@dataclass(frozen=True)
class Regime:
    """A table of recipes with the global, the local and the fused network of each lesion.

    Attributes:
        table: Its name.
        words: What it is, in words.
        close: Whether it has the paper's sizes and stages.
        beyond: The table with the row of a plain U-Net of about as many parameters, which the paper lacks.
    """

    table: str
    words: str
    close: bool
    beyond: str

    @property
    def name(self) -> str:
        """Its words without the numbers."""
        return self.words.partition(" (")[0]

    def gains(self, lesion: str) -> Gains:
        """What the fused network gains over each other one that was run; by the areas of single images."""
        rows = {name: (self.table, f"{lesion}_{name}") for name in ("fused", *OTHERS)}
        found = {name: image_gain("local_global", rows["fused"], rows[name], f"{lesion}_aupr") for name in OTHERS}
        return {name: gain for name, gain in found.items() if gain}

    def gains_over_plain(self, lesion: str) -> Gains:
        """What fused networks gain over a plain U-Net of about as many parameters, by the row of the fused network."""
        plain = self.beyond, f"{lesion}_plain"
        tables = {"fused": self.table, "joint_only": self.beyond}
        found = {
            row: image_gain("local_global", (tables[row], f"{lesion}_{row}"), plain, f"{lesion}_aupr") for row in FUSED
        }
        return {row: gain for row, gain in found.items() if gain}

    def updates(self, lesion: str, row: str) -> int:
        """Steps of all stages of a row together."""
        name = self.table if row == "fused" else self.beyond, f"{lesion}_{row}"
        recipe = next(recipe for recipe in RECIPES if (recipe.table, recipe.row) == name)
        return sum(recipe.stages.values()) * recipe.steps


REGIMES = (
    Regime("1", "the paper's sizes (2816×3328 pixels, patches of 256)", close=True, beyond="beyond"),
    Regime("half", "half of the paper's scale (1408×1664 pixels, patches of 128)", close=False, beyond="half"),
)
"""The nearest to the paper first."""

Found = Mapping[tuple[Regime, str], Gains]
"""Regime and lesion → gains over the networks that the paper compares with."""


def judge() -> Verdict:
    """The verdict, from the records of the library."""
    rows = table("local_global", 1)
    fused, whole, patch = (rows.loc[name] for name in ("Our fused model", "GlobalNet", "LocalNet"))
    numbers = " and ".join(
        f"{fused[column]:.3f} for {column.upper()} against {whole[column]:.3f} (global) and {patch[column]:.3f} (local)"
        for column in map(str.lower, LESIONS)
    )
    claim = f"Fusing a global and a local U-Net beats both where lesions are small and scattered: AUPR {numbers}."
    every = [(regime, lesion) for lesion in LESIONS for regime in REGIMES]
    found = {(regime, lesion): gains for regime, lesion in every if (gains := regime.gains(lesion))}
    plain = {(regime, lesion): gains for regime, lesion in every if (gains := regime.gains_over_plain(lesion))}
    if not found:
        need = f"The three networks of one lesion with {ENOUGH} seeds would tell."
        return Verdict(claim, "Nothing yet.", "Cannot be told yet.", need)
    ran = "; ".join(f"{lesion} at {regime.words}: {_runs(regime, lesion)}" for regime, lesion in found)
    said = "; ".join(
        f"{lesion} at {regime.name}: " + ", ".join(f"{gain} over {OTHERS[name]}" for name, gain in gains.items())
        for (regime, lesion), gains in found.items()
    )
    answer, beside = decide(found), _compare_with_plain(plain, found)
    return Verdict(
        claim,
        f"Global, local and fused network, trained and tested on real IDRiD. {ran}.",
        f"{answer} AUPR of the fused network minus another, mean over the test images [95 % interval]: {said}.{beside}",
        _how_sure(found),
        f"{answer}{_compare_in_short(plain)}",
    )


def decide(found: Found) -> str:
    """For the paper's sizes and then for others: a sentence for each lesion, by where both intervals lie."""
    said = []
    for regime in REGIMES:
        own = {lesion: found.get((regime, lesion), {}) for lesion in LESIONS}
        if regime.close and not any(own.values()):
            said.append(f"For {regime.name} it cannot be told yet, as the three networks were not all run there.")
        elif any(own.values()):
            each = " For ".join(f"{LESIONS[le]} ({le}): {_decide(gains)}" for le, gains in own.items())
            said.append(f"At {regime.words}, for {each}")
    return " ".join(said)


def _decide(gains: Gains) -> str:
    if missing := [words for name, words in OTHERS.items() if name not in gains]:
        return f"cannot be told yet, as no seed of the fused network stands beside one of {' or '.join(missing)} alone."
    least = min(gains.values(), key=lambda gain: len(gain.seeds))
    behind = [OTHERS[name] for name, gain in gains.items() if gain.difference.high < 0]
    open_ones = [OTHERS[name] for name, gain in gains.items() if gain.difference.low <= 0 <= gain.difference.high]
    if behind:
        verdict, words = "does not hold", f"the fused network is behind {' and '.join(behind)}"
    elif open_ones:
        verdict, words = "no gain is shown", f"the interval over {' and '.join(open_ones)} contains zero"
    else:
        verdict, words = "holds", "the fused network is ahead of both its parts"
    if len(least.seeds) >= ENOUGH:
        return f"{verdict} ({least.runs}), as {words}."
    return f"cannot be told yet ({least.runs} instead of {ENOUGH}); so far {words}."


def _compare_in_short(plain: Found) -> str:
    """The same in a sentence without numbers, of the rows of all stages."""
    said = []
    for (regime, lesion), gains in plain.items():
        if gain := gains.get("fused"):
            low, high = gain.difference.low, gain.difference.high
            word = "ahead" if low > 0 else "behind" if high < 0 else "no gain shown"
            said.append(f"{lesion} at {regime.name}: {word}")
    return f" Against a plain U-Net of as many parameters and updates: {'; '.join(said)}." if said else ""


def _compare_with_plain(plain: Found, found: Found) -> str:
    """Whether compute may explain the gain, in sentences; empty if no plain network was run."""
    said = []
    for (regime, lesion), gains in plain.items():
        parts = [gain for gain in found.get((regime, lesion), {}).values() if gain.difference.low > 0]
        each = "; ".join(
            f"trained {FUSED[row]}, with {_count_updates(regime, lesion, row)}, {gain}: {_weigh(gain, bool(parts))}"
            for row, gain in gains.items()
        )
        said.append(f" {lesion} at {regime.name}, over a plain U-Net of about as many parameters: {each}.")
    return "".join(said)


def _count_updates(regime: Regime, lesion: str, row: str) -> str:
    """The updates of a fused network beside those of the plain one, in words."""
    own, plain = regime.updates(lesion, row), regime.updates(lesion, "plain")
    if own == plain:
        return f"as many updates ({own:,})"
    return f"{'fewer' if own < plain else 'more'} updates ({own:,} against {plain:,})"


def _weigh(gain: ImageGain, ahead_of_parts: bool) -> str:
    """What a gain over the plain network means."""
    if gain.difference.low > 0:
        return "the fused network is ahead of it"
    if gain.difference.high < 0:
        return "the fused network is behind it"
    may = ", so that size and updates may explain the gain over its parts" if ahead_of_parts else ""
    return f"no gain over it is shown{may}"


def _how_sure(found: Found) -> str:
    close = [
        min(len(gains[name].seeds) if name in gains else 0 for name in OTHERS)
        for (regime, _), gains in found.items()
        if regime.close
    ]
    parts = [
        "The networks share images and settings. The fused one starts from a global network of the same recipe and "
        "seed as that it is compared with; its local one saw other patches than the local network trained alone."
    ]
    if max(close, default=0) < ENOUGH:
        parts.append(
            f"At the paper's sizes there are fewer than {ENOUGH} seeds; a finding at another scale need not hold there."
        )
    parts.append(f"{ENOUGH} seeds of each network at the paper's sizes would settle it; the paper has one run of each.")
    return " ".join(parts)


def _runs(regime: Regime, lesion: str) -> str:
    """How many seeds, and on what."""
    own = find_runs("local_global", regime.table, [f"{lesion}_{name}" for name in ("fused", *OTHERS)])
    return f"{count_seeds(own)} ({', '.join(sorted(own.device.unique()))})"
