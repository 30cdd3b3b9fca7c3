"""By how much one row of recorded runs scores higher than another, image by image and seed by seed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fundus_lib.metrics.bootstrap import Estimate
from fundus_lib.metrics.paired import paired_interval
from fundus_lib.records import load, read
from fundus_lib.records.differences import check_one_data_set
from fundus_lib.records.rows import newest

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class ImageGain:
    """Difference of a score that is a mean over images.

    Attributes:
        seeds: Seeds that both were run with.
        images: How many images have the score in all runs.
        difference: With its 95 % bootstrap interval, paired over images and pooled over seeds.
    """

    seeds: tuple[int, ...]
    images: int
    difference: Estimate

    def __bool__(self) -> bool:
        return bool(self.seeds)

    def __str__(self) -> str:
        if not self:
            return "not run yet"
        ends = (self.difference.value, self.difference.low, self.difference.high)
        value, low, high = (f"{end:+.3f}".replace("-", "−") for end in ends)
        return f"{value} [{low}, {high}] ({len(self.seeds)} seeds)".replace("(1 seeds)", "(one seed)")


def image_gain(
    paper: str, of: tuple[str, ...], over: tuple[str, ...], score: str, *folders: str | Path, dataset: str = "IDRiD"
) -> ImageGain:
    """One row minus another in a score that records hold for each image, for every seed that both were run with.

    Args:
        paper: Name of the paper.
        of: Table and row of the one; a third entry names one of the other predictions that its records score, such as
            `"global branch"`.
        over: The same of the other.
        score: Such as `EX_aupr`, one of the records' predictions.
        *folders: Folders of records besides those of the library.
        dataset: On which both were tested.

    Returns:
        The gain; as text "+0.014 [−0.002, +0.031] (3 seeds)", or "not run yet".

    Raises:
        RecordError: A folder does not exist, a record is damaged, or both were run on several copies of the data.
    """
    one, other = (image_scores(paper, row, score, *folders, dataset=dataset) for row in (of, over))
    shared = one.index.intersection(other.index).sort_values()
    check_one_data_set(of, over, shared.get_level_values("data"))
    if shared.empty:
        return ImageGain((), 0, Estimate(*[float("nan")] * 3))
    gains = (one.loc[shared] - other.loc[shared]).sort_index(axis=1).dropna(axis=1).to_numpy()  # (seeds, images)
    return ImageGain(tuple(map(int, shared.get_level_values("seed"))), gains.shape[1], paired_interval(gains))


def image_scores(
    paper: str, row: tuple[str, ...], score: str, *folders: str | Path, dataset: str = "IDRiD"
) -> pd.DataFrame:
    """A score of each test image, of every run of a row whose record has it.

    Args:
        paper: Name of the paper.
        row: Its table and the row, and the prediction, if it is another one than the network's own.
        score: Such as `EX_aupr`, one of the records' predictions.
        *folders: Folders of records besides those of the library.
        dataset: On which it was tested.

    Returns:
        A line for each run, or all folds of one together, a column for each image; NaN where the score is undefined.
        The index has the levels seed and data, the digits of the test data.

    Raises:
        RecordError: A folder does not exist, or a record is damaged.
    """
    import pandas as pd

    table, name, *variant = row
    key = f"{score} ({variant[0]})" if variant else score
    runs = load(*folders)
    runs = runs[(runs.paper == paper) & (runs.dataset == dataset)]
    found: dict[tuple[int, str], dict[str, float]] = {}
    for record in map(read, map(Path, [] if runs.empty else newest(runs, table, name).file)):
        predictions = record.get("predictions") or {}
        if key in predictions:
            values = (float("nan") if value is None else float(value) for value in predictions[key])
            run = int(record["seed"]), str(record["dataset_fingerprint"])
            found.setdefault(run, {}).update(zip(predictions["names"], values, strict=True))  # folds differ in images
    index = pd.MultiIndex.from_tuples(list(found), names=["seed", "data"])
    return pd.DataFrame(list(found.values()), index=index)
