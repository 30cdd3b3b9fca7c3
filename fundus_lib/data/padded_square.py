"""IDRiD's images without the black columns at both sides, and filled up to a square, as in hecl's code."""

from __future__ import annotations

from typing import Any, TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torchvision import tv_tensors

from fundus_lib.data.sample import Size
from fundus_lib.errors import ArgumentError

FIRST, WIDTH, FULL = 200, 3600, 4288
"""Of an image of 4288 columns the 3600 from column 200 on; of a smaller one the same part."""

Array = TypeVar("Array", Tensor, NDArray[Any])


def cut_columns(pixels: Array) -> Array:
    """The middle columns of an image or a mask (…, H, W)."""
    first, width = (round(part * pixels.shape[-1] / FULL) for part in (FIRST, WIDTH))
    return pixels[..., first : first + width]


def read_size(side: int, size: Size) -> Size:
    """(height, width) at which to read images, such that their middle columns are as many as a square's side.

    Args:
        side: That of the square.
        size: (height, width) of the images in any unit.
    """
    width = round(side * FULL / WIDTH)
    return round(width * size[0] / size[1]), width


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


def transform_square(sample: dict[str, Any]) -> dict[str, Any]:
    """The square of all images and masks of a sample."""
    return _transform(sample, make_square)


def transform_columns(sample: dict[str, Any]) -> dict[str, Any]:
    """The middle columns of all images and masks of a sample."""
    return _transform(sample, cut_columns)


def put_back(square: NDArray[Any], size: Size) -> NDArray[Any]:
    """A map of the square (S, S) as one of the whole image (H, W), bilinearly resized, 0 outside the square."""
    first, width = (round(part * size[1] / FULL) for part in (FIRST, WIDTH))
    top = (width - size[0]) // 2
    whole = np.zeros(size, square.dtype)
    large = cv2.resize(square, (width, width), interpolation=cv2.INTER_LINEAR)
    whole[:, first : first + width] = large[top : top + size[0]]
    return whole


def _transform(sample: dict[str, Any], cut: Any) -> dict[str, Any]:
    return {
        name: cut(part.as_subclass(torch.Tensor)).contiguous() if isinstance(part, tv_tensors.TVTensor) else part
        for name, part in sample.items()
    }
