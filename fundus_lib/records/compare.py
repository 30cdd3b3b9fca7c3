"""Comparison of recorded experiments by one score: what enters a mean is the same but for its seed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fundus_lib.errors import UnknownNameError
from fundus_lib.recipes import recipes
from fundus_lib.records import read
from fundus_lib.records.rows import ROW, experiment, fold_of, one_per_seed

if TYPE_CHECKING:
    import pandas as pd


def compare(runs: pd.DataFrame, metric: str) -> tuple[pd.DataFrame, list[str]]:
    """A score of every experiment over its seeds, the best mean first.

    Args:
        runs: Rows of :func:`fundus_lib.records.load`'s table, without variants.
        metric: One of :func:`list_scores`.

    Returns:
        One line per experiment with the columns paper, table, row, dataset, trained_on, profile (`"paper"`, `"smoke"`,
        `"changed"` or `"unknown"`), precision, fold if any has one, then whichever of processes, test_data and
        training_data are not the same for all (digits that change with the data), and mean, min, max and count over
        seeds. And the files of older runs of an experiment and seed, which are left out.

    Raises:
        RecordError: A record is damaged.
    """
    import pandas as pd

    runs = runs[runs[metric].notna()]
    kept = one_per_seed(runs)
    read_again = [read(Path(file)) for file in kept["file"]]
    made = pd.DataFrame(
        [experiment(record) for record in read_again],
        columns=["recipe", "test_data", "training_data", "processes"],
        index=kept.index,
    )
    profiles = [find_profile(record) for record in read_again]
    lines = pd.concat([kept[[*ROW, "trained_on", "precision", metric]], made], axis=1).assign(profile=profiles)
    lines["precision"] = lines["precision"].fillna("32")
    lines["fold"] = [" of ".join(map(str, fold_of(record) or ())) for record in read_again]
    folds = ["fold"] * bool(lines["fold"].any())  # each is tested on images of its own
    shown = [*ROW, "trained_on", "profile", "precision", *folds, "processes", "test_data", "training_data"]
    table = lines.groupby([*shown, "recipe"])[metric].agg(["mean", "min", "max", "count"]).reset_index()
    table = table.sort_values("mean", ascending=False, kind="stable", ignore_index=True).drop(columns="recipe")
    alike = [name for name in shown[-3:] if table.groupby("dataset")[name].nunique().max() <= 1]
    older = sorted(set(runs["file"]) - set(kept["file"]))
    return table.drop(columns=alike), older


def tell_scores(metrics: Mapping[str, float], most: int | None = None) -> str:
    """Accuracies and AUPR, of the hundred scores that a record may have, summaries first; so many at most."""
    summaries = ("mean_aupr", "joint_accuracy")
    first = [name for name in metrics if name.endswith(("_accuracy", "_aupr"))] or list(metrics)[:5]
    first.sort(key=lambda name: (name not in summaries, not name.endswith("_accuracy")))
    return ", ".join(f"{name} {metrics[name]:.3f}" for name in first[:most])


def find_profile(record: Mapping[str, Any]) -> str:
    """Whether a run is of the recipe of its name (`"paper"`), of its `"smoke"` version, or of a `"changed"` one.

    `"unknown"` where the library has no recipe of that name.
    """
    try:
        named = [fold for r in recipes(record["paper"], record["table"], record["row"]) for fold in r.every_fold()]
    except UnknownNameError:
        return "unknown"
    recipe = experiment(record)[0]
    precision = record.get("precision")
    for profile, made in (("paper", named), ("smoke", [one.smoke() for one in named])):
        if recipe in {one.replace(seed=0, precision=precision or one.precision).digest for one in made}:
            return profile
    return "changed"


def list_scores(runs: pd.DataFrame) -> list[str]:
    """The columns of :func:`fundus_lib.records.load`'s table that hold numbers of which a mean says something."""
    numbers = runs.select_dtypes("number").columns
    return [str(name) for name in numbers if name not in ("images", "seed")]
