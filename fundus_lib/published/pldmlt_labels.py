"""The pseudo labels of IDRiD's images with masks, image by image, beside their true grades where these are known.

The graders that gave them are small: EfficientNet-Lite0 as ImageNet left it, with a linear classifier fitted to IDRiD.
Graders that were trained whole can take their place: the rows of `fundus_lib.recipes.pldmlt_graders`, and then
`fundus data label`.
"""

from __future__ import annotations

import copy
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from fundus_lib.data.image_set import ImageSet
from fundus_lib.data.sample import LESIONS
from fundus_lib.experiment import create_task, read_data
from fundus_lib.grades import GRADES
from fundus_lib.metrics import grading_report
from fundus_lib.protocols.grades import predict_all
from fundus_lib.protocols.pseudo_labels import label_images
from fundus_lib.provenance import provenance
from fundus_lib.pseudo_labels import allow_grades, choose_confident
from fundus_lib.published.measured import read_measured
from fundus_lib.recipes.pldmlt_graders import FIRST, UNSHARED, WITHOUT
from fundus_lib.short_training import fit_last_layer

if TYPE_CHECKING:
    import pandas as pd

    from fundus_lib.recipes import GradingRecipe
    from fundus_lib.tasks.base import FundusTask

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


def make_graders(recipe: GradingRecipe, images: ImageSet) -> dict[str, FundusTask]:
    """Two graders with the same ImageNet backbone, of which the linear classifier alone is trained.

    Args:
        recipe: Of a grader of retinopathy.
        images: To train on.

    Returns:
        `last_layer`, fitted to the images as they are, and `last_layer_balanced`, to every grade with the same weight.
    """
    first = create_task(recipe).eval()
    second = copy.deepcopy(first)
    fit_last_layer(first, images)
    fit_last_layer(second, images, balanced=True)
    return {"last_layer": first, "last_layer_balanced": second}


def measure(root: str | Path, recipe: GradingRecipe = FIRST) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Make the graders with and without shared images and let them grade a copy of IDRiD; takes minutes.

    Args:
        root: Root of a copy.
        recipe: Of the graders; its epochs do not matter.

    Returns:
        The table of :func:`fundus_lib.protocols.pseudo_labels.label_images`, and what is known of the graders: `side`,
        `provenance`, and for each kind of training, `"0"` and `"1"`, how many `images` were trained on and the scores
        on the test images of the grading part, of each grader and of the more confident one.
    """
    import pandas as pd

    tables, known = [], {"side": recipe.side, "provenance": provenance(torch.device("cpu"))}
    for leaks, own in enumerate((recipe.replace(**UNSHARED), recipe)):
        data = read_data(own, root)
        graders = {f"{n}{'' if leaks else WITHOUT}": task for n, task in make_graders(own, data.training).items()}
        tables.append(label_images(graders, root, leaks=bool(leaks), progress=False))
        answers = {name: predict_all(task, data.test)["dr"].softmax(1) for name, task in graders.items()}
        answers["more confident"] = choose_confident(*answers.values())[0]
        scores = {name: score(given, data.test.dr) for name, given in answers.items()}
        known[str(leaks)] = {"images": len(data.training), "scores": scores}
    return pd.concat(tables, ignore_index=True), known


def score(probabilities: Tensor, true: Tensor) -> dict[str, float]:
    """Accuracy and kappa with their intervals, rounded."""
    found = grading_report(probabilities.argmax(1), true).metrics()
    return {name: round(value, 4) for name, value in found.items()}


def measured() -> dict[str, Any]:
    """What :func:`measure` found of the graders on the real IDRiD."""
    return read_measured(__name__)
