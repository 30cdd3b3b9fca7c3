"""How segmentation of lesions is scored at the images' full size.

Source: "Evaluation Metrics" of dual_branch, and for what it leaves open its authors' code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fundus_lib.metrics import LesionRecall, PixelCounts, lesion_recall, region_counts
from fundus_lib.metrics.threshold_counts import ThresholdCounts
from fundus_lib.models.dualbranch import average_logits, average_probabilities
from fundus_lib.processes import gather_all, process_rank, share_buffers
from fundus_lib.protocols.base import Scores
from fundus_lib.protocols.lesions import SIZES_IN_WORDS, name_recall, score_quickly, size_edges
from fundus_lib.protocols.stored import Stored, count_at, count_values, reached, resize_prediction, resize_steps, store

if TYPE_CHECKING:
    from fundus_lib.data.image_set import ImageSet
    from fundus_lib.tasks.base import FundusTask

COMBINED = "combined"
"""Name of the prediction that a recipe asks for."""

SIGMAS = (0.2, 0.35, 0.5, 0.65, 0.8)
"""Overlaps of the region scores."""

LEVEL = 128
"""A pixel is predicted as lesion if its 8-bit score is above this."""

ELEVEN = 25.6 * np.arange(11)
"""The authors' thresholds for the area under the precision-recall curve, for 8-bit scores above them."""

FINE = 256
"""Steps of an 8-bit level in which scores are counted after they were resized."""

CHALLENGE = 255 * FINE // 32 * np.arange(32, -1, -1)
"""The 33 thresholds of IDRiD's challenge, from 1 to 0, in these steps."""


@dataclass(frozen=True)
class AtFullSize:
    """The paper's test: 8-bit predictions at the images' original size, all images pooled.

    Attributes:
        recipe: What was trained, with `lesions`, `size` and `model_args`.
        test: The test images, with their masks at full size.
    """

    recipe: Any
    test: ImageSet

    def describe(self, weights: str) -> str:
        """The protocol in words."""
        size = "×".join(map(str, self.recipe.size))
        return (
            f"{len(self.test)} whole test images of {self.test.title}, predicted at {size} (DDR: long side), stored as "
            "8 bit (truncated), resized as numbers by bilinear interpolation to the image's own size; masks as "
            f"published. All images pooled. sensitivity, ppv, f1, iou: score above {LEVEL} of 255; region_f1_σ: the "
            "paper's Eqs. 7-10 as its code has them, the same threshold; aupr: exact average precision; aupr_8bit: "
            "that of the stored 8 bit; aupr_11: 11 thresholds, the point (0, 1) added, trapezoids, as in the "
            "authors' code; aupr_33: of the 8 bit at 33 thresholds from 0 to 1, trapezoids, as in IDRiD's challenge; "
            "recall: lesions (8-connected) of which at least one pixel is found, pixel_recall: their pixels found, "
            f"above {LEVEL} and at break-even, where as many pixels are predicted as lesion as are lesion; aupr and "
            "break-even: of the logits in steps of a thousandth up to ±31 and of a sixth up to ±200, since 8 bit tell "
            "nothing apart above 0.998; "
            f"{SIZES_IN_WORDS} {weights}"
        )

    def quick(self, task: FundusTask, images: ImageSet) -> dict[str, float]:
        """`EX_f1` at a probability of 0.5 and exact `EX_aupr`, pooled, at the size of training."""
        return score_quickly(task, images)

    def full(self, task: FundusTask, variants: bool = True) -> Scores:
        """The paper's test, of the combined prediction and of what else two branches give.

        Returns:
            The scores of each lesion, such as `EX_sensitivity`, `EX_ppv`, `EX_f1`, `EX_iou`, `EX_aupr`, `EX_aupr_11`,
            `EX_region_f1_0.2` and so on, and recall by lesion size as in
            :meth:`fundus_lib.protocols.lesions.AtTrainingSize.full`; and as variants the same for the `"large branch"`,
            the `"small branch"`, the `"mean of logits"` and the `"mean of probabilities"`.
        """
        combine = self.recipe.model_args.get("combine", "logits")

        rank, processes = process_rank()
        share_buffers(task.model)
        names, own = [COMBINED], range(rank, len(self.test), processes)
        stored: dict[int, dict[str, Stored]] = {}
        for index in own:
            output = name_predictions(task.predict(self.test.images[index], self.test.statistics[index]), combine)
            names = list(output) if variants else [COMBINED]
            stored[index] = {name: store(output[name]) for name in names}
        scores = pool_at_full_size(self.test, self.recipe.lesions, stored, names)
        combined = scores.pop(COMBINED)
        for mean in ("mean of logits", "mean of probabilities"):
            if scores:
                scores.setdefault(mean, combined)  # what is not apart is what the recipe combines by
        return Scores(combined, scores)


