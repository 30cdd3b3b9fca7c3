"""Reading and resizing one image or one mask, with every quirk of the published files.

A mask is read as background (zero) and lesion (anything else), as published masks say "lesion" in many ways: 1 in a
one-bit palette, 255 in a grey file, red in a colour file. What is neither (a third grey value, a colour that the red
channel does not show) raises an error: a mask that is read wrongly looks like a mask without a lesion.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from fundus_lib.data.sample import Size, SizeRule
from fundus_lib.errors import ArgumentError, MaskSizeError, MaskValueError, MissingFileError, UnreadableImageError

Pixels = NDArray[np.uint8]


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
    with _opened(path) as picture:
        return picture.height, picture.width


def read_image(path: Path, size: Size | None = None) -> Pixels:
    """An image as uint8 (H, W, 3) RGB, in the pixel order of the file (an EXIF orientation is not applied).

    Args:
        path: The file.
        size: (height, width) to resize to; None keeps the size on disk.

    Raises:
        MissingFileError: There is no such file.
        UnreadableImageError: It is not an image, or is cut short.
    """
    with _opened(path) as picture:
        return resize_image(_decoded(path, picture, "RGB"), size)


def read_mask(
    path: Path, size: Size | None = None, *, image_size: Size | None = None, may_be_empty: bool = True
) -> Pixels:
    """A mask as uint8 {0, 1} (H, W).

    Palette, one-bit and grey files hold 0 and one other value. Of colour files (`IDRiD_81_EX.tif` is RGBA with an alpha
    of 255 everywhere) the red channel counts, and alpha does not.

    Args:
        path: The file.
        size: (height, width) to resize to, see `resize_mask`; None keeps the size on disk.
        image_size: (height, width) that the file must have: that of its image.
        may_be_empty: Whether a mask without a single lesion pixel is acceptable.

    Raises:
        MissingFileError: There is no such file.
        UnreadableImageError: It is not an image, or is cut short.
        MaskSizeError: It does not have the size of its image.
        MaskValueError: It holds more than background and lesion, or no lesion where there must be one.
    """
    with _opened(path) as picture:
        _check_mask_size(path, picture, image_size)
        pixels = _decoded(path, picture, None)
    channel = pixels if pixels.ndim == 2 else pixels[..., 0]
    colours = pixels[..., 1:3] if pixels.ndim == 3 and pixels.shape[-1] >= 3 else None
    top = int(channel.max())
    if top > 1 and np.count_nonzero(channel) != np.count_nonzero(channel == top):
        raise _bad_values(path, f"the values {_some_values(channel)}")
    if colours is not None and bool((colours.any(axis=-1) & (channel == 0)).any()):
        raise _bad_values(path, "coloured pixels that the red channel shows as background")
    if top == 0 and not may_be_empty:
        raise MaskValueError(
            path,
            "the mask is black: it marks no lesion",
            found="0 lesion pixels",
            expected="at least one (IDRiD leaves out the file of a lesion that an image does not have)",
            remedy="unpack the archive again; if the lesion is truly absent, the list of files must not name this mask",
        )
    mask: Pixels = (channel > 0).view(np.uint8)
    return resize_mask(mask, size)


def read_levels(path: Path, image_size: Size) -> Pixels:
    """A grey image of confidence, uint8 (H, W): DiaRetDB1 1.1 says with it how sure the experts were.

    Raises:
        MissingFileError: There is no such file.
        UnreadableImageError: It is not an image, or is cut short.
        MaskSizeError: It does not have the size of its image.
    """
    with _opened(path) as picture:
        _check_mask_size(path, picture, image_size)
        return _decoded(path, picture, "L")


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


def _opened(path: Path) -> Image.Image:
    try:
        return Image.open(path)
    except FileNotFoundError:
        raise MissingFileError(
            path,
            "this file is not there",
            found="no such file",
            expected="an image",
            remedy="unpack the archive again; `fundus data check` lists everything that is missing",
        ) from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise _unreadable(path, error) from error


def _check_mask_size(path: Path, picture: Image.Image, image_size: Size | None) -> None:
    if image_size is not None and (picture.height, picture.width) != image_size:
        raise MaskSizeError(
            path,
            "mask and image differ in size",
            found=f"{picture.height}×{picture.width}",
            expected=f"{image_size[0]}×{image_size[1]}, the size of its image",
            remedy="unpack the archive again, or shrink image and mask together with `fundus data shrink`",
        )


def _decoded(path: Path, picture: Image.Image, mode: str | None) -> NDArray[Any]:
    """All pixels of an opened image; libraries other than Pillow fill what is cut short with grey and say nothing."""
    try:
        return np.asarray(picture if mode is None else picture.convert(mode))
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> UnreadableImageError:
    length = path.stat().st_size if path.is_file() else 0
    return UnreadableImageError(
        path,
        "this image cannot be decoded",
        found=f"{length} bytes; {error}",
        expected="a complete image file",
        remedy="copy or unpack the file again; `fundus data check` compares it with the published one",
    )


def _some_values(channel: NDArray[Any]) -> str:
    values = np.unique(channel)
    return ", ".join(map(str, values[:8])) + (", …" if values.size > 8 else "")


def _bad_values(path: Path, found: str) -> MaskValueError:
    return MaskValueError(
        path,
        "a mask must hold background and lesion only",
        found=found,
        expected="0 and one other value, in the first channel of a colour file",
        remedy="use the published file; do not save masks as JPEG, nor resize them with interpolation",
    )
