"""Images with magnified details: a fundus image or an error map, numbered windows on it, and their content below.

Source: the layout of dual_branch's Figures 1 and 3 to 6, in which every method is shown in full and magnified.
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
"""Pixels of white between an image and its details."""


def zoom(image: ArrayLike, windows: Sequence[Window], *, width: int = 600) -> NDArray[np.uint8]:
    """Draw numbered windows on an image, and below it their content, magnified and side by side.

    The details are cropped at full resolution and magnified without smoothing: a square is a pixel. The whole image is
    downsampled for the page, in which a lesion of few pixels can vanish; in the details it cannot.

    Args:
        image: (H, W, 3), (3, H, W) or (H, W), uint8 or floats in [0, 1]; a fundus image, or the result of `error_map`.
        windows: Of one size, inside the image; if there are none, the image alone is shown.
        width: Of the result in pixels.

    Returns:
        uint8 (height, `width`, 3), white between the parts.

    Raises:
        ArgumentError: Windows differ in size, or one extends beyond the edge of the image.
    """
    whole = as_rgb(image)
    _check_windows(windows, whole.shape[:2])
    scale = width / whole.shape[1]
    shown = _resize(whole, (round(scale * whole.shape[0]), width))
    corners = [tuple(round(scale * value) for value in (w.left, w.top, w.right, w.bottom)) for w in windows]
    for left, top, right, bottom in corners:
        _draw_frame(shown, (left, top), (right, bottom))
    for number, (left, top, _, _) in enumerate(corners, 1):
        _draw_number(shown, str(number), (left, top), above=True)
    if not windows:
        return shown
    across = (width - GAP * (len(windows) - 1)) // len(windows)
    down = round(across * windows[0].height / windows[0].width)
    page = np.full((shown.shape[0] + GAP + down, width, 3), 255, np.uint8)
    page[: shown.shape[0]] = shown
    for index, window in enumerate(windows):
        detail = np.asarray(cv2.resize(window.crop(whole), (across, down), interpolation=cv2.INTER_NEAREST), np.uint8)
        _draw_number(detail, str(index + 1), (0, 0), above=False)
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
    palette: str = "colorblind",
    ncols: int = 3,
    width: float = 9.0,
) -> Figure:
    """Compare the predictions of several methods for one image: the image first, then an error map of each.

    Args:
        image: (H, W, 3) or (3, H, W).
        predictions: Title to binary prediction (H, W), e.g. `scores > 0.5`.
        target: (H, W), above 0 where lesion is.
        windows: Magnified below each image, the same in all; none for whole images only.
        lesion: Name of the lesion; its colour outlines the ground truth on the image.
        palette: A key of `ERROR_PALETTES`.
        ncols: Images in a row.
        width: Of the figure in inches.

    Returns:
        The figure, with the meaning of the colours below; a frame for `slider`, too.

    Raises:
        ArgumentError: Sizes differ, predictions are scores, or a window does not fit.
        UnknownNameError: There is no such lesion or palette.
    """
    panels = {"ground truth, outlined": overlay(image, target, (lesion,))}
    for name, prediction in predictions.items():
        panels[name] = error_map(image, prediction, target, palette=palette)
    shown = [zoom(panel, windows) for panel in panels.values()]
    figure = gallery(shown, list(panels), ncols=ncols, width=width)
    figure.set_figheight(figure.get_figheight() + 0.3)  # for the key
    legend(figure, ERROR_PALETTES[palette], loc="outside lower center", ncols=3)
    return figure


def _check_windows(windows: Sequence[Window], shape: tuple[int, ...]) -> None:
    inside = all(min(each) >= 0 and each.bottom <= shape[0] and each.right <= shape[1] for each in windows)
    if len({(each.height, each.width) for each in windows}) > 1 or not inside:
        raise ArgumentError(
            "windows",
            "these windows cannot be shown below this image",
            found=f"{', '.join(map(str, windows))}; an image of {shape[0]}×{shape[1]}",
            expected="windows of one size, inside the image",
            remedy="choose them with windows_of_disagreement at the size of this image",
        )


def _resize(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    kind = cv2.INTER_AREA if size[1] < image.shape[1] else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(image, size[::-1], interpolation=kind), np.uint8)


def _draw_frame(image: NDArray[np.uint8], first: tuple[int, int], last: tuple[int, int]) -> None:
    """Draw a white frame with a black edge, visible on any background; corners are (column, row)."""
    for color, thickness in ((0, 4), (255, 2)):
        cv2.rectangle(image, first, last, (color,) * 3, thickness)


def _draw_number(image: NDArray[np.uint8], text: str, corner: tuple[int, int], *, above: bool) -> None:
    """Draw a number at a corner (column, row), in black on white; above it only where there is room."""
    options: dict[str, Any] = {"fontFace": cv2.FONT_HERSHEY_SIMPLEX, "fontScale": 0.8, "thickness": 2}
    (across, down), _ = cv2.getTextSize(text, **options)
    left, top = corner[0], corner[1] - (down + 8) * (above and corner[1] > down + 8)
    cv2.rectangle(image, (left, top), (left + across + 8, top + down + 8), (255,) * 3, -1)
    cv2.putText(image, text, (left + 4, top + down + 4), color=(0,) * 3, lineType=cv2.LINE_AA, **options)
