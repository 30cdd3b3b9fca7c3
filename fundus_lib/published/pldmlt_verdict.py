"""What our records, and the paper's own metric, say about the claim of pldmlt."""

from __future__ import annotations

from dataclasses import dataclass

from fundus_lib.published import pldmlt_empty, pldmlt_labels
from fundus_lib.published.printed import table
from fundus_lib.published.verdict import ENOUGH, Evidence, Result, Verdict, count_seeds, find_runs
from fundus_lib.records.image_gains import ImageGain, image_gain

OURS, ALONE = "weight", "segmentation"
"""Rows of Table 3: all parts, and the loss of the masks alone."""

SCORES = {"ANY_f1": "Dice of lesions", "ANY_aupr": "AUPR of lesions"}
"""Scores of single images by which is judged, the first that the records have; background does not count in them."""

LIGHT = "beta_0.01"
"""Row of the ablations with fixed labels and a hundredth of the weight of the grades' loss."""

SMALLER = "This neither confirms nor refutes the paper, whose networks are larger."


@dataclass(frozen=True)
class Regime:
    """A table of recipes with the network without and with all parts.

    Attributes:
        table: Its name.
        words: What it is, in words.
        close: Whether it has the paper's size.
        dataset: What its rows are trained and tested on.
    """

    table: str
    words: str
    close: bool
    dataset: str = "IDRiD"

    @property
    def where(self) -> str:
        """At which scale."""
        return "at the paper's size" if self.close else f"at {self.words}"

    def gain(self) -> tuple[str, ImageGain] | None:
        """Name of a score, and what all parts gain in it over the loss of the masks alone; None if nothing was run."""
        for score, words in SCORES.items():
            if gain := image_gain("pldmlt", (self.table, OURS), (self.table, ALONE), score, dataset=self.dataset):
                return words, gain
        return None


REGIMES = (
    Regime("3", "the paper's size (1024×1024)", close=True, dataset="IDRiD, DiaRetDB1"),
    Regime("small", "a quarter of the width at 256×256", close=False),
)
"""The nearest to the paper first."""


def judge() -> Verdict:
    """The verdict, from the records of the library."""
    rows = table("pldmlt", 1)
    scores = rows["mdice"].dropna()
    ours, alone = scores["segmentation: Ours"], scores.drop(["segmentation: Ours", "segmentation: MTUnet"])
    claim = (
        f"A U-Net that segments lesions and grades, with labels that a second network rewrites, beats networks for "
        f"one task: mDice {ours:.3f} % on IDRiD and DiaRetDB1, where these have {alone.min():.3f} to "
        f"{alone.max():.3f}; its grading accuracy is {rows['accuracy']['grading: Ours']:.2f} % (Table 1)."
    )
    found = {regime: gain for regime in REGIMES if (gain := regime.gain())}
    return Verdict(claim, _ran(found), f"{decide(found)} {compare_empty()}", _how_sure(found), _list_gains(found))


def compare_empty() -> str:
    """What an empty prediction scores beside the best printed row of Table 1."""
    empty = 100 * pldmlt_empty.measured()["all"]["mdice, micro, pooled"]
    best = table("pldmlt", 1)["mdice"].max()
    side = "above" if empty > best else "below"
    return (
        f"Scores of this kind cannot show it: in the metric that the printed rows fit, background included, a "
        f"prediction without any lesion scores {empty:.2f} % on IDRiD at 1024×1024, {abs(empty - best):.2f} points "
        f"{side} the best row of Table 1."
    )


def decide(found: dict[Regime, tuple[str, ImageGain]]) -> str:
    """In sentences, by the first regime that has enough seeds."""
    regime = next((regime for regime, (_, gain) in found.items() if len(gain.seeds) >= ENOUGH), None)
    if regime is None:
        so_far = [f"{_side(gain)} {regime.where} ({gain.runs})" for regime, (_, gain) in found.items()]
        told = f" So far all parts, against the segmentation loss alone, show {'; '.join(so_far)}." if so_far else ""
        told += _explain(found)
        return f"Cannot be told yet.{told}"
    words, gain = found[regime]
    said = f"{_side(gain).capitalize()} is shown {regime.where} in {words}."
    return f"{said}{'' if regime.close else _explain(found)}"


