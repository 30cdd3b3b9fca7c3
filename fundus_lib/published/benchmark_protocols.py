"""One prediction under the protocols of five papers: scores, ranks, and how far the ranks agree. From records alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fundus_lib.protocols.benchmark import FUSED, IMAGE_MEANS, MIDDLE, SQUARE
from fundus_lib.published.benchmark_leaderboard import BASE, Key, find
from fundus_lib.published.benchmark_names import name_row
from fundus_lib.published.printed import table as printed_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd


@dataclass(frozen=True)
class View:
    """A protocol and the score that is read under it.

    Attributes:
        name: In a few words.
        words: In a sentence.
        metric: Name in the record; mean over the lesions where it is one of each.
        variant: Of the record; empty for its own metrics.
        one: The same score of one lesion, with `{}` for it; empty where all lesions count as one.
    """

    name: str
    words: str
    metric: str
    variant: str = ""
    one: str = ""


VIEWS = (
    View("exact AUPR", "all pixels at full size pooled, all thresholds", "mean_aupr", "", "{}_aupr"),
    View("challenge", "8 bit, 33 thresholds, trapezoids", "mean_aupr_33", "", "{}_aupr_33"),
    View("dual_branch", "8 bit, 11 thresholds, trapezoids", "mean_aupr_11", "", "{}_aupr_11"),
    View("dual_branch, IoU", "8 bit, above 128 of 255, pooled", "mean_iou", "", "{}_iou"),
    View("dual_branch, region F", "whole lesions count if half overlaps", "mean_region_f1_0.5", "", "{}_region_f1_0.5"),
    View("hecl", "IoU at 512², mean over images, undefined ones left out", "mean_iou_mean", IMAGE_MEANS, "{}_iou_mean"),
    View(
        "hecl, empty counts 1",
        "the same, an image without lesion and prediction counts 1",
        "mean_iou_mean_empty_1",
        IMAGE_MEANS,
        "{}_iou_mean_empty_1",
    ),
    View("local_global", "exact AUPR of the middle of the images, full size", "mean_aupr", MIDDLE, "{}_aupr"),
    View(
        "sunet (ours)",
        "exact AUPR in the square at 512²; the paper has no lesion score",
        "mean_aupr",
        SQUARE,
        "{}_aupr",
    ),
    View("pldmlt", "Dice of lesion and background at 1024², all lesions as one", "mdice_macro", FUSED),
    View("pldmlt, micro", "the same of all pixels together", "mdice_micro", FUSED),
)
"""Eleven views of a prediction, the book's own first."""

BEST_EPOCH = View(
    "best epoch on test", "exact AUPR of the epoch that is best on the test images", "mean_aupr", "best on test"
)
"""Only of rows that choose their epoch; the others test the last one and record no scores of earlier ones."""


def matrix(
    *folders: str | Path, table: str = "ideas", base: Key = BASE, dataset: str = "IDRiD", lesion: str = ""
) -> pd.DataFrame:
    """Scores of each row under each protocol, mean over its seeds.

    Args:
        *folders: Folders of records besides those of the library.
        table: The rows, besides the base.
        base: Its table and row.
        dataset: On which they were tested.
        lesion: Of one lesion; empty for the mean over all.

    Returns:
        A line for each row by its name in words, a column for each protocol of which there is a number, in the order of
        `VIEWS`; empty if nothing was run.

    Raises:
        RecordError: A folder does not exist, or a record is damaged.
    """
    import pandas as pd

    runs = find([base], *folders, dataset=dataset) | find(None, *folders, table=table, dataset=dataset)
    lines = {}
    for (_, row), own in runs.items():
        line = {
            view.name: [read_score(record, view, lesion) for record in own.values()] for view in (*VIEWS, BEST_EPOCH)
        }
        lines[name_row(row)] = {name: float(np.mean(values)) for name, values in line.items()}
    made = pd.DataFrame.from_dict(lines, orient="index", dtype=float)
    return made.dropna(axis=1, how="all")


def read_score(record: Mapping[str, Any], view: View, lesion: str = "") -> float:
    """A score of a record, or of what a protocol has just found; NaN where it has none."""
    variants = record.get("variants") or {}
    scores = variants.get(view.variant, {}) if view.variant else record["metrics"]
    name = view.one.format(lesion) if lesion else view.metric
    return float(scores.get(name, float("nan")))


def rank(scores: pd.DataFrame) -> pd.DataFrame:
    """Place of each row under each protocol, 1 for the highest score; equal scores share a place."""
    return scores.rank(ascending=False, method="min")


def agreement(scores: pd.DataFrame) -> pd.DataFrame:
    """Kendall's tau between the orders of the rows under each two protocols: 1 the same order, −1 the reverse."""
    import pandas as pd
    from scipy.stats import kendalltau

    names = list(scores.columns)
    taus = [[float(kendalltau(scores[a], scores[b], nan_policy="omit").statistic) for b in names] for a in names]
    return pd.DataFrame(taus, index=names, columns=names)


def moves(scores: pd.DataFrame) -> pd.Series[float]:
    """By how many places each row moves between the protocol that favours it most and the one that does least."""
    places = rank(scores)
    return (places.max(axis=1) - places.min(axis=1)).sort_values(ascending=False)


DUAL_BRANCH = {"sn": "sensitivity", "ppv": "ppv", "f1": "f1", "iou": "iou", "aupr": "aupr_11"} | {
    f"f_{sigma}": f"region_f1_{sigma}" for sigma in ("0.2", "0.35", "0.5", "0.65", "0.8")
}
"""Columns of Table 4 of dual_branch, and the scores of a record under the same protocol."""


def beside_print(
    *folders: str | Path,
    row: Key = BASE,
    dataset: str = "IDRiD",
    records: Sequence[Mapping[str, Any]] | None = None,
) -> pd.DataFrame:
    """A row of ours beside the best printed numbers of the same protocol.

    Args:
        *folders: Folders of records besides those of the library.
        row: Of the benchmark.
        dataset: On which it was tested.
        records: What is scored in place of that row.

    Returns:
        A line for each printed score, with the columns paper, lesion, score, printed (the highest in the table), by
        (whose it is), ours (mean over seeds, NaN if nothing was run), low and high (over seeds), and seeds.

    Raises:
        RecordError: A folder does not exist, or a record is damaged.
    """
    import pandas as pd

    runs = list(find([row], *folders, dataset=dataset).get(row, {}).values()) if records is None else records
    wanted = [("dual_branch", 4, "EX", column, column, f"EX_{name}", "") for column, name in DUAL_BRANCH.items()]
    wanted += [
        ("local_global", 1, lesion, lesion.lower(), "aupr", f"{lesion}_aupr", MIDDLE)
        for lesion in ("EX", "MA", "HE", "SE")
    ]
    lines = []
    for paper, number, lesion, column, score, metric, variant in wanted:
        printed = printed_table(paper, number)[column].astype(float)
        ours = [read_score(record, View("", "", metric, variant)) for record in runs]
        ours = [value for value in ours if value == value]
        lines.append(
            {
                "paper": paper,
                "lesion": lesion,
                "score": score,
                "printed": printed.max(),
                "by": printed.idxmax(),
                "ours": float(np.mean(ours)) if ours else float("nan"),
                "low": min(ours, default=float("nan")),
                "high": max(ours, default=float("nan")),
                "seeds": len(ours),
            }
        )
    return pd.DataFrame(lines)
