"""What our records say about the claim of sunet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fundus_lib.grades import SCORES
from fundus_lib.published.printed import table
from fundus_lib.published.verdict import ENOUGH, NOT_YET, Evidence, Result, Verdict, count_seeds, find_runs, judge_gain
from fundus_lib.records import load
from fundus_lib.records.answers import Paired, answers, paired
from fundus_lib.records.rows import latest

if TYPE_CHECKING:
    import pandas as pd

OURS, PLAIN = "sunet_mixed", "dr_dme_mixed"
"""The same network, shown the same images in the same order; in the second the lesions' loss does not count."""

Gains = dict[str, Paired]


@dataclass(frozen=True)
class Regime:
    """A table of recipes with both networks.

    Attributes:
        table: Its name.
        words: What it is, in words.
        close: Whether it has the paper's backbone, size and start.
    """

    table: str
    words: str
    close: bool = False

    def gains(self, answered: pd.DataFrame) -> Gains:
        """Name of a measure → what the regulariser gains in it, where there is something."""
        found = {key: paired(answered, (self.table, OURS), (self.table, PLAIN), key) for key in SCORES}
        return {name: found[key] for key, name in SCORES.items() if found[key]}


REGIMES = (
    Regime("beyond", "the paper's ResNet-34 from ImageNet at 512×512", close=True),
    Regime("lite", "EfficientNet-Lite0 from ImageNet at 224×224"),
    Regime("lite_512", "EfficientNet-Lite0 from ImageNet at 512×512"),
    Regime("small", "a ResNet-18 from random numbers at 224×224"),
)
"""That which decides is the first with enough seeds."""


def judge() -> Verdict:
    """The verdict, from the records of the library."""
    rows = table("sunet", 1)
    claim = (
        "Learning lesions besides both grades, as a regulariser, raises the accuracy of both together on the 103 test "
        f"images of IDRiD from {rows.total['DR+DME']:.4f} to {rows.total['SUNet']:.4f} (Table 1)."
    )
    runs = load()
    runs = runs[(runs.paper == "sunet") & (runs.dataset == "IDRiD")]
    answered = answers(latest(runs)) if len(runs) else answers(runs)
    found = {regime: gains for regime in REGIMES if (gains := regime.gains(answered))}
    if not found:
        need = f"Both networks with {ENOUGH} seeds would tell."
        return Verdict(claim, "Nothing yet.", "Cannot be told yet.", need)
    own = {regime: find_runs("sunet", regime.table, (OURS, PLAIN)) for regime in found}
    ran = "; ".join(f"{regime.words}, {count_seeds(runs)}" for regime, runs in own.items())
    shown = [regime for regime in found if regime.close or regime == deciding(found)] or list(found)
    lesions = max(float(runs[runs.row == OURS].EX_aupr.max()) for runs in own.values())
    devices = " or ".join(sorted({device for runs in own.values() for device in runs.device}))
    return Verdict(
        claim,
        f"The network with and without the lesion loss, trained and tested on real IDRiD, on {devices}: {ran}.",
        decide(found),
        _how_sure(lesions),
        Evidence(
            "Accuracy with the lesion loss minus without, 103 test images [95 % interval over images and seeds]",
            {regime.words: {name: str(gain) for name, gain in found[regime].items()} for regime in shown},
        ),
    )


LEARNT = 0.3
"""AUPR of hard exudates from which on a lesion path counts as one that has learnt its task."""


def _how_sure(lesions: float) -> str:
    """What the best AUPR of hard exudates in any run says of the comparison."""
    if lesions >= LEARNT:
        return f"The lesion path reaches an AUPR of hard exudates of {lesions:.2f} at best."
    return (
        f"In no run has the lesion path learnt to segment: its AUPR of hard exudates is {lesions:.2f} at best. So "
        f"these runs hardly test the idea. Some {ENOUGH} seeds of the paper's network from ImageNet, and a lesion path "
        "that learns its task, would."
    )


def deciding(found: dict[Regime, Gains]) -> Regime | None:
    """The first regime that has enough seeds in the first of its measures; None if there is none."""
    return next((r for r, gains in found.items() if len(next(iter(gains.values())).by_seed) >= ENOUGH), None)


def decide(found: dict[Regime, Gains]) -> str:
    """In a sentence, by the first regime that has enough seeds, and the first of its measures."""
    regime = deciding(found)
    if regime is None:
        return f"Cannot be told yet: no comparison has {ENOUGH} seeds."
    judged, elsewhere, interval = judge_gain(next(iter(found[regime].values())).difference)
    if regime.close:
        return f"{judged}: the interval {interval}."
    return (
        f"Cannot be told yet for the paper's network. For {regime.words}, {elsewhere} in the accuracy of both grades: "
        f"the interval {interval}."
    )


def headline() -> Result:
    """The paper's line of the six results."""
    rows = table("sunet", 1).total
    runs = load()
    answered = answers(latest(runs[(runs.paper == "sunet") & (runs.dataset == "IDRiD")]))
    found = {regime: gains for regime in REGIMES if (gains := regime.gains(answered))}
    regime = deciding(found)
    own = next(iter(found[regime].values())) if regime else None
    path = ""
    if regime:
        learnt = find_runs("sunet", regime.table, [OURS]).EX_aupr.max()
        path = f"its AUPR of hard exudates is {learnt:.2f} at most; "
    words = (
        "accuracy of both grades, with the lesion loss minus without, on 103 images"
        f"{f', {regime.words}' if regime else ''}; {path}the paper's "
        f"difference is {rows['SUNet'] - rows['DR+DME']:+.3f}"
    )
    return Result(str(own) if own else NOT_YET, words)
