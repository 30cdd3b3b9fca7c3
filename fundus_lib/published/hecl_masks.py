"""What becomes of hard exudates on their way into hecl's terms: how masks are stored, resized and cut into patches.

`measured` holds what `measure` found on the real IDRiD. It is no pixel of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from fundus_lib.data.augment import rotate_and_crop
from fundus_lib.data.idrid import IDRiDSegmentation
from fundus_lib.data.images import Pixels, inflate_mask, resize_mask
from fundus_lib.data.padded_square import cut_columns, make_square
from fundus_lib.data.sample import Size
from fundus_lib.losses.hecl import HECLCriterion
from fundus_lib.protocols.image_means import SIDE
from fundus_lib.published.measured import read_measured
from fundus_lib.recipes.hecl import WHOLE

TRAINING: Size = (580, 733)
"""(height, width) of a training image of the paper, in pixels."""

THRESHOLDS = tuple(round(0.01 * k, 2) for k in range(1, 61))
"""Fractions of lesion pixels from which on a patch may be called dense."""

RGBA = "IDRiD_81"
"""The one image whose mask file has no palette."""


def resize_nearest(mask: Pixels, size: Size) -> Pixels:
    """Resize a mask {0, 1} (H, W) as Pillow does with palette files, whatever it is asked for: to the nearest pixel."""
    return np.asarray(Image.fromarray(mask).resize(size[::-1], Image.Resampling.NEAREST))


def inflate_dark(mask: Pixels, size: Size) -> Pixels:
    """As :func:`~fundus_lib.data.images.inflate_mask`, of lesions with the grey 76 of IDRiD's red."""
    grey = Image.fromarray(mask * np.uint8(76)).resize(size[::-1], Image.Resampling.BILINEAR)
    return (np.asarray(grey) > 0).view(np.uint8)


STORED: dict[str, Callable[[Pixels, Size], Pixels]] = {
    "half": resize_mask,
    "palette": resize_nearest,
    "grey 76": inflate_dark,
    "grey 255": inflate_mask,
}
"""How masks may be stored, and what resizing does then; `"half"` is ours, by area."""


def draw_densities(masks: Tensor, draws: int, side: int = WHOLE["crop"]) -> NDArray[np.float32]:
    """Fractions of lesion pixels in the patches of rotated random crops, as training has them.

    Args:
        masks: 0 and 1, (N, L, H, W).
        draws: Crops of each image.
        side: Of the crops in pixels.

    Returns:
        (N, draws, L, 25). Channels are cut alike.
    """
    criterion, found = HECLCriterion(strip="left out"), []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for mask in masks:
            several = mask.float().expand(draws, *mask.shape)
            _, crops = rotate_and_crop(several[:, :1] * 0, several, side)  # (draws, L, side, side)
            density = criterion.measure_density(crops.flatten(0, 1) > 0)  # (draws·L, 5, 5)
            found.append(density.reshape(draws, len(mask), -1).numpy())
    return np.stack(found)


def count_batches(dense: NDArray[np.int64], batch: int = 6, draws: int = 2000) -> dict[str, float]:
    """How often a batch and an epoch have enough dense patches.

    Args:
        dense: Dense patches of each crop of each image, (N, crops).
        batch: Images in a batch.
        draws: Orders of the images that the last is the mean of.

    Returns:
        `none`: fraction of batches without a dense patch, exact for the given crops; `one`: with a single one;
        `epochs`: fraction of epochs in which no batch is without.
    """
    none, one = (np.mean(dense == k, axis=1) for k in (0, 1))  # (N,)
    ways = np.zeros((batch + 1, 2))  # chosen images by dense patches: sums of products over all choices
    ways[0, 0] = 1
    for q, p in zip(none, one, strict=True):
        ways[1:] += np.stack([ways[:-1, 0] * q, ways[:-1, 1] * q + ways[:-1, 0] * p], axis=1)
    without, single = ways[batch] / math.comb(len(dense), batch)
    rng, full = np.random.default_rng(0), len(dense) // batch * batch
    orders = rng.permuted(np.tile(none, (draws, 1)), axis=1)[:, :full].reshape(draws, -1, batch)
    epochs = (1 - orders.prod(2)).prod(1).mean()
    return {"none": float(without), "one": float(single), "epochs": float(epochs)}


def count_dense(
    densities: NDArray[np.float32], thresholds: Sequence[float] = THRESHOLDS, batch: int = 6
) -> dict[str, list[float]]:
    """Fractions of dense patches, and of batches and epochs, by threshold.

    Args:
        densities: (N, crops, 25).
        thresholds: From which on a patch is dense.
        batch: Images in a batch.

    Returns:
        `patches`, fraction of patches that are dense; `images`, how many images have one in any crop; and the keys of
        :func:`count_batches`.
    """
    rows = []
    for threshold in thresholds:
        dense = densities >= threshold
        ever = {"patches": float(dense.mean()), "images": float(dense.any((1, 2)).sum())}
        rows.append(ever | count_batches(dense.sum(-1), batch))
    return {key: [float(f"{row[key]:.3g}") for row in rows] for key in rows[0]}


def measure(root: str | Path, draws: int = 120) -> dict[str, Any]:
    """Measure a copy of IDRiD; takes some minutes.

    Args:
        root: Root of a copy.
        draws: Crops of each training image.

    Returns:
        `thresholds`, and by way of storing `dense`: what :func:`count_dense` returns of the training images. `area`: by
        split and way of storing, lesion pixels relative to those at full size, as fractions of the image, pooled; with
        `"files"`, IDRiD's own: palettes but for one RGBA file, which is resized bilinearly.
    """
    areas, training = {}, []
    for split in ("train", "test"):
        data = IDRiDSegmentation(root, split, lesions=("EX",), cache=False)
        size, cut = ((SIDE, SIDE), make_square) if split == "test" else (TRAINING, cut_columns)
        rows = []
        for index, name in enumerate(data.names):
            full = cut(torch.from_numpy(np.ascontiguousarray(data.mask(index)[0]))).contiguous().numpy()
            small = {key: resize(full, size) for key, resize in STORED.items()}
            small["files"] = small["grey 76" if name == RGBA else "palette"]
            rows.append({key: mask.mean() for key, mask in small.items()} | {"full": full.mean()})
            if split == "train":
                training.append(np.stack([small[key] for key in STORED]))
        total = {key: sum(row[key] for row in rows) for key in rows[0]}
        areas[split] = {key: round(float(value / total["full"]), 4) for key, value in total.items()}
    densities = draw_densities(torch.from_numpy(np.stack(training)), draws)
    dense = {key: count_dense(densities[:, :, channel]) for channel, key in enumerate(STORED)}
    return {"draws": draws, "thresholds": list(THRESHOLDS), "dense": dense, "area": areas}


def measured() -> dict[str, Any]:
    """What :func:`measure` found on the real IDRiD."""
    return read_measured(__name__)
