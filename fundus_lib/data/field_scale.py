"""Images of any camera at one scale: the square around the field of view, at a given number of pixels.

Cameras differ in pixels and in black border, and lesions have a size in the eye: an image is brought to the scale of
others by the width of its field of view. Image and masks are cut at their size on disk and resized once.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fundus_lib.data.base import FundusDataset, Item
from fundus_lib.data.ddr import DDRSegmentation
from fundus_lib.data.diaretdb1 import DiaRetDB1
from fundus_lib.data.field_square import FieldSquare
from fundus_lib.data.idrid import IDRiDSegmentation
from fundus_lib.data.images import Pixels, image_size, read_image, resize_image, resize_mask
from fundus_lib.data.recognise import recognise
from fundus_lib.data.sample import LESIONS, Size
from fundus_lib.errors import ArgumentError

Box = tuple[int, int, int]
"""First row, first column and edge of a square in pixels; it may reach beyond the image."""


class FieldScaled(FundusDataset):
    """A data set whose images are squares around the field of view, all of one size. Nothing is stretched.

    The edge of the square is the width of the field of view, or its height where that is larger: a field of view that
    is cut off on one side still shows its diameter on the other. Beyond the image all is black. Of a black image, as
    DDR has, the square holds the whole. It is a mixin: beside it stands the class that reads the files.

    Args:
        root: Root of the data set.
        split: As of the class beside it.
        side: Of the square in pixels.
        settings: As of the class beside it.

    Attributes:
        regions: Whether its masks are coarse regions, each around lesions and the retina between them.

    Raises:
        FundusError: As the class beside it.
    """

    regions = False

    def __init__(self, root: Path, split: str, side: int, **settings: Any):
        size: Any = (side, side)
        super().__init__(root, split, lesions=LESIONS, size=size, **settings)  # type: ignore[misc]
        self.title = f"{self.title} field of view"
        self._boxes: dict[str, Box] = {}

    def _box(self, item: Item, image: Pixels | None = None) -> Box:
        """The square of an image; found once."""
        if item.name not in self._boxes:
            self._boxes[item.name] = find_box(read_full(item.image) if image is None else image)
        return self._boxes[item.name]

    def _decode_image(self, item: Item) -> Pixels:
        image = read_full(item.image)  # (H, W, 3)
        square = resize_image(cut_box(image, self._box(item, image)), self._size_of(item))
        return np.ascontiguousarray(square.transpose(2, 0, 1))

    def _decode_mask(self, item: Item, lesion: str) -> Pixels:
        whole = copy.copy(self)  # and not this one: rows are decoded in several threads
        whole.size = None
        mask = super(FieldScaled, whole)._decode_mask(item, lesion)
        return resize_mask(cut_box(mask, self._box(item)), self._size_of(item))

    def _mask_sources(self, lesion: str) -> Sequence[Path | None]:
        return [*super()._mask_sources(lesion), *(item.image for item in self._stored)]  # in which squares are found


class FieldScaledIDRiD(FieldScaled, IDRiDSegmentation):
    """Part A of IDRiD, see :class:`FieldScaled`."""


class FieldScaledDDR(FieldScaled, DDRSegmentation):
    """The part of DDR with masks, see :class:`FieldScaled`."""


class FieldScaledDiaRetDB1(FieldScaled, DiaRetDB1):
    """DiaRetDB1 with the regions on which its experts agree, see :class:`FieldScaled`; whichever version is there."""

    regions = True

    def __init__(self, root: Path, split: str, side: int):
        super().__init__(root, split, side, version="1.1" if recognise(root).endswith("1.1") else "2.1")


def read_full(path: Path) -> Pixels:
    """An image (H, W, 3) at its size on disk, which is that of its masks."""
    return read_image(path, image_size(path))


def find_box(image: Pixels) -> Box:
    """The smallest square around the field of view of an image (H, W, 3); around all of it if it is black."""
    try:
        return FieldSquare(32).place(torch.tensor(image).permute(2, 0, 1))  # at any side the same
    except ArgumentError:
        height, width = image.shape[:2]
        edge = max(height, width)
        return -((edge - height) // 2), -((edge - width) // 2), edge


def cut_box(pixels: NDArray[np.uint8], box: Box) -> Pixels:
    """A square out of an image (H, W, 3) or a mask (H, W), 0 beyond it."""
    top, left, edge = box
    bounds: list[Size] = [(max(s, 0), min(s + edge, n)) for s, n in zip((top, left), pixels.shape[:2], strict=True)]
    (first, last), (west, east) = bounds
    square = np.zeros((edge, edge, *pixels.shape[2:]), np.uint8)
    square[first - top : last - top, west - left : east - left] = pixels[first:last, west:east]
    return square
