"""The house style: one look for every figure, and one colour per lesion everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fundus_lib.data.sample import ANY
from fundus_lib.errors import ArgumentError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LESION_COLORS: dict[str, str] = {"MA": "#6FB9F5", "HE": "#2B24C4", "EX": "#14E096", "SE": "#E22A7C"}
"""One colour per lesion. Sky blue, blue and bluish green follow Okabe and Ito (2008), brightened, and the fourth is a
magenta, because their orange, vermilion and yellow have little contrast on a fundus. Tested to be distinguishable from
each other, from white and from the retina, also with protanopia, deuteranopia and tritanopia."""

CHANNEL_COLORS = {**LESION_COLORS, ANY: "#FFFFFF"}
"""The same, and white where all lesions are fused into one."""

OKABE_ITO: tuple[str, ...] = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""The colours of lines that are not lesions (Okabe and Ito, 2008, without yellow, too pale on white)."""


METHOD, BASELINE, PUBLISHED = "#D55E00", "#0072B2", "#000000"
"""In every figure of results: a paper's method, what it is compared with, and what the paper prints."""

BRANCH_COLORS: dict[str, str] = {"large": "#009E73", "small": "#CC79A7", "both": METHOD}
"""Branches for large and for small lesions, and their mean, which is the method."""

GRADE_COLORS: tuple[str, ...] = ("#EAE6F1", "#CDC2DE", "#A694C6", "#7A5FA6", "#46287A")
"""Grades of retinopathy from 0 to 4, the darker the more severe; the risk of edema takes every second."""


def use_style() -> None:
    """Switch matplotlib to the house style; call it once, in the first cell.

    The background is white, so that a figure looks the same in the light and in the dark theme of the book.
    """
    import matplotlib as mpl
    from cycler import cycler

    mpl.rcParams.update(
        {
            "figure.figsize": (7.0, 4.0),
            "figure.dpi": 80,  # as wide as the page; more makes notebooks larger
            "figure.facecolor": "white",
            "savefig.facecolor": "white",
            "figure.constrained_layout.use": True,
            "axes.prop_cycle": cycler(color=OKABE_ITO),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "axes.titlesize": "medium",
            "axes.titlelocation": "left",
            "grid.color": "0.9",
            "image.cmap": "cividis",
            "legend.frameon": True,  # a legend within the data must not look like data
            "legend.framealpha": 0.85,
            "legend.edgecolor": "0.85",
            "legend.fancybox": False,
            "lines.linewidth": 1.8,
            "font.size": 10.5,
            "svg.hashsalt": "fundus",
        }
    )


def as_rgb(image: ArrayLike) -> NDArray[np.uint8]:
    """Convert an image to the form of matplotlib and OpenCV.

    Args:
        image: uint8 (H, W, 3) or (H, W), or (3, H, W) as in a sample; or floats in [0, 1] of these shapes.

    Returns:
        uint8 (H, W, 3), RGB, a copy.

    Raises:
        ArgumentError: The shape or the values are not those of an image.
    """
    array = np.asarray(image)
    if array.ndim == 3 and array.shape[-1] != 3 and array.shape[0] == 3:
        array = np.moveaxis(array, 0, -1)
    if array.ndim == 2:
        array = np.repeat(array[..., None], 3, axis=-1)
    if array.ndim != 3 or array.shape[-1] != 3:
        raise ArgumentError(
            "image",
            "this is not one image",
            found=f"shape {np.shape(image)}",
            expected="(H, W, 3), (3, H, W) or (H, W)",
            remedy="pass one image of the batch, in RGB",
        )
    if array.dtype == np.uint8:
        return array.copy()
    if array.size and (array.min() < 0 or array.max() > 1):
        raise ArgumentError(
            "image",
            "the values are not those of an image",
            found=f"{array.dtype} between {array.min():.3g} and {array.max():.3g}",
            expected="uint8, or floats between 0 and 1",
            remedy="undo the normalisation first",
        )
    return np.round(array.astype(np.float32) * 255).astype(np.uint8)


def gallery(
    images: Sequence[ArrayLike], titles: Sequence[str] | None = None, *, ncols: int = 4, width: float = 9.0
) -> Figure:
    """Show images side by side, each with its title.

    Args:
        images: Each (H, W, 3), (3, H, W) or (H, W), as for `as_rgb`.
        titles: One per image.
        ncols: Images in a row.
        width: Width of the figure in inches; the height follows from the first image.

    Returns:
        The figure; in a notebook, end the cell with the call and it is shown once.

    Raises:
        ArgumentError: There is no image, or the number of titles differs from that of the images.
    """
    import matplotlib.pyplot as plt

    if not len(images) or (titles is not None and len(titles) != len(images)):
        raise ArgumentError(
            "titles",
            "images and titles do not match",
            found=f"{len(images)} images and {'no' if titles is None else len(titles)} titles",
            expected="at least one image, and one title for each",
            remedy="pass as many titles as images",
        )
    arrays = [as_rgb(image) for image in images]
    ncols = min(ncols, len(arrays))
    nrows = -(-len(arrays) // ncols)
    height, wide = arrays[0].shape[:2]
    row_height = width / ncols * height / wide + (0.3 if titles is not None else 0.05)
    figure, axes = plt.subplots(nrows, ncols, figsize=(width, row_height * nrows), squeeze=False, layout="constrained")
    for axis in axes.flat:
        axis.axis("off")
    for index, (axis, array) in enumerate(zip(axes.flat, arrays, strict=False)):
        axis.imshow(array)
        if titles is not None:
            axis.set_title(titles[index], fontsize="small", loc="center")
    plt.close(figure)  # the returned figure is what the notebook shows; left open it would appear twice
    return figure
