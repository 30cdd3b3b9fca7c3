"""How a prediction is stored until it is scored, as 8-bit levels and as steps of logits, and pixels counted by them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from fundus_lib.metrics.threshold_counts import ThresholdCounts

Stored = tuple[NDArray[np.uint8], NDArray[np.uint16]]
"""A prediction (L, h, w) as 8-bit levels and as steps of its logits."""


def store(logits: Tensor) -> Stored:
    """Both forms in which a prediction is stored."""
    return store_levels(logits), store_steps(logits)


def store_levels(logits: Tensor) -> NDArray[np.uint8]:
    """Probabilities as 8 bit, truncated as in the authors' code; any shape."""
    return np.asarray((logits.sigmoid() * 255).to(torch.uint8).cpu().numpy())


def store_steps(logits: Tensor) -> NDArray[np.uint16]:
    """Logits in steps of a thousandth up to ±31, 0 as 32,736, and in steps of a sixth from there to ±200; any shape.

    Networks that were trained with Dice give lesions logits of 90 and more: where all that is beyond 32 was equal, the
    order was lost in which they find the pixels, and AUPR with it.
    """
    fine = logits.clamp(-31, 31)
    steps = (fine * 1023).round() + ((logits.clamp(-200, 200) - fine) * 6).round() + 32736
    return np.asarray(steps.to(torch.int32).cpu().numpy().astype(np.uint16))


def read_steps(steps: NDArray[np.uint16]) -> NDArray[np.float32]:
    """The logits of steps, float32."""
    away = steps.astype(np.float32) - 32736
    fine = away.clip(-31 * 1023, 31 * 1023)
    logits: NDArray[np.float32] = fine / 1023 + (away - fine) / 6
    return logits


def resize_steps(
    steps: NDArray[np.uint16], size: tuple[int, ...], resize: Callable[..., NDArray[Any]]
) -> NDArray[np.uint16]:
    """Steps (h, w) at another (height, width): interpolated as logits, which those up to ±31 are themselves."""
    if abs(int(steps.max()) - 32736) <= 31 * 1023 >= abs(int(steps.min()) - 32736):
        return resize(steps, size)
    lowest = read_steps(np.zeros(1, np.uint16))[0]  # what is added around a square is 0
    return store_steps(torch.from_numpy(resize(read_steps(steps) - lowest, size) + lowest))


def resize_prediction(levels: NDArray[Any], size: tuple[int, ...]) -> NDArray[Any]:
    """A stored prediction (h, w) at another (height, width), by bilinear interpolation."""
    return np.asarray(cv2.resize(levels, (size[1], size[0]), interpolation=cv2.INTER_LINEAR))


def count_values(score: NDArray[np.uint16], mask: NDArray[np.uint8], length: int = 65536) -> NDArray[np.int64]:
    """How many pixels of background and of lesion have each value from 0 to below `length`, int64 (2, length).

    Args:
        score: uint16 (H, W).
        mask: {0, 1} (H, W).
        length: Number of values.
    """
    counts = np.zeros((2, length), np.int64)
    rows = max(2**23 // score.shape[1], 1)  # OpenCV counts in float32, exactly up to 2**24 pixels
    for top in range(0, len(score), rows):
        part: NDArray[np.uint16] = np.ascontiguousarray(score[top : top + rows])
        lesion: NDArray[np.uint8] = np.ascontiguousarray(mask[top : top + rows])
        counts[0] += cv2.calcHist([part], [0], None, [length], [0, length]).ravel().astype(np.int64)
        counts[1] += cv2.calcHist([part], [0], lesion, [length], [0, length]).ravel().astype(np.int64)
    counts[0] -= counts[1]
    return counts


def reached(histogram: NDArray[np.int64]) -> NDArray[np.int64]:
    """(2, K) to (2, K + 1): pixels of background and of lesion whose score is at least 0, …, K."""
    return np.concatenate([histogram[:, ::-1].cumsum(1)[:, ::-1], np.zeros((2, 1), np.int64)], axis=1)


def count_at(histogram: NDArray[np.int64], lowest: ArrayLike) -> ThresholdCounts:
    """Hits and false alarms where scores of at least so much are predicted as lesion; scores (K,), falling."""
    levels = np.asarray(lowest)
    fp, tp = reached(histogram)[:, levels]
    background, lesion = histogram.sum(1)
    return ThresholdCounts(levels.astype(np.float64), tp, fp, int(lesion), int(background))
