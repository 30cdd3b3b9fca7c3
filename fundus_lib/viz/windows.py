"""Details of images: windows chosen by a rule instead of by hand, to avoid selection in favour of one method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from fundus_lib.errors import ArgumentError


class Window(NamedTuple):
    """A rectangle of an image, in pixels.

    Attributes:
        top: First row.
        left: First column.
        height: Number of rows.
        width: Number of columns.
    """

    top: int
    left: int
    height: int
    width: int

    @property
    def bottom(self) -> int:
        """The row after the last."""
        return self.top + self.height

    @property
    def right(self) -> int:
        """The column after the last."""
        return self.left + self.width

    def crop(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Crop an image (H, W, …) to the window; a view."""
        return image[self.top : self.bottom, self.left : self.right]

    def overlaps(self, other: Window) -> bool:
        """Whether the two have a pixel in common."""
        down = self.top < other.bottom and other.top < self.bottom
        return down and self.left < other.right and other.left < self.right


def windows_of_disagreement(predictions: Sequence[ArrayLike], size: tuple[int, int], count: int = 2) -> list[Window]:
    """The windows in which several predictions of one image differ most.

    A pixel's disagreement is its largest prediction minus its smallest: for binary predictions, 1 where one method
    predicts lesion and another does not. The first window is the one with the largest sum, the next the largest of
    those that do not overlap it.

    Args:
        predictions: Two or more of (H, W): binary predictions, or scores of one scale.
        size: (height, width) of a window.
        count: Number of windows to find.

    Returns:
        At most `count` windows, the strongest disagreement first; fewer if the methods differ nowhere else.

    Raises:
        ArgumentError: There are fewer than two predictions, their sizes differ, or the window does not fit into them.
    """
    arrays = [np.asarray(prediction, np.float32) for prediction in predictions]
    if len(arrays) < 2 or arrays[0].ndim != 2 or any(each.shape != arrays[0].shape for each in arrays):
        raise ArgumentError(
            "predictions",
            "these cannot be compared pixel by pixel",
            found=", ".join(str(each.shape) for each in arrays) or "nothing",
            expected="two or more of one size (H, W)",
            remedy="pass the predictions of several methods for one image",
        )
    _check_size(size, arrays[0].shape)
    disagreement = np.max(arrays, axis=0) - np.min(arrays, axis=0)
    total = cv2.integral(disagreement, sdepth=cv2.CV_64F)  # (H + 1, W + 1)
    height, width = size
    sums = total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width]
    found: list[Window] = []
    while len(found) < count and sums.max() > 1e-6:
        top, left = (int(index) for index in np.unravel_index(sums.argmax(), sums.shape))
        found.append(Window(top, left, height, width))
        sums[max(top - height + 1, 0) : top + height, max(left - width + 1, 0) : left + width] = 0
    return found


def _check_size(size: tuple[int, int], shape: tuple[int, ...]) -> None:
    if len(shape) != 2 or not (1 <= size[0] <= shape[0] and 1 <= size[1] <= shape[1]):
        raise ArgumentError(
            "size",
            "a window of this size does not fit into the image",
            found=f"a window of {size[0]}×{size[1]}, an image of {'×'.join(map(str, shape))}",
            expected="(height, width) of at least 1 pixel each, within an image (H, W)",
            remedy="choose a smaller window, or pass one mask of one image",
        )