def pool_at_full_size(
    test: ImageSet,
    lesions: Sequence[str],
    stored: Mapping[int, Mapping[str, Stored]],
    names: Sequence[str] = (COMBINED,),
    resize: Callable[..., NDArray[Any]] | None = None,
    watch: Callable[[int, str, NDArray[np.uint16], NDArray[np.uint8]], None] | None = None,
) -> dict[str, dict[str, float]]:
    """The scores of each prediction, pooled over the images of all processes of a run.

    Args:
        test: The test images, with their masks at full size.
        lesions: Names of the channels.
        stored: Index of an image → name of a prediction → what is stored of it; of the images that this process has.
        names: Of the predictions.
        resize: Brings a map (h, w) to the (height, width) of the image; by default
            :func:`~fundus_lib.protocols.stored.resize_prediction`.
        watch: Called once with each index and lesion, the steps of the first prediction at the image's size, and the
            mask, for what else is to be counted of them.
    """
    resize = resize or resize_prediction
    names = max(gather_all(list(names)), key=len)  # a process may have no image of its own
    tests = {(name, lesion): FullSizeTest() for name in names for lesion in lesions}
    for visit in (FullSizeTest.count, FullSizeTest.recall):
        for index, predictions in stored.items():
            reader = test.full_masks[index]
            assert reader is not None, "images with masks are tested on"
            for channel, (lesion, mask) in enumerate(zip(lesions, reader(), strict=True)):
                for name in names:
                    levels, steps = (part[channel] for part in predictions[name])
                    large = resize_steps(steps, mask.shape, resize)
                    visit(tests[name, lesion], resize(levels.astype(np.float32), mask.shape), large, mask)
                    if watch and visit is FullSizeTest.count and name == names[0]:
                        watch(index, lesion, large, mask)
        for one in tests.values():
            one.merge(visit, gather_all(one))
    scores: dict[str, dict[str, float]] = {name: {} for name in names}
    for (name, lesion), one in tests.items():
        scores[name] |= {f"{lesion}_{score}": value for score, value in one.scores().items()}
    return scores


