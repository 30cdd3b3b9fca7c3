"""What one change does to a score: the difference of two rows of runs, seed by seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fundus_lib.data.sample import LESIONS
from fundus_lib.errors import RecordError
from fundus_lib.records import load, read
from fundus_lib.records.compare import list_scores
from fundus_lib.records.rows import (
    check_dataset,
    check_name,
    check_one_experiment,
    check_pair,
    check_row,
    fold_of,
    newest,
    select,
    tell_folds,
)


@dataclass(frozen=True)
class Difference:
    """By how much a score differs between two rows, seed by seed.

    Attributes:
        by_seed: Seed → score of the one minus score of the other, for seeds that both were run with.
        folds: In words, the folds over which these are means, such as "3 of 5 folds"; empty without folds.
    """

    by_seed: dict[int, float]
    folds: str = ""

    @property
    def mean(self) -> float:
        """Mean over the seeds; NaN where nothing was run."""
        return sum(self.by_seed.values()) / len(self.by_seed) if self.by_seed else float("nan")

    @property
    def low(self) -> float:
        """The least over the seeds; NaN where nothing was run."""
        return min(self.by_seed.values(), default=float("nan"))

    @property
    def high(self) -> float:
        """The greatest over the seeds; NaN where nothing was run."""
        return max(self.by_seed.values(), default=float("nan"))

    def __bool__(self) -> bool:
        return bool(self.by_seed)

    def __str__(self) -> str:
        if not self:
            return "not run yet"
        mean, low, high = (f"{value:+.3f}".replace("-", "−") for value in (self.mean, self.low, self.high))
        where = f"{self.folds}, " if self.folds else ""
        if len(self.by_seed) == 1:
            return f"{mean} ({where}one seed)"
        return f"{mean} ({where}{low} to {high} over {len(self.by_seed)} seeds)"


def scores(
    paper: str, table: str, row: str, metric: str, *folders: str | Path, variant: str = ""
) -> dict[tuple[int, str], float]:
    """A score of every run of a row, tested on IDRiD.

    Args:
        paper: Name of the paper or chapter.
        table: One of its tables of recipes.
        row: One of its rows.
        metric: Such as `EX_aupr`.
        *folders: Folders of records besides those of the library.
        variant: One of the other predictions that a record scores, such as `"small branch"`; empty for its own.

    Returns:
        (seed, digits of the test data) → score, of the latest run each; the mean over the folds that there are. A
        record without that variant or metric is left out.

    Raises:
        RecordError: A folder does not exist, or a record is damaged.
        UnknownNameError: There is no such paper, table or row, or no run of it has the score or variant.
    """
    found = _find(paper, table, row, metric, folders, variant, "IDRiD")
    return {run: sum(folds.values()) / len(folds) for run, folds in found.items()}


def _find(
    paper: str, table: str, row: str, metric: str, folders: Iterable[str | Path], variant: str, dataset: str
) -> dict[tuple[int, str], dict[tuple[int, int] | None, float]]:
    """The score of each fold of every run of a row; see :func:`scores`."""
    runs = load(*folders, variants=True)
    check_row(runs, paper, table, row)
    check_dataset(dataset, runs)
    papers = runs[runs.paper == paper].dropna(axis=1, how="all")
    if len(papers):
        check_name("variant", variant, {"", *papers.variant})
        known = list_scores(papers)
        own_words = {name[3:] for name in known if name[:2] in LESIONS}  # a score may be NaN for one lesion in all runs
        check_name("score", metric, {*known, *(f"{lesion}_{words}" for lesion in LESIONS for words in own_words)})
    own = newest(runs[(runs.paper == paper) & (runs.dataset == dataset)], table, row)
    own = select(own, table, row, variant)
    own = own[own[metric].notna()]
    found: dict[tuple[int, str], dict[tuple[int, int] | None, float]] = {}
    made = [read(Path(file)) for file in own.file]
    check_one_experiment(made)
    for record, score in zip(made, own[metric].astype(float), strict=True):
        run = int(record["seed"]), str(record["dataset_fingerprint"])
        found.setdefault(run, {})[fold_of(record)] = score
    return found


def difference(
    paper: str,
    of: tuple[str, str] | tuple[str, str, str],
    over: tuple[str, str] | tuple[str, str, str],
    metric: str,
    *folders: str | Path,
    dataset: str = "IDRiD",
) -> Difference:
    """What a change does to a score: one row minus another, for every seed that both were run with on the same data.

    With folds, the mean over those that both rows have; a seed that lacks some that another has is left out.

    Args:
        paper: Name of the paper or chapter.
        of: Table and row of the one, and where needed a variant (see :func:`scores`).
        over: Table and row of the other, and where needed a variant.
        metric: Such as `EX_aupr`.
        *folders: Folders of records besides those of the library.
        dataset: On which both were tested.

    Returns:
        The difference; as text "+0.012 (−0.003 to +0.021 over 3 seeds)", or "not run yet".

    Raises:
        RecordError: A folder does not exist, a record is damaged, or both were run on several copies of the data.
        UnknownNameError: There is no such paper, table, row or data set, or no run of it has the score or variant.

    Example:
        >>> str(difference("pldmlt", ("2", "densenet201"), ("2", "nasnet"), "dr_accuracy"))
        'not run yet'
    """
    for place in (of, over):
        check_pair(place)
    one, other = (_find(paper, row[0], row[1], metric, folders, "".join(row[2:]), dataset) for row in (of, over))
    shared = sorted(one.keys() & other.keys())
    check_one_data_set(of, over, (data for _, data in shared))
    folds = {run: one[run].keys() & other[run].keys() for run in shared}
    most = max(folds.values(), key=len, default=set())
    changes = {
        run[0]: sum(one[run][fold] - other[run][fold] for fold in sorted(most, key=str)) / len(most)
        for run in shared
        if most and folds[run] == most
    }
    return Difference(changes, tell_folds(most))


def check_one_data_set(of: tuple[str, ...], over: tuple[str, ...], test_data: Iterable[str]) -> None:
    """Refuse pairs of runs of which some were tested on one copy of the data and others on another.

    Raises:
        RecordError: There are several.
    """
    found = sorted(set(test_data))
    if len(found) > 1:
        raise RecordError(
            f"{' '.join(of)} over {' '.join(over)}",
            "these runs were tested on different data",
            found=f"test data {', '.join(found)}",
            expected="one copy of the data",
            remedy="load the records of one copy only",
        )


def describe(
    paper: str, of: tuple[str, ...], over: tuple[str, ...], names: Mapping[str, str], *folders: str | Path
) -> str:
    """What a change does to several scores, in a line of text.

    Args:
        paper: Name of the paper or chapter.
        of: Table and row of the one, and where needed a variant.
        over: Table and row of the other, and where needed a variant.
        names: Metric → what it is called in the text.
        *folders: Folders of records besides those of the library.

    Returns:
        Such as "F1 +0.012 (one seed); AUPR −0.003 (one seed)"; "not run yet" where there is nothing.
    """
    changes = {name: difference(paper, of, over, metric, *folders) for metric, name in names.items()}  # type: ignore[arg-type]
    return "; ".join(f"{name} {change}" for name, change in changes.items() if change) or "not run yet"


def mean_gain(paper: str, rows: Iterable[tuple[str, str]], variant: str, metric: str, *folders: str | Path) -> str:
    """What a variant of the runs, such as another epoch, gains in a score: mean over the rows that have it, as text."""
    changes = [difference(paper, (*row, variant), row, metric, *folders) for row in rows]
    means = [change.mean for change in changes if change]
    return f"{sum(means) / len(means):+.3f}".replace("-", "−") if means else "not run yet"
