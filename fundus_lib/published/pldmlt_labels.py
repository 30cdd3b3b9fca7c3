"""The pseudo labels of IDRiD's images with masks, image by image, beside their true grades where these are known.

The graders that gave them are small: EfficientNet-Lite0 as ImageNet left it, with a linear classifier fitted to IDRiD.
A second table has the labels of the same network trained whole: the rows of `fundus_lib.recipes.pldmlt_graders`, and
then `fundus data label`.
"""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from fundus_lib.data.sample import LESIONS
from fundus_lib.grades import GRADES
from fundus_lib.pseudo_labels import allow_grades
from fundus_lib.published.measured import read_measured

if TYPE_CHECKING:
    import pandas as pd

GRADE = range(GRADES["dr"])

LAST_TRAINING_IMAGE = "IDRiD_54"
"""Of the part with masks, by number."""


def read(whole: bool = False) -> pd.DataFrame:
    """The table, one line for each image and kind of training.

    Args:
        whole: Labels of graders that were trained whole, not their last layer alone.

    Returns:
        Index `leaks` (1: the graders were trained on images of the segmentation part, too) and `image`; columns
        `first` and `second`, what each grader answers; `confidence`, the larger of their largest probabilities;
        `before`, the answer that has it; `after`, the corrected one; `rule`, the more probable of the grades that
        lesions allow; `heat0` …, how much of the chosen grader's heat map of each grade lies on lesions; `flat`, the
        same of a flat map; `lesions`; `split` of the segmentation part; `true`, the grade in the grading part, −1 if it
        is not there.
    """
    import pandas as pd

    from fundus_lib.data.pseudo_label_table import PROBABILITIES, TABLE, WHOLE, read_pseudo_labels

    table = WHOLE if whole else TABLE
    kinds = {leaks: read_pseudo_labels(bool(leaks), table) for leaks in (0, 1)}
    chosen = pd.concat(kinds, names=["leaks", "image"])
    lines = pd.read_csv(table, dtype={"lesions": str}).fillna({"lesions": ""})
    lines = lines.set_index(["leaks", "image", "grader"]).sort_index()
    p = lines[[*PROBABILITIES]].to_numpy().reshape(-1, 2, len(GRADE))
    own = lines.loc[list(chosen.set_index("grader", append=True).index)].droplevel("grader")
    found = own[["lesions", "true"]].join(chosen[["before", "after"]])
    found["first"], found["second"] = p.argmax(2).T
    found["confidence"] = p.max((1, 2))
    lesions = torch.tensor([[kind in text.split() for kind in LESIONS] for text in found["lesions"]])
    allowed = allow_grades(lesions).numpy()
    found["rule"] = np.where(allowed, chosen[[*PROBABILITIES]], -1).argmax(1)
    for grade in GRADE:
        found[f"heat{grade}"] = own[f"h{grade}"]
    found["flat"] = own["flat"]
    found["split"] = np.where(found.index.get_level_values("image") <= LAST_TRAINING_IMAGE, "train", "test")
    return found


def measured() -> dict[str, Any]:
    """What :func:`fundus_lib.published.pldmlt_graders.measure` found on the real IDRiD; empty before it was run."""
    there = resources.files(__package__).joinpath("pldmlt_labels.json").is_file()
    return read_measured(__name__) if there else {}
