"""Write what README, RESULTS.md and the setup page take from the records: `python tools/readme.py`."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fundus_lib import records
from fundus_lib.data.summary import measured
from fundus_lib.metrics import majority_accuracy
from fundus_lib.published.six_results import six_results
from fundus_lib.records.rows import latest, mark

if TYPE_CHECKING:
    import pandas as pd

ROOT = Path(__file__).resolve().parent.parent
README, RESULTS, SETUP = ROOT / "README.md", ROOT / "RESULTS.md", ROOT / "book" / "setup.md"
ASIDE = ("anywhere", "faster", "ablations", "phi", "beyond")
"""Tables that repeat another one under other conditions: their chapter shows them, RESULTS.md does not."""
PLACE = re.compile(r"(a test holds these\s+tables\s+to\s+them).*", re.S)
SIX_PLACE = re.compile(r"(## Six results\n\n).*?(?=\n\n)", re.S)
SETUP_PLACE = re.compile(r"(a test holds this table to the records\.\n\n)\|.*?(?=\n\n)", re.S)
FOUNDATIONS = ("first_segmenter", "losses")


GRADES = """\
Grades, on the 103 test images with grades. The baseline predicts the most frequent label of the training set, in the
first column the most frequent pair of labels, so that its columns are three predictors:"""


def tables() -> str:
    """The results on IDRiD as Markdown: lesions, and below it grades."""
    runs = records.load()
    whole = (runs.dataset == "IDRiD") & (runs.split == "test")  # a fold is tested on other images
    runs = latest(runs[whole & ~runs.table.isin(ASIDE)])
    below = f"\n\n{records.DAGGER} {records.UNCOMMITTED}" if mark(runs) else ""
    graded = runs.reindex(columns=["dr_accuracy", "dme_accuracy"]).notna().any(axis=1)
    return (
        f".\n\nLesions, on the 27 test images with masks:\n\n{lesions(runs[~graded])}\n\n"
        f"{GRADES}\n\n{grades(runs[graded])}{below}"
    )


def lesions(runs: pd.DataFrame) -> str:
    """Mean AUPR over seeds, spread, time and device of each row."""
    lines = [
        "| chapter, table, row | trained on | AUPR, hard exudates | constant score | training | device |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    exudates = runs[runs.EX_aupr.notna()]  # a network of another lesion has no such score
    for (paper, table, row, trained_on), group in exudates.groupby(["paper", "table", "row", "trained_on"]):
        guess = f"{group.EX_prevalence.mean():.4f}"
        name = f"{paper}, {table}, `{row}`{mark(group)}"
        lines.append(f"| {name} | {trained_on} | {spread(group.EX_aupr)} | {guess} | {time(group)} |")
    return "\n".join(lines)


def grades(runs: pd.DataFrame) -> str:
    """Mean accuracies over seeds, spread, time and device of each row; the baseline is the commonest training grade."""
    guessed = majority_accuracy(*(measured("IDRiD")["grades"][split] for split in ("train", "test")))
    guesses = " | ".join(f"{accuracy:.3f}" for accuracy in guessed.values())
    lines = [
        "| chapter, table, row | both right | retinopathy | macular edema | training | device |",
        "| --- | --- | --- | --- | --- | --- |",
        f"| majority-class baseline | {guesses} | | |",
    ]
    for (paper, table, row), group in runs.groupby(["paper", "table", "row"]):
        columns = group.reindex(columns=[f"{name}_accuracy" for name in guessed])
        scores = " | ".join(spread(columns[name].dropna()) for name in columns)
        lines.append(f"| {paper}, {table}, `{row}`{mark(group)} | {scores} | {time(group)} |")
    return "\n".join(lines)


def times() -> str:
    """How long a training took, by chapter and machine, as Markdown for the setup page."""
    lines = ["| chapter | machine | trainings | minutes of training: median (range) |", "| --- | --- | ---: | ---: |"]
    runs = records.load()
    for (paper, device), group in latest(runs[runs.dataset == "IDRiD"]).groupby(["paper", "device"]):
        page = f"foundations/{paper}" if paper in FOUNDATIONS else f"{paper}/index"
        low, middle, high = (group.train_seconds / 60).quantile([0, 0.5, 1])
        many = f"{middle:.0f} ({low:.0f}–{high:.0f})" if len(group) > 1 else f"{middle:.0f}"
        machine = str(device).replace("(R)", "").replace(" Processor", "")
        name = f"{{doc}}`{paper} <{page}>`" if (SETUP.parent / f"{page}.ipynb").is_file() else paper
        lines.append(f"| {name} | {machine} | {len(group)} | {many} |")
    return "\n".join(lines)


def spread(scores: pd.Series[float]) -> str:
    """Mean and range over the seeds, or nothing."""
    if scores.empty:
        return ""
    seeds = f"{scores.min():.3f}-{scores.max():.3f}, {len(scores)} seeds" if len(scores) > 1 else "one seed"
    return f"{scores.mean():.3f} ({seeds})"


def time(group: pd.DataFrame) -> str:
    """Seconds of training, and where."""
    return f"{group.train_seconds.mean():.0f} s | {' or '.join(sorted(set(group.device)))}"


def main() -> None:
    """Replace the tables in the three files."""
    written = (
        (README, SIX_PLACE, lambda: six_results().to_markdown()),
        (RESULTS, PLACE, lambda: f"{tables()}\n"),
        (SETUP, SETUP_PLACE, times),
    )
    for path, place, made in written:
        text, found = place.subn(lambda match, made=made: match[1] + made(), path.read_text(encoding="utf-8"))
        if found != 1:
            sys.exit(f"{path}: {found} places for the tables, expected one: {place.pattern}")
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
