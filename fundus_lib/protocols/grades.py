"""How grading is scored: grades, lesion maps, and how much of the class activation maps lies on lesions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from fundus_lib.data.field_of_view import field_of_view
from fundus_lib.explain import measure_inside, upsample
from fundus_lib.grades import GRADES
from fundus_lib.metrics import average_precision, grading_report
from fundus_lib.metrics.classes import confusion_matrix
from fundus_lib.metrics.grading import grade_scores, quadratic_weighted_kappa
from fundus_lib.modes import evaluating
from fundus_lib.processes import share_out
from fundus_lib.protocols.base import Scores
from fundus_lib.protocols.lesions import stack_masks

if TYPE_CHECKING:
    from fundus_lib.data.image_set import ImageSet
    from fundus_lib.tasks.base import FundusTask

BATCH = 16
"""Images that are predicted together."""


@dataclass(frozen=True)
class Grades:
    """Grades of whole images, and lesions of those that have masks.

    Attributes:
        recipe: What was trained, with `side`, `lesions` and `model_args`.
        test: The test images with grades.
        test_masks: The test images with masks.
        choose_by: The score by which the epoch is chosen.
    """

    recipe: Any
    test: ImageSet
    test_masks: ImageSet
    choose_by: str

    def describe(self, weights: str) -> str:
        """The protocol in words."""
        side = self.recipe.side
        return (
            f"{len(self.test)} test images of {self.test.title}, the square around the field of view at {side}×{side}; "
            f"the grade with the largest logit. {weights} accuracy: fraction of the images; joint: both grades right; "
            "kappa: quadratic-weighted; low, high: 95 % interval of the percentile bootstrap over images. On the "
            f"{len(self.test_masks)} test images with masks, at that size: aupr: exact average precision of each "
            "lesion, pixels of all images pooled; cam_inside: fraction of the positive part of the c"
            "lass activation map of the "
            "predicted grade, bilinearly brought to the image's size, that lies inside the masks of any lesion, in the "
            "field of view; mean over the images whose map is positive somewhere; lesion_share: the same of a constant "
            "map."
        )

    def quick(self, task: FundusTask, images: ImageSet) -> dict[str, float]:
        """Accuracy and kappa of each disease, and joint accuracy, without intervals; NaN as the choice by no images."""
        if not len(images):
            return {self.choose_by: float("nan")}
        predicted = {name: logits.argmax(1) for name, logits in predict_all(task, images).items() if name in GRADES}
        scores: dict[str, float] = {}
        for name, grades in predicted.items():
            true = getattr(images, name)
            scores[f"{name}_accuracy"] = float((grades == true).double().mean())
            scores[f"{name}_kappa"] = quadratic_weighted_kappa(confusion_matrix(grades, true, GRADES[name]))
        if len(predicted) == 2:
            right = (predicted["dr"] == images.dr) & (predicted["dme"] == images.dme)
            scores["joint_accuracy"] = float(right.double().mean())
        return scores

    def full(self, task: FundusTask, variants: bool = True) -> Scores:
        """Score grades on the test images, and lesions and class activation maps on those with masks.

        Returns:
            The metrics that `describe` names, and the predicted and true grades by image.
        """
        test = self.test
        output = predict_all(task, test)
        predicted = {name: output[name].argmax(1).numpy() for name in GRADES if name in output}
        if len(predicted) == 2:
            metrics = grading_report(predicted["dr"], test.dr, predicted["dme"], test.dme).metrics()
        else:
            (name,) = predicted
            metrics = grade_scores(predicted[name], getattr(test, name), GRADES[name]).metrics(name)
        metrics |= self.score_lesions(task)
        predictions: dict[str, list[Any]] = {"names": list(test.names)}
        for name, grades in predicted.items():
            predictions |= {name: grades.tolist(), f"{name}_true": getattr(test, name).tolist()}
        return Scores(metrics, predictions=predictions)

    def score_lesions(self, task: FundusTask) -> dict[str, float]:
        """`EX_aupr` and the like, if the network segments; `dr_cam_inside` and the like, if it has class maps."""
        images = self.test_masks
        output, masks = predict_all(task, images), stack_masks(images)
        scores = {}
        if "logits" in output:
            for channel, lesion in enumerate(self.recipe.lesions):
                scores[f"{lesion}_aupr"] = average_precision(output["logits"][:, channel], masks[:, channel])
        if self.recipe.model_args.get("backbone") == "vgg19":
            return scores  # its classifier stands on no feature map
        fields = [field_of_view(image.permute(1, 2, 0).numpy()) for image in images.images]
        lesions = masks.any(1).numpy()  # (N, S, S)
        for name, own in compute_class_maps(task, images).items():
            chosen: Tensor = own[np.arange(len(own)), output[name].argmax(1)]  # (N, h, w)
            large = upsample(chosen, (lesions.shape[1], lesions.shape[2]))
            inside = [measure_inside(*parts) for parts in zip(large, lesions, fields, strict=True)]
            scores[f"{name}_cam_inside"] = float(np.nanmean(inside)) if not np.isnan(inside).all() else float("nan")
        flat = np.ones(lesions.shape[1:], np.float32)
        inside = [measure_inside(flat, *parts) for parts in zip(lesions, fields, strict=True)]
        return scores | {"lesion_share": float(np.mean(inside))}


def predict_all(task: FundusTask, images: ImageSet) -> dict[str, Tensor]:
    """Logits of the grades of all images, and of the lesions of those with masks; several processes share them out.

    Returns:
        ``"dr"`` (N, 5), ``"dme"`` (N, 3), ``"logits"`` (N, L, S, S), of those that the model gives; on the CPU.
    """
    masks = bool(images.with_masks)

    def predict(start: int) -> dict[str, Tensor]:
        rows = slice(start * BATCH, (start + 1) * BATCH)
        output = task.predict(torch.stack(images.images[rows]), images.statistics[rows])
        return {name: v.cpu() for name, v in output.items() if name in GRADES or (masks and name == "logits")}

    return _join(share_out(task.model, -(-len(images) // BATCH), predict))


@torch.inference_mode()
def compute_class_maps(task: FundusTask, images: ImageSet) -> dict[str, Tensor]:
    """Class activation maps of all images, ``"dr"`` (N, 5, h, w) and ``"dme"`` (N, 3, h, w), on the CPU."""

    def compute(start: int) -> dict[str, Tensor]:
        rows = slice(start * BATCH, (start + 1) * BATCH)
        device = task.device
        x = task.prepare(torch.stack(images.images[rows]).to(device), images.statistics[rows].to(device))
        return {name: value.float().cpu() for name, value in task.model.compute_class_maps(x).items()}  # type: ignore[operator,union-attr]

    with evaluating(task):
        return _join(share_out(task.model, -(-len(images) // BATCH), compute))


def _join(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
