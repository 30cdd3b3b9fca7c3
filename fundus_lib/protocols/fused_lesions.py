"""How segmentation of all lesions as one is scored, with and without the background, and the grades of the images.

Source: Section 4.3 of `pldmlt`, which reports mean Dice and mean IoU and does not say over what. With background they
are high whatever a network finds, so that the scores of an empty prediction stand beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from fundus_lib.data.sample import LESIONS
from fundus_lib.grades import GRADES
from fundus_lib.metrics import PixelCounts, average_precision, mean_score, pixel_counts
from fundus_lib.metrics.classes import confusion_matrix
from fundus_lib.metrics.grading import quadratic_weighted_kappa
from fundus_lib.processes import share_out
from fundus_lib.protocols.base import Scores
from fundus_lib.protocols.lesions import THRESHOLD, breakeven_threshold, score_quickly, stack_masks

if TYPE_CHECKING:
    from fundus_lib.data.image_set import ImageSet
    from fundus_lib.tasks.base import FundusTask

MEANS = {"mdice": "f1", "miou": "iou"}
"""The paper's names of means over classes → ours of what is averaged."""


@dataclass(frozen=True)
class FusedLesions:
    """Whole squares at the size of training.

    Attributes:
        recipe: What was trained, with `lesions` (the one channel), `side` and `grades` (whether it grades).
        test: The test images; their masks have five channels, all lesions in one and each of the four.
        labels: Grades that images have as labels, by name.
        source: Where these come from, in words.
    """

    recipe: Any
    test: ImageSet
    labels: Mapping[str, int]
    source: str

    def describe(self, weights: str) -> str:
        """The protocol in words."""
        side = self.recipe.side
        graded = (
            f" Labels: {self.source}. dr_label_accuracy: fraction of the images whose grade with the largest logit is "
            "their label; dr_accuracy, dr_kappa (quadratic-weighted): the same with the true grade, of the "
            "dr_images whose true grade is known; labels_true_accuracy: of the labels themselves."
            if self.recipe.grades
            else ""
        )
        return (
            f"{len(self.test)} images of {self.test.title}, the square around the field of view at {side}×{side} (all "
            f"lesions fused: at least half of a pixel). {weights} At probability {THRESHOLD}. mdice, miou: over "
            "background and lesion, micro: of the counts of both together (Dice is then the fraction of correct "
            "pixels), macro: mean of both; pooled over images, …_images: mean over images, an absent class left out; "
            f"empty_…: the same of a prediction without any lesion. {self.recipe.lesions[0]}_f1, …_iou, …_sensitivity, "
            "…_ppv: of lesion alone, pooled; aupr: exact average precision; breakeven: sensitivity where as many "
            "pixels are predicted as lesion as are; MA_sensitivity and so on: of the pixels of each lesion those "
            f"predicted as any.{graded}"
        )

    def quick(self, task: FundusTask, images: ImageSet) -> dict[str, float]:
        """Pooled F1 and average precision of lesion; nothing without images."""
        return score_quickly(task, images)

    def full(self, task: FundusTask, variants: bool = True) -> Scores:
        """Score the test images.

        Returns:
            The metrics that :meth:`describe` names; as predictions the counts `tp`, `fp`, `fn`, `tn` of each image, its
            `ANY_f1` and `ANY_aupr` (None where it has no lesion), and if the network grades `dr`, `dr_label` and
            `dr_true`, −1 where unknown.
        """
        test = self.test
        outputs = share_out(
            task.model,
            len(test),
            lambda n: {k: v.cpu() for k, v in task.predict(test.images[n], test.statistics[n]).items()},
        )
        metrics, predictions = self.score_lesions(torch.stack([output["logits"][0] for output in outputs]))
        if self.recipe.grades:
            grades, more = self.score_grades(torch.stack([output["dr"] for output in outputs]).argmax(1))
            metrics |= grades
            predictions |= more
        return Scores(metrics, predictions={"names": list(test.names), **predictions})

    def score_lesions(self, logits: Tensor) -> tuple[dict[str, float], dict[str, list[Any]]]:
        """Metrics and predictions of logits (N, S, S)."""
        masks, (name,) = stack_masks(self.test), self.recipe.lesions
        mask, predicted = masks[:, 0], logits.sigmoid() >= THRESHOLD
        counts = [pixel_counts(p, m) for p, m in zip(predicted, mask, strict=True)]
        pooled = sum(counts, PixelCounts())
        even = pixel_counts(logits >= breakeven_threshold(logits, mask), mask)
        metrics = {
            **score_means(counts),
            **{f"empty_{key}": value for key, value in score_means([empty(one) for one in counts]).items()},
            f"{name}_f1": pooled.f1,
            f"{name}_iou": pooled.iou,
            f"{name}_sensitivity": pooled.sensitivity,
            f"{name}_ppv": pooled.ppv,
            f"{name}_aupr": average_precision(logits, mask),
            f"{name}_breakeven": even.sensitivity,
            f"{name}_prevalence": float(mask.double().mean()),
            **{
                f"{lesion}_sensitivity": pixel_counts(predicted, masks[:, channel]).sensitivity
                for channel, lesion in enumerate(LESIONS, start=1)
            },
        }
        each = zip(logits, mask, strict=True)
        predictions: dict[str, list[Any]] = {part: [getattr(one, part) for one in counts] for part in PARTS}
        predictions[f"{name}_f1"] = [round(one.f1, 6) if one.tp + one.fn else None for one in counts]
        predictions[f"{name}_aupr"] = [round(average_precision(s, m), 6) if m.any() else None for s, m in each]
        return metrics, predictions

    def score_grades(self, grades: Tensor) -> tuple[dict[str, float], dict[str, list[Any]]]:
        """Metrics and predictions of grades (N,)."""
        labels = torch.tensor([self.labels.get(name, -1) for name in self.test.names])
        true = self.test.dr.cpu()
        known, labelled = true >= 0, labels >= 0
        metrics = {
            "dr_label_accuracy": _agree(grades, labels, labelled),
            "dr_accuracy": _agree(grades, true, known),
            "dr_kappa": float("nan"),
            "dr_images": float(known.sum()),
            "labels_true_accuracy": _agree(labels, true, known & labelled),
        }
        if known.any():
            matrix = confusion_matrix(grades[known], true[known], GRADES["dr"])
            metrics["dr_kappa"] = quadratic_weighted_kappa(matrix)
        return metrics, {"dr": grades.tolist(), "dr_label": labels.tolist(), "dr_true": true.tolist()}


