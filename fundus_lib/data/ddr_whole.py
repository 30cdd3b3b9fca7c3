"""DDR as dual_branch prepares it: whole images, square for training, of their own aspect for validation and test.

`DDRWholeImages(root, split, side=1024, lesions=("EX",))` is a map-style data set of samples. A training image is
cropped to its retina, padded to a square and resized to `side`×`side`; a validation or test image keeps its aspect and
is never cropped, so that a prediction resized to `full_size(i)` lies on `full_mask(i)`, the masks as published::

    data = DDRWholeImages(root, "test")
    data[3]["image"], data[3]["mask"]          # uint8 (3, h, w) and uint8 (1, h, w), max(h, w) = 1024
    data.full_mask(3)                          # uint8 (1, H, W), the size on disk
    data.names, data.dropped, data.fingerprint()

Source: dual_branch, "Data Preprocessing and Augmentation", and the authors' code where it says more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fundus_lib.data.base import Item, Transform
from fundus_lib.data.cache import cached_array
from fundus_lib.data.ddr import DDRSegmentation
from fundus_lib.data.field_of_view import bounding_box
from fundus_lib.data.images import Pixels, check_size, image_size, read_image, read_mask, resize_image, resize_mask
from fundus_lib.data.sample import Size
from fundus_lib.errors import ArgumentError

GREY = 20
"""The retina is where an image's grey value lies above this, of 255 (authors' code)."""


class DDRWholeImages(DDRSegmentation):
    """DDR at the size that dual_branch trains and tests at, decoded once and kept on disk.

    Training images without any of `lesions` are left out, as in the authors' code; `dropped` names them. Every other
    one is padded to a square, as in that code; by the text only small ones are, whose short side is below `side`.

    Args:
        root: The folder that holds `lesion_segmentation`.
        split: `"train"` (cropped, padded, square), `"val"` or `"test"` (whole, aspect kept).
        side: Side of the square, or the long side, in pixels.
        lesions: The channels of the mask, in this order.
        transform: Applied to each sample.
        cache: Keep decoded arrays of that size on disk.

    Attributes:
        dropped: Names of the training images without any of `lesions`, in order; empty for the other splits.

    Raises:
        ArgumentError: `side` is not a size.
        FundusError: As `DDRSegmentation` does for a root, split or lesion that is not there, or a file amiss; the masks
            of the training split are read at once.

    Reading an item raises what reading `DDRSegmentation` raises, and ArgumentError for a training image that shows
    no retina.
    """

    title = "DDR whole images"

    def __init__(
        self,
        root: str | PathLike[str],
        split: str,
        *,
        side: int = 1024,
        lesions: Sequence[str] = ("EX",),
        transform: Transform | None = None,
        cache: bool = True,
    ):
        check_size((side, side))
        size = (side, side) if split == "train" else partial(long_side, side=side)
        super().__init__(root, split, lesions=lesions, size=size, transform=transform, cache=cache)
        self.side = side
        kept = self._with_lesions() if split == "train" else set(self.names)
        self.dropped = [name for name in self.names if name not in kept]
        self.items = tuple(item for item in self.items if item.name in kept)

    def __repr__(self) -> str:
        size = f"{self.side}×{self.side}" if self.split == "train" else f"long side {self.side}"
        lesions = " ".join(self.lesions)
        return f"{type(self).__name__}({self.split}, {len(self)} images, {size}, lesions {lesions})"

    def mask(self, index: int, *, image_size: Size | None = None) -> Pixels:
        """The masks of one image as prepared, uint8 {0, 1} (L, h, w).

        Args:
            index: Which image.
            image_size: Without effect; the size follows from the image.
        """
        return np.array(self._prepared(self._item(index))[3:])

    def full_mask(self, index: int) -> Pixels:
        """The masks of one image as published, uint8 {0, 1} (L, H, W), not cropped and not resized."""
        item, size = self._item(index), self.full_size(index)
        return np.stack([read_mask(item.masks[lesion], image_size=size) for lesion in self.lesions])

    def full_size(self, index: int) -> Size:
        """(height, width) of an image on disk, read from its header."""
        return image_size(self._item(index).image)

    def prepare(self) -> None:
        """Fill the cache now, not at the first sample, with a progress bar."""
        if self.cache:
            self._cached(self._kind)

    def _image(self, item: Item) -> Pixels:
        return np.array(self._prepared(item)[:3])

    def _prepared(self, item: Item) -> Pixels:
        """Image and masks, uint8 (3 + L, h, w)."""
        return self._stored_pixels(self._kind, item) if self.cache else self._decode(item)

    @property
    def _kind(self) -> str:
        return f"code {' '.join(self.lesions)}"  # padded as in the authors' code: caches of before keep their name

    def _layout(self, kind: str) -> tuple[Sequence[Path | None], tuple[int, ...], Callable[[Item], Pixels]]:
        return self._files(), (3 + len(self.lesions),), self._decode

    def _decode(self, item: Item) -> Pixels:
        """One image with its masks, (3 + L, h, w)."""
        image, size = read_image(item.image), self._size_of(item)
        full = image.shape[0], image.shape[1]
        masks = [read_mask(item.masks[lesion], image_size=full) for lesion in self.lesions]
        if self.split == "train":
            box = retina(image, item.image)
            image, *masks = [square(p[box]) for p in (image, *masks)]
        channels = [resize_image(image, size).transpose(2, 0, 1), *(resize_mask(m, size)[None] for m in masks)]
        return np.concatenate(channels)

    def _with_lesions(self) -> set[str]:
        """Names of the images that have a pixel of any of the lesions in their published masks."""

        def decode(n: int) -> NDArray[np.uint8]:
            item = self.items[n]
            there = any(read_mask(item.masks[le], image_size=image_size(item.image)).any() for le in self.lesions)
            return np.array([there], dtype=np.uint8)

        label = f"DDR {self.split} which images have {' '.join(self.lesions)}"
        if self.cache:
            found = cached_array(label, self.root, self._files(), (len(self.items), 1), decode)
        else:
            found = np.stack([decode(n) for n in range(len(self.items))])
        return {self.names[n] for n in np.flatnonzero(found)}

    def _files(self) -> list[Path]:
        """Every file that was read, those of dropped images included: they decide what is dropped."""
        return [path for item in self._stored for path in (item.image, *(item.masks[le] for le in self.lesions))]


def retina(image: Pixels, path: str | PathLike[str] = "image") -> tuple[slice, slice]:
    """Rows and columns of the box that holds every pixel whose grey value is above `GREY`.

    Args:
        image: uint8 (H, W, 3), RGB.
        path: What to call it in the error message.

    Raises:
        ArgumentError: No pixel is that bright.
    """
    bright = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) > GREY).astype(np.uint8)
    if not bright.any():
        raise ArgumentError(
            path,
            "the image shows no retina",
            found=f"a brightest value of {image.max(initial=0)} of 255",
            expected=f"a fundus image, whose grey values exceed {GREY}",
            remedy="look at the file: it may be black, empty or not an image",
        )
    return bounding_box(bright)


def square(pixels: NDArray[Any]) -> NDArray[Any]:
    """Pad (H, W) or (H, W, C) with zeros to a square, half of them on either side of the short one.

    Paper and code say only that it is padded; where to is ours.
    """
    height, width = pixels.shape[:2]
    side = max(height, width)
    above, left = (side - height) // 2, (side - width) // 2
    padded = np.zeros((side, side, *pixels.shape[2:]), pixels.dtype)
    padded[above : above + height, left : left + width] = pixels
    return padded


def long_side(size: Size, side: int) -> Size:
    """(height, width) with the long one equal to `side` and the aspect kept, to the nearest pixel, at least 1."""
    longest = max(size)
    return max(1, round(size[0] * side / longest)), max(1, round(size[1] * side / longest))
