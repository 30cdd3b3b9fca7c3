"""How segmentation of lesions is scored at the size of training; quick scores and sizes of lesions for any protocol."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fundus_lib.metrics import (
    LesionRecall,
    average_precision,
    lesion_recall,
    pixel_counts,
)
from fundus_lib.processes import share_out
from fundus_lib.protocols.base import Scores

if TYPE_CHECKING:
    from fundus_lib.data.image_set import ImageSet
    from fundus_lib.tasks.base import FundusTask

THRESHOLD = 0.5
"""Probability from which on a pixel is predicted as lesion, in the metrics that need a binary mask."""

LESION_SIZES = {"small": 0.0, "medium": 2e-5, "large": 1e-4}
"""Classes of size, and the fraction of the image's area from which on a lesion belongs to each.

Fractions mean the same at every resolution. In an image of 4288×2848 a medium lesion has at least 245 pixels, as a disc
has whose diameter is 18, and a large one 1222 (a diameter of 39). Of IDRiD's hard exudates half are small and a ninth
are large, and that ninth holds three quarters of the pixels (test images, read at 720×480 or at 1440×960).
"""

SIZES_IN_WORDS = f"medium, large: from {LESION_SIZES['medium']:g} and {LESION_SIZES['large']:g} of the image's area on."
"""The classes of size, for the protocols in words."""


@dataclass(frozen=True)
class AtTrainingSize:
    """Whole images at the size at which the network was trained.

    Attributes:
        recipe: What was trained, with `lesions`, `size` and `test_flips`.
        test: The test images.
    """

    recipe: Any
    test: ImageSet

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) at which images are predicted."""
        return self.recipe.size  # type: ignore[no-any-return]

    def describe(self, weights: str) -> str:
        """The protocol in words."""
        height, width = self.size
        flips = "logits averaged over 4 mirror images, " if self.recipe.test_flips else ""
        return (
            f"{len(self.test)} whole test images of {self.test.title} at {height}×{width} (lesion: at least half of a "
            f"pixel), {flips}{weights} aupr: exact average precision, all "
            "pixels of all images pooled; aupr_image_mean: mean over the images that have the lesion; f1, iou, "
            f"sensitivity, ppv: at probability {THRESHOLD}, pooled; breakeven: sensitivity (and PPV) where as many "
            "pixels are predicted as lesion as are lesion; recall: lesions (8-connected) of which at least one pixel "
            f"is found, pixel_recall: their pixels found, at probability {THRESHOLD} and at break-even; "
            + SIZES_IN_WORDS
        )

    def quick(self, task: FundusTask, images: ImageSet) -> dict[str, float]:
        """`EX_f1` at a probability of 0.5 and exact `EX_aupr`, pooled."""
        return score_quickly(task, images)

    def full(self, task: FundusTask, variants: bool = True) -> Scores:
        """Score whole images, lesion by lesion, see :meth:`score`."""
        return Scores(self.score(predict_all(task, self.test)))

    def score(self, logits: Sequence[Tensor]) -> dict[str, float]:
        """The scores of predictions of all test images, (L, H, W) each.

        Two masks are made of the scores: at a probability of 0.5; and at the **break-even** threshold, where as many
        pixels are predicted as lesion as there are lesion pixels, so that PPV and sensitivity are equal. At 0.5 two
        networks sit at two operating points; at break-even both spend the same number of pixels, and the question is on
        what.

        Returns:
            For each lesion, say EX, pooled over all images where nothing else is said.

            - `EX_aupr` (exact average precision), `EX_aupr_image_mean` (mean over the images that have the lesion),
              `EX_prevalence` (the AUPR of a constant score), `EX_mean_score` (mean probability; the prevalence, if
              calibrated);
            - at 0.5: `EX_f1`, `EX_iou`, `EX_sensitivity`, `EX_ppv`; at break-even all of these but IoU are the one
              number `EX_breakeven`;
            - for each size of :data:`LESION_SIZES`, at 0.5: `EX_recall_small` (fraction of the small lesions of which
              at least one pixel is found), `EX_pixel_recall_small` (fraction of their pixels that is found); at
              break-even: `EX_breakeven_recall_small`, `EX_breakeven_pixel_recall_small`; and `EX_lesions_small`, their
              number.
        """
        scores = torch.stack([logit.cpu() for logit in logits])  # (N, L, H, W)
        masks = stack_masks(self.test)
        metrics: dict[str, float] = {}
        for channel, lesion in enumerate(self.recipe.lesions):
            score, mask = scores[:, channel], masks[:, channel]  # (N, H, W) each
            singly = [average_precision(s, m) for s, m in zip(score, mask, strict=True) if m.any()]
            probability = score.sigmoid()
            predicted, even = probability >= THRESHOLD, score >= breakeven_threshold(score, mask)
            counts = pixel_counts(predicted, mask)
            found = {"": _recall(predicted, mask), "breakeven_": _recall(even, mask)}
            metrics |= {
                f"{lesion}_aupr": average_precision(score, mask),
                f"{lesion}_aupr_image_mean": sum(singly) / len(singly) if singly else float("nan"),
                f"{lesion}_prevalence": float(mask.float().mean()),
                f"{lesion}_mean_score": float(probability.double().mean()),
                f"{lesion}_f1": counts.f1,
                f"{lesion}_iou": counts.iou,
                f"{lesion}_sensitivity": counts.sensitivity,
                f"{lesion}_ppv": counts.ppv,
                f"{lesion}_breakeven": pixel_counts(even, mask).sensitivity,
                **{f"{lesion}_{name}": value for name, value in name_recall(found).items()},
            }
        return metrics


