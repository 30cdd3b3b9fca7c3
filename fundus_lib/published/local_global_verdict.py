"""What our records say about the claim of local_global."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fundus_lib.published.printed import table
from fundus_lib.published.verdict import ENOUGH, Verdict, count_seeds, find_runs
from fundus_lib.records.image_gains import ImageGain, image_gain

LESIONS = ("EX", "MA")
"""Those for which the paper claims that the fused network is ahead."""

OTHERS = {"global": "the global network", "local": "the local network"}
"""The networks that the fused one is compared with, which are its own first stages."""

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
        beyond: The table with the row of a plain U-Net of as many parameters and updates, which the paper lacks.
    """

    table: str
    words: str
    close: bool
    beyond: str

    def gains(self, lesion: str) -> Gains:
        """What the fused network gains over each other one that was run; by the areas of single images."""
        rows = {name: (self.table, f"{lesion}_{name}") for name in ("fused", *OTHERS)}
        found = {name: image_gain("local_global", rows["fused"], rows[name], f"{lesion}_aupr") for name in OTHERS}
        return {name: gain for name, gain in found.items() if gain}

    def gains_over_plain(self, lesion: str) -> Gains:
        """What fused networks gain over a plain U-Net of as many parameters and updates, by how they were trained."""
        plain = self.beyond, f"{lesion}_plain"
        tables = {"fused": self.table, "joint_only": self.beyond}
        found = {
            how: image_gain("local_global", (tables[row], f"{lesion}_{row}"), plain, f"{lesion}_aupr")
            for row, how in FUSED.items()
        }
        return {how: gain for how, gain in found.items() if gain}


REGIMES = (
    Regime("1", "the paper's sizes (2816×3328 pixels, patches of 256)", close=True, beyond="beyond"),
    Regime("half", "half of the paper's scale (1408×1664 pixels, patches of 128)", close=False, beyond="half"),
)
"""The nearest to the paper first."""


def judge() -> Verdict:
    """The verdict, from the records of the library."""
    rows = table("local_global", 1)
    fused, whole, patch = (rows.loc[name] for name in ("Our fused model", "GlobalNet", "LocalNet"))
    numbers = " and ".join(
        f"{fused[column]:.3f} for {column.upper()} against {whole[column]:.3f} (global) and {patch[column]:.3f} (local)"
        for column in map(str.lower, LESIONS)
    )
    claim = f"Fusing a global and a local U-Net beats both where lesions are small and scattered: AUPR {numbers}."
    found = {(regime, lesion): gains for lesion in LESIONS for regime in REGIMES if (gains := regime.gains(lesion))}
    if not found:
        need = f"The three networks of one lesion with {ENOUGH} seeds would tell."
        return Verdict(claim, "Nothing yet.", "Cannot be told yet.", need)
    ran = "; ".join(f"{lesion} at {regime.words}: {_runs(regime, lesion)}" for regime, lesion in found)
    said = "; ".join(
        f"{lesion} at {regime.words}: " + ", ".join(f"{gain} over {OTHERS[name]}" for name, gain in gains.items())
        for (regime, lesion), gains in found.items()
    )
    return Verdict(
        claim,
        f"Global, local and fused network, trained and tested on real IDRiD. {ran}.",
        f"{decide(found)} AUPR of the fused network minus another, mean over the test images [95 % interval]: {said}."
        f"{_compare_with_plain(found)}",
        _how_sure(found),
        f"{decide(found)}{_compare_with_plain(found)}",
    )


def decide(found: dict[tuple[Regime, str], Gains]) -> str:
    """A sentence for each lesion: by the first regime in which both comparisons have enough seeds."""
    return " ".join(f"{lesion}: {_decide(found, lesion)}" for lesion in LESIONS)


def _decide(found: dict[tuple[Regime, str], Gains], lesion: str) -> str:
    for regime in REGIMES:
        gains = found.get((regime, lesion), {})
        if not all(name in gains and len(gains[name].seeds) >= ENOUGH for name in OTHERS):
            continue
        where = "" if regime.close else f" at {regime.words}"
        behind = [OTHERS[name] for name, gain in gains.items() if gain.difference.high < 0]
        open_ones = [OTHERS[name] for name, gain in gains.items() if gain.difference.low <= 0 <= gain.difference.high]
        if behind:
            return f"does not hold{where}: the fused network is behind {' and '.join(behind)}."
        if open_ones:
            return f"no gain over {' and '.join(open_ones)} is shown{where}: the interval contains zero."
        return f"holds{where}: both intervals are above zero."
    return f"cannot be told yet, as no regime has {ENOUGH} seeds of all three networks."


def _compare_with_plain(found: Iterable[tuple[Regime, str]]) -> str:
    """Whether compute may explain the gain, in sentences; empty if no plain network was run."""
    said = []
    for regime, lesion in found:
        if not (gains := regime.gains_over_plain(lesion)):
            continue
        each = "; ".join(f"trained {how}, {gain}: {_weigh(gain)}" for how, gain in gains.items())
        said.append(f" {lesion} at {regime.words}, over a plain U-Net of as many parameters and updates: {each}.")
    return "".join(said)


def _weigh(gain: ImageGain) -> str:
    """What a gain over the plain network means."""
    if gain.difference.low > 0:
        return "the fused network is ahead of it, too"
    if gain.difference.high < 0:
        return "the fused network is behind it"
    return "no gain over it is shown, so that size and updates may explain the others"


def _how_sure(found: dict[tuple[Regime, str], Gains]) -> str:
    close = [
        min(len(gains[name].seeds) if name in gains else 0 for name in OTHERS)
        for (regime, _), gains in found.items()
        if regime.close
    ]
    parts = ["The networks share images, patches and stages: the fused one starts from the two it is compared with."]
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