PARTS = ("tp", "fp", "fn", "tn")
"""The four counts of an image."""


def score_means(counts: list[PixelCounts]) -> dict[str, float]:
    """Means over background and lesion of the counts of images: `mdice_micro`, `miou_macro_images` and so on."""
    each = [[invert(one), one] for one in counts]
    pooled = [sum(classes, PixelCounts()) for classes in zip(*each, strict=True)]
    found = {}
    for average in ("micro", "macro"):
        for name, score in MEANS.items():
            how: dict[str, Any] = {"background": True, "average": average, "empty": "skip"}
            found[f"{name}_{average}"] = mean_score(pooled, score, **how)
            found[f"{name}_{average}_images"] = float(np.mean([mean_score(one, score, **how) for one in each]))
    return found


def invert(lesion: PixelCounts) -> PixelCounts:
    """The counts of the background."""
    return PixelCounts(lesion.tn, lesion.fn, lesion.fp, lesion.tp)


def empty(lesion: PixelCounts) -> PixelCounts:
    """The counts of a prediction without any lesion in the same image."""
    return PixelCounts(0, 0, lesion.tp + lesion.fn, lesion.tn + lesion.fp)


def _agree(one: Tensor, other: Tensor, where: Tensor) -> float:
    return float((one == other)[where].double().mean())  # NaN where there is none
