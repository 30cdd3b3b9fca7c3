"""What our records say about the claim of hecl."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fundus_lib.published.printed import table
from fundus_lib.published.verdict import ENOUGH, NOT_YET, Evidence, Result, Verdict, count_seeds, find_runs, judge_gain
from fundus_lib.records.image_gains import ImageGain, image_gain

if TYPE_CHECKING:
    import pandas as pd

SCORES = {"EX_iou": "IoU", "EX_aupr": "AUPR"}
"""Scores of single images by which is judged, the paper's own first."""
MAIN = SCORES["EX_iou"]

PAPERS_OWN = "2"
"""The table of recipes in the paper's whole regime."""


@dataclass(frozen=True)
class Regime:
    """A table of recipes with a network without and with the terms.

    Attributes:
        table: Its name.
        words: What it is, in words.
        close: Whether it has the paper's network, images and augmentation.
        network: The row without terms.
    """

    table: str
    words: str
    close: bool
    network: str = "unetpp"

    def gain(self, score: str, terms: str = "hecl") -> ImageGain:
        """What both terms gain, or one of them, in the mean over the test images."""
        return image_gain("hecl", (self.table, f"{self.network}_{terms}"), (self.table, self.network), score)

    def gains(self) -> dict[str, ImageGain]:
        """Name of a score → gain, where there is one."""
        return {name: gain for score, name in SCORES.items() if (gain := self.gain(score))}


REGIMES = (
    Regime("2", "the paper's regime (580×733, 300 epochs)", close=True),
    Regime("gpu", "the paper's regime cut to 99 epochs", close=True),
    Regime("gpu_crops", "crops at 960×1440", close=False),
    Regime("small_16", "UNet++ of half the width on crops at 640×960", close=False),
    Regime("small", "a narrow UNet++ on crops at 640×960", close=False),
    Regime("small_whole", "a narrow UNet++ at half of the paper's scale", close=False),
    Regime("small", "a U-Net on crops at 640×960", close=False, network="unet"),
)
"""The nearest to the paper first."""


def judge() -> Verdict:
    """The verdict, from the records of the library."""
    rows = table("hecl", 2)
    plain, both = rows.loc["UNet++"], rows.loc["UNet++ w/ Proposed"]
    claim = (
        f"Two contrastive terms raise the IoU of UNet++ on hard exudates of IDRiD from {plain.iou:.2f} to "
        f"{both.iou:.2f} % (Table 2, five runs), and they improve other networks, too."
    )
    found = {regime: gains for regime in REGIMES if (gains := regime.gains())}
    if not found:
        return Verdict(claim, "Nothing yet.", "Cannot be told yet.", f"A run of each with {ENOUGH} seeds would tell.")
    ran = "; ".join(f"{regime.words}, {count_seeds(_runs(regime))}" for regime in found)
    shown = [regime for regime in found if regime.close or regime == deciding(found)] or list(found)
    devices = " or ".join(sorted({device for regime in found for device in _runs(regime).device}))
    return Verdict(
        claim,
        f"Networks without and with both terms, trained and tested on real IDRiD, on {devices}: {ran}.",
        f"{decide(found)}{_count_others(found)}",
        _how_sure(found),
        Evidence(
            "With both terms minus without, mean over the 27 test images [95 % interval]",
            {regime.words: {name: str(gain) for name, gain in found[regime].items()} for regime in shown},
        ),
    )


def deciding(found: dict[Regime, dict[str, ImageGain]]) -> Regime | None:
    """The first regime that has enough seeds in the paper's own score; None if there is none."""
    return next((r for r, gains in found.items() if MAIN in gains and len(gains[MAIN].seeds) >= ENOUGH), None)


def decide(found: dict[Regime, dict[str, ImageGain]]) -> str:
    """In a sentence, by the regime that decides."""
    regime = deciding(found)
    if regime is None:
        return f"Cannot be told yet: no comparison has {ENOUGH} seeds."
    judged, elsewhere, interval = judge_gain(found[regime][MAIN].difference)
    if regime.table == PAPERS_OWN:
        return f"{judged}: the interval {interval}."
    return (
        f"Cannot be told yet for the paper's network at its scale. For {regime.words}, {elsewhere}: the interval "
        f"{interval}. This neither confirms nor refutes the paper."
    )


def _count_others(found: dict[Regime, dict[str, ImageGain]]) -> str:
    """Where the gains lie that are not printed."""
    others = [
        gain.difference
        for regime, gains in found.items()
        if not regime.close and regime != deciding(found)
        for gain in gains.values()
    ]
    if not others:
        return ""
    above, below = (sum(ends) for ends in zip(*((d.low > 0, d.high < 0) for d in others), strict=True))
    return (
        f" Intervals of {len(others)} further comparisons (IoU and AUPR of other networks and scales): {above} above "
        f"zero, {below} below, {len(others) - above - below} with zero inside."
    )


def _how_sure(found: dict[Regime, dict[str, ImageGain]]) -> str:
    own = [gains for regime, gains in found.items() if regime.table == PAPERS_OWN]
    close = [len(gain.seeds) for gains in own for gain in gains.values()]
    signs = {gain.difference.value > 0 for gains in found.values() for gain in gains.values()}
    parts = []
    if max(close, default=0) < ENOUGH:
        parts.append(
            "In the paper's regime there are fewer than three seeds: the interval describes variation over test "
            "images, not over training runs."
        )
    if len(signs) > 1:
        parts.append("The comparisons do not agree in their sign.")
    parts.append("Five seeds of each row in the paper's regime, as the paper has, would settle it.")
    return " ".join(parts)


def _runs(regime: Regime) -> pd.DataFrame:
    """Its runs without and with both terms."""
    return find_runs("hecl", regime.table, (regime.network, f"{regime.network}_hecl"))


def headline() -> Result:
    """The paper's line of the six results."""
    rows = table("hecl", 2).iou.astype(float)
    found = {regime: gains for regime in REGIMES if (gains := regime.gains())}
    regime = deciding(found)
    step = (rows["UNet++ w/ Proposed"] - rows["UNet++"]) / 100
    words = (
        "IoU of hard exudates, mean over 27 images, with both contrastive terms minus without"
        f"{f', {regime.words}' if regime else ''}; the paper's difference is {step:+.3f}"
    )
    return Result(str(found[regime][MAIN]) if regime else NOT_YET, words)
