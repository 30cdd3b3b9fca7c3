"""What full resolution holds of the four lesions, and what the patches and the shrunk image of local_global hold of it.

`measured` holds what `measure` found on the real IDRiD. It is no pixel of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from fundus_lib.data.centre_crop import find_middle
from fundus_lib.data.field_of_view import field_of_view
from fundus_lib.data.idrid import IDRiDSegmentation
from fundus_lib.data.images import Pixels, resize_mask
from fundus_lib.data.sample import LESIONS, Size
from fundus_lib.data.summary import find_met
from fundus_lib.protocols.stored import count_at
from fundus_lib.published.measured import read_measured

FULL: Size = (2848, 4288)
"""(height, width) of IDRiD's images in pixels."""

MIDDLE: Size = (2816, 3328)
"""The paper's crop of it."""

PATCH = 256
"""Side of its patches in pixels."""

SIZES: dict[str, Size] = {"512²": (512, 512), "640²": (640, 640), "half": (1408, 1664)}
"""Sizes to which the crop is resized; 640² is the paper's global image."""

DIAMETERS = (10, 20, 40, 80)
"""Diameters in pixels of the discs of the same area at which a class of lesions ends and the next begins."""


RING = 8
"""Width in pixels of the surrounding with which a lesion is compared."""


def count_survivors(mask: Pixels, sizes: dict[str, Size]) -> dict[str, NDArray[np.int64]]:
    """How many lesions of each size are left when a mask is resized.

    A lesion, that is an 8-connected component, is left if a pixel of the resized mask, enlarged again, meets it.

    Args:
        mask: uint8 {0, 1} (H, W).
        sizes: Name → (height, width) to resize to, by area: a pixel is lesion if at least half of it is.

    Returns:
        Counts by class of `DIAMETERS`, (5,) each: `"all"`, and those left at each of the sizes.
    """
    areas, met = find_met(mask, [resize_mask(mask, size) for size in sizes.values()])
    classes = np.searchsorted(DIAMETERS, 2 * np.sqrt(areas / np.pi), side="right")
    left = {"all": classes} | {name: classes[own] for name, own in zip(sizes, met, strict=True)}
    return {name: np.bincount(own, minlength=len(DIAMETERS) + 1) for name, own in left.items()}


def count_oracle(mask: Pixels, size: Size) -> NDArray[np.int64]:
    """The scores of a perfect prediction at a smaller size: of each pixel the fraction of it that is lesion.

    Enlarged bilinearly, as the paper's global prediction would be; in 256 steps.

    Args:
        mask: uint8 {0, 1} (H, W).
        size: (height, width) at which is predicted.

    Returns:
        How many background and lesion pixels have each score, (2, 256), ascending.
    """
    fraction = cv2.resize(mask * np.uint8(255), size[::-1], interpolation=cv2.INTER_AREA)
    scores = cv2.resize(fraction, mask.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.stack([np.bincount(scores[mask == value], minlength=256) for value in (0, 1)])


def score_oracle(counts: NDArray[np.int64]) -> float:
    """Average precision of what :func:`count_oracle` gives, (2, 256), summed over images."""
    return count_at(counts, np.arange(255, -1, -1)).auprc(interpolation="step")


def score_mask(mask: Pixels, size: Size) -> tuple[int, int, int]:
    """True positives, pixels predicted, and lesion pixels of the best binary mask at a smaller size, enlarged again."""
    again = np.asarray(cv2.resize(resize_mask(mask, size), mask.shape[::-1], interpolation=cv2.INTER_NEAREST), np.uint8)
    return int((again & mask).sum()), int(again.sum()), int(mask.sum())


def measure_contrasts(grey: Pixels, mask: Pixels, sizes: dict[str, Size]) -> dict[str, NDArray[np.float64]]:
    """How far lesions stand out from what surrounds them, before and after the image was resized.

    Args:
        grey: One channel of the image, uint8 (H, W).
        mask: uint8 {0, 1} (H, W).
        sizes: Name → (height, width) to resize to, by area; the image is then enlarged again bilinearly, so that the
            same pixels are compared.

    Returns:
        For each 8-connected component with a surrounding, `"diameter"` of the disc of the same area in pixels, and its
        mean minus that of the pixels within `RING` of it that are no lesion, in grey levels: `"full"`, and each size.
    """
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * RING + 1, 2 * RING + 1))
    grown = cv2.dilate(labels.astype(np.uint16), disc)
    inside, around = mask > 0, (mask == 0) & (grown > 0)
    number, count = len(stats), [np.bincount(where, minlength=len(stats)) for where in (labels[inside], grown[around])]
    kept = (np.arange(number) > 0) & (count[0] > 0) & (count[1] > 0)
    found = {"diameter": 2 * np.sqrt(stats[kept, cv2.CC_STAT_AREA] / np.pi)}
    for name, size in {"full": grey.shape, **sizes}.items():
        small = cv2.resize(grey, size[::-1], interpolation=cv2.INTER_AREA)
        seen = cv2.resize(small, grey.shape[::-1], interpolation=cv2.INTER_LINEAR)
        sums = [np.bincount(of[where], seen[where], number) for of, where in ((labels, inside), (grown, around))]
        means = [total[kept] / pixels[kept] for total, pixels in zip(sums, count, strict=True)]
        found[name] = means[0] - means[1]
    return found


