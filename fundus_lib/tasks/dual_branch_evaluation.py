"""How dual_branch tests: 8-bit predictions at the photographs' original size, all images pooled.

Source: "Evaluation Metrics" of the paper, and for what it leaves open its authors' code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from fundus_lib.metrics import (
    LesionRecall,
    PixelCounts,
    average_precision,
    lesion_recall,
    pixel_counts,
    region_counts,
)
from fundus_lib.metrics.threshold_counts import ThresholdCounts
from fundus_lib.models.dualbranch import mean_of_logits, mean_of_probabilities
from fundus_lib.tasks.experiment import Scores
from fundus_lib.tasks.segmentation import LESION_SIZES, size_edges

if TYPE_CHECKING:
    from fundus_lib.tasks.dual_branch import DualBranchTask
    from fundus_lib.tasks.whole_images import Photographs

COMBINED = "combined"
"""Name of the prediction that a recipe asks for."""

SIGMAS = (0.2, 0.35, 0.5, 0.65, 0.8)
"""Overlaps of the region scores."""

CALLED = 128
"""A pixel is called lesion if its 8-bit score is above this."""

ELEVEN = 25.6 * np.arange(11)
"""The authors' thresholds for the area under the precision-recall curve, for 8-bit scores above them."""

PROTOCOL = (
    "{images} whole test images of {title}, predicted at {size} (DDR: long side), stored as 8 bit, resized by bilinear "
    "interpolation to the photograph's own size; masks as published. All images pooled. sensitivity, ppv, f1, iou: "
    f"score above {CALLED} of 255; region_f1_σ: the paper's Eqs. 7-10 as its code has them, the same threshold; aupr: "
    "exact average precision; aupr_8bit: that of the stored 8 bit; aupr_11: 11 thresholds, the point (0, 1) added, "
    "trapezoids, as in the authors' code; recall: lesions (8-connected) of which at least one pixel is found, "
    "pixel_recall: their pixels found, above 128 and at break-even, where as many pixels are called lesion as are "
    "lesion; aupr and break-even: of the logits in steps of a thousandth, since 8 bit tell nothing apart above 0.998; "
    f"medium, large: from {LESION_SIZES['medium']:g} and {LESION_SIZES['large']:g} of the image's area on. {{weights}}"
)


def at_full_size(task: DualBranchTask, photographs: Photographs, variants: bool = True) -> Scores:
    """The paper's test, of the combined prediction and of what else two branches give.

    Args:
        task: The network.
        photographs: The test photographs.
        variants: Whether to test what else two branches give.

    Returns:
        The scores of each lesion, such as `EX_sensitivity`, `EX_ppv`, `EX_f1`, `EX_iou`, `EX_aupr`, `EX_aupr_11`,
        `EX_region_f1_0.2` and so on, and recall by lesion size as in :func:`fundus_lib.tasks.segmentation.evaluate`;
        and as variants the same for the `"large branch"`, the `"small branch"`, the `"mean of logits"` and the
        `"mean of probabilities"`.
    """
    combine = task.recipe.model_args.get("combine", "logits")
    stored = [
        {
            name: (as_levels(logits), as_steps(logits))
            for name, logits in predictions(task.branches(image), combine).items()
            if variants or name == COMBINED
        }
        for image in photographs.images
    ]
    names, lesions = list(stored[0]), task.recipe.lesions
    tests = {name: [FullSizeTest() for _ in lesions] for name in names}
    for visit in (FullSizeTest.count, FullSizeTest.recall):
        for index, maps in enumerate(stored):
            full = photographs.full_mask(index)  # (L, H, W)
            for name in names:
                for test, levels, steps, mask in zip(tests[name], *maps[name], full, strict=True):
                    visit(test, enlarge(levels, mask.shape), enlarge(steps, mask.shape), mask)
    scores = {
        name: {
            f"{lesion}_{score}": value
            for lesion, test in zip(lesions, of, strict=True)
            for score, value in test.scores().items()
        }
        for name, of in tests.items()
    }
    combined = scores.pop(COMBINED)
    for mean in ("mean of logits", "mean of probabilities"):
        if scores:
            scores.setdefault(mean, combined)  # what is not apart is what the recipe combines by
    return Scores(combined, scores)


