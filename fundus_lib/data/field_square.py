"""The field of view as a square: what a grader sees of an image."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F

from fundus_lib.data.field_of_view import bounding_box, field_of_view
from fundus_lib.data.sample import Size
from fundus_lib.errors import ArgumentError

TALL = 0.98
"""A field of view that is so tall, as a fraction of the frame, is cut off by it, as in all images of IDRiD."""


class FieldSquare:
    """Cuts the smallest square around the field of view and resizes it; a transform for samples.

    Where the field of view is cut off by the frame, as in IDRiD's images above and below, the square is filled up
    with black: nothing is stretched. Masks and points go along with the image.

    Args:
        side: Height and width of the result in pixels.
    """

    def __init__(self, side: int):
        if side < 32:
            raise ArgumentError(
                "FieldSquare",
                "the square is too small",
                found=f"side={side}",
                expected="32 pixels or more",
                remedy="choose a larger side",
            )
        self.side = side

    @property
    def source_size(self) -> Size:
        """(height, width) at which to read images of 3:2: a little finer than the square."""
        return self.side, 3 * self.side // 2

    def read_size(self, size: Size) -> Size:
        """(height, width) at which to read an image, its short side that of the square and its aspect ratio kept.

        What is within 0.5 % of 3:2, as IDRiD's 4288×2848 are, is read at `source_size`. Give it to a data set, whose
        images may then differ in shape: `DDRGrading(root, "train", size=square.read_size, transform=square)`.

        Args:
            size: (height, width) of the image on disk.
        """
        height, width = size
        if abs(width / height / 1.5 - 1) < 0.005:
            return self.source_size
        return round(self.side * max(1, height / width)), round(self.side * max(1, width / height))

    def frame(self, field: NDArray[np.uint8]) -> tuple[slice, slice]:
        """Rows and columns of an image that are read, at `read_size`, before the square is cut out of them.

        All of an image like IDRiD's, of 3:2 and with a field of view as tall as the frame: a grader sees the very
        pixels then that it was tested on. Of any other the box around the field of view, so that a wider or narrower
        black margin changes nothing.

        Args:
            field: The field of view, {0, 1} (H, W).
        """
        height, width = field.shape
        rows, columns = bounding_box(field)
        if self.read_size((height, width)) == self.source_size and rows.stop - rows.start >= TALL * height:
            return slice(0, height), slice(0, width)
        return rows, columns

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        """The sample with the square in place of the image.

        Args:
            sample: Its images, masks and points are those of torchvision's `tv_tensors`.

        Raises:
            ArgumentError: The image is black.
        """
        top, left, edge = self.place(sample["image"])

        def cut(part: Any) -> Any:
            return F.resize(F.crop(part, top, left, edge, edge), [self.side, self.side], antialias=True)

        return {name: cut(part) if isinstance(part, tv_tensors.TVTensor) else part for name, part in sample.items()}

    def place(self, image: torch.Tensor) -> tuple[int, int, int]:
        """Where the square lies, before it is resized.

        Args:
            image: uint8 (3, H, W).

        Returns:
            First row, first column, and edge in pixels; the square may reach beyond the image.

        Raises:
            ArgumentError: The image is black.
        """
        rows, columns = bounding_box(field_of_view(image.as_subclass(torch.Tensor).permute(1, 2, 0).numpy()))
        height, width = rows.stop - rows.start, columns.stop - columns.start
        edge = max(height, width)
        return rows.start - (edge - height) // 2, columns.start - (edge - width) // 2, edge
