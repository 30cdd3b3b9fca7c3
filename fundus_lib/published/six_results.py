"""The six numbers that the book comes to: one of the plain network, and one of each paper, from records alone."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fundus_lib.published import benchmark_shipped, hecl_verdict, local_global_verdict, pldmlt_empty, sunet_verdict
from fundus_lib.published.benchmark_leaderboard import BASE, gain
from fundus_lib.published.cards import as_html
from fundus_lib.published.dual_branch_verdict import FAIR, NETWORKS, ON_BASE, OTHERS, SCORES, compare
from fundus_lib.published.printed import table
from fundus_lib.published.verdict import ENOUGH, find_runs
from fundus_lib.records import load
from fundus_lib.records.answers import answers
from fundus_lib.records.rows import latest

if TYPE_CHECKING:
    import pandas as pd

NOT_YET = "–"
"""In place of a number that nobody has measured."""


@dataclass(frozen=True)
class Result:
    """A number with what it is of.

    Attributes:
        number: With its interval, where it is a difference.
        words: What it is, beside what the paper prints; with the scale and how many seeds.
    """

    number: str
    words: str


@dataclass(frozen=True)
class SixResults:
    """Displays itself as a box; other pages show it with `{glue} six_results`."""

    results: Mapping[str, Result]

    def to_markdown(self) -> str:
        """A table, for the README."""
        lines = [f"| {where} | **{one.number}** | {one.words} |" for where, one in self.results.items()]
        return "\n".join(["| | result | what it is |", "| --- | --- | --- |", *lines])

    def __repr__(self) -> str:
        return "\n".join(f"{where}: {one.number}: {one.words}" for where, one in self.results.items())

    def _repr_html_(self) -> str:
        lines = {where: f"**{one.number}** {one.words}" for where, one in self.results.items()}
        return as_html("Six results", lines, "")

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, str], dict[str, Any]]:
        shown = {"text/plain": repr(self), "text/html": self._repr_html_()}
        return shown, {"scrapbook": {"name": "six_results", "mime_prefix": ""}}


def six_results() -> SixResults:
    """All six, from the records of the library."""
    found = {
        "a plain network": _plain(),
        "dual_branch": _dual_branch(),
        "sunet": _sunet(),
        "hecl": _hecl(),
        "local_global": _local_global(),
        "pldmlt": _pldmlt(),
    }
    return SixResults(found)


def _plain() -> Result:
    printed = table("dual_branch", 4)["aupr"].astype(float).max()
    own = benchmark_shipped.measured()
    height, width = own["size"]
    words = (
        "AUPR of hard exudates of a U-Net with 1.9 million parameters, trained with cross-entropy on crops at "
        f"{height}×{width}, seven minutes of a GPU, one seed; `dual_branch` prints {printed:.3f} at best, under "
        "the same protocol and from 960×1440"
    )
    return Result(f"{own['metrics']['EX_aupr_11']:.3f}", words)


def _dual_branch() -> Result:
    rows = table("dual_branch", 4)["aupr"].astype(float)
    steps = f"the paper's differences are {_steps(rows)}"
    found = gain(*ON_BASE)
    if found:
        words = (
            "AUPR of hard exudates, two branches with the DSM loss minus one with the Dice loss, at 640×960, "
            f"{_count(found.seeds)}; {steps}"
        )
        number = found.tell("EX")
        if len(found.seeds) < ENOUGH:
            number, words = "not decided", f"{number} in {words}"
        plain = gain(ON_BASE[0], BASE)
        words += f"; minus one branch with cross-entropy {plain.tell('EX')}" if plain else ""
        return Result(number, words)
    small = compare(FAIR).get(SCORES["EX_aupr"])
    words = f"AUPR of hard exudates, two branches with the DSM loss minus {OTHERS[FAIR]}, at 320×480; {steps}"
    return Result(str(small) if small else NOT_YET, words)


def _steps(rows: pd.Series[float]) -> str:
    each = {name: rows[two] - rows[one] for name, (two, one) in NETWORKS.items()}
    return ", ".join(f"{step:+.4f} ({name})".replace("-", "−") for name, step in each.items())


def _sunet() -> Result:
    rows = table("sunet", 1).total
    runs = load()
    answered = answers(latest(runs[(runs.paper == "sunet") & (runs.dataset == "IDRiD")]))
    found = {regime: gains for regime in sunet_verdict.REGIMES if (gains := regime.gains(answered))}
    regime = sunet_verdict.deciding(found)
    own = next(iter(found[regime].values())) if regime else None
    path = ""
    if regime:
        learnt = find_runs("sunet", regime.table, [sunet_verdict.OURS]).EX_aupr.max()
        path = f"its AUPR of hard exudates is {learnt:.2f} at most; "
    words = (
        "accuracy of both grades, with the lesion loss minus without, on 103 images"
        f"{f', {regime.words}' if regime else ''}; {path}the paper's "
        f"difference is {rows['SUNet'] - rows['DR+DME']:+.3f}"
    )
    return Result(str(own) if own else NOT_YET, words)


def _hecl() -> Result:
    rows = table("hecl", 2).iou.astype(float)
    found = {regime: gains for regime in hecl_verdict.REGIMES if (gains := regime.gains())}
    regime = hecl_verdict.deciding(found)
    step = (rows["UNet++ w/ Proposed"] - rows["UNet++"]) / 100
    words = (
        "IoU of hard exudates, mean over 27 images, with both contrastive terms minus without"
        f"{f', {regime.words}' if regime else ''}; the paper's difference is {step:+.3f}"
    )
    return Result(str(found[regime][hecl_verdict.MAIN]) if regime else NOT_YET, words)


def _local_global() -> Result:
    found = [(regime, own) for regime in local_global_verdict.REGIMES if (own := regime.gain_over_plain("EX"))]
    found.sort(key=lambda pair: len(pair[1].seeds) < ENOUGH)  # the nearest to the paper that has enough, if any has
    parts = found[0][0].gains("EX") if found else {}
    beside = " and ".join(
        f"{part.difference.value:+.3f} over {local_global_verdict.OTHERS[n]}" for n, part in parts.items()
    )
    words = (
        "AUPR of hard exudates, mean over 27 images, the fused network minus one plain U-Net of about as many "
        f"parameters and updates{f', at {found[0][0].name}' if found else ''}{f'; {beside}' if beside else ''}"
    )
    return Result(str(found[0][1]) if found else NOT_YET, words)


def _pldmlt() -> Result:
    empty = 100 * pldmlt_empty.measured()["all"]["mdice, micro, pooled"]
    words = (
        "mDice of a prediction without any lesion, background included as the printed numbers suggest, on IDRiD at "
        f"1024×1024; the best row of the paper's Table 1 has {table('pldmlt', 1)['mdice'].max():.2f} %"
    )
    return Result(f"{empty:.2f} %", words)


def _count(runs: Sized) -> str:
    many = len(runs)
    return "one seed" if many == 1 else f"{many} seeds"
