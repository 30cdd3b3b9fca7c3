"""The benchmark's leaderboard, from records alone: scores with intervals, gains over the base, and what they cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fundus_lib.data.sample import LESIONS
from fundus_lib.metrics.bootstrap import Estimate
from fundus_lib.metrics.score_bins import average_precision_from_bins, read_counts
from fundus_lib.protocols.lesions import LESION_SIZES
from fundus_lib.published.benchmark_names import name_row
from fundus_lib.records import curve, load, read
from fundus_lib.records.differences import Difference, check_one_data_set, difference
from fundus_lib.records.rows import check_one_experiment, newest

if TYPE_CHECKING:
    import pandas as pd

PAPER = "benchmark"

Key = tuple[str, str]
"""A table and a row."""

BASE: Key = ("base", "chosen")

CONTROLS = ("two_branches", "two_branches_dice", "wide", "grades_control")
"""Rows that are no idea of a paper, but what an idea is to be compared with besides the base."""

NOTHING = Estimate(*[float("nan")] * 3)


@dataclass(frozen=True)
class Standing:
    """A row of the leaderboard.

    Attributes:
        row: Its table and its name in the records.
        name: In words.
        seeds: It was run with.
        scores: AUPR pooled over the test images at full size, of each lesion and as `"mean"` over them: mean over the
            seeds, with the 95 % bootstrap interval over images and seeds.
        gain: The same of its difference to the base on the same images and seeds; NaN for the base.
        shared: Seeds that both were run with.
        best: How often it has the highest mean among all rows, over the resamples.
        seconds: Core seconds of training, mean over the runs.
        peak_memory: In MB, mean over the runs; NaN where unknown.
    """

    row: Key
    name: str
    seeds: tuple[int, ...]
    scores: Mapping[str, Estimate]
    gain: Mapping[str, Estimate]
    shared: tuple[int, ...]
    best: float
    seconds: float
    peak_memory: float


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
    runs = {key: {n: r for n, r in own.items() if _has_counts(r)} for key, own in runs.items()}
    runs = {key: dict(sorted(own.items())) for key, own in runs.items() if own}
    if not runs:
        return []
    check_one_data_set(base, (table, "all"), (r["dataset_fingerprint"] for own in runs.values() for r in own.values()))
    names = next(iter(next(iter(runs.values())).values()))["predictions"]["names"]
    weights = draw_weights(len(names), resamples, seed)
    drawn = {key: {n: pool(r, names, weights) for n, r in own.items()} for key, own in runs.items()}
    means = {key: _over_seeds(list(own.values()), seed) for key, own in drawn.items()}  # (1 + resamples, lesions + 1)
    winners = np.argmax([mean[1:, -1] for mean in means.values()], axis=0)
    standings = []
    for place, (key, own) in enumerate(runs.items()):
        shared = tuple(n for n in own if n in runs.get(base, {}))
        gain = dict.fromkeys((*LESIONS, "mean"), NOTHING)
        if shared and key != base:
            gain = _estimate(_over_seeds([drawn[key][n] - drawn[base][n] for n in shared], seed))
        standings.append(
            Standing(
                key,
                name_row(key[1]),
                tuple(own),
                _estimate(means[key]),
                gain,
                shared,
                float(np.mean(winners == place)),
                _mean(r["seconds"].get("train_cpu", float("nan")) for r in own.values()),
                _mean(r.get("peak_memory_mb") or float("nan") for r in own.values()),
            )
        )
    return sorted(standings, key=lambda one: -one.scores["mean"].value)


def draw_weights(images: int, resamples: int, seed: int = 0) -> NDArray[np.float64]:
    """How often each image is in each selection, (1 + resamples, images); the first is the images themselves."""
    draws = np.random.default_rng(seed).integers(images, size=(resamples, images))
    times = np.stack([np.bincount(draw, minlength=images) for draw in draws])
    return np.concatenate([np.ones((1, images)), times])


def pool(record: Mapping[str, Any], names: Sequence[str], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """AUPR of each selection of images, of each lesion and their mean: (selections, lesions + 1).

    Args:
        record: Of a run of the benchmark.
        names: Of the images, in the order of the weights.
        weights: (selections, images).
    """
    predictions = record["predictions"]
    order = [predictions["names"].index(name) for name in names]
    found = []
    for lesion in LESIONS:
        counts = read_counts(predictions[f"{lesion}_counts"])[order]  # (N, 2, K)
        pooled = (weights @ counts.reshape(len(order), -1)).reshape(-1, *counts.shape[1:])
        found.append(average_precision_from_bins(pooled))
    scores = np.stack(found, axis=1)
    return np.concatenate([scores, scores.mean(1, keepdims=True)], axis=1)


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


def search(*folders: str | Path, table: str = "search", base: str = "base", dataset: str = "IDRiD") -> pd.DataFrame:
    """What was tried to make the base good: one change at a time, judged on held-out training images.

    Returns:
        A line for each row, the largest gain first, with the columns row, seeds (number), validation (mean over the
        lesions of AUPR on the held-out images after the last epoch, mean over the seeds), gain (over the base, of the
        seeds that both have; NaN for the base and without any), test (mean AUPR of the test images, at which nobody
        looked), and minutes (of one core, mean). Empty if nothing was run.

    Raises:
        RecordError: A folder does not exist, or a record is damaged.
    """
    import pandas as pd

    runs = find(None, *folders, table=table, dataset=dataset)
    scores = {row: {n: last_validation(record) for n, record in own.items()} for (_, row), own in runs.items()}
    lines = []
    for (_, row), own in runs.items():
        gains = [value - scores[base][n] for n, value in scores[row].items() if n in scores.get(base, {})]
        tests = (_mean(r["metrics"].get(f"{lesion}_aupr", float("nan")) for lesion in LESIONS) for r in own.values())
        lines.append(
            {
                "row": row,
                "seeds": len(own),
                "validation": _mean(scores[row].values()),
                "gain": _mean(gains) if row != base else float("nan"),
                "test": _mean(tests),
                "minutes": _mean(r["seconds"].get("train_cpu", float("nan")) for r in own.values()) / 60,
            }
        )
    columns = ["row", "seeds", "validation", "gain", "test", "minutes"]
    made = pd.DataFrame(lines, columns=columns)
    return made.sort_values("validation", ascending=False, ignore_index=True)


def last_validation(record: Mapping[str, Any]) -> float:
    """Mean over the lesions of the AUPR on held-out images after the last epoch; NaN if there were none."""
    points = curve(record)
    known = [f"validation_{lesion}_aupr" for lesion in LESIONS]
    return _mean(points[name].iloc[-1] for name in known) if set(known) <= set(points) else float("nan")


def tell_seeds(standings: Sequence[Standing]) -> str:
    """How many seeds the rows have, in words: "3 seeds", or "1 to 3 seeds"."""
    counts = sorted({len(one.seeds) for one in standings}) or [0]
    if counts[0] == counts[-1]:
        return "one seed" if counts[0] == 1 else f"{counts[0]} seeds"
    return f"{counts[0]} to {counts[-1]} seeds"


def _has_counts(record: Mapping[str, Any]) -> bool:
    return all(f"{lesion}_counts" in (record.get("predictions") or {}) for lesion in LESIONS)


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


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return float(np.mean(found)) if found else float("nan")
