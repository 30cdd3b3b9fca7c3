"""Rows of recorded runs: which runs are of a row, and their scores and curves."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fundus_lib.environment import SOURCES
from fundus_lib.errors import ArgumentError, RecordError, UnknownNameError, suggest
from fundus_lib.recipes import PAPERS, recipes
from fundus_lib.records import DAGGER, curve, get_recipe, read

if TYPE_CHECKING:
    import pandas as pd

    from fundus_lib.recipes.base import Precision


ROW = ("paper", "table", "row", "dataset")
"""What names a row of runs."""


def experiment(record: Mapping[str, Any]) -> tuple[Any, ...]:
    """What runs have in common that differ in nothing but their seed: only they may enter one mean.

    Returns:
        Digest of the recipe without its seed; fingerprints of the test data and of the training data; number of
        processes, which share out the batch and with it the statistics of batch normalisation. The precision is in the
        recipe.
    """
    try:
        recipe = get_recipe(record).replace(seed=0).digest
    except ArgumentError:  # of another version of the library: it differs from every recipe that is known
        plain = json.dumps({**record["recipe"], "seed": 0, "precision": record.get("precision")}, sort_keys=True)
        recipe = hashlib.sha256(plain.encode()).hexdigest()
    trained = record.get("trained_on_fingerprint", record["trained_on"])
    settings = record["recipe"]
    if settings.get("pretraining_epochs") or settings.get("train_on") == "SyntheticFundus":
        trained = record["trained_on"]  # synthetic images are drawn anew for each seed, and follow from the recipe
    return (recipe, record["dataset_fingerprint"], trained, record.get("processes", 1))


def check_one_experiment(records: Iterable[Mapping[str, Any]]) -> None:
    """Refuse runs of a row that were made on other training data or by other numbers of processes.

    Raises:
        RecordError: There are several such experiments.
    """
    alike: dict[tuple[Any, ...], dict[tuple[Any, ...], str]] = {}  # by fold and copy of the test data
    for record in records:
        name = f"{record['paper']} {record['table']} {record['row']}, seed {record['seed']}"
        alike.setdefault((fold_of(record), record["dataset_fingerprint"]), {}).setdefault(experiment(record)[2:], name)
    made = max(alike.values(), key=len, default={})
    if len(made) > 1:
        raise RecordError(
            " and ".join(made.values()),
            "these runs of a row are not of the same experiment",
            found=" and ".join(f"training data {data}, {processes} processes" for data, processes in made),
            expected="runs that differ in nothing but their seed",
            remedy="keep the records of one of them in the folder",
        )


def check_row(runs: pd.DataFrame, paper: str, table: str, row: str) -> None:
    """Refuse a row that neither the library has a recipe of nor any run: a misspelt one would look like one not run.

    Raises:
        UnknownNameError: There is no such paper, table or row.
    """
    own = runs[runs["paper"] == paper]
    seen = ((own["table"] == table) & (own["row"] == row)).any()
    if not seen and (paper in PAPERS or own.empty):
        recipes(paper, table, row)


def check_pair(place: tuple[str, ...]) -> None:
    """Refuse what is not a table, a row and maybe a variant.

    Raises:
        ArgumentError: It is not.
    """
    if isinstance(place, str) or len(place) not in (2, 3) or not all(isinstance(part, str) for part in place):
        raise ArgumentError(
            "row",
            "a row is named by its table and its name",
            found=repr(place),
            expected="a tuple of two texts, or three with a variant",
            remedy='write for instance ("lite", "sunet_mixed"), or ("1", "sunet") for a table with a number',
        )


def check_name(kind: str, name: str, known: Collection[str]) -> None:
    """Refuse a score, a variant or a data set that no record of a paper has.

    Raises:
        UnknownNameError: It is none of those known.
    """
    if name not in known:
        shown = sorted(known)
        raise UnknownNameError(
            f"{kind} {name!r}",
            f"the records have no such {kind}",
            found=repr(name),
            expected=", ".join(shown[:20]) + (f" and {len(shown) - 20} more" if shown[20:] else ""),
            remedy=suggest(name, shown, "name one of these"),
        )


def check_dataset(dataset: str, runs: pd.DataFrame) -> None:
    """Refuse a data set that the library does not know and no run was tested on.

    Raises:
        UnknownNameError: It is none of those.
    """
    if not set(dataset.split(", ")) <= {*SOURCES, "synthetic"}:
        check_name("data set", dataset, {*SOURCES, "synthetic", *runs["dataset"]})


def fold_of(record: Mapping[str, Any]) -> tuple[int, int] | None:
    """The fold that a run was tested on, and of how many; None if it had none."""
    fold = record["recipe"].get("fold")
    return (int(fold[0]), int(fold[1])) if fold else None


def tell_folds(folds: Collection[tuple[int, int] | None]) -> str:
    """Folds in words, such as "5 folds", "3 of 5 folds" or "fold 1 of 5"; nothing where there are none."""
    known = sorted(fold for fold in folds if fold)
    if not known:
        return ""
    if len(known) == 1:
        return f"fold {known[0][0]} of {known[0][1]}"
    return f"{known[0][1]} folds" if len(known) == known[0][1] else f"{len(known)} of {known[0][1]} folds"


def as_it_is(file: Path, paper: str, table: str, row: str, precision: Precision | None = None) -> bool:
    """Whether a run is of the recipe of that name, in any fold: shrunk or changed it keeps its name, and is another."""
    known = _digests(paper, table, row, precision)
    return not known or experiment(read(file))[0] in known


@cache
def _digests(paper: str, table: str, row: str, precision: Precision | None) -> frozenset[str]:
    """Of the recipes of that name; none of a row that the library does not know, which its name alone can tell."""
    try:
        found = recipes(paper, table, row)
        runs = [run for r in found for run in r.every_fold()]
        return frozenset(r.replace(seed=0, precision=precision or r.precision).digest for r in runs)
    except UnknownNameError:
        return frozenset()


def newest(
    runs: pd.DataFrame, table: str | None = None, row: str | None = None, precision: Precision | None = None
) -> pd.DataFrame:
    """Of each experiment, seed and variant the newest run, among those of the recipe of that name.

    Args:
        runs: Rows of :func:`fundus_lib.records.load`'s table, with or without variants.
        table: Only this table.
        row: Only this row.
        precision: Of the recipe in this precision, instead of its own.

    Returns:
        Those rows, by date. Runs of a row on other data, or by another number of processes, stand beside each other.

    Raises:
        RecordError: A record is damaged.
    """
    for name, wanted in (("table", table), ("row", row)):
        runs = runs[runs[name] == wanted] if wanted is not None else runs
    kept = [
        as_it_is(Path(run["file"]), run["paper"], run["table"], run["row"], precision)
        for run in runs.to_dict("records")
    ]
    return one_per_seed(runs.loc[np.array(kept, bool)])


def one_per_seed(runs: pd.DataFrame) -> pd.DataFrame:
    """Of each experiment, seed and variant the newest run, by date."""
    key = [name for name in (*ROW, "seed", "variant") if name in runs]
    dated = runs.sort_values(["date", "file"], kind="stable")
    same = dated[key].assign(experiment=[str(experiment(read(Path(file)))) for file in dated["file"]])
    return dated[~same.duplicated(keep="last")]


def latest(runs: pd.DataFrame, precision: Precision | None = None) -> pd.DataFrame:
    """Of each row, seed and variant the newest run, among those of the recipe of that name.

    Runs of a recipe that was shrunk, changed or trained in another precision keep its name, and are left out.

    Args:
        runs: Rows of :func:`fundus_lib.records.load`'s table, with or without variants.
        precision: Of the recipe in this precision, instead of its own.

    Raises:
        RecordError: A record is damaged; or runs of one row were made on different copies of their data, or by
            different numbers of processes, so that no mean over them means anything.
    """
    kept = newest(runs, precision=precision)
    for name, own in kept.groupby(list(ROW), sort=False):
        made: dict[tuple[Any, ...], str] = {}
        for file in own["file"]:
            made.setdefault(experiment(read(Path(file)))[1:], file)
        if len(made) > 1:
            one, other = list(made.items())[:2]
            raise RecordError(
                other[1],
                f"these runs of {' '.join(map(str, name))} are not of the same experiment",
                found=f"data and processes {other[0]}",
                expected=f"{one[0]}, as in {one[1]}",
                remedy="load the records of one copy of the data only, or compare with `fundus records --compare`",
            )
    return kept


def select(runs: pd.DataFrame, table: str, row: str, variant: str = "") -> pd.DataFrame:
    """The runs of a row; of a table with variants, the lines of one.

    Raises:
        UnknownNameError: There is no such row.
        ArgumentError: A variant is named, and the table has none.
    """
    own = runs[(runs["table"] == table) & (runs["row"] == row)]
    papers = [*dict.fromkeys(runs["paper"])]
    if own.empty and len(papers) == 1:
        check_row(runs, papers[0], table, row)
    if "variant" in runs:
        return own[own["variant"] == variant]
    if variant:
        raise ArgumentError(
            "runs",
            "this table has no variants",
            found=f"variant={variant!r}",
            expected="a table with the column variant",
            remedy="make it with records.load(variants=True)",
        )
    return own


def scores_by_seed(runs: pd.DataFrame, metric: str, table: str, row: str, variant: str = "") -> pd.Series[float]:
    """A score of each run of a row that has it: seed → score, the mean over the folds that there are.

    Raises:
        UnknownNameError: There is no such row, variant or score.
        RecordError: A seed was run twice, but for its folds, so that no mean over the runs means anything.
    """
    own = select(runs, table, row, variant)
    if len(runs):
        check_name("score", metric, [*runs])
        check_name("variant", variant, {"", *runs.get("variant", ())})
    own = own[own[metric].notna()]
    again = own[own.duplicated("seed", keep=False)]
    folds = [(seed, fold_of(read(Path(file)))) for seed, file in zip(again["seed"], again["file"], strict=True)]
    if len(set(folds)) < len(folds):
        raise RecordError(
            again["file"].iloc[0],
            "these runs of a row have the same seed",
            found=", ".join(Path(file).name for file in again["file"][:3]),
            expected="one run for each seed and fold",
            remedy="take the newest of the recipe as it is, on one data set: latest(runs)",
        )
    return own.set_index("seed")[metric].astype(float).groupby(level=0, sort=False).mean()


def mark(runs: pd.DataFrame) -> str:
    """A dagger if one of the runs was made with code that was not committed, otherwise nothing."""
    return DAGGER if (runs["dirty"] == True).any() else ""  # noqa: E712  (it may be None)


def curves(runs: pd.DataFrame) -> Iterator[tuple[pd.DataFrame, int]]:
    """Of each run its training curve, and the epoch that was chosen (0: none was)."""
    for file in dict.fromkeys(runs["file"]):
        record = read(Path(file))
        yield curve(record), int(record.get("selection", {}).get("epoch", 0))
