"""Inference of a dual-branch network, whose shared parts run once, against two networks.

Against two of ours; and against two as they are usually written: PSPNet with its means enlarged and convolved,
torchvision's DeepLabV3. Times are seconds of one core, without what else the machine does.
`pytest tests/benchmarks/test_dual_branch_speed.py --benchmark-only --dist=no`.
"""

import time

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from fundus_lib.models import create_model
from fundus_lib.models.pspnet import PyramidPooling

WAYS = {
    "pspnet": ("dual", "two", "two plain"),
    "deeplabv3": ("dual", "two", "two plain"),
    "hed": ("dual", "two"),
}
SIZE = 240, 360
TARGET = 0.75
"""Of the time of two networks of ours, this share at most."""

fastest = {}
"""Base and way to the shortest time, filled by the tests in their order."""


@pytest.fixture(autouse=True)
def one_core():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class PlainPyramidPooling(PyramidPooling):
    """The same layers, applied as the equations read."""

    def forward(self, x):
        enlarged = [F.interpolate(m(x), size=x.shape[-2:], mode="bilinear", align_corners=True) for m in self.means]
        return self.finish(self.mix(torch.cat([*enlarged, x], dim=1)))


def network(base, way, **settings):
    if way != "two plain":
        return create_model(base, **settings)
    if base == "deeplabv3":
        make = torchvision.models.segmentation.deeplabv3_resnet50
        return make(weights=None, weights_backbone=None, num_classes=1)
    model = create_model(base, **settings)
    for module in model.modules():
        if isinstance(module, PyramidPooling):
            module.__class__ = PlainPyramidPooling
    return model


@pytest.mark.benchmark(timer=time.process_time, warmup=False)
@pytest.mark.parametrize(("base", "way"), [(base, way) for base, ways in WAYS.items() for way in ways])
def test_inference(benchmark, base, way):
    benchmark.group = f"{base}, one image of {SIZE[0]}x{SIZE[1]}"
    settings = {"width": 4} if benchmark.disabled else {}
    size = (64, 64) if benchmark.disabled else SIZE
    if way == "dual":
        networks = [create_model("dualbranch", base=base, **settings)]
    else:
        networks = [network(base, way, **settings) for _ in range(2)]
    nn.ModuleList(networks).eval()
    images = torch.randn(1, 3, *size)

    @torch.inference_mode()
    def infer():
        return [model(images) for model in networks]

    outputs = benchmark.pedantic(infer, rounds=5, warmup_rounds=1)
    assert len(outputs) == (1 if way == "dual" else 2)
    if not benchmark.disabled:
        fastest[base, way] = benchmark.stats.stats.min
        if way == "two" and (base, "dual") in fastest:
            assert fastest[base, "dual"] <= TARGET * fastest[base, "two"]
