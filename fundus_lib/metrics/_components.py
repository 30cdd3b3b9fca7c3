"""Connected components of a mask, and their overlap with another mask."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from torch import Tensor

from fundus_lib.checks import check_shapes
from fundus_lib.errors import ArgumentError
from fundus_lib.metrics._inputs import as_binary

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def as_mask_pair(pred: ArrayLike | Tensor, target: ArrayLike | Tensor, where: str) -> tuple[NDArray[np.bool_], ...]:
    """Prediction and target as bool arrays (H, W) on the CPU.

    Raises:
        ArgumentError: Shapes differ, there are other than two axes, or a value is neither 0 nor 1.
    """
    check_shapes(where, pred, target)
    shape = np.shape(target)  # type: ignore[arg-type]
    if len(shape) != 2:
        raise ArgumentError(
            where,
            "components are computed for one mask, not for a stack",
            found=f"the shape {shape}",
            expected="(height, width)",
            remedy="call it for one image and one lesion at a time, and add the results",
        )
    masks = (as_binary(mask, where).reshape(shape).cpu().numpy() for mask in (pred, target))
    return tuple(np.ascontiguousarray(mask) for mask in masks)


def measure_components(
    mask: NDArray[np.bool_], other: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Size of every component of a mask, and the number of its pixels that another mask covers.

    One labelling for all components; 8-connected.

    Args:
        mask: (H, W), C-contiguous.
        other: (H, W), C-contiguous.

    Returns:
        Pixels of each component, and those of them that lie in `other`, (N,) each, in the same order.
    """
    pixels = np.flatnonzero(mask)
    if not pixels.size:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    count, labels = cv2.connectedComponents(mask.view(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    component = labels.reshape(-1)[pixels] - 1  # 0 is the background's label
    shared = component[other.reshape(-1)[pixels]]
    return np.bincount(component, minlength=count - 1), np.bincount(shared, minlength=count - 1)
