"""By how much one row of recorded runs scores higher than another, image by image and seed by seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fundus_lib.metrics.bootstrap import Estimate
from fundus_lib.metrics.paired import paired_interval
from fundus_lib.records import load, read
from fundus_lib.records.differences import check_one_data_set
from fundus_lib.records.rows import (
    check_dataset,
    check_name,
    check_one_experiment,
    check_pair,
    check_row,
    fold_of,
    newest,
    tell_folds,
)

if TYPE_CHECKING:
    import pandas as pd


EQUAL = {"dr_right": ("dr", "dr_true"), "dr_as_labelled": ("dr", "dr_label"), "label_right": ("dr_label", "dr_true")}
"""Scores that follow from two grades of an image: 1 where they are equal, else 0; undefined where one is unknown."""

GRADED = {"names", "dr", "dme", "dr_true", "dme_true", "dr_label"}
"""What records hold of each image that is no score."""

Run = tuple[int, str]
"""Seed, and digits of the test data."""

Fold = tuple[int, int] | None


@dataclass(frozen=True)
class ImageGain:
    """Difference of a score that is a mean over images.

    Attributes:
        seeds: Seeds that both were run with.
        images: How many images have the score in all runs.
        difference: With its 95 % bootstrap interval, paired over images and pooled over seeds.
        folds: In words, the folds that both were run in, such as "3 of 5 folds"; empty without folds.
    """

    seeds: tuple[int, ...]
    images: int
    difference: Estimate
    folds: str = ""

    def __bool__(self) -> bool:
        return bool(self.seeds)

    @property
    def runs(self) -> str:
        """Folds and seeds in words, such as "5 folds, one seed"."""
        seeds = "one seed" if len(self.seeds) == 1 else f"{len(self.seeds)} seeds"
        return f"{self.folds}, {seeds}" if self.folds else seeds

    def __str__(self) -> str:
        if not self:
            return "not run yet"
        ends = (self.difference.value, self.difference.low, self.difference.high)
        value, low, high = (f"{end:+.3f}".replace("-", "−") for end in ends)
        return f"{value} [{low}, {high}] ({self.runs})"


def image_gain(
    paper: str, of: tuple[str, ...], over: tuple[str, ...], score: str, *folders: str | Path, dataset: str = "IDRiD"
) -> ImageGain:
    """One row minus another in a score that records hold for each image, for every seed that both were run with.

    Folds of a seed are one run: each image counts once for a seed, with the network of the fold that it was left out
    of. Only folds that both rows were run in count; a seed that lacks some of those that another has is left out, so
    that all seeds have the same images.

    Args:
        paper: Name of the paper.
        of: Table and row of the one; a third entry names one of the other predictions that its records score, such as
            `"global branch"`.
        over: The same of the other.
        score: Such as `EX_aupr`, one of the records' predictions, or a key of :data:`EQUAL`. It is that of single
            images; the metric of the same name pools their pixels, so that the two gains can differ even in sign.
        *folders: Folders of records besides those of the library.
        dataset: On which both were tested.

    Returns:
        The gain; as text "+0.014 [−0.002, +0.031] (3 seeds)", or "not run yet", also where no image has the score in
        all runs.

    Raises:
        RecordError: A folder does not exist, a record is damaged, or both were run on several copies of the data.
        UnknownNameError: There is no such paper, table, row or data set, or no run of the paper has the score.
    """
    import pandas as pd

    one, other = (_find(paper, row, score, folders, dataset) for row in (of, over))
    shared = sorted(one.keys() & other.keys())
    check_one_data_set(of, over, (data for _, data in shared))
    folds = {run: one[run].keys() & other[run].keys() for run in shared}
    most = max(folds.values(), key=len, default=set())
    kept = [run for run in shared if folds[run] == most] if most else []
    a, b = (pd.DataFrame([_join(row[run][fold] for fold in most) for run in kept]) for row in (one, other))
    gains = (a - b).sort_index(axis=1).dropna(axis=1).to_numpy()  # (seeds, images)
    if not gains.size:
        return ImageGain((), 0, Estimate(*[float("nan")] * 3))
    return ImageGain(tuple(seed for seed, _ in kept), gains.shape[1], paired_interval(gains), tell_folds(most))


def image_scores(
    paper: str, row: tuple[str, ...], score: str, *folders: str | Path, dataset: str = "IDRiD"
) -> pd.DataFrame:
    """A score of each test image, of every run of a row whose record has it.

    Args:
        paper: Name of the paper.
        row: Its table and the row, and the prediction, if it is another one than the network's own.
        score: Such as `EX_aupr`, one of the records' predictions, or a key of :data:`EQUAL`.
        *folders: Folders of records besides those of the library.
        dataset: On which it was tested.

    Returns:
        A line for each run, or all folds of one together, a column for each image; NaN where the score is undefined.
        The index has the levels seed and data, the digits of the test data.

    Raises:
        RecordError: A folder does not exist, or a record is damaged.
        UnknownNameError: There is no such paper, table, row or data set, or no run of the paper has the score.
    """
    import pandas as pd

    found = _find(paper, row, score, folders, dataset)
    index = pd.MultiIndex.from_tuples(list(found), names=["seed", "data"])
    return pd.DataFrame([_join(folds.values()) for folds in found.values()], index=index)


def fold_gains(
    paper: str, of: tuple[str, ...], over: tuple[str, ...], score: str, *folders: str | Path, dataset: str = "IDRiD"
) -> pd.DataFrame:
    """As :func:`image_gain`, fold by fold: each is another training of both rows, tested on other images.

    Args:
        paper: As of :func:`image_gain`.
        of: As there.
        over: As there.
        score: As there.
        *folders: As there.
        dataset: As there.

    Returns:
        A line for each seed and fold that both have, with the columns seed, fold, images (that have the score) and
        gain, their mean difference; NaN without such images.

    Raises:
        RecordError: A folder does not exist, or a record is damaged.
        UnknownNameError: There is no such paper, table, row or data set, or no run of the paper has the score.
    """
    import pandas as pd

    one, other = (_find(paper, row, score, folders, dataset) for row in (of, over))
    lines = []
    for run in sorted(one.keys() & other.keys()):
        for fold in sorted(one[run].keys() & other[run].keys(), key=str):
            gains = (pd.Series(one[run][fold]) - pd.Series(other[run][fold])).dropna()
            lines.append((run[0], fold[0] if fold else 0, len(gains), gains.mean()))
    return pd.DataFrame(lines, columns=["seed", "fold", "images", "gain"])


def _find(
    paper: str, row: tuple[str, ...], score: str, folders: Iterable[str | Path], dataset: str
) -> dict[Run, dict[Fold, dict[str, float]]]:
    """The score of each image by its name, for each fold of each run; of two records of a fold, the newer."""
    check_pair(row)
    table, name, *variant = row
    key = f"{score} ({variant[0]})" if variant else score
    runs = load(*folders)
    check_row(runs, paper, table, name)
    check_dataset(dataset, runs)
    own = runs[(runs.paper == paper) & (runs.dataset == dataset)]
    found: dict[Run, dict[Fold, dict[str, float]]] = {}
    made = [read(Path(file)) for file in ([] if own.empty else newest(own, table, name).file)]
    check_one_experiment(made)
    for record in made:
        values = _score(record.get("predictions") or {}, key)
        if values is not None:
            run = int(record["seed"]), str(record["dataset_fingerprint"])
            each = dict(zip(record["predictions"]["names"], values, strict=True))
            found.setdefault(run, {})[fold_of(record)] = each
    if not found or score in GRADED:  # reading all records takes a tenth of a second
        files = runs.file[runs.paper == paper]
        held = {name for file in files for name in read(Path(file)).get("predictions") or {}}
        if held or score in GRADED:
            known = {name for name, both in EQUAL.items() if held.issuperset(both)}
            check_name("score", key, (held | known) - GRADED)
    return found


def _score(predictions: Mapping[str, Any], score: str) -> list[float] | None:
    """A score of each image, NaN where it is undefined; None if the predictions do not have it."""
    one, other = EQUAL.get(score, (score, score))
    if one not in predictions or other not in predictions:
        return None
    pairs = zip(predictions[one], predictions[other], strict=True)
    if score in EQUAL:
        return [float(a == b) if min(a, b) >= 0 else float("nan") for a, b in pairs]
    return [float("nan") if value is None else float(value) for value, _ in pairs]


def _join(folds: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The images of all folds."""
    return {name: value for fold in folds for name, value in fold.items()}
