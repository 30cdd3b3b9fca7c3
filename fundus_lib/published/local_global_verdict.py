"""What our records say about the claim of local_global."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fundus_lib.published.printed import table
from fundus_lib.published.verdict import ENOUGH, NOT_YET, Evidence, Result, Verdict, find_runs
from fundus_lib.records.image_gains import ImageGain, image_gain

if TYPE_CHECKING:
    import pandas as pd

LESIONS = {"EX": "hard exudates", "MA": "microaneurysms"}
"""Those for which the paper claims that the fused network is ahead."""

OTHERS = {"global": "the global network", "local": "the local network"}
"""The networks that the fused one is compared with, trained as its first stages are."""

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

    def gain_over_plain(self, lesion: str) -> ImageGain:
        """What the fused network gains over a plain U-Net of about as many parameters and as many updates."""
        rows = (self.table, f"{lesion}_fused"), (self.beyond, f"{lesion}_plain")
        return image_gain("local_global", *rows, f"{lesion}_aupr")


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
    if not found:
        need = f"The three networks of one lesion with {ENOUGH} seeds would tell."
        return Verdict(claim, "Nothing yet.", "Cannot be told yet.", need)
    own = [regime for regime in REGIMES if any(key[0] == regime for key in found)]
    devices = " or ".join(sorted({device for key in found for device in _find(*key).device}))
    return Verdict(
        claim,
        f"Global, local and fused network, trained and tested on real IDRiD, on {devices}.",
        f"{decide(found)}{''.join(_compare_with_plain(regime, found) for regime in own)}",
        _how_sure(found),
        Evidence(
            "AUPR of the fused network minus another, mean over the 27 test images [95 % interval over images and "
            "seeds]",
            {where: gains for regime in own for where, gains in _list_gains(regime, found).items()},
        ),
    )


def decide(found: Found) -> str:
    """For the paper's sizes and then for others: a sentence for each lesion, by where both intervals lie."""
    said = []
    for regime in REGIMES:
        own = {lesion: found.get((regime, lesion), {}) for lesion in LESIONS}
        if regime.close and not any(own.values()):
            said.append(f"For {regime.name} it cannot be told yet, as the three networks were not all run there.")
        elif any(own.values()):
            answers: dict[str, list[str]] = {}
            for lesion, gains in own.items():
                answers.setdefault(_decide(gains), []).append(f"{LESIONS[lesion]} ({lesion})")
            each = " For ".join(f"{' and '.join(names)}: {answer}" for answer, names in answers.items())
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
        verdict, words = "a gain is shown", "the fused network is ahead of both its parts"
    if len(least.seeds) >= ENOUGH:
        return f"{verdict} ({least.runs}), as {words}."
    return f"cannot be told yet ({least.runs} instead of {ENOUGH}); so far {words}."


def _list_gains(regime: Regime, found: Found) -> dict[str, dict[str, str]]:
    """Scale and other network → lesion → gain over it."""
    own = {lesion: found[regime, lesion] for lesion in LESIONS if (regime, lesion) in found}
    listed = {
        f"{regime.name}, minus {words}": {lesion: str(gains[name]) for lesion, gains in own.items() if name in gains}
        for name, words in OTHERS.items()
    }
    plain = {lesion: str(gain) for lesion in LESIONS if (gain := regime.gain_over_plain(lesion))}
    listed[f"{regime.name}, minus a plain U-Net of about as many parameters and updates"] = plain
    return {where: gains for where, gains in listed.items() if gains}


def _compare_with_plain(regime: Regime, found: Found) -> str:
    """Whether size and updates may explain the gains, in a sentence; empty if no plain network was run."""
    groups: dict[str, list[str]] = {}
    for lesion in LESIONS:
        if gain := regime.gain_over_plain(lesion):
            groups.setdefault(_weigh(gain, found.get((regime, lesion), {})), []).append(lesion)
    said = "; ".join(f"{words} ({', '.join(own)})" for words, own in groups.items())
    return f" Against a plain U-Net of about as many parameters and as many updates: {said}." if said else ""


def _weigh(gain: ImageGain, parts: Gains) -> str:
    """What a gain over the plain network means beside the gains over the parts."""
    if gain.difference.low > 0:
        return "the fused network is ahead"
    if gain.difference.high < 0:
        return "the fused network is behind"
    ahead = any(part.difference.low > 0 for part in parts.values())
    may = ", so that size and updates may explain the gain over the parts" if ahead else ""
    return f"no gain is shown{may}"


def _how_sure(found: Found) -> str:
    close = [
        min(len(gains[name].seeds) if name in gains else 0 for name in OTHERS)
        for (regime, _), gains in found.items()
        if regime.close
    ]
    parts = [
        "The networks share images and settings. The fused one starts from a global network trained with the same "
        "recipe and seed as the one it is compared with; its local one saw other patches than the local network that "
        "is trained alone."
    ]
    if max(close, default=0) < ENOUGH:
        parts.append(
            f"At the paper's sizes there are fewer than {ENOUGH} seeds; a finding at another scale need not hold there."
        )
    parts.append(
        f"{ENOUGH} seeds of each network at the paper's sizes would settle it; the paper prints one number for each."
    )
    return " ".join(parts)


def _find(regime: Regime, lesion: str) -> pd.DataFrame:
    """Its runs of the fused network and of its parts."""
    return find_runs("local_global", regime.table, [f"{lesion}_{name}" for name in ("fused", *OTHERS)])


def headline() -> Result:
    """The paper's line of the six results."""
    found = [(regime, own) for regime in REGIMES if (own := regime.gain_over_plain("EX"))]
    found.sort(key=lambda pair: len(pair[1].seeds) < ENOUGH)  # the nearest to the paper that has enough, if any has
    parts = found[0][0].gains("EX") if found else {}
    beside = " and ".join(f"{part.difference.value:+.3f} over {OTHERS[n]}" for n, part in parts.items())
    words = (
        "AUPR of hard exudates, mean over 27 images, the fused network minus one plain U-Net of about as many "
        f"parameters and updates{f', at {found[0][0].name}' if found else ''}{f'; {beside}' if beside else ''}"
    )
    return Result(str(found[0][1]) if found else NOT_YET, words)
