"""The network that ships, scored as the rows of the benchmark are: at the images' own size, under each protocol.

`measured` holds what `measure` found of the U-Net of four lesions on the 27 test images of the real IDRiD. It is no
pixel of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fundus_lib.protocols.benchmark import Benchmark
from fundus_lib.published.measured import read_measured
from fundus_lib.tasks.first_segmenter import read_split
from fundus_lib.weights import DEFAULT, find


def measure(root: Path, network: str = DEFAULT, count: int | None = None) -> dict[str, Any]:
    """Scores under all protocols of the benchmark.

    Args:
        root: Root of a copy of IDRiD.
        network: A segmenter that ships, or the path of one.
        count: Only the first so many images.

    Returns:
        Plain values for JSON: `"network"` in words, and as in a record `"images"`, `"size"` (of training), `"metrics"`,
        `"variants"` and `"predictions"`.
    """
    checkpoint = find(network)
    recipe = checkpoint.task.recipe
    test = read_split(recipe, root, "test", count)
    found = Benchmark(recipe, test).full(checkpoint.task)
    return {
        "network": checkpoint.describe(),
        "images": len(test),
        "size": list(recipe.size),
        "metrics": found.metrics,
        "variants": found.variants,
        "predictions": found.predictions,
    }


def measured() -> dict[str, Any]:
    """What `measure` found on the real IDRiD."""
    return read_measured(__name__)
