"""Two small graders for pldmlt's first stage, and what they say of IDRiD's images with masks.

They are EfficientNet-Lite0 as ImageNet left it, each with a linear classifier that was fitted to IDRiD.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fundus_lib.experiment import create_task, read_data
from fundus_lib.metrics import grading_report
from fundus_lib.protocols.grades import predict_all
from fundus_lib.protocols.pseudo_labels import label_images
from fundus_lib.provenance import provenance
from fundus_lib.pseudo_labels import choose_confident
from fundus_lib.recipes.pldmlt_graders import FIRST, UNSHARED, WITHOUT
from fundus_lib.short_training import fit_last_layer

if TYPE_CHECKING:
    import pandas as pd

    from fundus_lib.data.image_set import ImageSet
    from fundus_lib.recipes import GradingRecipe
    from fundus_lib.tasks.base import FundusTask


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
