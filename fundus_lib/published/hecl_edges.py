"""Errors at the edges of lesions: how far from the edge, how sharp it is, and what another network changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fundus_lib.metrics import bootstrap

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Whole = NDArray[np.int64]

FARTHEST = 5
"""Distances to an edge from which on pixels are counted together, in pixels."""

BAND = 2
"""Pixels this close to an edge belong to it."""

LEAST_AREA = 12
"""Pixels that a lesion must have for the brightness on both sides of its edge to be compared."""


def measure_distance(mask: Bools) -> Whole:
    """Distance of each pixel to the edge of the lesions, in pixels, rounded: negative inside, never 0; (H, W)."""
    outside, inside = (
        cv2.distanceTransform(part.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for part in (~mask, mask)
    )
    far = max(mask.shape)
    signed = np.where(mask, -np.rint(inside.clip(max=far)), np.rint(outside.clip(max=far)))
    return np.asarray(signed, np.int64)


def count_by_distance(chosen: Bools, distance: Whole) -> Whole:
    """How many pixels are chosen at each distance from -5, …, -1, 1, …, 5; both ends hold all beyond; (10,)."""
    found = np.bincount(distance[chosen].clip(-FARTHEST, FARTHEST) + FARTHEST, minlength=2 * FARTHEST + 1)
    return np.delete(found, FARTHEST)


def measure_lesions(image: NDArray[np.uint8], mask: Bools, wrong: Sequence[Bools]) -> Floats:
    """How sharp the edge of each lesion is, and how many errors are there.

    The step of an edge is the mean green value of the lesion within `BAND` pixels of its edge, minus that outside
    within the same distance. It is small where an edge is blurred, and where a lesion is faint.

    Args:
        image: uint8 (3, H, W).
        mask: Lesions, (H, W); 8-connected components count as one.
        wrong: Where each of some predictions is wrong, (H, W) each.

    Returns:
        (lesions of at least `LEAST_AREA` pixels, 5 + predictions): row and column of the centre, area, step in grey
        levels, pixels of the band, and those of them that each prediction has wrong.
    """
    number, labels, stats, centres = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    distance = measure_distance(mask)
    _, nearest = cv2.distanceTransformWithLabels(
        (~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    owner = np.zeros(nearest.max() + 1, np.int64)  # pixel of a lesion by its number → the lesion
    owner[nearest[mask]] = labels[mask]
    of, near, green = owner[nearest], np.abs(distance) <= BAND, image[1].astype(np.float64)

    def total(values: NDArray[Any], where: Bools) -> NDArray[np.float64]:
        sums = np.bincount(of[where], values[where].astype(np.float64), minlength=number)[1:]
        return np.asarray(sums, np.float64)

    ones = np.ones(mask.shape)
    with np.errstate(invalid="ignore"):
        inside, outside = (total(green, near & part) / total(ones, near & part) for part in (mask, ~mask))
    area = stats[1:, cv2.CC_STAT_AREA]
    columns = [centres[1:, 1], centres[1:, 0], area, inside - outside, total(ones, near)]
    table = np.column_stack([*columns, *(total(each, near) for each in wrong)])
    return table[area >= LEAST_AREA].astype(np.float32)


def compare(before: Bools, after: Bools, target: Bools) -> dict[str, Any]:
    """What another network changes in the decisions of a first one, pooled over images (N, H, W) each.

    Returns:
        `corrections` and `errors`: changed pixels that become right, and wrong; `lesion`: lesion pixels; `net`:
        corrections minus errors, in percent of the lesion pixels, with `low` and `high`, a 95 % bootstrap interval over
        images; `distance`: changed pixels by their distance to the nearest edge, see :func:`count_by_distance`.
    """
    changed, right = before != after, after == target
    counts = np.array(
        [[(c & r).sum(), (c & ~r).sum(), t.sum()] for c, r, t in zip(changed, right, target, strict=True)]
    )

    def net(some: NDArray[np.int64]) -> float:
        good, bad, lesion = some.sum(0)
        return float(100 * (good - bad) / max(lesion, 1))

    found, (good, bad, lesion) = bootstrap(counts, net), counts.sum(0).tolist()
    distance = sum(count_by_distance(c, measure_distance(t)) for c, t in zip(changed, target, strict=True))
    return {
        "corrections": good,
        "errors": bad,
        "lesion": lesion,
        **{"net": found.value, "low": found.low, "high": found.high},
        "distance": np.asarray(distance).tolist(),
    }


def compare_edges(lesions: Sequence[Floats]) -> dict[str, Any]:
    """Errors at edges by how sharp these are, in three parts of equally many lesions, the most blurred first.

    Args:
        lesions: What :func:`measure_lesions` gives of each image.

    Returns:
        `bounds`, the steps between the parts in grey levels; `lesions` in each part; `before` and `after`, the
        percentage of wrong pixels in the bands; and `gain`, the first minus the second, with a 95 % bootstrap interval
        over images: three times value, low, high.
    """
    bounds = np.quantile(np.concatenate(lesions)[:, 3], [1 / 3, 2 / 3])
    sums, numbers = np.zeros((len(lesions), 3, 3)), np.zeros(3, np.int64)  # images × parts × band, before, after
    for image, table in enumerate(lesions):
        part = np.searchsorted(bounds, table[:, 3])
        np.add.at(sums[image], part, table[:, 4:7].astype(np.float64))
        numbers += np.bincount(part, minlength=3)

    def gain(some: NDArray[np.float64]) -> NDArray[np.float64]:
        band, first, other = some.sum(0).T
        return np.asarray(100 * (first - other) / np.maximum(band, 1))

    found = bootstrap(sums, gain)
    band, first, other = sums.sum(0).T
    return {
        "bounds": bounds.tolist(),
        "lesions": numbers.tolist(),
        "before": (100 * first / band).tolist(),
        "after": (100 * other / band).tolist(),
        "gain": np.stack([found.value, found.low, found.high], 1).tolist(),
    }
