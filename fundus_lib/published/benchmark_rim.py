"""False alarms at the optic disc: its rim is bright and sharp like an exudate, and no lesion.

`measured` holds what `measure` found of two networks that ship, on the 27 test images of the real IDRiD. It is no pixel
of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fundus_lib.data.field_of_view import field_of_view
from fundus_lib.data.idrid import IDRiDSegmentation
from fundus_lib.devices import native_bf16
from fundus_lib.metrics.bootstrap import bootstrap
from fundus_lib.published.measured import read_measured
from fundus_lib.tasks.first_segmenter import read_split
from fundus_lib.weights import DEFAULT, find

WIDTH = 0.25
"""Half the width of the ring about the border of the optic disc, in diameters of the disc."""

NETWORKS = (DEFAULT, "hecl/unet")
"""Trained on a GPU at half of IDRiD's size, and in minutes of one core at less than a quarter of it."""


def find_ring(disc: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The pixels near the border of the optic disc, {0, 1} (H, W) and not empty."""
    diameter = 2 * float(np.sqrt(disc.sum() / np.pi))
    distance = [cv2.distanceTransform(part, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for part in (disc, 1 - disc)]
    return np.maximum(*distance) <= WIDTH * diameter  # type: ignore[no-any-return]


def find_false_regions(called: NDArray[np.bool_], mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The called regions, 8-connected, that touch no lesion: (H, W) each.

    Called pixels at the edge of a lesion are not among them, which lie where lesions are, and not where a network errs.
    """
    _, labels = cv2.connectedComponents(called.astype(np.uint8), connectivity=8)
    return called & ~np.isin(labels, np.unique(labels[mask & called]))


def count_at_rim(
    logits: Tensor, masks: Tensor, disc: NDArray[np.uint8], field: NDArray[np.uint8]
) -> dict[str, NDArray[np.int64]]:
    """Area of regions that are false alarms, at a probability of 0.5, in the ring and in the rest of the field of view.

    Args:
        logits: float32 (L, H, W).
        masks: {0, 1} (L, H, W).
        disc: {0, 1} (H, W); not empty.
        field: Field of view, {0, 1} (H, W).

    Returns:
        `"area"`, int64 (2,): pixels of the ring and of the rest; `"false"`, int64 (L, 2): of false regions in each;
        `"lesion"`, int64 (L, 2): of lesions in each.
    """
    ring = find_ring(disc)
    parts = np.stack([ring & (field > 0), ~ring & (field > 0)])  # (2, H, W)
    truth = masks.numpy() > 0
    false = np.stack([find_false_regions(*pair) for pair in zip((logits > 0).numpy(), truth, strict=True)])
    return {
        "area": parts.sum((1, 2)),
        "false": np.stack([(one & parts).sum((1, 2)) for one in false]),
        "lesion": np.stack([(one & parts).sum((1, 2)) for one in truth]),
    }


def find_density(counts: NDArray[np.int64]) -> float:
    """How many times as dense false alarms are in the ring as in the rest.

    Args:
        counts: Of each image, area and false alarms in the ring and in the rest, (N, 2, 2).

    Returns:
        NaN without a false alarm in the rest.
    """
    area, false = counts.sum(0)
    return float(false[0] / area[0] * area[1] / false[1]) if false[1] else float("nan")


def measure(root: Path, networks: Sequence[str] = NETWORKS, count: int | None = None) -> dict[str, Any]:
    """False alarms of networks on the test images of IDRiD, one view of each, in bf16 where a processor multiplies it.

    Args:
        root: Root of a copy of IDRiD.
        networks: Segmenters that ship.
        count: Only the first so many images.

    Returns:
        Plain values for JSON: for each network `"images"`, `"size"`, `"ring"`, the fraction of the field of view that
        the ring is, and for each of its lesions `"false"` and `"lesion"`, pixels in ring and rest, and `"density"`, see
        :func:`find_density`, with its 95 % interval over images.
    """
    return {name: _measure(root, name, count) for name in networks}


def _measure(root: Path, name: str, count: int | None) -> dict[str, Any]:
    task = find(name).task
    task.mirrored = ((),)
    test = read_split(task.recipe, root, "test", count)
    discs = IDRiDSegmentation(root, "test", lesions=("OD",), size=task.recipe.size)
    seen = []
    with torch.autocast("cpu", torch.bfloat16, enabled=native_bf16(torch.device("cpu"))):
        for number, (image, own, mask) in enumerate(zip(test.images, test.statistics, test.masks, strict=True)):
            assert mask is not None, "images with masks are looked at"
            disc = np.asarray(discs[number]["mask"])[0].astype(np.uint8)
            field = field_of_view(np.ascontiguousarray(image.permute(1, 2, 0).numpy()))
            seen.append(count_at_rim(task.predict(image, own)["logits"].float(), mask, disc, field))
    area = np.stack([one["area"] for one in seen])  # (N, 2)
    found = {}
    for k, lesion in enumerate(task.recipe.lesions):
        false, there = (np.stack([one[what][k] for one in seen]) for what in ("false", "lesion"))
        density = bootstrap(np.stack([area, false], 1), find_density)
        ends = [round(float(end), 3) for end in (density.value, density.low, density.high)]
        found[lesion] = {"false": false.sum(0).tolist(), "lesion": there.sum(0).tolist(), "density": ends}
    ring, rest = area.sum(0).tolist()
    return {
        "images": len(test),
        "size": list(task.recipe.size),
        "ring": round(ring / (ring + rest), 4),
        "lesions": found,
    }


def measured() -> dict[str, Any]:
    """What `measure` found on the real IDRiD."""
    return read_measured(__name__)
