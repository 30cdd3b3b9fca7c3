"""IDRiD's images without the black columns at both sides, and filled up to a square, as in hecl's code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from fundus_lib.data.base import Item
from fundus_lib.data.idrid import IDRiDSegmentation
from fundus_lib.data.images import Pixels, image_size, inflate_mask, read_image, read_mask, resize_image, resize_mask
from fundus_lib.data.sample import Size
from fundus_lib.errors import ArgumentError

FIRST, WIDTH, FULL = 200, 3600, 4288
"""Of an image of 4288 columns the 3600 from column 200 on; of a smaller one the same part."""


def cut_columns(pixels: Tensor) -> Tensor:
    """The middle columns of an image or a mask (…, H, W)."""
    first, width = (round(part * pixels.shape[-1] / FULL) for part in (FIRST, WIDTH))
    return pixels[..., first : first + width]


def make_square(pixels: Tensor) -> Tensor:
    """The middle columns, with black above and below: (…, H, W) to (…, S, S).

    Raises:
        ArgumentError: They are higher than wide.
    """
    middle = cut_columns(pixels)
    height, side = middle.shape[-2:]
    if height > side:
        raise ArgumentError(
            "make_square",
            "the middle columns are higher than wide",
            found=f"{height}×{side} of {height}×{pixels.shape[-1]}",
            expected="images of IDRiD's shape, 3:2",
            remedy="recipe.replace(square=0), which takes whole images as they are",
        )
    return F.pad(middle, (0, 0, (side - height) // 2, side - height - (side - height) // 2))


def put_back(square: NDArray[Any], size: Size) -> NDArray[Any]:
    """A map of the square (S, S) as one of the whole image (H, W), bilinearly resized, 0 outside the square."""
    first, width = (round(part * size[1] / FULL) for part in (FIRST, WIDTH))
    top = (width - size[0]) // 2
    whole = np.zeros(size, square.dtype)
    large = cv2.resize(square, (width, width), interpolation=cv2.INTER_LINEAR)
    whole[:, first : first + width] = large[top : top + size[0]]
    return whole


class MiddleColumns(IDRiDSegmentation):
    """IDRiD's images and masks, cut at their size on disk and then resized.

    Args:
        root: See :class:`~fundus_lib.data.idrid.IDRiDSegmentation`, as for `split` and `lesions`.
        size: (height, width) to which the middle columns are resized; of `square` both its side.
        square: Fill up to a square first.
        inflate: Resize masks by :func:`~fundus_lib.data.images.inflate_mask`.
    """

    def __init__(
        self, root: Path, split: str, *, lesions: Sequence[str], size: Size, square: bool = False, inflate: bool = False
    ):
        self._cut = make_square if square else cut_columns
        self._resize_mask = inflate_mask if inflate else resize_mask
        self.title = f"IDRiD {'square' if square else 'middle'}{' inflated' * inflate}"
        super().__init__(root, split, lesions=lesions, size=size)

    def _decode_image(self, item: Item) -> Pixels:
        pixels = self._cut(torch.tensor(read_image(item.image)).permute(2, 0, 1))
        small = resize_image(pixels.permute(1, 2, 0).contiguous().numpy(), self._size_of(item))
        return np.ascontiguousarray(small.transpose(2, 0, 1))

    def _decode_mask(self, item: Item, lesion: str) -> Pixels:
        if lesion not in item.masks:
            return np.zeros(self._size_of(item), np.uint8)
        path = item.masks[lesion]
        mask = read_mask(path, image_size=image_size(item.image), may_be_empty=self._may_be_empty(path))
        return self._resize_mask(self._cut(torch.from_numpy(mask)).contiguous().numpy(), self._size_of(item))
