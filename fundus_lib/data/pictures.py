"""Image files in every mode that Pillow knows: opening, decoding, and eight bits per colour.

Rules, for images and masks alike:

* 16 bits per colour become 8 by their high byte, so that v·256 and v·257 both give v. A 16-bit image must reach a
  quarter of its range; one that does not may hold 10, 12 or 14 bits, which nothing in the file says, and is refused.
  12-bit TIFF files say so themselves. 32-bit integers and floating point have no known range: refused.
* What is transparent is black.
* Only the first picture of a file would be read, so a file with several is refused; a TIFF's thumbnail and the further
  views in a camera's JPEG do not count.
* At most `MAX_PIXELS` are decoded. A larger JPEG is decoded at 1/2 or 1/4 of its size, as its format allows at no
  cost; any other larger file is refused before it is decoded.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from fundus_lib.errors import MissingFileError, UnreadableImageError

MAX_PIXELS = 50_000_000
"""No more pixels than these are decoded; the cameras of the published data sets have 12 to 18 million."""

MAX_JPEG_PIXELS = 400_000_000
"""A JPEG with more pixels than these is refused: a progressive one takes 6 bytes for each, at whatever reduction."""

_LEAST_16_BIT = 64  # of 255
_BITS, _PHOTOMETRIC, _SUBFILE, _ORIENTATION = 258, 262, 254, 274  # tags of TIFF and EXIF


@contextmanager
def opened(path: Path) -> Iterator[ImageFile.ImageFile]:
    """An image file of which the header is read.

    This is Pillow's own `open` without its check of the size, which warns, or refuses, at limits that are global to
    the process; `load` has limits of its own.

    Raises:
        MissingFileError: There is no such file.
        UnreadableImageError: It is not an image, or may not be read.
    """
    try:
        file = path.open("rb")
    except (FileNotFoundError, NotADirectoryError):
        raise MissingFileError(
            path,
            "this file is not there",
            found="no such file" + ("" if path.parent.is_dir() else f", and no folder {path.parent}"),
            expected="an image",
            remedy="correct the path",
        ) from None
    except (OSError, ValueError) as error:
        found = "a folder" if path.is_dir() else str(error)
        raise UnreadableImageError(
            path,
            "this file cannot be opened",
            found=found,
            expected="an image that you may read",
            remedy="name an image file" if path.is_dir() else "correct the path, or the permissions of the file",
        ) from error
    with file:
        try:
            picture = _identified(file)
        except Exception as error:  # a decoder that meets a damaged header may raise anything
            raise unreadable(path, error) from error
        yield picture


def load(path: Path, picture: ImageFile.ImageFile, *, reduce: bool = False) -> tuple[bool, int]:
    """Decode an opened file as its format has it; only a TIFF is turned as its orientation says, by Pillow.

    Args:
        path: The file, for errors.
        picture: The opened file.
        reduce: Whether a JPEG of more than `MAX_PIXELS` is decoded at a fraction of its size.

    Returns:
        Whether it has 16 bits per colour, which Pillow's mode does not tell; and its EXIF orientation, 1 to 8 (1 where
        the file says nothing that can be understood).

    Raises:
        UnreadableImageError: It is cut short or damaged, too large, or holds several pictures.
    """
    _check_pages(path, picture)
    raw = picture.tile[0][3] if picture.tile else None
    deep = "16" in str(raw[0] if isinstance(raw, tuple) and raw else raw)
    turned = getattr(picture, "tag_v2", {}).get(_ORIENTATION)
    pixels, width, height = picture.width * picture.height, picture.width, picture.height
    if pixels > MAX_PIXELS:
        jpeg = reduce and picture.format in ("JPEG", "MPO")
        if not jpeg or pixels > MAX_JPEG_PIXELS:
            raise UnreadableImageError(
                path,
                "this image is too large",
                found=f"{height}×{width}, {pixels / 1e6:.0f} million pixels",
                expected=f"at most {MAX_PIXELS / 1e6:.0f} million pixels"
                + (f", or a JPEG of at most {MAX_JPEG_PIXELS / 1e6:.0f} million" if reduce else ""),
                remedy="make it smaller; nothing that this library does needs so many pixels",
            )
        scale = next(s for s in (2, 4) if pixels <= MAX_PIXELS * s * s)
        picture.draft(None, (width // scale, height // scale))
    try:
        picture.load()
    except Exception as error:  # as above
        raise unreadable(path, error) from error
    if picture.format != "TIFF":  # which is turned by now, and has lost its tag
        with suppress(Exception):  # as above; viewers show an image whose EXIF block is damaged as it is stored
            turned = picture.getexif().get(_ORIENTATION)
    return deep, turned if isinstance(turned, int) and 1 <= turned <= 8 else 1


def eight_bits(path: Path, picture: ImageFile.ImageFile, deep: bool) -> Image.Image:
    """A decoded file with 8 bits per colour, on black where it is transparent; mode L or RGB.

    Args:
        path: The file, for errors.
        picture: The decoded file.
        deep: Whether it has 16 bits per colour, as `load` says.

    Raises:
        UnreadableImageError: It has a mode whose range is not known.
    """
    mode = picture.mode
    if mode.startswith("I;16") and "transparency" not in picture.info:
        values = np.asarray(picture)
        tags = getattr(picture, "tag_v2", {})
        if tags.get(_PHOTOMETRIC) == 0:  # white is zero, which Pillow heeds for 8 bits only
            values = ~values
        bits = int(tags.get(_BITS, (16,))[0])
        result = Image.fromarray((values >> (bits - 8)).astype(np.uint8))
        deep = bits == 16
    elif mode in ("I", "F") or (deep and "transparency" in picture.info):
        what = {"I": "32-bit integers", "F": "floating point"}.get(mode, "16 bits with a transparent colour")
        raise _refused_mode(path, f"{what} (Pillow's mode {mode})")
    elif has_alpha(picture):
        colours = picture.convert("RGBA")
        result = Image.new("RGB", picture.size)
        result.paste(colours.convert("RGB"), mask=colours.getchannel("A"))
    else:
        try:
            result = picture.convert("RGB")
        except ValueError as error:
            raise _refused_mode(path, f"Pillow's mode {mode}") from error
    if deep and (brightest := int(np.asarray(result).max(initial=0))) < _LEAST_16_BIT:
        raise UnreadableImageError(
            path,
            "the range of this 16-bit image is not known",
            found=f"a brightest value of about {256 * brightest} of 65535",
            expected=f"one of at least {256 * _LEAST_16_BIT}; lower values may be of 10, 12 or 14 bits",
            remedy="scale it to the whole range, or save it with 8 bits per colour",
        )
    return result


def has_alpha(picture: Image.Image) -> bool:
    """Whether parts of an image may be transparent."""
    return picture.getbands()[-1] in ("A", "a") or "transparency" in picture.info


def unreadable(path: Path, error: Exception) -> UnreadableImageError:
    """The error of a file that is no image, or a damaged one."""
    length = path.stat().st_size if path.is_file() else 0
    return UnreadableImageError(
        path,
        "this image cannot be decoded",
        found=f"{length} bytes; {str(error) or type(error).__name__}",
        expected="a complete image file",
        remedy="get the file again from where it came",
    )


def _identified(file: IO[bytes]) -> ImageFile.ImageFile:
    Image.init()
    prefix = file.read(16)
    for factory, accepts in Image.OPEN.values():
        accepted = accepts is None or accepts(prefix)
        if accepted and not isinstance(accepted, str):
            file.seek(0)
            try:
                return factory(file, "")  # by its name it may be mapped into memory, which misreads turned TIFFs
            except (SyntaxError, IndexError, TypeError, struct.error):
                continue
    raise UnidentifiedImageError("no known format")


def _check_pages(path: Path, picture: ImageFile.ImageFile) -> None:
    try:
        count = 1 if picture.format == "MPO" else getattr(picture, "n_frames", 1)
        if count > 1 and picture.format == "TIFF":
            count = 0
            for page in range(picture.n_frames):  # type: ignore[attr-defined]
                picture.seek(page)
                count += not int(picture.tag_v2.get(_SUBFILE, 0)) & 1 or page == 0  # type: ignore[attr-defined]
            picture.seek(0)
    except Exception as error:
        raise unreadable(path, error) from error
    if count > 1:
        raise UnreadableImageError(
            path,
            "this file holds several pictures",
            found=f"{count} of them",
            expected="one",
            remedy="save the one that is meant as a file of its own",
        )


def _refused_mode(path: Path, found: str) -> UnreadableImageError:
    return UnreadableImageError(
        path,
        "the range of the values in this image is not known",
        found=found,
        expected="8 or 16 bits per colour",
        remedy="save it with 8 bits per colour",
    )
