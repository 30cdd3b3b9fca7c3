"""What recorded runs said of each test image, and whether one row of them is right more often than another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fundus_lib.checks import check_choice
from fundus_lib.grades import SCORES
from fundus_lib.metrics.bootstrap import Estimate
from fundus_lib.metrics.paired import PairedTest, paired_interval, paired_test
from fundus_lib.records import read
from fundus_lib.records.differences import check_one_data_set
from fundus_lib.records.rows import as_it_is, check_pair, check_row, fold_of

if TYPE_CHECKING:
    import pandas as pd

_RUN = ["paper", "table", "row", "seed"]
_COLUMNS = ["name", "dr", "dr_true", "dme", "dme_true"]


def answers(runs: pd.DataFrame) -> pd.DataFrame:
    """The grades that runs gave to each test image.

    Args:
        runs: Rows of :func:`fundus_lib.records.load`'s table. Those whose record holds no grades by image are left out,
            and so are runs of a recipe that was shrunk or changed and kept its name. Where a run was done again on the
            same test data, the latest counts.

    Returns:
        One line per run and image, with the columns paper, table, row, seed, test_data (digits that change with it),
        name (of the image), dr and dme (grades that were given), dr_true and dme_true, dr_right, dme_right, and
        joint_right (both are). What a run did not grade, or nobody knows, is missing (`pandas.NA`). The folds of a
        cross-validation are one run: each image once, by the network that it was left out of.

    Raises:
        RecordError: A record is damaged.
    """
    import pandas as pd

    found: dict[tuple[str, ...], pd.DataFrame] = {}
    for run in runs.sort_values("date", kind="stable").to_dict("records"):
        record = read(run["file"])
        known = as_it_is(Path(run["file"]), run["paper"], run["table"], run["row"])
        if "names" not in record.get("predictions", {}) or not known:
            continue
        said = pd.DataFrame(record["predictions"]).rename(columns={"names": "name"}).reindex(columns=_COLUMNS)
        key = {name: record[name] for name in _RUN} | {"test_data": record["dataset_fingerprint"]}
        found[*map(str, key.values()), str(fold_of(record))] = pd.concat(
            [pd.DataFrame(key, index=said.index), said], axis=1
        )
    right = ["dr_right", "dme_right", "joint_right"]
    if not found:
        return pd.DataFrame(columns=[*_RUN, "test_data", *_COLUMNS, *right])
    lines = pd.concat(found.values(), ignore_index=True).astype(dict.fromkeys(_COLUMNS[1:], "Int64"))
    lines[_COLUMNS[1:]] = lines[_COLUMNS[1:]].mask(lines[_COLUMNS[1:]] < 0)  # a grade of −1 is unknown
    lines["dr_right"], lines["dme_right"] = lines.dr == lines.dr_true, lines.dme == lines.dme_true
    lines["joint_right"] = lines.dr_right & lines.dme_right
    unknown = lines[["dr_right", "dme_right"]].isna().any(axis=1)
    lines.loc[unknown, "joint_right"] = pd.NA  # else "wrong and unknown" is wrong
    return lines


@dataclass(frozen=True)
class Paired:
    """Two rows of runs on the same test images, each run beside that of the same seed.

    Attributes:
        by_seed: Seed → exact test of the two runs, for seeds that both were run with.
        difference: Mean over the seeds of the difference in accuracy, with its interval over images and seeds; NaN
            where nothing was run.
    """

    by_seed: dict[int, PairedTest]
    difference: Estimate

    @property
    def disagreement(self) -> float:
        """Share of the images that one of the two alone got right, mean over seeds; NaN where nothing was run."""
        shares = [(t.only_a + t.only_b) / (t.both + t.only_a + t.only_b + t.neither) for t in self.by_seed.values()]
        return float(np.mean(shares)) if shares else float("nan")

    def __bool__(self) -> bool:
        return bool(self.by_seed)

    def __str__(self) -> str:
        if not self:
            return "not run yet"
        ends = (self.difference.value, self.difference.low, self.difference.high)
        value, low, high = (f"{end:+.3f}".replace("-", "−") for end in ends)
        seeds = f"{len(self.by_seed)} seeds" if len(self.by_seed) > 1 else "one seed"
        return f"{value} [{low}, {high}] ({seeds})"


def paired(
    answered: pd.DataFrame,
    of: tuple[str, str],
    over: tuple[str, str],
    right: str = "joint",
    *,
    paper: str = "sunet",
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Paired:
    """By how much one row is more often right than another, image by image and seed by seed.

    The interval is a percentile bootstrap that draws images, the same for both rows and all seeds, and seeds. It speaks
    of other images and other trainings at once; with one seed, of other images alone. In simulated studies of two equal
    rows, 103 images and three seeds, an interval of 95 % held the truth in 99 % where trainings differed by chance
    alone, in 92 % where they moved the accuracy of a row by .06 (standard deviation), and in 83 % where by .15: three
    seeds, drawn from, show less than the spread that trainings have.

    Args:
        answered: A table that :func:`answers` made.
        of: Table and row of the one.
        over: Table and row of the other.
        right: What counts as right: ``"dr"``, ``"dme"`` or ``"joint"``.
        paper: Name of the paper.
        resamples: How many selections to draw.
        confidence: Share of the resampled differences that lies within the interval.
        seed: Of the drawing.

    Returns:
        The tests and the difference; as text "+0.019 [−0.029, +0.068] (3 seeds)", or "not run yet".

    Raises:
        RecordError: Both were run on several copies of the data.
        ArgumentError: `right` is none of those.
        UnknownNameError: There is no such paper, table or row.

    Example:
        >>> import pandas as pd
        >>> from fundus_lib import records
        >>> nothing = answers(records.load(packaged=False))
        >>> str(paired(nothing, ("small", "sunet"), ("small", "dr_dme")))
        'not run yet'
    """
    check_choice("paired", "right", right, tuple(SCORES))
    for row in (of, over):
        check_pair(row)
        check_row(answered, paper, *row)
    one, other = (_by_run(answered, paper, *row, f"{right}_right") for row in (of, over))
    shared = sorted(one.keys() & other.keys())
    check_one_data_set(of, over, (data for _, data in shared))
    images = [set(row[run].index) for row in (one, other) for run in shared]
    names = sorted(set.intersection(*images)) if images else []  # of folds, those that both rows and all seeds have
    if not names:
        nan = float("nan")
        return Paired({}, Estimate(nan, nan, nan))
    a, b = (np.array([row[run].loc[names] for run in shared]) for row in (one, other))  # (seeds, images)
    tests = {
        run[0]: paired_test(*pair, resamples=resamples, confidence=confidence, seed=seed)
        for run, *pair in zip(shared, a, b, strict=True)
    }
    gains = a.astype(int) - b  # 1 where only the one is right, −1 where only the other is
    return Paired(tests, paired_interval(gains, resamples=resamples, confidence=confidence, seed=seed))


def _by_run(answered: pd.DataFrame, paper: str, table: str, row: str, right: str) -> dict[tuple[int, str], pd.Series]:
    """(seed, digits of the test data) → whether each image was graded rightly, by name; runs that graded it only."""
    own = answered[(answered.paper == paper) & (answered.table == table) & (answered.row == row)]
    own = own[own[right].notna()]
    runs = {(int(seed), str(data)) for seed, data in zip(own.seed, own.test_data, strict=True)}
    return {
        run: own[(own.seed == run[0]) & (own.test_data == run[1])].set_index("name")[right].astype(bool).sort_index()
        for run in runs
    }
