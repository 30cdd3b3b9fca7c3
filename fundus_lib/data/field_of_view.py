"""The field of view: the part of an image that shows the retina, and the colours in it."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fundus_lib.errors import ArgumentError

DARK = 0.2
"""The border is darker than this fraction of the retina's own brightness (99th percentile)."""


def field_of_view(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Where the retina is: the convex hull of the largest region that is not dark.

    Args:
        image: uint8 (H, W, 3), RGB.

    Returns:
        uint8 {0, 1} (H, W).

    Raises:
        ArgumentError: The image is black.
    """
    brightness = image.max(axis=-1)
    level = DARK * float(np.percentile(brightness, 99))
    bright = (brightness > max(level, 1)).astype(np.uint8)
    bright = np.asarray(cv2.morphologyEx(bright, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)), dtype=np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(bright, connectivity=4)
    if count < 2:
        raise ArgumentError(
            "field_of_view",
            "the image shows no retina",
            found=f"a brightest value of {brightness.max(initial=0)} of 255",
            expected="a fundus image",
            remedy="look at the file: it may be black, empty or not an image",
        )
    largest = (labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))).astype(np.uint8)
    outline, _ = cv2.findContours(largest, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = cv2.convexHull(max(outline, key=len))
    return np.asarray(cv2.fillConvexPoly(np.zeros_like(largest), hull, 1), dtype=np.uint8)


def bounding_box(field: NDArray[np.uint8]) -> tuple[slice, slice]:
    """Rows and columns of the smallest box that holds all of a mask (H, W); the whole of an empty one."""
    rows, columns = np.flatnonzero(field.any(axis=1)), np.flatnonzero(field.any(axis=0))
    if not rows.size:
        return slice(0, field.shape[0]), slice(0, field.shape[1])
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def statistics(image: NDArray[np.uint8], field: NDArray[np.uint8] | None = None) -> Tensor:
    """Mean and standard deviation of each colour over the field of view.

    Dividing by them makes images of different eyes and cameras alike, whatever the width of their black border.

    Args:
        image: uint8 (H, W, 3), RGB.
        field: Its field of view (H, W), if it is known already.

    Returns:
        Means, then standard deviations (at least 1), in grey levels 0-255.
    """
    field = field_of_view(image) if field is None else field
    pixels = image[field > 0].astype(np.float32)  # (n, 3)
    return torch.from_numpy(np.stack([pixels.mean(axis=0), np.maximum(pixels.std(axis=0), 1)]))
