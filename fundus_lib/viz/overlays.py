"""Lesions drawn on their image, and error maps of predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from fundus_lib.errors import ArgumentError, UnknownNameError
from fundus_lib.viz.style import CHANNEL_COLORS, as_rgb

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ERROR_PALETTES: dict[str, dict[str, str]] = {
    "dual_branch": {"hit": "#FFFF00", "false alarm": "#FF0000", "miss": "#00FF00"},
    "colorblind": {"hit": "#F0E442", "false alarm": "#D55E00", "miss": "#56B4E9"},
}
"""Colours of an error map. The first is dual_branch's (Figures 1 and 4-6), whose red and green one man in twelve cannot
distinguish; the second is safe for colour-blind readers."""


def overlay(
    image: ArrayLike,
    mask: ArrayLike,
    lesions: Sequence[str] = ("MA", "HE", "EX", "SE"),
    *,
    style: Literal["contour", "fill"] = "contour",
    thickness: int | None = None,
    opacity: float = 0.5,
) -> NDArray[np.uint8]:
    """Draw the lesions of a mask on its image, each in its colour of `CHANNEL_COLORS`.

    Args:
        image: (H, W, 3) or (3, H, W), uint8 or floats in [0, 1].
        mask: (L, H, W), or (H, W) for a single lesion; what is above 0 is lesion.
        lesions: Names of the L channels, in order.
        style: `contour` draws around each lesion and leaves its inside visible; `fill` tints its pixels.
        thickness: Width of the contour in pixels; by default 1 per 500 pixels of height, and at least 1.
        opacity: Of the fill, between 0 and 1.

    Returns:
        uint8 (H, W, 3).

    Raises:
        ArgumentError: Mask and image, or mask and names, do not match.
        UnknownNameError: A name is neither one of the four lesions nor `ANY`, all of them.
    """
    canvas = as_rgb(image)
    channels = _as_channels(mask, canvas.shape[:2], len(lesions))
    thickness = max(1, round(canvas.shape[0] / 500)) if thickness is None else thickness
    for lesion, channel in zip(lesions, channels, strict=True):
        if lesion not in CHANNEL_COLORS:
            raise UnknownNameError(
                "lesions",
                "this is not a lesion",
                found=repr(lesion),
                expected=", ".join(CHANNEL_COLORS),
                remedy="name the channels of the mask",
            )
        color = _parse_color(CHANNEL_COLORS[lesion])
        if style == "fill":
            blend = (1 - opacity) * canvas[channel] + opacity * np.array(color)
            canvas[channel] = np.round(blend).astype(np.uint8)
        else:
            # drawn just outside the lesion, so that a lesion of one pixel remains visible
            grown = cv2.dilate(channel.astype(np.uint8), np.ones((2 * thickness + 1,) * 2, np.uint8))
            canvas[(grown > 0) & ~channel] = color
    return canvas


def error_map(
    image: ArrayLike | None, pred: ArrayLike, target: ArrayLike, *, palette: str = "colorblind"
) -> NDArray[np.uint8]:
    """Colour every pixel by the outcome: hit (true positive), false alarm (false positive), miss (false negative).

    Args:
        image: (H, W, 3) or (3, H, W), shown in dark grey as background; None for black.
        pred: (H, W), above 0 where lesion is predicted (threshold the scores first).
        target: (H, W), above 0 where lesion is.
        palette: A key of `ERROR_PALETTES`: `colorblind` is yellow, vermilion and sky blue, which all readers can tell
            apart; `dual_branch` is yellow, red and green as in that paper's Figures 1 and 4-6.

    Returns:
        uint8 (H, W, 3).

    Raises:
        ArgumentError: The sizes differ, or `pred` holds scores instead of 0 and 1.
        UnknownNameError: There is no such palette.
    """
    colors = _get_palette(palette)
    if np.asarray(pred).dtype.kind == "f" and not np.isin(np.asarray(pred), (0, 1)).all():
        raise ArgumentError(
            "pred",
            "an error map needs binary predictions, not scores",
            found=f"{np.asarray(pred).dtype} between {np.min(pred):.3g} and {np.max(pred):.3g}",
            expected="0 and 1, or bool",
            remedy="pass e.g. scores > 0.5",
        )
    size = np.squeeze(np.asarray(target)).shape[-2:]
    found = _as_channels(pred, size, 1)[0]
    there = _as_channels(target, size, 1)[0]
    if image is None:
        canvas = np.zeros((*size, 3), np.uint8)
    else:
        _as_channels(pred, as_rgb(image).shape[:2], 1)
        grey = cv2.cvtColor(as_rgb(image), cv2.COLOR_RGB2GRAY) // 2
        canvas = np.repeat(grey[..., None], 3, axis=-1).astype(np.uint8)
    canvas[found & there] = _parse_color(colors["hit"])
    canvas[found & ~there] = _parse_color(colors["false alarm"])
    canvas[~found & there] = _parse_color(colors["miss"])
    return canvas


def legend(
    axis: Axes | Figure, names: Sequence[str] | Mapping[str, str] = ("MA", "HE", "EX", "SE"), **kwargs: Any
) -> None:
    """Add the meaning of the colours to an axis or a figure.

    Args:
        axis: A matplotlib axis; or a figure, for a legend beside all axes.
        names: Lesions; or any mapping of label to colour, e.g. `ERROR_PALETTES["colorblind"]`.
        **kwargs: For `Axes.legend` or `Figure.legend`, e.g. `loc="lower right"`.
    """
    from matplotlib.patches import Patch

    colors = names if isinstance(names, Mapping) else {name: CHANNEL_COLORS[name] for name in names}
    handles = [Patch(facecolor=color, edgecolor="0.3", linewidth=0.5, label=label) for label, color in colors.items()]
    options: dict[str, Any] = {"frameon": True, "facecolor": "white", "framealpha": 0.9, "fontsize": "small"}
    axis.legend(handles=handles, **{**options, **kwargs})


def add_legend(picture: NDArray[np.uint8], labels: Mapping[str, str], lines: Sequence[str] = ()) -> NDArray[np.uint8]:
    """A picture with the meaning of its colours in a strip below it, so that no pixel of it is covered.

    Args:
        picture: uint8 (H, W, 3).
        labels: Lesion → what to write beside its colour of `CHANNEL_COLORS`.
        lines: More lines of text. What is not ASCII is shown as a question mark.

    Returns:
        uint8 (H + h, W, 3).
    """
    width = picture.shape[1]
    height = max(14, width // 60)  # of a line
    scale = height / 34
    pen: dict[str, Any] = {
        "fontFace": cv2.FONT_HERSHEY_SIMPLEX,
        "fontScale": scale,
        "thickness": max(1, round(2 * scale)),
    }
    wrapped = [_wrap(_as_ascii(text), width - 2 * height, pen) for text in (*labels.values(), *lines)]
    if not wrapped:
        return picture
    strip = np.full((height * (sum(map(len, wrapped)) + 1), width, 3), 255, np.uint8)
    base = height // 4
    for number, parts in enumerate(wrapped):
        if number < len(labels):
            color = _parse_color(CHANNEL_COLORS[list(labels)[number]])
            low = base + height
            cv2.rectangle(strip, (height // 2, low - height // 2), (height, low), color, cv2.FILLED)
        for part in parts:
            base += height
            cv2.putText(strip, part, (3 * height // 2, base), color=(0, 0, 0), lineType=cv2.LINE_AA, **pen)
    return np.concatenate([picture, strip])


def _wrap(text: str, room: int, pen: Mapping[str, Any]) -> list[str]:
    """A text as lines of at most so many pixels, broken between words, and within a word that is longer."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if cv2.getTextSize(longer, **pen)[0][0] <= room:
            lines[-1] = longer
            continue
        lines.append("")
        for letter in word:
            if lines[-1] and cv2.getTextSize(lines[-1] + letter, **pen)[0][0] > room:
                lines.append("")
            lines[-1] += letter
    return [line for line in lines if line] or [""]


def _as_ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode()


def _get_palette(name: str) -> dict[str, str]:
    if name not in ERROR_PALETTES:
        raise UnknownNameError(
            "palette",
            "there is no such palette",
            found=repr(name),
            expected=", ".join(ERROR_PALETTES),
            remedy="choose one of these",
        )
    return ERROR_PALETTES[name]


def _as_channels(mask: ArrayLike, size: tuple[int, ...], number: int) -> NDArray[np.bool_]:
    """Check a mask against the size of its image and the number of its names; bool (L, H, W)."""
    array = np.asarray(mask)
    array = array[None] if array.ndim == 2 else array
    if array.shape != (number, *size):
        raise ArgumentError(
            "mask",
            "mask, image and names do not match",
            found=f"mask {np.shape(mask)}",
            expected=f"({number}, {size[0]}, {size[1]})",
            remedy="pass the mask of this image, and one name per channel",
        )
    return array > 0


def _parse_color(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)
