"""What a copy of IDRiD is like, in numbers; and these numbers as measured on the real files.

The measured numbers let a page made from synthetic images show the real distributions beside its own. They hold no
pixel of an image. `fundus data stats DIR --json FILE` makes them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from os import PathLike
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torchvision import tv_tensors
from tqdm import tqdm

from fundus_lib.data.field_of_view import bounding_box, field_of_view
from fundus_lib.data.field_square import FieldSquare
from fundus_lib.data.graded_lesions import graded_lesions
from fundus_lib.data.idrid import IDRiDGrading, IDRiDSegmentation
from fundus_lib.data.images import resize_image, resize_mask
from fundus_lib.data.inventory import fingerprint
from fundus_lib.data.sample import DME_GRADES, DR_GRADES, LESIONS, Sample
from fundus_lib.data.stats import TABLE1_SIZE, components, lesion_statistics, open_all
from fundus_lib.errors import UnknownNameError

SURVIVAL_ROWS = (1440, 960, 640, 480, 320, 240)
"""Heights in pixels at which the survival of lesions is measured."""

SQUARE_SIDES = (1024, 512, 256, 128)
"""Sides in pixels of the squares about the field of view in which the survival of lesions is measured."""

SMALL_EXUDATE = 2e-5
"""Fraction of an image below which an exudate is small, as in `fundus_lib.protocols.lesions.LESION_SIZES`."""


def measured(name: str = "IDRiD") -> dict[str, Any]:
    """The summary of a real data set, as measured on its published files.

    Args:
        name: Name of the data set.

    Returns:
        What `summarise` returns.

    Raises:
        UnknownNameError: We have measured no data set of that name.
    """
    file = resources.files("fundus_lib.data").joinpath(f"{name.lower()}_summary.json")
    if not file.is_file():
        raise UnknownNameError(
            "measured", "no numbers for this data set", found=repr(name), expected="'IDRiD'", remedy="name that one"
        )
    summary: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return summary


def summarise(root: str | PathLike[str]) -> dict[str, Any]:
    """Measure a copy of IDRiD; for the real files this takes a few minutes, spent on masks at full size.

    Args:
        root: Root of a copy with all parts.

    Returns:
        Plain numbers and lists, by these keys; None or an empty list where the copy has no such lesion or is too small.

        - `fingerprint`: that of the segmentation part which was measured;
        - `lesions`: the table of `stats.lesion_statistics` at 960×1440, by lesion;
        - `area_percentiles`: by lesion, percentiles 0, 1, …, 100 of the area of a component as a fraction of the image;
        - `pixels_in_small_exudates`: fraction of the hard exudates' pixels in components up to the 90th percentile;
        - `test_exudates_cumulated`: percent of the test set's exudate pixels in its 1, 2, … richest images;
        - `test_lesion_share`: fraction of all pixels of the test set that belong to a lesion of any of the four kinds;
        - `grades`: by split, counts of retinopathy (5 rows) by edema (3 columns);
        - `survival`: by lesion, `rows` and `share`, see `survivors`;
        - `exudates`: every hard exudate of both sets at 960×1440: `pixels`, the areas that there are, and `components`,
          how many have each; `image_pixels`, the pixels of an image;
        - `exudates_by_photograph`: for each image that has exudates, in order of split and name, its exudate
          `pixels` at that size, and `small_pixels`, how many of them lie in exudates below the fraction `small_below`
          of the image (`SMALL_EXUDATE`); `train`, how many of the images are for training, which come first;
        - `mean_colour`: by split, the mean of red, green and blue over all pixels, black border included, 0-255;
        - `graded_lesions`: the columns of `graded_lesions.graded_lesions` at 960×1440, by name; None for no exudate;
        - `square_survival`: by lesion, `sides` and `share`, see `square_survivors`;
        - `square_edge`: mean edge of the square about the field of view, as a fraction of the image's height.

    Raises:
        FundusError: As `IDRiDSegmentation` and `IDRiDGrading`.
    """
    small = open_all(root)
    parts = components(*small)
    exudates = parts.area[parts.lesion == "EX"].to_numpy()
    test = [small[1].mask(i) for i in range(len(small[1]))]  # (L, H, W) each
    tiny = exudates[exudates <= np.percentile(exudates, 90)] if len(exudates) else exudates
    per_image = np.sort([float(mask[LESIONS.index("EX")].mean()) for mask in test])[::-1]
    return {
        "fingerprint": fingerprint(Path(root), "segmentation"),
        "lesions": {
            lesion: {key: None if value != value else value for key, value in row.items()}  # NaN is not JSON
            for lesion, row in lesion_statistics(*small).to_dict("index").items()
        },
        "area_percentiles": {
            lesion: [float(f"{v:.4g}") for v in np.percentile(areas, np.arange(101))] if len(areas) else []
            for lesion, areas in ((lesion, parts.area[parts.lesion == lesion]) for lesion in LESIONS)
        },
        "pixels_in_small_exudates": float(tiny.sum() / exudates.sum()) if len(exudates) else None,
        "test_exudates_cumulated": [round(float(v), 2) for v in 100 * per_image.cumsum() / per_image.sum()]
        if per_image.any()
        else [],
        "test_lesion_share": float(np.mean([mask.any(axis=0).mean() for mask in test])),
        "grades": {split: grade_table(IDRiDGrading(root, split)).tolist() for split in ("train", "test")},
        "survival": _survival(root),
        **summarise_exudates(root),
        "mean_colour": mean_colours(root),
        **summarise_graded(root),
    }


def summarise_exudates(root: str | PathLike[str]) -> dict[str, Any]:
    """The part of `summarise` on single hard exudates: `exudates` and `exudates_by_photograph`."""
    parts = components(*open_all(root, lesions=("EX",)))
    areas, number = np.unique(parts.pixels.to_numpy(), return_counts=True)
    parts["small_pixels"] = parts.pixels.where(parts.area < SMALL_EXUDATE, 0)
    sums = parts.groupby(["split", "name"])[["pixels", "small_pixels"]].sum().sort_index(ascending=[False, True])
    return {
        "exudates": {
            "image_pixels": TABLE1_SIZE[0] * TABLE1_SIZE[1],
            "pixels": areas.tolist(),
            "components": number.tolist(),
        },
        "exudates_by_photograph": {
            "small_below": SMALL_EXUDATE,
            "train": int((sums.index.get_level_values("split") == "train").sum()),
            **{key: sums[key].tolist() for key in sums.columns},
        },
    }


def mean_colours(root: str | PathLike[str]) -> dict[str, list[float]]:
    """The part `mean_colour` of `summarise`: by split, the mean of red, green and blue over all pixels, 0-255."""
    return {split: _mean_colour(root, split) for split in ("train", "test")}


def summarise_graded(root: str | PathLike[str]) -> dict[str, Any]:
    """The part of `summarise` on lesions beside grades and in squares about the field of view: its last three keys."""
    table = graded_lesions(root).map(lambda value: float(f"{value:.6g}") if isinstance(value, float) else value)
    columns = table.astype(object).where(table.notna(), None).to_dict("list")
    edge = float(f"{np.mean([_edge(data[i]) for data in open_all(root, lesions=()) for i in range(len(data))]):.6g}")
    return {"graded_lesions": columns, "square_survival": _square_survival(root), "square_edge": edge}


def _edge(sample: Sample) -> float:
    box = bounding_box(field_of_view(sample["image"].as_subclass(torch.Tensor).permute(1, 2, 0).numpy()))
    return float(max(place.stop - place.start for place in box) / sample["image"].shape[-2])


def _mean_colour(root: str | PathLike[str], split: str) -> list[float]:
    data = IDRiDSegmentation(root, split, lesions=(), size=TABLE1_SIZE, cache=False)
    with ThreadPoolExecutor() as pool:
        means = list(pool.map(lambda i: data[i]["image"].numpy().mean((1, 2), dtype=np.float64), range(len(data))))
    return [round(float(value), 3) for value in np.mean(means, axis=0)]


def grade_table(graded: IDRiDGrading) -> NDArray[np.int64]:
    """How many images have which grades: (5, 3), retinopathy by risk of macular edema."""
    table = np.zeros((len(DR_GRADES), len(DME_GRADES)), np.int64)
    np.add.at(table, (graded.dr, graded.dme), 1)
    return table


def survivors(mask: NDArray[np.uint8], sizes: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """How many lesions of a mask are left when it is downsampled.

    A lesion, that is an 8-connected component, is left if a pixel of the downsampled mask, upsampled again, meets it.

    Args:
        mask: uint8 {0, 1} (H, W).
        sizes: Each (height, width) to downsample to, by area averaging as in `images.resize_mask`.

    Returns:
        For each size those left, and all.
    """
    return _count_met(mask, [resize_mask(mask, size) for size in sizes])


def find_met(mask: NDArray[np.uint8], kept: Sequence[NDArray[np.uint8]]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The lesions, that is the 8-connected components, of a mask, and which of them a pixel of a smaller mask meets.

    Args:
        mask: uint8 {0, 1} (H, W).
        kept: What is left of it at K sizes, alike.

    Returns:
        Pixels of each lesion, (N,), and whether each of the smaller masks, upsampled again, meets it, (K, N).
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    found = cv2.findNonZero(mask)  # column and row of each pixel, or None
    columns, rows = np.zeros((2, 0), np.intp) if found is None else found.reshape(-1, 2).T.astype(np.intp)
    lesion, (height, width) = labels[rows, columns], mask.shape  # (pixels,)
    met = np.zeros((len(kept), count), np.bool_)
    for own, small in zip(met, kept, strict=True):
        own[lesion[small[rows * small.shape[0] // height, columns * small.shape[1] // width] > 0]] = True
    return stats[1:, cv2.CC_STAT_AREA].astype(np.int64), met[:, 1:]


def _count_met(mask: NDArray[np.uint8], kept: Sequence[NDArray[np.uint8]]) -> list[tuple[int, int]]:
    """Of the lesions of a mask (H, W) how many each downsampled mask meets, and how many there are."""
    met = find_met(mask, kept)[1]
    return [(int(own.sum()), own.size) for own in met]


def _survival(root: str | PathLike[str]) -> dict[str, dict[str, Any]]:
    """By lesion, the fraction of the lesions of all images that is left at each of `SURVIVAL_ROWS`."""
    found: dict[str, dict[str, Any]] = {}
    for lesion in LESIONS:
        datasets = [IDRiDSegmentation(root, split, lesions=(lesion,)) for split in ("train", "test")]
        jobs = [(data, i) for data in datasets for i in np.flatnonzero(data.annotated[:, 0])]
        height = max((data.mask(int(i)).shape[1] for data, i in jobs[:1]), default=0)
        rows = [n for n in SURVIVAL_ROWS if n < height]

        def count(job: tuple[IDRiDSegmentation, int], rows: list[int] = rows) -> list[tuple[int, int]]:
            mask = job[0].mask(int(job[1]))[0]
            return survivors(mask, [(n, round(n * mask.shape[1] / mask.shape[0])) for n in rows])

        with ThreadPoolExecutor() as pool:
            counts = list(tqdm(pool.map(count, jobs), f"{lesion} shrunk", len(jobs), unit="image"))
        left, total = np.array(counts, np.int64).reshape(len(jobs), len(rows), 2).sum(axis=0).T  # (rows,) each
        found[lesion] = {"rows": [float(n) for n in rows], "share": _share(left, total, 4)}
    return found


def _share(part: NDArray[np.int64], total: NDArray[np.int64], digits: int) -> list[float | None]:
    """Fractions; None where there is nothing to take a fraction of."""
    return [float(np.round(p / t, digits)) if t else None for p, t in zip(part, total, strict=True)]


def square_survivors(sample: Sample, sides: Sequence[int] = SQUARE_SIDES) -> list[list[tuple[int, int]]]:
    """How many lesions of each kind are left in the square about the field of view, see `FieldSquare`.

    A lesion is left as in `survivors`: if a pixel of the square, on the image where it came from, meets it.

    Args:
        sample: An image with its lesions, at full size.
        sides: Of the squares.

    Returns:
        For each lesion and each side those left, and all.
    """
    image = np.ascontiguousarray(sample["image"].as_subclass(torch.Tensor).permute(1, 2, 0).numpy())  # (H, W, 3)
    masks = sample["mask"].numpy()  # (L, H, W)
    kept = []
    for side in sides:
        size = height, width = FieldSquare(side).source_size
        small = np.stack([resize_mask(mask, size) for mask in masks])
        places = torch.arange(height * width, dtype=torch.int32).reshape(1, height, width)
        square: dict[str, Any] = FieldSquare(side)(
            {
                "image": tv_tensors.Image(torch.from_numpy(resize_image(image, size)).permute(2, 0, 1)),
                "mask": tv_tensors.Mask(torch.from_numpy(small)),
                "places": tv_tensors.Mask(places),
            }
        )
        seen = np.zeros((len(masks), height, width), np.uint8)
        for lesion, found in zip(seen, square["mask"], strict=True):
            lesion.flat[square["places"][0][found > 0].numpy()] = 1
        kept.append(seen)
    return [_count_met(mask, of_lesion) for mask, of_lesion in zip(masks, zip(*kept, strict=True), strict=True)]


def _square_survival(root: str | PathLike[str]) -> dict[str, dict[str, Any]]:
    """By lesion, the fraction of the lesions of all images that is left in squares of `SQUARE_SIDES`."""
    full = open_all(root, size=None)
    jobs = [(data, index) for data in full for index in range(len(data))]
    with ThreadPoolExecutor() as pool:
        found = pool.map(lambda job: square_survivors(job[0][job[1]]), jobs)
        counts = np.array(list(tqdm(found, "squares", len(jobs), unit="image")))
    left, total = np.moveaxis(counts.sum(axis=0), -1, 0)  # (lesions, sides) each
    shares = [_share(a, b, 4) for a, b in zip(left, total, strict=True)]
    sides = [float(side) for side in SQUARE_SIDES]
    return {lesion: {"sides": sides, "share": share} for lesion, share in zip(LESIONS, shares, strict=True)}
