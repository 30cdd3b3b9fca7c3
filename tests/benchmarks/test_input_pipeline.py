"""Reading a split from the array cache against decoding it each time, in the same run.

Runs on IDRiD if it is there, else on the drawn data set, at 640×960. `make benchmarks`.
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
    """Read the first images and their masks."""
    return sum(int(data[i]["mask"].sum()) for i in range(min(COUNT, len(data))))


@pytest.mark.benchmark(group="read 8 images with 4 masks, 640x960")
def test_from_the_cache(benchmark, root):
    data = IDRiDSegmentation(root, "train", size=SIZE)
    data.prepare()
    assert benchmark.pedantic(epoch, args=(data,), rounds=5, warmup_rounds=1) > 0


@pytest.mark.benchmark(group="read 8 images with 4 masks, 640x960")
def test_decoding_every_time(benchmark, root):
    data = IDRiDSegmentation(root, "train", size=SIZE, cache=False)
    assert benchmark.pedantic(epoch, args=(data,), rounds=3) > 0
