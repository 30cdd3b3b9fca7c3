"""The middle of IDRiD's images, without the black columns at both sides, mapped into memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fundus_lib.data.base import Item
from fundus_lib.data.idrid import IDRiDSegmentation
from fundus_lib.data.images import Pixels, check_size, image_size, read_image, read_mask
from fundus_lib.data.sample import Size
from fundus_lib.errors import ArgumentError


def find_middle(size: Size, crop: Size) -> tuple[slice, slice]:
    """Rows and columns of the middle of an image.

    Args:
        size: (height, width) of the image.
        crop: (height, width) of its middle.

    Raises:
        ArgumentError: The middle is larger than the image.
    """
    if crop[0] > size[0] or crop[1] > size[1]:
        raise ArgumentError(
            "find_middle",
            "the middle is larger than the image",
            found=f"{crop[0]}×{crop[1]} of {size[0]}×{size[1]}",
            expected="at most the height and the width of the image",
            remedy="recipe.replace(middle=…), or a larger size",
        )
    top, left = ((whole - part) // 2 for whole, part in zip(size, crop, strict=True))
    return slice(top, top + crop[0]), slice(left, left + crop[1])


def scale_middle(size: Size, crop: Size, full: Size) -> tuple[slice, slice]:
    """The same middle at another size of the image, to the nearest pixel; that of 4288×2848 is exact at half of it.

    Args:
        size: (height, width) at which an image is read.
        crop: (height, width) of its middle then.
        full: (height, width) of the image for which rows and columns are asked.
    """
    rows, columns = find_middle(size, crop)
    down, across = full[0] / size[0], full[1] / size[1]
    return (
        slice(round(rows.start * down), round(rows.stop * down)),
        slice(round(columns.start * across), round(columns.stop * across)),
    )


class CentreCrop(IDRiDSegmentation):
    """The middle of images and masks, read at some size and then cut.

    What it yields lies on disk, mapped into memory: nothing is copied, and what is written into it stays in the process
    that writes. The masks of all lesions of an image are one array, so that they need not be put together either.

    Args:
        root: See :class:`~fundus_lib.data.idrid.IDRiDSegmentation`, as for `split` and `lesions`.
        size: (height, width) at which images are read.
        crop: (height, width) of their middle.

    Raises:
        ArgumentError: The middle is larger than the image.
    """

    title = "IDRiD centre"

    def __init__(self, root: str | Path, split: str, *, lesions: Sequence[str], size: Size, crop: Size):
        check_size(size)
        self._read = size
        self._middle = find_middle(size, crop)
        super().__init__(root, split, lesions=lesions, size=crop)
        self._masks = "masks " + " ".join(self.lesions)

    def prepare(self) -> None:
        """Fill the cache now, see :meth:`~fundus_lib.data.base.FundusDataset.prepare`."""
        for kind in ("image", self._masks):
            self._cached(kind)

    def mask(self, index: int, *, image_size: Size | None = None) -> NDArray[np.uint8]:
        """The masks of one image, uint8 {0, 1} (L, H, W), without decoding the image itself."""
        return self._stored_pixels(self._masks, self._item(index))

    def _image(self, item: Item) -> NDArray[np.uint8]:
        return self._stored_pixels("image", item)

    def _cached(self, kind: str) -> NDArray[np.uint8]:
        items, array = self._arrays.get(kind, ((), None))
        if array is None or items is not self.items:
            shared = super()._cached(kind)
            assert isinstance(shared, np.memmap) and shared.filename
            array = np.memmap(shared.filename, np.uint8, "c", shared.offset, shared.shape)  # a tensor must be writable
            self._arrays[kind] = self.items, array
        return array

    def _layout(self, kind: str) -> tuple[Sequence[Path | None], tuple[int, ...], Callable[[Item], Pixels]]:
        if kind != self._masks:
            return super()._layout(kind)
        sources = [item.masks.get(lesion) for item in self._stored for lesion in self.lesions]
        return sources, (len(self.lesions),), self._decode_masks

    def _decode_image(self, item: Item) -> Pixels:
        pixels = read_image(item.image, self._read)[self._middle]  # (H, W, 3)
        return np.ascontiguousarray(pixels.transpose(2, 0, 1))

    def _decode_masks(self, item: Item) -> Pixels:
        return np.stack([self._decode_mask(item, lesion) for lesion in self.lesions])

    def _decode_mask(self, item: Item, lesion: str) -> Pixels:
        if lesion not in item.masks:
            return np.zeros(self._size_of(item), np.uint8)
        path = item.masks[lesion]
        full = image_size(item.image)
        return read_mask(path, self._read, image_size=full, may_be_empty=self._may_be_empty(path))[self._middle]
