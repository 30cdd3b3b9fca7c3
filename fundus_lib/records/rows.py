"""Rows of recorded runs: which runs are of a row, and their scores and curves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fundus_lib.records import DAGGER, curve, read
from fundus_lib.records.differences import as_it_is

if TYPE_CHECKING:
    import pandas as pd

    from fundus_lib.recipes.base import Precision


def latest(runs: pd.DataFrame, precision: Precision | None = None) -> pd.DataFrame:
    """Of each row, seed and variant the latest run, among those of the recipe of that name.

    Runs of a recipe that was shrunk, changed or trained in another precision keep its name, and are left out.

    Args:
        runs: Rows of :func:`fundus_lib.records.load`'s table, with or without variants.
        precision: Of the recipe in this precision, instead of its own.

    Raises:
        RecordError: A record is damaged.
    """
    kept = [
        as_it_is(Path(run["file"]), run["paper"], run["table"], run["row"], precision)
        for run in runs.to_dict("records")
    ]
    key = [name for name in ("paper", "table", "row", "dataset", "seed", "variant") if name in runs]
    return runs.loc[np.array(kept, bool)].sort_values("date", kind="stable").drop_duplicates(key, keep="last")


def select(runs: pd.DataFrame, table: str, row: str, variant: str = "") -> pd.DataFrame:
    """The runs of a row; of a table with variants, the lines of one."""
    own = runs[(runs["table"] == table) & (runs["row"] == row)]
    return own[own["variant"] == variant] if "variant" in own else own


def scores_by_seed(runs: pd.DataFrame, metric: str, table: str, row: str, variant: str = "") -> pd.Series[float]:
    """A score of each run of a row that has it: seed → score."""
    own = select(runs, table, row, variant).set_index("seed")
    return own.reindex(columns=[metric])[metric].dropna().astype(float)


def summarise(
    runs: pd.DataFrame, metrics: Mapping[str, str], table: str, row: str, variant: str = ""
) -> dict[str, Any]:
    """A line of a table: how many seeds, and mean ± standard deviation (n − 1) of each score over them, as text.

    Args:
        runs: Rows of :func:`fundus_lib.records.load`'s table.
        metrics: Metric → heading.
        table: Table of the recipes.
        row: Which row.
        variant: Of the scores.

    Returns:
        Heading → text; a dagger beside the seeds says that code of a run was not committed.
    """
    own = select(runs, table, row, variant)
    line: dict[str, Any] = {"seeds": f"{len(own)}{mark(own)}"}
    for metric, heading in metrics.items():
        values = scores_by_seed(runs, metric, table, row, variant)
        spread = f" ± {values.std():.3f}" if len(values) > 1 else ""
        nothing = "–" if len(own) else "not run yet"
        line[heading] = f"{values.mean():.3f}{spread}" if len(values) else nothing
    return line


def mark(runs: pd.DataFrame) -> str:
    """A dagger if one of the runs was made with code that was not committed, otherwise nothing."""
    return DAGGER if (runs["dirty"] == True).any() else ""  # noqa: E712  (it may be None)


def curves(runs: pd.DataFrame) -> Iterator[tuple[pd.DataFrame, int]]:
    """Of each run its training curve, and the epoch that was chosen (0: none was)."""
    for file in dict.fromkeys(runs["file"]):
        record = read(Path(file))
        yield curve(record), int(record.get("selection", {}).get("epoch", 0))
