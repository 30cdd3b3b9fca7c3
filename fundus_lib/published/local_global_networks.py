"""What fusion does to a prediction in local_global: steps at the borders of patches, and who finds which pixels.

`measured` holds what `measure` found on the test images of the real IDRiD, of runs of the table `half`. It is no pixel
of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from fundus_lib.checkpoints import load_model
from fundus_lib.errors import CheckpointError
from fundus_lib.metrics import LesionRecall, average_precision, lesion_recall
from fundus_lib.models.patch_grid import PatchGrid
from fundus_lib.protocols.lesions import breakeven_threshold
from fundus_lib.published.local_global_masks import DIAMETERS
from fundus_lib.published.measured import read_measured
from fundus_lib.tasks.base import FundusTask
from fundus_lib.tasks.local_global import read_split

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Whole = NDArray[np.int64]

NETWORKS = ("global", "local", "fused")
"""In the order in which their decisions are counted."""

REACH = 8
"""Distance from a border of patches, in pixels, up to which steps are told apart."""


def predict(task: FundusTask, image: torch.Tensor, overlap: int = 0) -> Floats:
    """Probabilities of the first lesion, float32 (H, W), from patches that overlap by so many pixels.

    Args:
        task: Of `local_global`; its recipe is as before afterwards.
        image: uint8 (3, H, W).
        overlap: See :class:`~fundus_lib.models.patch_grid.PatchGrid`.
    """
    recipe = task.recipe
    task.recipe = recipe.replace(overlap=overlap)
    try:
        found: Floats = task.predict(image)["logits"][0].sigmoid().cpu().numpy()
    finally:
        task.recipe = recipe
    return found


def find_borders(grid: PatchGrid) -> tuple[Whole, Whole]:
    """First rows after a border of patches, and first columns: where a patch begins inside the image, or ends."""
    rows, columns = (
        np.unique(np.array([p for start in starts for p in (start, start + side) if 0 < p < length], np.int64))
        for starts, side, length in zip(grid.starts, grid.shape, grid.size, strict=True)
    )
    return rows, columns


def measure_steps(scores: Floats, grid: PatchGrid, reach: int = REACH) -> NDArray[np.float64]:
    """How much scores change from a pixel to the next, by the distance from the nearest border of patches.

    Args:
        scores: (H, W).
        grid: With whose patches they were predicted.
        reach: Distance in pixels beyond which all are taken together.

    Returns:
        Shape (reach + 2,), the mean absolute difference of neighbours on both sides of a border, then of those 1, …,
        `reach` pixels away from it, then of all farther ones.
    """
    total, number = np.zeros(reach + 2), np.zeros(reach + 2)
    for axis, borders in enumerate(find_borders(grid)):
        steps = np.abs(np.diff(scores, axis=axis)).mean(1 - axis, dtype=np.float64)  # between a line and the next
        second = np.arange(1, len(steps) + 1)
        distance = np.abs(second[:, None] - borders).min(1) if len(borders) else np.full(len(steps), reach + 1)
        place = np.minimum(distance, reach + 1)
        weight = scores.shape[1 - axis]
        total += weight * np.bincount(place, steps, minlength=reach + 2)
        number += weight * np.bincount(place, minlength=reach + 2)
    return total / np.maximum(number, 1)


def count_decisions(decisions: Sequence[Bools], target: Bools) -> Whole:
    """How many pixels each combination of decisions has.

    Args:
        decisions: Of three networks, bool, any shape: the global one, the local one, the fused one.
        target: Where lesion is; the same shape.

    Returns:
        Shape (2, 2, 2, 2), by lesion, and by each of the decisions, 0 and 1.
    """
    code = 8 * target + 4 * decisions[0] + 2 * decisions[1] + decisions[2]
    return np.bincount(code.ravel(), minlength=16).reshape(2, 2, 2, 2)


def find_cases(counts: Whole) -> dict[str, tuple[int, int]]:
    """Who is right where, from :func:`count_decisions`: the pixels of each case, and how many the fused network has.

    Returns:
        `"both right"`, `"only global"`, `"only local"` and `"both wrong"`, of lesion pixels (`"… lesion"`) and of
        background (`"… background"`): number of pixels, and of those on which the fused network is right.
    """
    names = {(1, 1): "both right", (1, 0): "only global", (0, 1): "only local", (0, 0): "both wrong"}
    found = {}
    for lesion, kind in ((1, "lesion"), (0, "background")):
        for right, name in names.items():
            one, other = (int(value == lesion) for value in right)  # what each decides if it is right, or wrong
            pixels = counts[lesion, one, other]
            found[f"{name} {kind}"] = int(pixels.sum()), int(pixels[lesion])
    return found


def find_edges(scale: float) -> tuple[int, ...]:
    """The areas in pixels, at least 1 apart, at which classes of `DIAMETERS` end at so much of the full size."""
    edges: list[int] = []
    for diameter in DIAMETERS:
        area = math.ceil(math.pi / 4 * (scale * diameter) ** 2)
        edges.append(max(area, edges[-1] + 1 if edges else 1))
    return tuple(edges)


def find_model(runs: str | Path, row: str) -> Path:
    """The model of a row of the table `half`, seed 0, in a folder of runs.

    Raises:
        CheckpointError: There is none, or there are several.
    """
    found = sorted(Path(runs).glob(f"local_global-half-{row}-seed0-*/model.pt"))
    if len(found) != 1:
        raise CheckpointError(
            runs,
            "this folder does not hold one run of the row",
            found=", ".join(path.parent.name for path in found) or "none",
            expected=f"local_global-half-{row}-seed0-…/model.pt",
            remedy=f"fundus run local_global --table half --row {row} --seeds 1 --out {runs}",
        )
    return found[0]


def measure(
    root: str | Path,
    runs: str | Path,
    lesion: str = "EX",
    overlaps: Sequence[int] = (0, 32),
    count: int | None = None,
) -> dict[str, Any]:
    """Measure the three networks of the table `half` on the test images of a copy of IDRiD; takes many minutes.

    Args:
        root: Root of a copy.
        runs: Folder of `fundus run`, with the rows of the global, the local and the fused network, seed 0.
        lesion: Which.
        overlaps: Of the patches, in pixels; the first is that of all decisions.
        count: Only the first so many images.

    Returns:
        Nested plain values of the images at the size of the networks, all pixels pooled.

        `images`, how many; `edges`, the areas of :func:`find_edges`; `decisions`, see :func:`count_decisions`, each
        network at its own break-even threshold.

        `networks`, of each: `run`, its name; `aupr` and `steps`, of :func:`measure_steps`, by overlap; `breakeven`,
        its threshold; `lesions` and `found`, how many lesions there are in each class of size, and of how many a pixel
        is found at break-even.
    """
    models = {name: load_model(find_model(runs, f"{lesion}_{name}")) for name in NETWORKS}
    recipe = models["fused"].task.recipe
    data = read_split(recipe, Path(root), "test", count)
    target = np.stack([mask[0].cpu().numpy() for mask in data.masks if mask is not None]) > 0
    size: tuple[int, int] = (target.shape[1], target.shape[2])
    found: dict[str, Any] = {}
    decisions = []
    edges = find_edges(size[0] / 2816)
    for name, model in models.items():
        aupr, steps = {}, {}
        first: Floats | None = None
        for overlap in overlaps if name != "global" else overlaps[:1]:
            grid = PatchGrid(size, recipe.crop, overlap)
            each = [predict(model.task, image, overlap) for image in tqdm(data.images, f"{name}, overlap {overlap}")]
            scores = np.stack(each)
            aupr[str(overlap)] = round(average_precision(scores, target), 4)
            profile = np.mean([measure_steps(one, grid) for one in each], axis=0)
            steps[str(overlap)] = [float(f"{step:.4g}") for step in profile]
            first = scores if first is None else first
        assert first is not None
        threshold = breakeven_threshold(torch.from_numpy(first), torch.from_numpy(target))
        decided = first >= threshold
        decisions.append(decided)
        recall = sum((lesion_recall(d, t, edges) for d, t in zip(decided, target, strict=True)), LesionRecall())
        found[name] = {
            "run": model.origin["record"],
            "aupr": aupr,
            "steps": steps,
            "breakeven": float(f"{threshold:.4g}"),
            "lesions": list(recall.lesions),
            "found": list(recall.found),
        }
    return {
        "images": len(data),
        "edges": list(edges),
        "decisions": count_decisions(decisions, target).tolist(),
        "networks": found,
    }


def measured() -> Mapping[str, Any]:
    """What :func:`measure` found on the real IDRiD."""
    return read_measured(__name__)
