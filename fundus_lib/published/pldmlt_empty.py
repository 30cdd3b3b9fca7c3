"""What an empty prediction scores in the metrics of `pldmlt`: mean Dice and mean IoU of background and fused lesions.

`measured` holds what `measure` found on the real IDRiD. It is no pixel of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fundus_lib.data.idrid import IDRiDSegmentation
from fundus_lib.data.images import Pixels, resize_mask
from fundus_lib.metrics import PixelCounts
from fundus_lib.protocols.fused_lesions import score_means
from fundus_lib.published.measured import read_measured

SIDE = 1024
"""Of the paper's images, in pixels."""

SPLITS = ("train", "test")


def score_empty(lesion: list[int], pixels: int) -> dict[str, float]:
    """Scores of a prediction without any lesion.

    Args:
        lesion: Lesion pixels of each image.
        pixels: Pixels of an image.

    Returns:
        `mdice` and `miou`, by how classes and images are averaged. `micro`: counts of both classes, added, so that Dice
        is the share of correct pixels; `macro`: the mean over background and lesion. `pooled`: over all images at
        once; `images`: mean over images, an absent class left out. `lesion`: lesion's own Dice, 0 unless no image has
        any.
    """
    counts = [PixelCounts(fn=found, tn=pixels - found) for found in lesion]
    means = {k if k.endswith("_images") else f"{k}_pooled": value for k, value in score_means(counts).items()}
    scores = {name.replace("_", ", "): value for name, value in means.items()}
    return scores | {"mdice, lesion": sum(counts, PixelCounts()).f1}


def fuse(mask: Pixels, side: int) -> Pixels:
    """All lesions of a mask {0, 1} (L, H, W) in one, (side, side): lesion where half of the area of a pixel is."""
    return resize_mask(np.ascontiguousarray(mask.max(0)), (side, side))


def measure(root: str | Path, side: int = SIDE) -> dict[str, Any]:
    """Measure a copy of IDRiD; takes minutes.

    Args:
        root: Root of a copy.
        side: To which masks are resized, as the paper does, whatever their proportions.

    Returns:
        `side`; and for `"all"` images and for `"test"`: `images`, how many; `lesion`, the share of lesion pixels; and
        what :func:`score_empty` returns.
    """
    lesion: dict[str, list[int]] = {}
    for split in SPLITS:
        data = IDRiDSegmentation(root, split, cache=False)
        lesion[split] = [int(fuse(data.mask(index), side).sum()) for index in range(len(data))]
    found: dict[str, Any] = {"side": side}
    for name, counts in (("all", lesion["train"] + lesion["test"]), ("test", lesion["test"])):
        scores = score_empty(counts, side**2) | {"lesion": sum(counts) / len(counts) / side**2}
        found[name] = {"images": len(counts)} | {key: round(value, 6) for key, value in scores.items()}
    return found


def measured() -> dict[str, Any]:
    """What :func:`measure` found on the real IDRiD."""
    return read_measured(__name__)
