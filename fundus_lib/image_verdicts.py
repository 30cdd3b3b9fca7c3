"""From the area of a lesion to a word on the image: likely, unclear or unlikely, by images that were not trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from fundus_lib.data.field_of_view import field_of_view
from fundus_lib.errors import ArgumentError

if TYPE_CHECKING:
    from fundus_lib.data.image_set import ImageSet
    from fundus_lib.tasks.base import FundusTask

TAIL = 0.1
"""Fraction of further images of either kind that lie on the wrong side of a bound, on average at most."""

FEWEST = 5
"""Images with the lesion, and images without it, that a rule needs."""

THRESHOLD = 0.5
"""Probability from which on a pixel counts, if nothing else is said."""


@dataclass(frozen=True)
class Areas:
    """Areas predicted as lesion, in percent of the field of view, by what is truly there.

    Attributes:
        present: In images that have the lesion.
        absent: In images that do not have it.
    """

    present: list[float] = field(default_factory=list)
    absent: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Rule:
    """Which areas speak for a lesion, and which against it.

    Attributes:
        lesion: Its short name.
        images_with: How many images with the lesion the rule was made from.
        images_without: How many without.
        above: Area in percent of the field of view that at most a tenth of further images without the lesion exceed, on
            average over such samples, if they are of the same kind (with fewer than nine, the largest area found, which
            one in n + 1 exceeds); None where there were too few images.
        below: Area that at most a tenth of further images with the lesion stay below; likewise.
        threshold: Probability from which on a pixel counted.
        mirrored: Whether the predictions were averaged over the views that the network is tested with.
        source: What the images were.
    """

    lesion: str
    images_with: int
    images_without: int
    above: float | None
    below: float | None
    threshold: float
    mirrored: bool
    source: str

    def judge(self, area: float) -> str:
        """A word on an image in which this percentage of the field of view is predicted as lesion.

        Returns:
            `"likely"` above both bounds, `"unlikely"` below both, `"unclear"` between them; `"not calibrated"` where
            there were too few images. Where the bound of images without the lesion is the lower one, an area that
            equals a bound lies beyond it.
        """
        if self.above is None or self.below is None:
            return "not calibrated"
        if area > self.above and area >= self.below:
            return "likely"
        return "unlikely" if area < self.below and area <= self.above else "unclear"

    def explain(self) -> str:
        """The rule in words."""
        counted = f"{self.images_with} images with {self.lesion} and {self.images_without} without, of {self.source}"
        if self.above is None or self.below is None:
            return f"{self.lesion}: not calibrated ({counted}; {FEWEST} of each are needed)"
        low, high = sorted((self.above, self.below))
        settings = f"threshold {self.threshold:g}, {'mirrored views' if self.mirrored else 'one view'}"
        bounds = f"likely above {high:.3g} % of the field of view, unlikely below {low:.3g} %"
        if self.above < self.below:
            bounds = f"likely from {high:.3g} % of the field of view on, unlikely up to {low:.3g} %"
        return f"{self.lesion}: {bounds} ({counted}; {settings})"

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def make_rule(lesion: str, areas: Areas, *, threshold: float, mirrored: bool, source: str) -> Rule:
    """The rule that follows from the areas in images whose lesions are known.

    Args:
        lesion: Short name of the lesion.
        areas: What the network predicted as lesion in them.
        threshold: Probability from which on a pixel counted.
        mirrored: Whether views were averaged.
        source: What the images are.
    """
    present, absent = sorted(areas.present), sorted(areas.absent, reverse=True)
    enough = min(len(present), len(absent)) >= FEWEST
    # of n + 1 images in random order, the new one ranks k-th with a chance of 1 / (n + 1)
    above, below = (v[max(int(TAIL * (len(v) + 1)) - 1, 0)] if enough else None for v in (absent, present))
    return Rule(lesion, len(present), len(absent), above, below, threshold, mirrored, source)


def make_rules(areas: Mapping[str, Areas], *, mirrored: bool, source: str, threshold: float = THRESHOLD) -> list[Rule]:
    """A rule for each lesion, see :func:`make_rule`."""
    how: dict[str, Any] = {"threshold": threshold, "mirrored": mirrored, "source": source}
    return [make_rule(lesion, found, **how) for lesion, found in areas.items()]


def calibrate_on(task: FundusTask, images: ImageSet) -> list[Rule]:
    """Rules from images in memory that the task was not trained on, such as its validation images.

    An image with masks has the lesions that they mark; one without masks but with grade 0 has none; what others have is
    unknown, and they do not count.

    Returns:
        A rule for each lesion that the task segments.
    """
    lesions = task.recipe.lesions if task.segments else ()
    areas = {lesion: Areas() for lesion in lesions}
    for image, mask, dr, statistics in zip(images.images, images.masks, images.dr, images.statistics, strict=True):
        if not lesions or (mask is None and int(dr) != 0):
            continue
        try:
            seen = field_of_view(image.permute(1, 2, 0).cpu().numpy()) > 0  # (H, W)
        except ArgumentError:  # a black image, as DDR has
            continue
        probabilities = task.predict(image, statistics)["logits"].sigmoid().cpu().numpy()  # (L, H, W)
        for channel, lesion in enumerate(lesions):
            area = 100 * float(np.mean(probabilities[channel][seen] >= THRESHOLD))
            there = mask is not None and bool(mask[channel].any())
            (areas[lesion].present if there else areas[lesion].absent).append(area)
    return make_rules(areas, mirrored=True, source=f"{images.title}, validation")


def find_rule(rules: Sequence[Rule], lesion: str, *, threshold: float, mirrored: bool) -> Rule | None:
    """The rule for a lesion that was made with these settings; None if there is none."""
    return next((r for r in rules if (r.lesion, r.threshold, r.mirrored) == (lesion, threshold, mirrored)), None)