class FullSizeTest:
    """The paper's scores of one lesion, added up over images in two visits: `count` all, then `recall` all.

    What is pooled are histograms, whatever the size of the images: of 8-bit levels in steps of 1/256, as they are
    resized as numbers, and of logits in 65,536 steps.
    """

    def __init__(self) -> None:
        self.levels = np.zeros((2, 255 * FINE + 1), np.int64)  # of background, of lesion
        self.eleven = np.zeros((2, len(ELEVEN)), np.int64)  # above each threshold
        self.steps = np.zeros((2, 65536), np.int64)
        self.regions = [PixelCounts() for _ in SIGMAS]
        self.found = {"": LesionRecall(), "breakeven_": LesionRecall()}

    def count(self, levels: NDArray[np.float32], steps: NDArray[np.uint16], mask: NDArray[np.uint8]) -> None:
        """The first visit: float32 levels, 0 to 255, uint16 logits and mask {0, 1}, (H, W) each."""
        fine = np.ceil(levels * FINE).astype(np.uint16)  # at most as high as a threshold that it does not exceed
        for histogram, score in ((self.levels, fine), (self.steps, steps)):
            histogram += count_values(score, mask, histogram.shape[1])
        above = [np.array([np.count_nonzero(part > t) for t in ELEVEN]) for part in (levels, levels[mask > 0])]
        self.eleven += np.stack([above[0] - above[1], above[1]])
        counts = region_counts(levels > LEVEL, mask, SIGMAS)
        self.regions = [total + new for total, new in zip(self.regions, counts, strict=True)]

    def recall(self, levels: NDArray[np.float32], steps: NDArray[np.uint16], mask: NDArray[np.uint8]) -> None:
        """The second visit, when the break-even step is known."""
        for name, predicted in (("", levels > LEVEL), ("breakeven_", steps >= self.breakeven)):
            new = lesion_recall(predicted, mask, size_edges(*mask.shape))
            # images of DDR differ in size, so that equal fractions of the area are different numbers of pixels
            self.found[name] += replace(new, edges=())

    def merge(self, visit: Callable[..., None], parts: Sequence[FullSizeTest]) -> None:
        """Take the sum over several processes of what one visit has counted."""
        if visit is FullSizeTest.count:
            self.levels, self.eleven, self.steps = (
                sum(getattr(part, name) for part in parts) for name in ("levels", "eleven", "steps")
            )
            self.regions = [
                sum(counts, PixelCounts()) for counts in zip(*(part.regions for part in parts), strict=True)
            ]
        else:
            self.found = {name: sum((part.found[name] for part in parts), LesionRecall()) for name in self.found}

    @property
    def breakeven(self) -> int:
        """The highest step that at least as many pixels reach as are lesion; 65,536 if there is no lesion."""
        positives = int(self.steps[1].sum())
        return int(np.flatnonzero(reached(self.steps).sum(0) >= positives)[-1]) if positives else self.steps.shape[1]

    def scores(self) -> dict[str, float]:
        """All scores by name, see :meth:`AtFullSize.full`."""
        predicted, even = count_at(self.levels, [LEVEL * FINE + 1])[0], count_at(self.steps, [self.breakeven])[0]
        background, lesion = self.steps.sum(1).tolist()
        fp, tp = self.eleven[:, ::-1]
        found = {
            "sensitivity": predicted.sensitivity,
            "ppv": predicted.ppv,
            "f1": predicted.f1,
            "iou": predicted.iou,
            "aupr": count_at(self.steps, np.arange(self.steps.shape[1] - 1, -1, -1)).auprc(interpolation="step"),
            "aupr_8bit": count_at(self.levels, np.arange(self.levels.shape[1] - 1, -1, -1)).auprc(interpolation="step"),
            "aupr_11": ThresholdCounts(ELEVEN[::-1].astype(np.float64), tp, fp, lesion, background).auprc(
                interpolation="trapezoid"
            ),
            "aupr_33": count_at(self.levels, CHALLENGE).auprc(interpolation="trapezoid"),
            **{f"region_f1_{sigma:g}": counts.f1 for sigma, counts in zip(SIGMAS, self.regions, strict=True)},
            "prevalence": lesion / (background + lesion),
            "breakeven": even.sensitivity,
            "breakeven_ppv": even.ppv,
        }
        return found | name_recall(self.found)


def name_predictions(output: Mapping[str, Tensor], combine: str = "logits") -> dict[str, Tensor]:
    """The different predictions of a network by name.

    Args:
        output: What :meth:`~fundus_lib.tasks.base.FundusTask.predict` gives, logits (L, H, W).
        combine: What `output["logits"]` of two branches is the mean of, `"logits"` or `"probabilities"`.

    Returns:
        Logits (L, H, W) by name; the mean that `combine` names is not there twice.
    """
    found = {COMBINED: output["logits"]}
    if "large_logits" in output:
        large, small = output["large_logits"], output["small_logits"]
        found |= {"large branch": large, "small branch": small}
        if combine == "logits":
            found["mean of probabilities"] = average_probabilities(large, small)
        else:
            found["mean of logits"] = average_logits(large, small)
    return found