class FullSizeTest:
    """The paper's scores of one lesion, added up over photographs in two visits: `count` all, then `recall` all.

    Scores of 8 bit have 256 thresholds and logits in fine steps 65,536, so that what is pooled are histograms, whatever
    the size of the images.
    """

    def __init__(self) -> None:
        self.histogram = np.zeros((2, 256), np.int64)  # of background, of lesion
        self.steps = np.zeros((2, 65536), np.int64)
        self.regions = [PixelCounts() for _ in SIGMAS]
        self.found = {"": LesionRecall(), "breakeven_": LesionRecall()}

    def count(self, levels: NDArray[np.uint8], steps: NDArray[np.uint16], mask: NDArray[np.uint8]) -> None:
        """The first visit: uint8 scores, uint16 logits and mask {0, 1}, (H, W) each."""
        for histogram, score in ((self.histogram, levels), (self.steps, steps)):
            everywhere, lesion = (
                np.bincount(part.ravel(), minlength=histogram.shape[1]) for part in (score, score[mask > 0])
            )
            histogram += np.stack([everywhere - lesion, lesion])
        counts = region_counts(levels > CALLED, mask, SIGMAS)
        self.regions = [total + new for total, new in zip(self.regions, counts, strict=True)]

    def recall(self, levels: NDArray[np.uint8], steps: NDArray[np.uint16], mask: NDArray[np.uint8]) -> None:
        """The second visit, when the break-even step is known."""
        for name, called in (("", levels > CALLED), ("breakeven_", steps >= self.breakeven)):
            new = lesion_recall(called, mask, size_edges(*mask.shape))
            # photographs of DDR differ in size, so that equal shares of the area are different numbers of pixels
            self.found[name] += replace(new, edges=())

    @property
    def breakeven(self) -> int:
        """The highest step that at least as many pixels reach as are lesion; 65,536 if there is no lesion."""
        positives = int(self.steps[1].sum())
        return int(np.flatnonzero(reached(self.steps).sum(0) >= positives)[-1]) if positives else self.steps.shape[1]

    def scores(self) -> dict[str, float]:
        """All scores by name, see :func:`at_full_size`."""
        called, even = at(self.histogram, [CALLED + 1])[0], at(self.steps, [self.breakeven])[0]
        found = {
            "sensitivity": called.sensitivity,
            "ppv": called.ppv,
            "f1": called.f1,
            "iou": called.iou,
            "aupr": at(self.steps, np.arange(self.steps.shape[1] - 1, -1, -1)).auprc(interpolation="step"),
            "aupr_8bit": at(self.histogram, np.arange(255, -1, -1)).auprc(interpolation="step"),
            "aupr_11": at(self.histogram, np.floor(ELEVEN[::-1]).astype(int) + 1 - (ELEVEN[::-1] == 256)).auprc(
                interpolation="trapezoid"
            ),
            **{f"region_f1_{sigma:g}": counts.f1 for sigma, counts in zip(SIGMAS, self.regions, strict=True)},
            "prevalence": float(self.histogram[1].sum() / self.histogram.sum()),
            "breakeven": even.sensitivity,
            "breakeven_ppv": even.ppv,
        }
        for name, recall in self.found.items():
            for size, share, pixels in zip(LESION_SIZES, recall.recall, recall.pixel_recall, strict=True):
                found |= {f"{name}recall_{size}": share, f"{name}pixel_recall_{size}": pixels}
        return found | {f"lesions_{size}": n for size, n in zip(LESION_SIZES, self.found[""].lesions, strict=True)}


def reached(histogram: NDArray[np.int64]) -> NDArray[np.int64]:
    """(2, K) to (2, K + 1): pixels of background and of lesion whose score is at least 0, …, K."""
    return np.concatenate([histogram[:, ::-1].cumsum(1)[:, ::-1], np.zeros((2, 1), np.int64)], axis=1)


def at(histogram: NDArray[np.int64], lowest: ArrayLike) -> ThresholdCounts:
    """Hits and false alarms where scores of at least so much are called lesion; scores (K,), falling."""
    levels = np.asarray(lowest)
    fp, tp = reached(histogram)[:, levels]
    background, lesion = histogram.sum(1)
    return ThresholdCounts(levels.astype(np.float64), tp, fp, int(lesion), int(background))


def while_training(task: DualBranchTask, photographs: Photographs) -> dict[str, float]:
    """Quick scores at the size of training, pooled: for each lesion f1 at a probability of 0.5, and exact AUPR.

    Returns:
        Such as `EX_f1` and `EX_aupr`; nothing without photographs.
    """
    if not len(photographs):
        return {}
    logits = [task.branches(image)["logits"].cpu() for image in photographs.images]  # (L, h, w) each
    found: dict[str, float] = {}
    for channel, lesion in enumerate(task.recipe.lesions):
        score = torch.cat([logit[channel].flatten() for logit in logits])
        mask = torch.cat([mask[channel].flatten() for mask in photographs.masks])
        found |= {f"{lesion}_f1": pixel_counts(score >= 0, mask).f1, f"{lesion}_aupr": average_precision(score, mask)}
    return found


def predictions(output: Mapping[str, Tensor], combine: str = "logits") -> dict[str, Tensor]:
    """The different predictions of a network by name.

    Args:
        output: What :meth:`~fundus_lib.tasks.dual_branch.DualBranchTask.branches` gives, logits (L, H, W).
        combine: What `output["logits"]` of two branches is the mean of, `"logits"` or `"probabilities"`.

    Returns:
        Logits (L, H, W) by name; the mean that `combine` names is not there twice.
    """
    found = {COMBINED: output["logits"]}
    if "large_logits" in output:
        large, small = output["large_logits"], output["small_logits"]
        found |= {"large branch": large, "small branch": small}
        if combine == "logits":
            found["mean of probabilities"] = mean_of_probabilities(large, small)
        else:
            found["mean of logits"] = mean_of_logits(large, small)
    return found


def as_levels(logits: Tensor) -> NDArray[np.uint8]:
    """Probabilities stored as 8 bit, any shape."""
    return np.asarray((logits.sigmoid() * 255).round().to(torch.uint8).cpu().numpy())


def as_steps(logits: Tensor) -> NDArray[np.uint16]:
    """Logits in steps of a thousandth, -32 as 0 and 32 as 65,472, any shape."""
    return np.asarray(((logits.clamp(-32, 32) + 32) * 1023).round().to(torch.int32).cpu().numpy().astype(np.uint16))


def enlarge(levels: NDArray[Any], size: tuple[int, ...]) -> NDArray[Any]:
    """A stored prediction (h, w) at another (height, width), by bilinear interpolation."""
    return np.asarray(cv2.resize(levels, (size[1], size[0]), interpolation=cv2.INTER_LINEAR))
