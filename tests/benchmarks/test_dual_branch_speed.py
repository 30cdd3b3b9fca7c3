"""Inference of a dual-branch network, whose shared parts run once, on a whole photograph, against two networks.

Against two of ours; and against two as they are usually written: PSPNet with its means enlarged and convolved,
torchvision's DeepLabV3. Times are seconds of one core, without what else the machine does.
`pytest tests/benchmarks/test_dual_branch_speed.py --benchmark-only --dist=no`.
"""

import time

import pytest
import torch
from torch import nn

from fundus_lib.models import create_model
from helpers.plain import plain_network

WAYS = {
    "pspnet": ("dual", "two", "two plain"),
    "deeplabv3": ("dual", "two", "two plain"),
    "hed": ("dual", "two"),
}
SIZES = {"quarter": (240, 360), "full": (960, 1440)}
"""The paper's size for IDRiD, timed twice; a quarter of it along each side, timed five times."""
TARGET = 0.75
"""Of the time of two networks of ours, this share at most."""

fastest = {}
"""Size, base and way to the shortest time, filled by the tests in their order."""

pytestmark = pytest.mark.usefixtures("one_core")


@pytest.mark.benchmark(timer=time.process_time, warmup=False)
@pytest.mark.parametrize(
    ("size", "base", "way"), [(size, base, way) for size in SIZES for base, ways in WAYS.items() for way in ways]
)
def test_inference(benchmark, size, base, way):
    height, width = SIZES[size] if not benchmark.disabled else (64, 64)
    benchmark.group = f"{base}, one image of {height}x{width}"
    settings = {} if not benchmark.disabled else {"width": 4}
    if way == "dual":
        networks = [create_model("dualbranch", base=base, **settings)]
    else:
        make = create_model if way == "two" else plain_network
        networks = [make(base, **settings) for _ in range(2)]
    nn.ModuleList(networks).eval()
    images = torch.randn(1, 3, height, width)

    @torch.inference_mode()
    def infer():
        return [model(images)["logits"] for model in networks]

    rounds = {"rounds": 5, "warmup_rounds": 1} if size == "quarter" else {"rounds": 2}
    outputs = benchmark.pedantic(infer, **rounds)
    assert [x.shape for x in outputs] == [(1, 1, height, width)] * len(networks)
    if not benchmark.disabled:
        fastest[size, base, way] = benchmark.stats.stats.min
        if way != "dual" and (size, base, "dual") in fastest:
            share = fastest[size, base, "dual"] / fastest[size, base, way]
            benchmark.extra_info["dual_takes"] = share
            assert share <= TARGET