def _side(gain: ImageGain) -> str:
    """By where the interval lies."""
    return "a gain" if gain.difference.low > 0 else "a loss" if gain.difference.high < 0 else "no gain"


def _explain(found: dict[Regime, tuple[str, ImageGain]]) -> str:
    """What a loss goes with, and what it says of the paper."""
    smaller = "" if any(regime.close for regime in found) or not found else f" {SMALLER}"
    light = _weigh_little()
    if light and light.difference.low <= 0 <= light.difference.high:
        return f" With fixed labels and a hundredth of the weight of the grades no loss is shown.{smaller}"
    return smaller


def _weigh_little() -> ImageGain:
    """What fixed labels gain over the segmentation loss alone if the grades have a hundredth of their weight."""
    return image_gain("pldmlt", ("ablations", LIGHT), ("small", ALONE), next(iter(SCORES)), dataset="IDRiD")


def _list_gains(found: dict[Regime, tuple[str, ImageGain]]) -> Evidence | None:
    """Scale → score → gain."""
    listed = {f"{regime.words}: all parts": {words: str(gain)} for regime, (words, gain) in found.items()}
    if found and (light := _weigh_little()):
        listed["a quarter of the width at 256×256: fixed labels, β = 0.01"] = {next(iter(SCORES.values())): str(light)}
    if not listed:
        return None
    images = max(gain.images for _, gain in found.values())
    return Evidence(f"Minus the segmentation loss alone, mean over {images} images [95 % interval]", listed)


def _ran(found: dict[Regime, tuple[str, ImageGain]]) -> str:
    graders = describe_graders()
    first = f"Stage 1: {graders}, on real IDRiD." if graders else "Stage 1, the graders: nothing yet."
    if not found:
        return f"{first} Stage 2, the network of the claim: nothing yet. An empty prediction, on real IDRiD."
    second = "; ".join(
        f"{regime.words}, {f'{gain.folds}, ' * bool(gain.folds)}"
        f"{count_seeds(find_runs('pldmlt', regime.table, (OURS, ALONE), regime.dataset))}"
        for regime, (_, gain) in found.items()
    )
    return f"{first} Stage 2 on real IDRiD, without and with all parts: {second}."


def describe_graders() -> str:
    """The graders of which there are pseudo labels, in words; nothing if there are none."""
    known = pldmlt_labels.measured()
    side = known.get("side")
    return f"two small graders of which the last layer alone was trained, at {side}×{side} pixels" if known else ""


def _how_sure(found: dict[Regime, tuple[str, ImageGain]]) -> str:
    seeds = max((len(gain.seeds) for regime, (_, gain) in found.items() if regime.close), default=0)
    said = "That the metric counts background is inferred from the printed numbers; the paper does not say it"
    missing = "" if any(regime.close for regime in found) else ", and its second data set, DiaRetDB1, was not at hand"
    parts = [f"{said}{missing}."]
    if seeds < ENOUGH:
        parts.append(
            "With one seed an interval speaks of other images, and hardly of other trainings. The Dice of lesions of "
            f"the rows of Table 3, in five folds with {ENOUGH} seeds at the paper's size, would tell."
        )
    return " ".join(parts)


def headline() -> Result:
    """The paper's line of the six results."""
    empty = 100 * pldmlt_empty.measured()["all"]["mdice, micro, pooled"]
    words = (
        "mDice of a prediction without any lesion, background included as the printed numbers suggest, on IDRiD at "
        f"1024×1024; the best row of the paper's Table 1 has {table('pldmlt', 1)['mdice'].max():.2f} %"
    )
    return Result(f"{empty:.2f} %", words)
