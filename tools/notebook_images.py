"""Stored images as light as they can be at the same look: what the reader loads, and what git keeps for ever.

GitHub (by nbconvert) and the book (by MyST-NB) show an output as PNG or JPEG, but not as WebP.
"""

from __future__ import annotations

import base64
import io

import numpy as np
from nbformat import NotebookNode
from PIL import Image

QUALITY = 68
"""Of JPEG, for photographs."""

COLORS = (16, 24, 32, 48, 64, 96, 128, 192, 256)
"""Sizes of a palette, for lines and letters."""

MAX_COLORS = 8000
"""A picture of more is a photograph."""

MAX_ERROR = 12.0
"""Root mean square by which a palette may change what is not background, of 255."""

FAR, MAX_FAR = 64, 0.001
"""This share of the pixels may get a colour that is farther away than this: a small red spot must stay red."""

SOLID, NEAR = 24, 32
"""A colour of so many pixels is that of marks or lines, and moves no farther than this: two oranges must stay two."""


def lighten(notebook: NotebookNode) -> None:
    """Store each PNG among the outputs in its lightest form; the same PNG always gives the same bytes."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if png := output.get("data", {}).pop("image/png", None):
                kind, picture = lightest(base64.b64decode(png))
                output.data[kind] = base64.b64encode(picture).decode()


def lightest(png: bytes) -> tuple[str, bytes]:
    """The smaller of JPEG and of a PNG with the fewest colours that look the same.

    Args:
        png: Of any mode; what is transparent becomes white, as on the page.

    Returns:
        The kind (`image/jpeg` or `image/png`) and the picture, of the same width and height. A PNG that is already
        smaller than both comes back as it is.
    """
    given = Image.open(io.BytesIO(png)).convert("RGBA")
    picture = Image.alpha_composite(Image.new("RGBA", given.size, "white"), given).convert("RGB")
    forms = [("image/png", png), ("image/jpeg", _bytes(picture, "JPEG", quality=QUALITY, progressive=True))]
    if picture.getcolors(MAX_COLORS):
        few = next((few for number in COLORS if (few := _with_palette(picture, number))), None)
        forms += [("image/png", _bytes(few, "PNG"))] if few else []
    return min(forms, key=lambda form: len(form[1]))


def _with_palette(picture: Image.Image, number: int) -> Image.Image | None:
    """The picture in few colours, or None if it looks different; the most frequent half of them stays exact."""
    codes = np.asarray(picture).astype(np.int64) @ (1 << 16, 1 << 8, 1)  # (H, W)
    values, places, counts = np.unique(codes, return_inverse=True, return_counts=True)
    colors = np.stack([values >> 16, values >> 8 & 255, values & 255], axis=1)
    order = np.argsort(-counts, kind="stable")
    others = np.repeat(colors[order], np.ceil(np.sqrt(counts[order])).astype(int), axis=0)[None]
    middle = Image.fromarray(others.astype(np.uint8)).quantize(number // 2, dither=Image.Dither.NONE)
    medians = np.reshape(middle.getpalette() or [], (-1, 3))[: number // 2]
    palette = np.concatenate([colors[order][: number - number // 2], medians])
    distances = np.square(colors[:, None] - palette).sum(-1)  # (all, number)
    error = distances.min(1)
    if counts[error > FAR**2].sum() > MAX_FAR * counts.sum() or (error[counts >= SOLID] > NEAR**2).any():
        return None
    counts[order[0]] = 0  # the background
    if (error * counts).sum() > 3 * MAX_ERROR**2 * counts.sum():
        return None
    few = Image.fromarray(distances.argmin(1)[places].reshape(codes.shape).astype(np.uint8))
    few.putpalette(palette.astype(np.uint8).tobytes())
    return few


def _bytes(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, optimize=True, **options)
    return buffer.getvalue()
