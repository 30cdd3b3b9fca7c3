"""The benchmark's leaderboard, from records alone: scores with intervals, gains over the base, and what they cost."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fundus_lib.data.sample import LESIONS
from fundus_lib.metrics.bootstrap import Estimate
from fundus_lib.protocols.lesions import LESION_SIZES
from fundus_lib.published.benchmark_names import name_row
from fundus_lib.published.benchmark_pooling import check_bins, draw_weights, has_counts, pool
from fundus_lib.records import load, read
from fundus_lib.records.differences import Difference, check_one_data_set, difference
from fundus_lib.records.rows import check_one_experiment, newest

PAPER = "benchmark"

Key = tuple[str, str]
"""A table and a row."""

BASE: Key = ("base", "chosen")

CONTROLS = ("two_branches", "two_branches_dice", "wide", "grades_control")
"""Rows that are no idea of a paper, but what an idea is to be compared with besides the base."""

CONTROLLED: dict[Key, tuple[Key, ...]] = {
    ("ideas", row): tuple(("ideas", other) for other in others)
    for row, others in {
        "two_branches_dice": ("loss_dice",),
        "two_branches_dsm": ("two_branches_dice", "loss_dice"),
        "hecl_weak": ("hecl",),
        "hecl_EX": ("hecl",),
        "global_context": ("wide",),
        "grades_blending": ("grades_control",),
        "grades_weak": ("grades_control", "grades_blending"),
        "grades_pseudo": ("grades_shared",),
    }.items()
}
"""Rows that differ from others in less than from the base: the same loss, as many parameters, the same added layers."""

NOTHING = Estimate(*[float("nan")] * 3)


@dataclass(frozen=True)
class Gain:
    """What a row gains over another one on the same images and seeds; false if no seed was run with both.

    Attributes:
        over: Table and row of the other one.
        scores: As those of a :class:`Standing`; NaN without a seed.
        seeds: That both were run with.
    """

    over: Key
    scores: Mapping[str, Estimate]
    seeds: tuple[int, ...]

    def __bool__(self) -> bool:
        return bool(self.seeds)

    def tell(self, score: str = "mean") -> str:
        """A gain with its interval, such as "+0.012 [−0.003, +0.020]"."""
        gain = self.scores[score]
        value, low, high = (f"{end:+.3f}".replace("-", "−") for end in (gain.value, gain.low, gain.high))
        return f"{value} [{low}, {high}]"


@dataclass(frozen=True)
class Standing:
    """A row of the leaderboard.

    Attributes:
        row: Its table and its name in the records.
        name: In words.
        seeds: It was run with.
        scores: AUPR pooled over the test images at full size, of each lesion and as `"mean"` over them: mean over the
            seeds, with the 95 % bootstrap interval over images and seeds.
        gain: Over the base; of no seed for the base itself.
        controlled: Gains over its controls, see :data:`CONTROLLED`.
        best: How often it has the highest mean among all rows, over the resamples.
        seconds: Core seconds of training, mean over the runs.
    """

    row: Key
    name: str
    seeds: tuple[int, ...]
    scores: Mapping[str, Estimate]
    gain: Gain
    controlled: tuple[Gain, ...]
    best: float
    seconds: float


def find(rows: Iterable[Key] | None, *folders: str | Path, table: str = "", dataset: str = "IDRiD") -> dict[Key, Any]:
    """The newest runs of rows of the benchmark, as records; rows that nobody has run are left out.

    Args:
        rows: Which; None for all of `table`.
        *folders: Folders of records besides those of the library.
        table: Of all rows.
        dataset: On which they were tested.

    Returns:
        Table and row → seed → record.

    Raises:
        RecordError: A folder does not exist, or a record is damaged.
    """
    runs = load(*folders)
    runs = runs[(runs.paper == PAPER) & (runs.dataset == dataset)]
    found: dict[Key, dict[int, dict[str, Any]]] = {}
    for record in map(read, map(Path, [] if runs.empty else newest(runs).file)):
        key = str(record["table"]), str(record["row"])
        if key in rows if rows is not None else key[0] == table:
            found.setdefault(key, {})[int(record["seed"])] = record
    for own in found.values():
        check_one_experiment(own.values())
    return found


def leaderboard(
    *folders: str | Path,
    table: str = "ideas",
    base: Key = BASE,
    resamples: int = 2000,
    seed: int = 0,
    dataset: str = "IDRiD",
) -> list[Standing]:
    """All rows of a table and the base, by their mean score, highest first.

    The intervals are percentile bootstraps that draw images, the same for all rows and seeds, and seeds, the same for
    two rows that are compared: paired over images and pooled over seeds, as everywhere in this book. As AUPR is pooled
    over images, each selection of images is pooled anew, from the counts that records hold. Runs whose record holds
    none are left out.

    Args:
        *folders: Folders of records besides those of the library.
        table: The rows.
        base: Table and row of what they are compared with.
        resamples: How many selections are drawn.
        seed: Of the drawing.
        dataset: On which they were tested.

    Raises:
        RecordError: A folder does not exist, a record is damaged, or runs were tested on several copies of the data.
    """
    runs = find(None, *folders, table=table, dataset=dataset) | find([base], *folders, dataset=dataset)
    runs = {key: dict(sorted(own.items())) for key, own in runs.items()}
    drawn = _draw(runs, resamples, seed)
    if not drawn:
        return []
    means = {key: _over_seeds(list(own.values()), seed) for key, own in drawn.items()}  # (1 + resamples, lesions + 1)
    winners = np.argmax([mean[1:, -1] for mean in means.values()], axis=0)
    standings = []
    for place, key in enumerate(drawn):
        own = {n: runs[key][n] for n in drawn[key]}
        standings.append(
            Standing(
                key,
                name_row(key[1]),
                tuple(own),
                _estimate(means[key]),
                _gain(drawn, key, base, seed),
                tuple(_gain(drawn, key, other, seed) for other in CONTROLLED.get(key, ())),
                float(np.mean(winners == place)),
                mean_of(r["seconds"].get("train_cpu", float("nan")) for r in own.values()),
            )
        )
    return sorted(standings, key=lambda one: -one.scores["mean"].value)


def gain(
    row: Key,
    over: Key,
    *folders: str | Path,
    seeds: Container[int] | None = None,
    resamples: int = 2000,
    seed: int = 0,
    dataset: str = "IDRiD",
) -> Gain:
    """What one row of the benchmark gains over another, as in the leaderboard; of no seed if both were not run.

    Args:
        row: Table and row.
        over: The other one.
        *folders: Folders of records besides those of the library.
        seeds: Of the runs that count; None for all.
        resamples: How many selections of images are drawn.
        seed: Of the drawing.
        dataset: On which they were tested.
    """
    runs = find([row, over], *folders, dataset=dataset)
    if seeds is not None:
        runs = {key: {n: record for n, record in own.items() if n in seeds} for key, own in runs.items()}
    return _gain(_draw(runs, resamples, seed), row, over, seed)


def gains_by_size(
    row: Key, *folders: str | Path, base: Key = BASE, dataset: str = "IDRiD"
) -> dict[tuple[str, str], Difference]:
    """What a row gains over the base in the fraction of lesions that are found, at break-even, by lesion and size."""
    return {
        (lesion, size): difference(PAPER, row, base, f"{lesion}_breakeven_recall_{size}", *folders, dataset=dataset)
        for lesion in LESIONS
        for size in LESION_SIZES
    }


def cheapest(standings: Iterable[Standing]) -> list[Standing]:
    """The Pareto front: rows that no other row beats at the same or less training time, the cheapest first."""
    front: list[Standing] = []
    for one in sorted(standings, key=lambda one: (one.seconds, -one.scores["mean"].value)):
        if not front or one.scores["mean"].value > front[-1].scores["mean"].value:
            front.append(one)
    return front


def tell_seeds(standings: Sequence[Standing]) -> str:
    """How many seeds the rows have, in words: "3 seeds", or "1 to 3 seeds"."""
    counts = sorted({len(one.seeds) for one in standings}) or [0]
    if counts[0] == counts[-1]:
        return "one seed" if counts[0] == 1 else f"{counts[0]} seeds"
    return f"{counts[0]} to {counts[-1]} seeds"


def mean_of(values: Iterable[float]) -> float:
    """Mean; NaN of nothing."""
    found = list(values)
    return float(np.mean(found)) if found else float("nan")


Drawn = Mapping[Key, Mapping[int, NDArray[np.float64]]]
"""Row → seed → scores of each selection of images, (1 + resamples, lesions + 1)."""


def _draw(runs: Mapping[Key, Mapping[int, Mapping[str, Any]]], resamples: int, seed: int) -> Drawn:
    """The scores of all runs whose records hold counts."""
    counted = {key: {n: r for n, r in own.items() if has_counts(r)} for key, own in runs.items()}
    every = [record for own in counted.values() for record in own.values()]
    if not every:
        return {}
    keys = list(counted)
    check_one_data_set(keys[0], keys[-1], (r["dataset_fingerprint"] for r in every))
    for record in every:
        check_bins(record)
    names = every[0]["predictions"]["names"]
    weights = draw_weights(len(names), resamples, seed)
    return {key: {n: pool(r, names, weights) for n, r in own.items()} for key, own in counted.items() if own}


def _gain(drawn: Drawn, row: Key, over: Key, seed: int) -> Gain:
    """Of one row over another, from the scores of each selection of images."""
    shared = sorted(drawn.get(row, {}).keys() & drawn.get(over, {}).keys()) if row != over else []
    if not shared:
        return Gain(over, dict.fromkeys((*LESIONS, "mean"), NOTHING), ())
    return Gain(over, _estimate(_over_seeds([drawn[row][n] - drawn[over][n] for n in shared], seed)), tuple(shared))


def _over_seeds(runs: Sequence[NDArray[np.float64]], seed: int) -> NDArray[np.float64]:
    """Mean over the runs of each selection: of all runs in the first, in the others of as many that are drawn."""
    each = np.stack(runs)  # (S, 1 + resamples, K)
    resamples = each.shape[1] - 1
    draws = np.random.default_rng(seed + 1).integers(len(each), size=(resamples, len(each)))
    drawn = each[draws, np.arange(1, resamples + 1)[:, None]].mean(1)
    return np.concatenate([each[:, 0].mean(0)[None], drawn])


def _estimate(scores: NDArray[np.float64]) -> dict[str, Estimate]:
    """Value and 95 % interval of each lesion and of the mean, from (1 + resamples, lesions + 1)."""
    low, high = np.nanquantile(scores[1:], [0.025, 0.975], axis=0)
    ends = zip((*LESIONS, "mean"), scores[0], low, high, strict=True)
    return {name: Estimate(float(value), float(least), float(most)) for name, value, least, most in ends}
