"""The pseudo labels of IDRiD's images with masks, image by image, beside their true grades where these are known.

The graders that gave them are small: EfficientNet-Lite0 as ImageNet left it, with a linear classifier fitted to IDRiD.
Graders that were trained whole can take their place: the rows of `fundus_lib.recipes.pldmlt_graders`, and then
`fundus data label`.
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

FILE = "idrid_pseudo_labels.csv"
GRADE = range(GRADES["dr"])

LAST_TRAINING_IMAGE = "IDRiD_54"
"""Of the part with masks, by number."""


def read() -> pd.DataFrame:
    """The table, one line for each image and kind of training.

    Returns:
        Index `leaks` (1: the graders were trained on images of the segmentation part, too) and `image`; columns
        `first` and `second`, what each grader answers; `confidence`, the larger of their largest probabilities;
        `before`, the answer that has it; `after`, the corrected one; `rule`, the more probable of the grades that
        lesions allow; `heat0` …, how much of the chosen grader's heat map of each grade lies on lesions; `flat`, the
        same of a flat map; `lesions`; `split` of the segmentation part; `true`, the grade in the grading part, −1 if it
        is not there. Empty if there is no table.
    """
    import pandas as pd

    file = resources.files("fundus_lib.data").joinpath(FILE)
    if not file.is_file():
        return pd.DataFrame(index=pd.MultiIndex.from_tuples([], names=["leaks", "image"]))
    with file.open("r", encoding="utf-8") as lines:
        table = pd.read_csv(lines, dtype={"lesions": str}).fillna({"lesions": ""})
    table = table.sort_values(["leaks", "image", "grader"], ignore_index=True)
    p, h = (table[[f"{kind}{grade}" for grade in GRADE]].to_numpy().reshape(-1, 2, len(GRADE)) for kind in "ph")
    chosen = np.where(p[:, 1].max(1) > p[:, 0].max(1), 1, 0)
    rows = np.arange(len(p))
    found = table.iloc[::2][["leaks", "image", "label", "lesions", "true"]].rename(columns={"label": "after"})
    found = found.reset_index(drop=True)
    found["first"], found["second"] = p.argmax(2).T
    found["confidence"], found["before"] = p.max((1, 2)), p[rows, chosen].argmax(1)
    lesions = torch.tensor([[kind in text.split() for kind in LESIONS] for text in found["lesions"]])
    found["rule"] = np.where(allow_grades(lesions).numpy(), p[rows, chosen], -1).argmax(1)
    for grade in GRADE:
        found[f"heat{grade}"] = h[rows, chosen, grade]
    found["flat"] = table["flat"].to_numpy().reshape(-1, 2)[rows, chosen]
    found["split"] = np.where(found["image"] <= LAST_TRAINING_IMAGE, "train", "test")
    return found.set_index(["leaks", "image"])


def measured() -> dict[str, Any]:
    """What :func:`fundus_lib.published.pldmlt_graders.measure` found on the real IDRiD; empty before it was run."""
    there = resources.files(__package__).joinpath("pldmlt_labels.json").is_file()
    return read_measured(__name__) if there else {}
