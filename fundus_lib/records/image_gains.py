"""By how much one row of recorded runs scores higher than another, image by image and seed by seed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fundus_lib.metrics.bootstrap import Estimate
from fundus_lib.metrics.paired import paired_interval
from fundus_lib.records import load, read
from fundus_lib.records.differences import check_one_data_set
from fundus_lib.records.rows import newest


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
    paper: str, of: tuple[str, str], over: tuple[str, str], score: str, *folders: str | Path, dataset: str = "IDRiD"
) -> ImageGain:
    """One row minus another in a score that records hold for each image, for every seed that both were run with.

    Args:
        paper: Name of the paper.
        of: Table and row of the one.
        over: Table and row of the other.
        score: Such as `EX_aupr`, one of the records' predictions.
        *folders: Folders of records besides those of the library.
        dataset: On which both were tested.

    Returns:
        The gain; as text "+0.014 [−0.002, +0.031] (3 seeds)", or "not run yet".

    Raises:
        RecordError: A folder does not exist, a record is damaged, or both were run on several copies of the data.
    """
    runs = load(*folders)
    runs = runs[(runs.paper == paper) & (runs.dataset == dataset)]
    one, other = ({} if runs.empty else _scores(newest(runs, *row).file.tolist(), score) for row in (of, over))
    shared = sorted(one.keys() & other.keys())
    check_one_data_set(of, over, (data for _, data in shared))
    if not shared:
        return ImageGain((), 0, Estimate(*[float("nan")] * 3))
    names = sorted(set.intersection(*({*row[run]} for row in (one, other) for run in shared)))
    gains = np.array([[one[run][name] - other[run][name] for name in names] for run in shared])  # (seeds, images)
    kept = gains[:, ~np.isnan(gains).any(0)]
    return ImageGain(tuple(seed for seed, _ in shared), kept.shape[1], paired_interval(kept))


def _scores(files: list[str], score: str) -> dict[tuple[int, str], dict[str, float]]:
    """(seed, digits of the test data) → image → score, NaN where undefined; of records that have it."""
    found = {}
    for record in (read(Path(file)) for file in files):
        predictions = record.get("predictions") or {}
        if score in predictions:
            values = (float("nan") if value is None else value for value in predictions[score])
            run = int(record["seed"]), str(record["dataset_fingerprint"])
            found[run] = dict(zip(predictions["names"], values, strict=True))
    return found
