"""What of a mask file is lesion.

A mask is background (zero) and lesion (anything else), as published masks say "lesion" in many ways: 1 in a one-bit
palette, 255 in a grey file, red in a colour file. What is neither (a third value, a colour that the red channel does
not show, a part that is lesion in one reading and background in another) raises an error: a mask that is read wrongly
looks like a mask without a lesion.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fundus_lib.data.pictures import eight_bits, has_alpha, load
from fundus_lib.errors import MaskValueError, UnreadableImageError

MOST = 0.75
"""Fraction of an image that a mask may cover: a field of view that touches all four sides covers little more."""


def lesion_pixels(path: Path, picture: Any) -> NDArray[np.uint8]:
    """Where a mask shows lesion, uint8 {0, 1} (H, W).

    Palette, one-bit, grey and floating point files hold 0 and one other value; the palette must show 0 as black or
    transparent, and the other as something else. Other files are first composited on black and turned to RGB; of that,
    the red channel counts.

    Args:
        path: The file, for errors.
        picture: The opened file, not decoded.

    Raises:
        UnreadableImageError: It is cut short, too large, holds several pictures, or says that it is to be turned.
        MaskValueError: It holds more than background and lesion, both cannot be told apart, or most of it is lesion.
    """
    deep, turned = load(path, picture)
    if turned != 1:
        raise UnreadableImageError(
            path,
            "this mask says that it is to be turned, and its image may not be turned alike",
            found=f"an EXIF orientation of {turned}",
            expected="none, or 1",
            remedy="save the mask without it, its pixels in the order of the image's",
        )
    grey = picture.mode in ("1", "L", "P", "I", "F") or picture.mode.startswith("I;16")
    if picture.mode == "P":
        _check_palette(path, picture)
    if picture.mode == "P" or (grey and not has_alpha(picture)):
        channel = np.asarray(picture)
        if getattr(picture, "tag_v2", {}).get(262) == 0 and picture.mode.startswith("I;16"):
            channel = ~channel  # white is zero, which Pillow heeds for 8 bits only
    else:
        channel = _red(path, picture, deep)
    lesion = np.asarray(channel != 0)
    values = channel[lesion]
    if values.size and (not np.isfinite(values).all() or values.min() < 0 or values.min() != values.max()):
        raise bad_values(path, f"the values {_some(channel)}")
    if lesion.mean() > MOST:
        raise MaskValueError(
            path,
            "nearly all of this mask is lesion: it may be inverted",
            found=f"lesion in {100 * lesion.mean():.0f} % of the pixels",
            expected=f"lesion in at most {100 * MOST:.0f} %; 0 is background, and so is what a palette shows as black",
            remedy="invert the mask, so that the background is 0",
        )
    return lesion.view(np.uint8)


def bad_values(path: Path, found: str) -> MaskValueError:
    """The error of a mask that does not say what is lesion."""
    return MaskValueError(
        path,
        "a mask must hold background and lesion only",
        found=found,
        expected="0 and one other value, in the first channel of a colour file",
        remedy="save it with 8 bits, without alpha, as PNG or TIFF; never as JPEG, nor resized with interpolation",
    )


def _red(path: Path, picture: Any, deep: bool) -> NDArray[np.uint8]:
    """The red channel of a colour file (H, W), on black where it is transparent."""
    if deep:
        raise bad_values(path, "16 bits per colour, of which low values would be lost")
    colours = np.asarray(eight_bits(path, picture, deep))
    if has_alpha(picture) and not colours.any():
        stored = np.asarray(picture.convert("RGBA"))
        if stored.any() and stored[..., 3].min() < 255:
            raise bad_values(path, "transparent parts, and nothing but black on them: lesion may be either")
    red = colours if colours.ndim == 2 else colours[..., 0]
    if colours.ndim == 3 and bool((colours[..., 1:].any(axis=-1) & (red == 0)).any()):
        raise bad_values(path, "coloured pixels that the red channel shows as background")
    shown = colours[red > 0]
    if shown.ndim == 2 and bool((shown != shown[:1]).any()):  # red on white has 255 of red everywhere
        raise bad_values(path, "several colours that the red channel shows as lesion")
    return red


def _check_palette(path: Path, picture: Any) -> None:
    """Whether what the palette shows is what its indices say: 0 is background, all others are not."""
    picture.apply_transparency()
    palette = np.zeros((256, 4), np.uint8)
    known = np.array(picture.getpalette("RGBA") or [], np.uint8).reshape(-1, 4)
    palette[: len(known)] = known
    for index, count in enumerate(picture.histogram()):
        red, green, blue, alpha = palette[index].tolist()
        if count and (alpha > 0 and red + green + blue > 0) != (index > 0):
            raise bad_values(
                path, f"a palette in which {index} has red {red}, green {green}, blue {blue}, alpha {alpha}"
            )


def _some(channel: NDArray[Any]) -> str:
    values = np.unique(channel)
    return ", ".join(map(str, values[:8])) + (", …" if values.size > 8 else "")
