"""Pseudo labels of IDRiD's images with masks: what two graders say of each, and what became of it by correction.

The tables lie beside this file. They are no measurement of the images but of graders trained here; how they were made
is told in the chapter on `pldmlt`, and :mod:`fundus_lib.pseudo_labels` has the rules.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from fundus_lib.errors import LabelFormatError, MissingFileError
from fundus_lib.grades import GRADES

PROBABILITIES = tuple(f"p{grade}" for grade in range(GRADES["dr"]))
COLUMNS = ("image", "grader", "leaks", *PROBABILITIES, "label")
TABLE = Path(__file__).with_name("idrid_pseudo_labels.csv")
"""By graders of which the last layer alone was trained: the labels that recipes train with."""
WHOLE = Path(__file__).with_name("idrid_pseudo_labels_whole.csv")
"""By graders that were trained whole, the rows of pldmlt's table `graders`, to compare with."""
REMEDY = "restore the file from the repository"


def read_pseudo_labels(leaks: bool, path: Path = TABLE) -> pd.DataFrame:
    """The pseudo labels of part A of IDRiD.

    Args:
        leaks: Those of graders that were trained on all graded training images, as published; otherwise of graders that
            were trained on none of the images that both parts share.
        path: The table: a line for each image, grader and kind of training, with the columns of :data:`COLUMNS` and
            maybe others.

    Returns:
        A line for each image, whose name is the index, with the columns `before`, the answer of the more confident
        grader (of equals, the first by name), `after`, the same corrected by heat maps and lesions, `grader`, its name,
        and `p0` to `p4`, its probabilities.

    Raises:
        MissingFileError: There is no table.
        LabelFormatError: It is not as it should be, or has no labels of such graders.
    """
    if not path.is_file():
        raise MissingFileError(
            path,
            "there are no pseudo labels",
            found="no such file",
            expected="a table of graders' answers",
            remedy=f"{REMEDY}, or label by the masks alone: recipe.replace(labels='rule')",
        )
    try:
        table = pd.read_csv(path)
    except (ValueError, UnicodeDecodeError) as error:
        raise _damaged(path, str(error).splitlines()[0]) from error
    if not set(COLUMNS) <= set(table.columns):
        raise _damaged(path, f"the columns {', '.join(map(str, table.columns))}")
    own = table[table["leaks"] == int(leaks)].sort_values(["image", "grader"])
    if own.empty:
        raise _damaged(path, f"no lines with leaks={int(leaks)}")
    _check(path, own)
    probabilities = own[list(PROBABILITIES)].astype(float)
    own = own.assign(before=probabilities.to_numpy().argmax(1), confidence=probabilities.max(axis=1))
    best = own.loc[own.groupby("image")["confidence"].idxmax()]
    return best.set_index("image").rename(columns={"label": "after"})[["before", "after", "grader", *PROBABILITIES]]


def _check(path: Path, own: pd.DataFrame) -> None:
    """See to it that each image has two graders, one label and probabilities."""
    for name, lines in own.groupby("image"):
        values = lines[list(PROBABILITIES)].apply(pd.to_numeric, errors="coerce")
        label = lines["label"].iloc[0]
        good = (
            len(lines) == lines["grader"].nunique() == 2
            and bool((lines["label"] == label).all())
            and re.fullmatch(f"[0-{GRADES['dr'] - 1}]", str(label))
            and bool(((values >= 0) & (values <= 1)).all(axis=None))
            and bool(((values.sum(axis=1) - 1).abs() < 0.01).all())
        )
        if not good:
            raise _damaged(path, f"the lines of {name}")


def _damaged(path: Path, found: str) -> LabelFormatError:
    columns = ", ".join(COLUMNS)
    return LabelFormatError(
        path,
        "the table of pseudo labels is not as it should be",
        found=found,
        expected=f"{columns}: for each image two graders with probabilities, and one label",
        remedy=REMEDY,
    )
