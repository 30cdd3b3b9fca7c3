"""How sunet's networks are tested: grades, lesion maps, and how much of the class activation maps lies on lesions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from fundus_lib.data.field_of_view import field_of_view
from fundus_lib.explain import mass_inside, upsample
from fundus_lib.metrics import average_precision, grading_report
from fundus_lib.metrics.classes import confusion_matrix
from fundus_lib.metrics.grading import grade_scores, quadratic_weighted_kappa
from fundus_lib.models.trunks import GRADES
from fundus_lib.tasks.experiment import Scores

if TYPE_CHECKING:
    from fundus_lib.tasks.graded_images import GradedImages
    from fundus_lib.tasks.sunet import SUNetTask

PROTOCOL = (
    "{images} test images of {title}, the square around the field of view at {side}×{side}; the grade with the largest "
    "logit. Weights of the {epoch}. accuracy: share of the images; joint: both grades right; kappa: "
    "quadratic-weighted; low, high: 95 % interval of the percentile bootstrap over images. On the {pictures} test "
    "images with masks, at that size: aupr: exact average precision of each lesion's map, pixels of all images pooled; "
    "cam_inside: share of the positive part of the class activation map of the given grade, bilinearly brought to the "
    "image's size, that lies inside the masks of any lesion, in the field of view; mean over the images whose map is "
    "positive somewhere; lesion_share: the same of a flat map."
)


def while_training(task: SUNetTask, images: GradedImages) -> dict[str, float]:
    """Accuracy and kappa of each disease, and joint accuracy, without intervals; NaN as the choice by no images."""
    if not len(images):
        return {task.recipe.chosen: float("nan")}
    given = {name: logits.argmax(1) for name, logits in task.outputs(images).items() if name in GRADES}
    scores: dict[str, float] = {}
    for name, grades in given.items():
        true = getattr(images, name)
        scores[f"{name}_accuracy"] = float((grades == true).double().mean())
        scores[f"{name}_kappa"] = quadratic_weighted_kappa(confusion_matrix(grades, true, GRADES[name]))
    if len(given) == 2:
        right = (given["dr"] == images.dr) & (given["dme"] == images.dme)
        scores["joint_accuracy"] = float(right.double().mean())
    return scores


def evaluate(task: SUNetTask, test: GradedImages, pictures: GradedImages) -> Scores:
    """Score grades on test images, and lesions and class activation maps on those with masks.

    Args:
        task: The network.
        test: Images with grades.
        pictures: Images with masks.

    Returns:
        The metrics that the recipe's protocol names, and the grades that were given and the true ones by image.
    """
    output = task.outputs(test)
    given = {name: output[name].argmax(1).numpy() for name in GRADES if name in output}
    if len(given) == 2:
        metrics = grading_report(given["dr"], test.dr, given["dme"], test.dme).metrics()
    else:
        (name,) = given
        found = grade_scores(given[name], getattr(test, name), GRADES[name])
        metrics = found.metrics(name)
    metrics |= lesion_scores(task, pictures)
    predictions: dict[str, list[str] | list[int]] = {"names": list(test.names)}
    for name, grades in given.items():
        predictions |= {name: grades.tolist(), f"{name}_true": getattr(test, name).tolist()}
    return Scores(metrics, predictions=predictions)  # type: ignore[arg-type]


def lesion_scores(task: SUNetTask, pictures: GradedImages) -> dict[str, float]:
    """`EX_aupr` and the like, if the network draws lesions; `dr_cam_inside` and the like, if it has class maps."""
    output = task.outputs(pictures)
    scores = {}
    if "logits" in output:
        for channel, lesion in enumerate(task.recipe.lesions):
            scores[f"{lesion}_aupr"] = average_precision(output["logits"][:, channel], pictures.masks[:, channel])
    if task.recipe.model_args.get("backbone") == "vgg19":
        return scores  # its classifier stands on no map
    fields = [field_of_view(image.permute(1, 2, 0).numpy()) for image in pictures.images]
    maps = task.class_maps(pictures)
    lesions = pictures.masks.any(1).numpy()  # (N, S, S)
    for name, own in maps.items():
        chosen: Tensor = own[np.arange(len(own)), output[name].argmax(1)]  # (N, h, w)
        large = upsample(chosen, (lesions.shape[1], lesions.shape[2]))
        shares = [mass_inside(*parts) for parts in zip(large, lesions, fields, strict=True)]
        scores[f"{name}_cam_inside"] = float(np.nanmean(shares)) if not np.isnan(shares).all() else float("nan")
    flat = np.ones(lesions.shape[1:], np.float32)
    scores["lesion_share"] = float(np.mean([mass_inside(flat, *parts) for parts in zip(lesions, fields, strict=True)]))
    return scores
