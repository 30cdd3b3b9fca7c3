"""Reading and resizing one image or one mask.

`pictures` says what becomes of 16 bits, alpha, large files and files with several pictures; `masks`, what of a mask is
lesion.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fundus_lib.data.masks import lesion_pixels
from fundus_lib.data.pictures import eight_bits, load, opened
from fundus_lib.data.sample import Size, SizeRule
from fundus_lib.errors import ArgumentError, MaskSizeError, MaskValueError, UnreadableImageError

Pixels = NDArray[np.uint8]

MAX_ASPECT = 4
"""No image's long side is more than so many times its short one: what is built on the width would be too large."""

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns an image upright, by its EXIF orientation."""


def check_size(size: Size | SizeRule | None) -> Size | SizeRule | None:
    """The size as a tuple of two positive integers, or None for native size; a rule as it is.

    Raises:
        ArgumentError: It is something else.
    """
    if size is None or callable(size):
        return size
    values = tuple(size) if isinstance(size, tuple | list) else ()
    if len(values) == 2 and all(isinstance(v, int) and v > 0 for v in values):
        return values[0], values[1]
    raise ArgumentError(
        "size",
        "not a size",
        found=repr(size),
        expected="(height, width), two positive integers; a function of the size on disk; or None to keep that",
        remedy="pass for instance size=(960, 1440)",
    )


def image_size(path: Path) -> Size:
    """(height, width) of an image file, from its header.

    Raises:
        MissingFileError: There is no such file.
        UnreadableImageError: It is not an image.
    """
    with opened(path) as picture:
        return picture.height, picture.width


def read_image(path: Path, size: Size | None = None, *, upright: bool = False) -> Pixels:
    """An image as uint8 (H, W, 3) RGB.

    A JPEG of more than `pictures.MAX_PIXELS` comes at 1/2 or 1/4 of its size.

    Args:
        path: The file.
        size: (height, width) to resize to; None keeps the size on disk.
        upright: Turn it as its EXIF orientation says, as viewers do. Otherwise the pixels come in the order of the
            file, which is that of its masks; only a TIFF is turned in any case, by Pillow.

    Raises:
        MissingFileError: There is no such file.
        UnreadableImageError: It is not an image, is cut short, too large, too narrow, holds several pictures, or values
            whose range is not known.
    """
    with opened(path) as picture:
        height, width = picture.height, picture.width
        if max(height, width) > MAX_ASPECT * min(height, width):
            raise UnreadableImageError(
                path,
                "this image is too narrow for a fundus image",
                found=f"{height}×{width}",
                expected=f"a long side of at most {MAX_ASPECT} times the short one",
                remedy="look at the file; if it shows an eye, crop it",
            )
        deep, orientation = load(path, picture, reduce=True)
        colours = eight_bits(path, picture, deep).convert("RGB")
        if upright and orientation in TURNS and picture.format != "TIFF":
            colours = colours.transpose(TURNS[orientation])
        return resize_image(np.asarray(colours), size)


def read_mask(
    path: Path, size: Size | None = None, *, image_size: Size | None = None, may_be_empty: bool = True
) -> Pixels:
    """A mask as uint8 {0, 1} (H, W); `masks.lesion_pixels` says how files are understood.

    Args:
        path: The file.
        size: (height, width) to resize to, see `resize_mask`; None keeps the size on disk.
        image_size: (height, width) that the file must have: that of its image.
        may_be_empty: Whether a mask without a single lesion pixel is acceptable.

    Raises:
        MissingFileError: There is no such file.
        UnreadableImageError: It is not an image, is cut short, too large, holds several pictures, or is to be turned.
        MaskSizeError: It does not have the size of its image.
        MaskValueError: It holds more than background and lesion, or no lesion where there must be one.
    """
    with opened(path) as picture:
        _check_mask_size(path, picture, image_size)
        mask = lesion_pixels(path, picture)
    if not may_be_empty and not mask.any():
        raise MaskValueError(
            path,
            "the mask is black: it marks no lesion",
            found="0 lesion pixels",
            expected="at least one (IDRiD leaves out the file of a lesion that an image does not have)",
            remedy="unpack the archive again; if the lesion is truly absent, the list of files must not name this mask",
        )
    return resize_mask(mask, size)


def read_levels(path: Path, image_size: Size) -> Pixels:
    """A grey image of confidence, uint8 (H, W): DiaRetDB1 1.1 says with it how sure the experts were.

    Raises:
        MissingFileError: There is no such file.
        UnreadableImageError: It is not an image, is cut short, or holds values whose range is not known.
        MaskSizeError: It does not have the size of its image.
    """
    with opened(path) as picture:
        _check_mask_size(path, picture, image_size)
        deep, _ = load(path, picture)
        return np.asarray(eight_bits(path, picture, deep).convert("L"))


def resize_image(image: Pixels, size: Size | None) -> Pixels:
    """Resize (H, W) or (H, W, C) to `size`: by area averaging when it shrinks, linearly when it grows."""
    if size is None or image.shape[:2] == size:
        return image
    shrinks = size[0] <= image.shape[0] and size[1] <= image.shape[1]
    way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size[::-1], interpolation=way), dtype=np.uint8)


def resize_mask(mask: Pixels, size: Size | None) -> Pixels:
    """Resize a mask {0, 1} (H, W): a pixel is lesion where lesion covers at least half of its area.

    On IDRiD at 960×1440 this turns 3497 microaneurysms into 3485 and 11642 hard exudates into 11191 (8-connected).
    """
    if size is None or mask.shape == size:
        return mask
    return (resize_image(mask * np.uint8(255), size) > 127).view(np.uint8)


def inflate_mask(mask: Pixels, size: Size) -> Pixels:
    """Resize a mask {0, 1} (H, W) as hecl's code does: bilinearly as grey by Pillow, and whatever is above 0 is lesion.

    Pillow widens its kernel as an image shrinks, so that a lesion reaches up to a pixel beyond its border.
    """
    grey = Image.fromarray(mask * np.uint8(255)).resize(size[::-1], Image.Resampling.BILINEAR)
    return (np.asarray(grey) > 0).view(np.uint8)


def _check_mask_size(path: Path, picture: Image.Image, image_size: Size | None) -> None:
    if image_size is not None and (picture.height, picture.width) != image_size:
        raise MaskSizeError(
            path,
            "mask and image differ in size",
            found=f"{picture.height}×{picture.width}",
            expected=f"{image_size[0]}×{image_size[1]}, the size of its image",
            remedy="unpack the archive again, or shrink image and mask together with `fundus data shrink`",
        )
