"""How segmentation of lesions is scored as means over images; with it, pooled at the size of training and at full size.

Source of the means and of the ROC area: the code of hecl.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fundus_lib.data.images import inflate_mask, resize_mask
from fundus_lib.data.padded_square import make_square, put_back
from fundus_lib.metrics import average_precision, image_mean, pixel_counts, roc_auc
from fundus_lib.processes import gather_all, process_rank
from fundus_lib.protocols.base import Scores
from fundus_lib.protocols.full_size import COMBINED, pool_at_full_size
from fundus_lib.protocols.lesions import THRESHOLD, AtTrainingSize, predict_all, score_quickly
from fundus_lib.protocols.stored import resize_prediction, store

if TYPE_CHECKING:
    from fundus_lib.data.image_set import ImageSet
    from fundus_lib.tasks.base import FundusTask

SIDE = 512
"""Of the square at which means over images are taken, in pixels."""

LEVELS = np.arange(255) / 255
"""The thresholds of the ROC area."""

RATIOS = ("iou", "f1", "sensitivity", "ppv")


@dataclass(frozen=True)
class ImageMeans(AtTrainingSize):
    """Whole images: pooled at the size that is predicted, their means at 512², and as a variant pooled at full size.

    Attributes:
        recipe: What was trained, with `lesions`, `size`, `square`, `masks` and `test_flips`.
        test: The test images, with their masks at full size.
    """

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) at which images are predicted."""
        side = self.recipe.square
        return (side, side) if side else super().size

    def describe(self, weights: str) -> str:
        """The protocol in words."""
        masks = f" Images are their middle columns padded to a square; masks {self.recipe.masks}."
        place = masks if self.recipe.square else ""
        return (
            f"{super().describe(weights)}{place} …_mean: means over images of the scores at probability {THRESHOLD}, "
            f"of the middle columns padded to a square and brought to {SIDE}×{SIDE} (probabilities by area averaging, "
            "masks: see above, or lesion: at least half of a pixel); images for which a score is undefined do not "
            "count. auc_255: area under the ROC curve, pooled, of 255 thresholds without the end point, there. "
            "Predictions hold the same scores image by image, and aupr. Variant “full size”: all images pooled at "
            "their own size, as in dual_branch."
        )

    def quick(self, task: FundusTask, images: ImageSet) -> dict[str, float]:
        """`EX_f1` at a probability of 0.5 and exact `EX_aupr`, pooled, at the size that is predicted."""
        return score_quickly(task, images)

    def full(self, task: FundusTask, variants: bool = True) -> Scores:
        """Score the test images.

        Returns:
            Of each lesion the scores of :meth:`AtTrainingSize.score`; `EX_iou_mean`, `EX_f1_mean`,
            `EX_sensitivity_mean`, `EX_ppv_mean` and `EX_auc_255`; as predictions these scores and `EX_aupr` of each
            image, None where undefined; and as the variant "full size" those of
            :func:`~fundus_lib.protocols.full_size.pool_at_full_size`.
        """
        logits = [logit.cpu() for logit in predict_all(task, self.test)]
        means, predictions = self.score_means(logits)
        variants_found = {"full size": self.score_full_size(logits)} if variants else {}
        return Scores(self.score(logits) | means, variants_found, predictions)

    def score_means(self, logits: Sequence[Tensor]) -> tuple[dict[str, float], dict[str, list[Any]]]:
        """Metrics at 512² of logits (L, H, W) of all images, and the scores image by image."""
        metrics, predictions = dict[str, float](), dict[str, list[Any]](names=list(self.test.names))
        probabilities, masks = self.make_squares(logits)
        for channel, lesion in enumerate(self.recipe.lesions):
            score, mask = probabilities[:, channel], masks[:, channel]
            counts = [pixel_counts(s >= THRESHOLD, m) for s, m in zip(score, mask, strict=True)]
            metrics |= {f"{lesion}_{ratio}_mean": image_mean(counts, ratio, empty="skip") for ratio in RATIOS}
            metrics[f"{lesion}_auc_255"] = roc_auc(score, mask, thresholds=LEVELS, ends=False)
            predictions |= {f"{lesion}_{ratio}": _plain(getattr(c, ratio) for c in counts) for ratio in RATIOS}
            own = zip(logits, self.test.masks, strict=True)
            predictions[f"{lesion}_aupr"] = _plain(
                average_precision(logit[channel], m[channel].cpu()) for logit, m in own if m is not None
            )
        return metrics, predictions

    def make_squares(self, logits: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Probabilities and masks of all images in the padded square: float (N, L, 512, 512) and uint8 likewise."""
        rank, processes = process_rank()
        resize = resize_mask if self.recipe.masks == "half" else inflate_mask
        found: dict[int, list[NDArray[Any]]] = {}
        for index in range(rank, len(self.test), processes):
            reader = self.test.full_masks[index]
            assert reader is not None, "images with masks are tested on"
            full = torch.from_numpy(np.ascontiguousarray(reader()))
            probability = logits[index].sigmoid().numpy()
            if not self.recipe.square:
                large = np.stack([resize_prediction(channel, full.shape[1:]) for channel in probability])
                probability = make_square(torch.from_numpy(large)).numpy()
            mask = make_square(full).numpy()
            found[index] = [
                np.stack([_resize(channel) for channel in probability]),
                np.stack([resize(channel, (SIDE, SIDE)) for channel in mask]),
            ]
        known = {index: pair for part in gather_all(found) for index, pair in part.items()}
        pairs = zip(*(known[index] for index in range(len(known))), strict=True)
        probabilities, masks = (torch.from_numpy(np.stack(part)) for part in pairs)
        return probabilities, masks

    def score_full_size(self, logits: list[Tensor]) -> dict[str, float]:
        """The scores at full size, pooled."""
        rank, processes = process_rank()
        stored = {n: {COMBINED: store(logits[n])} for n in range(rank, len(self.test), processes)}
        resize = put_back if self.recipe.square else None
        return pool_at_full_size(self.test, self.recipe.lesions, stored, resize=resize)[COMBINED]


def _resize(probability: NDArray[Any]) -> NDArray[Any]:
    """A map at 512²; by area averaging when it shrinks."""
    if probability.shape == (SIDE, SIDE):
        return probability
    way = cv2.INTER_AREA if len(probability) > SIDE else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(probability, (SIDE, SIDE), interpolation=way))


def _plain(values: Any) -> list[float | None]:
    """Numbers for a record: six digits, None for NaN."""
    return [None if math.isnan(value) else round(float(value), 6) for value in values]