def score_quickly(task: FundusTask, images: ImageSet) -> dict[str, float]:
    """For each lesion F1 at a probability of 0.5 and exact AUPR, pooled, on the device; nothing without images."""
    if not len(images):
        return {}
    logits = predict_all(task, images)
    found: dict[str, float] = {}
    for channel, lesion in enumerate(task.recipe.lesions):
        score = torch.cat([logit[channel].flatten() for logit in logits])
        mask = torch.cat([m[channel].flatten() for m in images.masks if m is not None]).to(score.device)
        found |= {f"{lesion}_f1": pixel_counts(score >= 0, mask).f1, f"{lesion}_aupr": average_precision(score, mask)}
    return found


def predict_all(task: FundusTask, images: ImageSet) -> list[Tensor]:
    """Logits of all images, (L, H, W) each; several processes share them out."""
    return share_out(task.model, len(images), lambda n: task.predict(images.images[n], images.statistics[n])["logits"])


def stack_masks(images: ImageSet) -> Tensor:
    """The masks of images of one size, uint8 (N, L, H, W), on the CPU."""
    return torch.stack([mask for mask in images.masks if mask is not None]).cpu()


def breakeven_threshold(scores: Tensor, mask: Tensor) -> float:
    """The threshold at which as many pixels are predicted as lesion as are lesion (more, if scores are equal).

    Args:
        scores: float, any shape.
        mask: {0, 1}, the same shape.

    Returns:
        The lowest score that is predicted as lesion; infinite if no pixel is lesion.
    """
    lesion = int(mask.count_nonzero())
    return float(scores.flatten().kthvalue(scores.numel() - lesion + 1).values) if lesion else float("inf")


def size_edges(height: int, width: int) -> tuple[int, int]:
    """The areas in pixels from which on a lesion is medium and large (:data:`LESION_SIZES`), at least 1 apart."""
    medium, large = (math.ceil(LESION_SIZES[size] * height * width) for size in ("medium", "large"))
    return medium, max(large, medium + 1)


def name_recall(found: Mapping[str, LesionRecall]) -> dict[str, float]:
    """Recall of lesions and of their pixels for each class of size, and how many lesions there are, by name.

    Args:
        found: What stands before a name, such as `breakeven_` → recall by the classes of :data:`LESION_SIZES`; as `""`
            that of which the numbers of lesions are given.
    """
    names: dict[str, float] = {}
    for prefix, recall in found.items():
        for size, fraction, pixels in zip(LESION_SIZES, recall.recall, recall.pixel_recall, strict=True):
            names |= {f"{prefix}recall_{size}": fraction, f"{prefix}pixel_recall_{size}": pixels}
    return names | {f"lesions_{size}": n for size, n in zip(LESION_SIZES, found[""].lesions, strict=True)}


def _recall(predicted: Tensor, mask: Tensor) -> LesionRecall:
    """Recall by class of size, pooled over images (N, H, W)."""
    edges = size_edges(*mask.shape[-2:])
    return sum((lesion_recall(p, m, edges) for p, m in zip(predicted, mask, strict=True)), LesionRecall())