def count_patches(mask: Pixels, patch: int = PATCH) -> NDArray[np.int64]:
    """Lesion pixels of each patch, (rows, columns), of a mask {0, 1} (H, W) that patches fill without remainder."""
    height, width = (side // patch for side in mask.shape)
    counts: NDArray[np.int64] = mask.reshape(height, patch, width, patch).sum((1, 3), dtype=np.int64)
    return counts


def measure_extents(mask: Pixels, patch: int = PATCH) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """How long the lesions of a mask {0, 1} (H, W) are, and which the grid of patches divides.

    Returns:
        Longer sides of the rectangles around the 8-connected components in pixels, and whether a rectangle reaches into
        more than one patch; (N,) each.
    """
    stats = cv2.connectedComponentsWithStats(mask, connectivity=8)[2][1:]
    left, top, width, height = stats[:, :4].astype(np.int64).T
    divided = (top // patch != (top + height - 1) // patch) | (left // patch != (left + width - 1) // patch)
    return np.maximum(width, height), divided


def measure(root: str | Path) -> dict[str, Any]:
    """Measure a copy of IDRiD at its full size; takes some minutes.

    Args:
        root: Root of a copy.

    Returns:
        `crop`: what the paper's crop leaves out of the field of view, the mean `cut` and the `most_cut`; the fraction
        `black` of the crop that lies outside of the field; and `empty_patches`, how many of the patches do wholly, a
        mean.

        `lesions`, for each kind: `images` that have it; `left_out`, the fraction of lesion pixels outside of the crop,
        and `images_cut`, how many images have any there. Of the crops of all images `survivors`, as of
        :func:`count_survivors`, summed; `contrast`, by size and class of `DIAMETERS`, medians of
        :func:`measure_contrasts` in the green channel; `extent`, percentiles 0 to 100 of the first of
        :func:`measure_extents`, and `divided`, the mean of the second. Of the test images, pooled, by size: `oracle`,
        the average precision of :func:`count_oracle`, and `binary`, F1 of :func:`score_mask`. Of the training images
        `patches`, of each image how many patches hold a lesion pixel, ascending; `patch_pixels`, percentiles 0 to 100
        of the lesion pixels of such patches; `image_pixels`, the same of images that have the lesion, resized to 640².
    """
    middle, crop = find_middle(FULL, MIDDLE), []
    quarter = find_middle((FULL[0] // 4, FULL[1] // 4), (MIDDLE[0] // 4, MIDDLE[1] // 4))
    per_lesion: dict[str, dict[str, list[Any]]] = {lesion: {} for lesion in LESIONS}
    for split in ("train", "test"):
        data = IDRiDSegmentation(root, split, cache=False)
        fields = IDRiDSegmentation(root, split, lesions=(), size=(FULL[0] // 4, FULL[1] // 4), cache=False)
        for index in tqdm(range(len(data)), f"local_global, {split}"):
            field = field_of_view(fields[index]["image"].numpy().transpose(1, 2, 0)).astype(np.uint8)
            inside = np.ascontiguousarray(field[quarter])
            empty = (count_patches(inside, PATCH // 4) == 0).sum()
            crop.append((1 - inside.sum() / field.sum(), 1 - inside.mean(), empty))
            sample = data[index]
            green = np.ascontiguousarray(sample["image"][1].numpy()[middle])
            for lesion, full in zip(LESIONS, sample["mask"].numpy(), strict=True):
                found = _measure_one(green, np.ascontiguousarray(full[middle]), int(full.sum()), split)
                for key, value in found.items():
                    per_lesion[lesion].setdefault(key, []).append(value)
    cut, black, empty = np.array(crop).T
    return {
        "crop": {
            "cut": round(float(cut.mean()), 5),
            "most_cut": round(float(cut.max()), 5),
            "black": round(float(black.mean()), 4),
            "empty_patches": round(float(empty.mean()), 2),
        },
        "lesions": {lesion: _summarise(found) for lesion, found in per_lesion.items()},
    }


def _measure_one(green: Pixels, mask: Pixels, whole: int, split: str) -> dict[str, Any]:
    """All about one mask (H, W) of a crop; `whole` counts the lesion pixels of the whole image."""
    found: dict[str, Any] = {"pixels": (int(mask.sum()), whole)}
    if split == "train":
        found["counts"] = count_patches(mask, PATCH)
        found["small"] = int(resize_mask(mask, SIZES["640²"]).sum())
    else:
        found["oracle"] = {name: count_oracle(mask, size) for name, size in SIZES.items()}
        found["binary"] = {name: score_mask(mask, size) for name, size in SIZES.items()}
    if mask.any():
        found["survivors"] = count_survivors(mask, SIZES)
        found["contrast"] = measure_contrasts(green, mask, SIZES)
        found["extents"], found["divided"] = measure_extents(mask, PATCH)
    return found


def _summarise(found: dict[str, list[Any]]) -> dict[str, Any]:
    inside, whole = np.array(found["pixels"]).T
    extents, divided = np.concatenate(found["extents"]), np.concatenate(found["divided"])
    counts = np.stack(found["counts"])  # (54, rows, columns)
    small = np.array(found["small"])
    return {
        "images": int((whole > 0).sum()),
        "left_out": float(f"{1 - inside.sum() / whole.sum():.4g}"),
        "images_cut": int((inside < whole).sum()),
        "survivors": {name: sum(one[name] for one in found["survivors"]).tolist() for name in ("all", *SIZES)},
        "oracle": {name: round(score_oracle(sum(one[name] for one in found["oracle"])), 4) for name in SIZES},
        "binary": {name: _f1([one[name] for one in found["binary"]]) for name in SIZES},
        "contrast": {name: _medians(found["contrast"], name) for name in ("full", *SIZES)},
        "extent": _percentiles(extents),
        "divided": round(float(divided.mean()), 4),
        "patches": sorted((counts > 0).sum((1, 2)).tolist()),
        "patch_pixels": _percentiles(counts[counts > 0]),
        "image_pixels": _percentiles(small[small > 0]),
    }


def _f1(counts: list[tuple[int, int, int]]) -> float:
    hits, predicted, lesion = np.array(counts).sum(0)
    return round(float(2 * hits / (predicted + lesion)), 4)


def _medians(contrasts: list[dict[str, NDArray[np.float64]]], name: str) -> list[float | None]:
    """By class of `DIAMETERS`; None for a class without lesion."""
    diameters, values = (np.concatenate([one[key] for one in contrasts]) for key in ("diameter", name))
    classes = np.searchsorted(DIAMETERS, diameters, side="right")
    own = [values[classes == k] for k in range(len(DIAMETERS) + 1)]
    return [round(float(np.median(v)), 2) if len(v) else None for v in own]


def _percentiles(values: NDArray[np.int64]) -> list[int]:
    return np.percentile(values, np.arange(101)).round().astype(int).tolist()


def measured() -> dict[str, Any]:
    """What :func:`measure` found on the real IDRiD."""
    return read_measured(__name__)
