"""The search for the benchmark's base, from records alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fundus_lib.data.sample import LESIONS
from fundus_lib.published.benchmark_leaderboard import find, mean_of
from fundus_lib.records import curve

if TYPE_CHECKING:
    import pandas as pd


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
        tests = (mean_of(r["metrics"].get(f"{lesion}_aupr", float("nan")) for lesion in LESIONS) for r in own.values())
        lines.append(
            {
                "row": row,
                "seeds": len(own),
                "validation": mean_of(scores[row].values()),
                "gain": mean_of(gains) if row != base else float("nan"),
                "test": mean_of(tests),
                "minutes": mean_of(r["seconds"].get("train_cpu", float("nan")) for r in own.values()) / 60,
            }
        )
    columns = ["row", "seeds", "validation", "gain", "test", "minutes"]
    made = pd.DataFrame(lines, columns=columns)
    return made.sort_values("validation", ascending=False, ignore_index=True)


def last_validation(record: Mapping[str, Any]) -> float:
    """Mean over the lesions of the AUPR on held-out images after the last epoch; NaN if there were none."""
    points = curve(record)
    known = [f"validation_{lesion}_aupr" for lesion in LESIONS]
    return mean_of(points[name].iloc[-1] for name in known) if set(known) <= set(points) else float("nan")
