"""Table 1 of dual_branch by every reading of its words: which images, which masks, percentiles of what.

The paper states neither how the masks were resized nor which pixels are connected, and it states two things about what
its percentiles are taken over. Each choice changes the numbers, so the printed digits are evidence about the choice.
`measured` has the numbers of the real files, without a pixel of any image.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import resources
from os import PathLike

import cv2
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

from fundus_lib.data.idrid import IDRiDSegmentation
from fundus_lib.data.images import Pixels, resize_mask
from fundus_lib.data.sample import Size
from fundus_lib.data.stats import TABLE1_SIZE, component_areas

SHRINKING = ("nearest", "linear", "area", "none")
"""How a mask gets its size: the nearest pixel of the large one; its neighbours' mean, at least one half; the mean over
the area, at least one half (as this library resizes masks, `fundus_lib.data.images.resize_mask`); or not at all."""

CONNECTIVITY = (8, 4)
"""Whether two pixels that touch at a corner belong together (8), or only those that share an edge (4)."""

IMAGES = ("all", "train", "test")
"""Which images: both sets of the segmentation part, or one."""


@dataclass(frozen=True)
class _Exudates:
    """The exudates of one image under one reading: their areas in pixels, and the pixels of the image."""

    areas: NDArray[np.int64]
    total: int


def readings(root: str | PathLike[str], size: Size = TABLE1_SIZE) -> pd.DataFrame:
    """The hard exudates of a copy of IDRiD in the words of dual_branch's Table 1, taken every way.

    For the published files this takes half a minute, spent on decoding masks at full size.

    Args:
        root: Root of a copy that holds the segmentation part.
        size: (height, width) to which masks are shrunk.

    Returns:
        One row for each of `IMAGES`, `SHRINKING` and `CONNECTIVITY` (the first three columns), with

        - components: how many exudates there are;
        - ratio: background to exudate pixels, all images pooled;
        - ratio_of_images: the mean of the images' own ratios, over those that have exudates;
        - p90, p10: percentiles of the area of an exudate as a fraction of the image, over **exudates**;
        - p90_of_pixels, p10_of_pixels: the same over exudate **pixels**, see `pixel_percentile`;
        - p90_of_images, p10_of_images: the mean of the images' own percentiles over exudates.

    Raises:
        FundusError: As `IDRiDSegmentation`.

    Example:
        >>> table = readings("data/IDRiD")  # doctest: +SKIP
        >>> table.to_csv("dual_branch_readings.csv", index=False, float_format="%.6g")  # doctest: +SKIP
    """
    jobs = [(data, i) for data in _open(root) for i in range(len(data))]
    by_reading: dict[tuple[str, str, int], list[_Exudates]] = {}
    with ThreadPoolExecutor() as pool:
        found = pool.map(lambda job: _of_image(job[0].mask(job[1])[0], size), jobs)
        for (data, _), image in zip(jobs, tqdm(found, "exudates", len(jobs), unit="image"), strict=True):
            for (how, connectivity), exudates in image.items():
                by_reading.setdefault((data.split, how, connectivity), []).append(exudates)
    rows = []
    for images in IMAGES:
        for how in SHRINKING:
            for connectivity in CONNECTIVITY:
                of = [e for split in _splits(images) for e in by_reading[split, how, connectivity]]
                reading = {"images": images, "shrinking": how, "connectivity": connectivity}
                rows.append(reading | _row(of))
    return pd.DataFrame(rows)


def measured() -> pd.DataFrame:
    """The table of `readings` as measured on the published files of IDRiD, to six digits."""
    with (resources.files("fundus_lib.published") / "dual_branch_readings.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file)


def pixel_percentile(areas: ArrayLike, percent: float) -> float:
    """The smallest area for which components up to it hold `percent` of all pixels.

    Args:
        areas: Area of each component, any unit; at least one.
        percent: From 0 to 100.

    Example:
        >>> pixel_percentile([1, 1, 1, 1, 1, 1, 1, 1, 2, 90], 90), np.percentile([1] * 8 + [2, 90], 80)
        (90.0, np.float64(1.2))
    """
    ascending = np.sort(np.asarray(areas, dtype=np.float64))
    cumulated = ascending.cumsum()
    place = np.searchsorted(cumulated, percent / 100 * cumulated[-1] * (1 - 1e-12))  # a rounding error is not a pixel
    return float(ascending[place])


def shrink_mask(mask: Pixels, size: Size, how: str) -> Pixels:
    """A mask {0, 1} (H, W) at another size, by one of `SHRINKING`."""
    if how == "none":
        return mask
    if how == "area":
        return resize_mask(mask, size)
    way = {"nearest": cv2.INTER_NEAREST, "linear": cv2.INTER_LINEAR}[how]
    return (np.asarray(cv2.resize(mask * np.uint8(255), size[::-1], interpolation=way)) > 127).view(np.uint8)


def _open(root: str | PathLike[str]) -> list[IDRiDSegmentation]:
    return [IDRiDSegmentation(root, split, lesions=("EX",)) for split in ("train", "test")]


def _splits(images: str) -> Sequence[str]:
    return ("train", "test") if images == "all" else (images,)


def _of_image(mask: Pixels, size: Size) -> dict[tuple[str, int], _Exudates]:
    """The exudates of a mask at full size, by shrinking and connectivity."""
    found = {}
    for how in SHRINKING:
        shrunk = shrink_mask(mask, size, how)
        for connectivity in CONNECTIVITY:
            found[how, connectivity] = _Exudates(component_areas(shrunk, connectivity), shrunk.size)
    return found


def _row(images: Sequence[_Exudates]) -> dict[str, float]:
    """The statistics of the exudates of some images; NaN where there is none."""
    having = [e for e in images if len(e.areas)]
    total, lesion = sum(e.total for e in images), sum(int(e.areas.sum()) for e in images)
    row: dict[str, float] = {"components": sum(len(e.areas) for e in images)}
    row["ratio"] = total / lesion - 1 if having else np.nan
    row["ratio_of_images"] = float(np.mean([e.total / e.areas.sum() - 1 for e in having])) if having else np.nan
    fractions = [e.areas / e.total for e in having]
    pooled = np.concatenate([np.empty(0), *fractions])
    for q in (90, 10):
        row[f"p{q}"] = float(np.percentile(pooled, q)) if having else np.nan
        row[f"p{q}_of_pixels"] = pixel_percentile(pooled, q) if having else np.nan
        row[f"p{q}_of_images"] = float(np.mean([np.percentile(areas, q) for areas in fractions])) if having else np.nan
    return row
