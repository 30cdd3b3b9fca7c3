"""Reading a split from the array cache against decoding it each time, in the same run.

Runs on IDRiD if it is there, else on the synthetic one, at 640×960. `make benchmarks`.
"""

import os
from pathlib import Path

import pytest

from fundus_lib.data import IDRiDSegmentation

SIZE = (640, 960)
COUNT = 8


@pytest.fixture(scope="module")
def root(request):
    real = Path(os.environ.get("FUNDUS_DATA", "")) / "IDRiD"
    return real if (real / "A. Segmentation").is_dir() else request.getfixturevalue("synthetic_root")


def epoch(data):
    """Read the images and their masks."""
    return sum(int(data[i]["mask"].sum()) for i in range(len(data)))


@pytest.mark.benchmark(group="read 8 images with 4 masks, 640x960")
def test_cache(compare, root):
    data = IDRiDSegmentation(root, "train", size=SIZE).first(COUNT)
    data.prepare()
    decoding = IDRiDSegmentation(root, "train", size=SIZE, cache=False).first(COUNT)
    pixels = compare(lambda: epoch(data), {"decoding": lambda: epoch(decoding)}, {"decoding": 0.1}, rounds=4)
    assert pixels["ours"] == pixels["decoding"] > 0
