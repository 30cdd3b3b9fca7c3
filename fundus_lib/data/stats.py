"""How large, how many and how rare lesions are: the statistics of dual_branch's Table 1."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from fundus_lib.data.base import FundusDataset
from fundus_lib.data.ddr import FOLDERS as DDR_SPLITS
from fundus_lib.data.ddr import DDRSegmentation
from fundus_lib.data.diaretdb1 import DiaRetDB1
from fundus_lib.data.idrid import IDRiDSegmentation
from fundus_lib.data.inventory import read_manifest
from fundus_lib.data.layout import SPLITS
from fundus_lib.data.recognise import recognise
from fundus_lib.data.sample import LESIONS, Size

TABLE1_SIZE: Size = (960, 1440)
"""(height, width) at which dual_branch reports its Table 1."""

PERCENTILES = (10, 90)


def component_areas(mask: NDArray[np.uint8], connectivity: int = 8) -> NDArray[np.int64]:
    """Areas in pixels of the components of a mask {0, 1} (H, W), 8-connected or 4-connected."""
    left, top, width, height = cv2.boundingRect(mask)
    if not width:
        return np.zeros(0, np.int64)
    box = mask[top - top % 2 : top + height, left - left % 2 : left + width]  # OpenCV numbers components by 2×2 blocks
    _, _, stats, _ = cv2.connectedComponentsWithStats(box, connectivity=connectivity)
    return np.asarray(stats[1:, cv2.CC_STAT_AREA], dtype=np.int64)


def components(*datasets: FundusDataset) -> pd.DataFrame:
    """Every component of every lesion of some data sets, 8-connected.

    Args:
        *datasets: Data sets with masks; several are taken together (training and test set).

    Returns:
        One row for each component, with split, name, lesion, pixels, and area, the fraction of the image covered.
    """
    return _measure(datasets)[1]


def lesion_statistics(*datasets: FundusDataset) -> pd.DataFrame:
    """Statistics of the lesions of some data sets, at the size at which they were opened.

    Args:
        *datasets: Data sets with the same lesions; several are taken together (training and test set).

    Returns:
        One row for each lesion (the index), with the columns

        - images: how many images there are;
        - with_lesion: how many of them have the lesion;
        - mean_area: mean fraction of the image that it covers, over those that have it;
        - ratio: background pixels to lesion pixels, over all images pooled;
        - components: how many 8-connected components there are;
        - p10, p90: percentiles of the components' areas, as fractions of the image. They are percentiles over
          components; dual_branch speaks of percentiles of lesion *pixels*, for which its figures do not hold.

    Example:
        >>> data = IDRiDSegmentation("data/IDRiD", "train", size=(960, 1440))  # doctest: +SKIP
        >>> lesion_statistics(data).loc["EX", "ratio"]  # doctest: +SKIP
    """
    per_image, parts = _measure(datasets)
    rows = []
    for lesion in dict.fromkeys(le for data in datasets for le in data.lesions):
        images = per_image[per_image.lesion == lesion]
        having = images[images.pixels > 0]
        areas = parts.loc[parts.lesion == lesion, "area"]
        low, high = np.percentile(areas, PERCENTILES) if len(areas) else (np.nan, np.nan)
        lesion_pixels = int(images.pixels.sum())
        rows.append(
            {
                "lesion": lesion,
                "images": len(images),
                "with_lesion": len(having),
                "mean_area": float((having.pixels / having.total).mean()) if len(having) else np.nan,
                "ratio": int(images.total.sum()) / lesion_pixels - 1 if lesion_pixels else np.nan,
                "components": len(areas),
                "p10": float(low),
                "p90": float(high),
            }
        )
    return pd.DataFrame(rows).set_index("lesion")


def open_all(
    root: str | PathLike[str], *, lesions: Sequence[str] = LESIONS, size: Size | None = TABLE1_SIZE
) -> tuple[IDRiDSegmentation, IDRiDSegmentation]:
    """Training and test set of the segmentation part, at the size of dual_branch's Table 1.

    Raises:
        FundusError: As `IDRiDSegmentation`.
    """
    train, test = (IDRiDSegmentation(root, split, lesions=lesions, size=size) for split in ("train", "test"))
    return train, test


def open_any(root: str | PathLike[str], *, size: Size | None = None) -> tuple[FundusDataset, ...]:
    """All splits with masks of a copy of IDRiD, DDR or DiaRetDB1.

    Args:
        root: The folder of one data set.
        size: (height, width) to resize to; None for 960×1440 on IDRiD, where dual_branch reports its Table 1 (a smaller
            copy is not enlarged), and for the sizes on disk on the others.

    Raises:
        DatasetNotFoundError: It is none of the three, or has no masks.
        FundusError: As `IDRiDSegmentation`, `DDRSegmentation` or `DiaRetDB1`.
    """
    name = recognise(Path(root))
    if name == "IDRiD":
        made = (read_manifest(Path(root)) or {}).get("size", TABLE1_SIZE)
        return open_all(root, size=size or min(TABLE1_SIZE, (int(made[0]), int(made[1]))))
    if name == "DDR":
        return tuple(DDRSegmentation(root, split, size=size) for split in DDR_SPLITS)
    version: Literal["2.1", "1.1"] = "2.1" if name.endswith("2.1") else "1.1"
    return tuple(DiaRetDB1(root, split, version=version, size=size) for split in SPLITS)


def _measure(datasets: Sequence[FundusDataset]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Per image and lesion: pixels and total; per component: pixels and area."""
    per_image: list[dict[str, Any]] = []
    parts: list[pd.DataFrame] = []
    jobs = [(data, i) for data in datasets for i in range(len(data))]
    for data in datasets:
        if data.lesions and len(data):
            data.mask(0)  # fills the cache, with its own progress bar
    with ThreadPoolExecutor() as pool:
        results = pool.map(lambda job: _areas(*job), jobs)
        for (data, i), (areas, total) in tqdm(zip(jobs, results, strict=True), "components", len(jobs), unit="image"):
            for lesion, pixels in zip(data.lesions, areas, strict=True):
                key = {"split": data.split, "name": data.names[i], "lesion": lesion}
                per_image.append({**key, "pixels": int(pixels.sum()), "total": total})
                parts.append(pd.DataFrame({**key, "pixels": pixels, "area": pixels / total}))
    columns = ["split", "name", "lesion", "pixels"]
    filled = [p for p in parts if len(p)]
    table = pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=[*columns, "area"])
    return pd.DataFrame(per_image, columns=[*columns, "total"]), table


def _areas(data: FundusDataset, index: int) -> tuple[list[NDArray[np.int64]], int]:
    """Component areas of each lesion of one image, and the number of its pixels."""
    mask = data.mask(index)  # (L, H, W)
    return [component_areas(channel) for channel in mask], mask.shape[1] * mask.shape[2]
