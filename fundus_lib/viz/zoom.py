"""Pictures with enlarged details: a photograph or an error map, numbered windows on it, and below what they hold.

Source: the layout of dual_branch's Figures 1 and 3 to 6, in which every method is shown whole and zoomed in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from fundus_lib.errors import ArgumentError
from fundus_lib.viz.overlays import ERROR_PALETTES, error_map, legend, overlay
from fundus_lib.viz.style import as_rgb, gallery
from fundus_lib.viz.windows import Window

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GAP = 4
"""Pixels of white between a picture and its details."""


def zoom(picture: ArrayLike, windows: Sequence[Window], *, width: int = 600) -> NDArray[np.uint8]:
    """Draw numbered windows on a picture, and below it what they hold, enlarged and side by side.

    The details are cut from the picture as it is given and enlarged without smoothing: a square is a pixel. The whole
    picture is shrunk for the page, which can swallow a lesion of few pixels; the details cannot.

    Args:
        picture: (H, W, 3), (3, H, W) or (H, W), uint8 or floats in [0, 1]; a photograph, or what `error_map` gives.
        windows: Of one size, inside the picture; if there are none, the picture alone is shown.
        width: Of the result in pixels.

    Returns:
        uint8 (height, `width`, 3), white between the parts.

    Raises:
        ArgumentError: Windows differ in size, or one reaches over the edge of the picture.
    """
    whole = as_rgb(picture)
    _check_windows(windows, whole.shape[:2])
    scale = width / whole.shape[1]
    shown = _resized(whole, (round(scale * whole.shape[0]), width))
    corners = [tuple(round(scale * value) for value in (w.left, w.top, w.right, w.bottom)) for w in windows]
    for left, top, right, bottom in corners:
        _frame(shown, (left, top), (right, bottom))
    for number, (left, top, _, _) in enumerate(corners, 1):
        _write(shown, str(number), (left, top), above=True)
    if not windows:
        return shown
    across = (width - GAP * (len(windows) - 1)) // len(windows)
    down = round(across * windows[0].height / windows[0].width)
    page = np.full((shown.shape[0] + GAP + down, width, 3), 255, np.uint8)
    page[: shown.shape[0]] = shown
    for index, window in enumerate(windows):
        detail = np.asarray(cv2.resize(window.cut(whole), (across, down), interpolation=cv2.INTER_NEAREST), np.uint8)
        _write(detail, str(index + 1), (0, 0), above=False)
        left = index * (across + GAP)
        page[shown.shape[0] + GAP :, left : left + across] = detail
    return page


def compare(
    image: ArrayLike,
    predictions: Mapping[str, ArrayLike],
    target: ArrayLike,
    windows: Sequence[Window] = (),
    *,
    lesion: str = "EX",
    palette: str = "dual_branch",
    ncols: int = 3,
    width: float = 9.0,
) -> Figure:
    """Show what several methods make of one image: the photograph first, then an error map of each.

    Args:
        image: (H, W, 3) or (3, H, W).
        predictions: Title to decisions (H, W), e.g. `scores > 0.5`.
        target: (H, W), above 0 where lesion is.
        windows: Enlarged below each picture, the same in all; none for whole pictures only.
        lesion: Which lesion it is; its colour outlines the truth on the photograph.
        palette: A key of `ERROR_PALETTES`.
        ncols: Pictures in a row.
        width: Of the figure in inches.

    Returns:
        The figure, with the meaning of the colours below; a frame for `slider`, too.

    Raises:
        ArgumentError: Sizes differ, predictions are scores, or a window does not fit.
        UnknownNameError: There is no such lesion or palette.
    """
    pictures = {"the truth, outlined": overlay(image, target, (lesion,))}
    for name, prediction in predictions.items():
        pictures[name] = error_map(image, prediction, target, palette=palette)
    shown = [zoom(picture, windows) for picture in pictures.values()]
    figure = gallery(shown, list(pictures), ncols=ncols, width=width)
    figure.set_figheight(figure.get_figheight() + 0.3)  # for the key
    legend(figure, ERROR_PALETTES[palette], loc="outside lower center", ncols=3)
    return figure


def _check_windows(windows: Sequence[Window], shape: tuple[int, ...]) -> None:
    inside = all(min(each) >= 0 and each.bottom <= shape[0] and each.right <= shape[1] for each in windows)
    if len({(each.height, each.width) for each in windows}) > 1 or not inside:
        raise ArgumentError(
            "windows",
            "these windows cannot be shown below this picture",
            found=f"{', '.join(map(str, windows))}; a picture of {shape[0]}×{shape[1]}",
            expected="windows of one size, inside the picture",
            remedy="choose them with windows_of_disagreement or windows_at_lesions at the size of this picture",
        )


def _resized(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    kind = cv2.INTER_AREA if size[1] < picture.shape[1] else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(picture, size[::-1], interpolation=kind), np.uint8)


def _frame(picture: NDArray[np.uint8], first: tuple[int, int], last: tuple[int, int]) -> None:
    """A white frame with a black edge, seen on any ground; corners are (column, row)."""
    for color, thickness in ((0, 4), (255, 2)):
        cv2.rectangle(picture, first, last, (color,) * 3, thickness)


def _write(picture: NDArray[np.uint8], text: str, corner: tuple[int, int], *, above: bool) -> None:
    """Put a number at a corner (column, row), in black on white; above it only where there is room."""
    options: dict[str, Any] = {"fontFace": cv2.FONT_HERSHEY_SIMPLEX, "fontScale": 0.8, "thickness": 2}
    (across, down), _ = cv2.getTextSize(text, **options)
    left, top = corner[0], corner[1] - (down + 8) * (above and corner[1] > down + 8)
    cv2.rectangle(picture, (left, top), (left + across + 8, top + down + 8), (255,) * 3, -1)
    cv2.putText(picture, text, (left + 4, top + down + 4), color=(0,) * 3, lineType=cv2.LINE_AA, **options)
