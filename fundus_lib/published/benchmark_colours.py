"""Networks that were trained with other colours: what each loses when light and colours of the test images change.

For the rows `base`, `colour_0`, `colour_0.4` and `by_image` of the benchmark's search, once they are trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fundus_lib.checkpoints import load_model
from fundus_lib.devices import native_bf16
from fundus_lib.errors import ArgumentError
from fundus_lib.metrics.bootstrap import Estimate, bootstrap
from fundus_lib.published.benchmark_shifts import OWN, SHIFTS, TRAINING, Shift, count_scores, predict_shifted, score
from fundus_lib.tasks.first_segmenter import read_split

COLOURS = tuple(shift for shift in SHIFTS if shift.of_colours)
"""No change, and those of light and colour."""


def measure(
    root: Path, networks: Mapping[str, str | Path], count: int | None = None, shifts: Sequence[Shift] = COLOURS
) -> dict[str, Any]:
    """Shifts on the test images of IDRiD, one view of each, in bf16 where the processor multiplies it.

    Args:
        root: Root of a copy of IDRiD.
        networks: Row of the search → file of the trained network, all of one size and for the same lesions; each
            normalises as it did in training. The others are compared with the first.
        count: Only the first so many images.
        shifts: Which, the first of them no change.

    Raises:
        ArgumentError: There is no network, or they differ in size or lesions.

    Returns:
        Plain values for JSON. `"scores"`: for each row and shift, value and 95 % interval over images of the mean over
        the lesions of AUPR, pooled at the size of training: `"aupr"`; `"change"` against the same network on unchanged
        images; and `"gain"` over the first network under the same shift, both paired.
    """
    counts: dict[str, dict[str, NDArray[np.int64]]] = {}
    sizes = set()
    for row, file in networks.items():
        task = load_model(file).task
        task.mirrored = ((),)
        sizes.add((task.recipe.size, task.recipe.lesions))
        by = OWN if task.recipe.normalise_by == "image" else TRAINING
        test = read_split(task.recipe, root, "test", count)
        pairs = [(image, mask) for image, mask in zip(test.images, test.masks, strict=True) if mask is not None]
        with torch.autocast("cpu", torch.bfloat16, enabled=native_bf16(torch.device("cpu"))):
            counts[row] = {
                shift.name: np.stack([count_scores(predict_shifted(task, i, shift, by), m) for i, m in pairs])
                for shift in shifts
            }
    if len(sizes) != 1:
        raise ArgumentError(
            "networks",
            "these cannot be compared",
            found=f"size and lesions {sorted(map(str, sizes))}",
            expected="one or more networks of one size, for the same lesions",
            remedy="compare rows of one table",
        )
    ((size, lesions),) = sizes
    first = next(iter(counts))
    return {
        "images": len(counts[first][shifts[0].name]),
        "lesions": list(lesions),
        "size": list(size),
        "scores": {
            row: {name: _compare(own[name], own[shifts[0].name], counts[first][name]) for name in own}
            for row, own in counts.items()
        },
    }


def _compare(own: NDArray[np.int64], unchanged: NDArray[np.int64], first: NDArray[np.int64]) -> dict[str, list[float]]:
    """Scores from counts of each image, (N, L, 2, BINS), of a network and of what it is compared with."""

    def mean(some: NDArray[np.int64]) -> float:
        return float(score(some[:, 0]).mean() - (score(some[:, 1]).mean() if some.shape[1] > 1 else 0))

    found = {"aupr": [own], "change": [own, unchanged], "gain": [own, first]}
    return {name: _round(bootstrap(np.stack(parts, 1), mean)) for name, parts in found.items()}


def _round(found: Estimate) -> list[float]:
    return [round(float(end), 4) for end in (found.value, found.low, found.high)]
