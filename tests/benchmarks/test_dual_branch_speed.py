"""Inference of a dual-branch network, whose shared parts run once, on a whole image, against two networks.

Against two of ours; and against two as they are usually written: PSPNet with its means upsampled and convolved,
torchvision's DeepLabV3. `pytest tests/benchmarks/test_dual_branch_speed.py --benchmark-only --dist=no`.
"""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from fundus_lib.models import create_model
from helpers.plain import plain_network

SIZES = {"quarter": ((240, 360), 6), "full": ((960, 1440), 2)}
"""The paper's size for IDRiD and a quarter of it along each side; pairs to time."""
LIMITS = {"pspnet": 0.75, "deeplabv3": 0.8, "hed": 0.75}
"""Of the time of two networks, this fraction at most. DeepLabV3 shares least: each branch has a pyramid of its own, a
third of the network's multiplications."""


@pytest.mark.parametrize("base", LIMITS)
@pytest.mark.parametrize("size", SIZES)
def test_inference(benchmark, compare, size, base):
    (height, width), rounds = SIZES[size] if not benchmark.disabled else ((64, 64), 2)
    benchmark.group = f"{base}, one image of {height}x{width}"
    settings = {} if not benchmark.disabled else {"width": 4}
    images = torch.randn(1, 3, height, width)

    def inference(*networks):
        nn.ModuleList(networks).eval()

        @torch.inference_mode()
        def infer():
            return [model(images)["logits"].shape for model in networks]

        return infer

    def two(make):
        return inference(*(make(base, **settings) for _ in range(2)))

    ours, others = inference(create_model("dualbranch", base=base, **settings)), {"two networks": two(create_model)}
    if base != "hed":  # which is written the same way everywhere
        others["two plain networks"] = two(plain_network)
    for name, infer in {"dual": ours, **others}.items():
        with FlopCounterMode(display=False) as counted:
            infer()
        benchmark.extra_info[f"billion multiplications, {name}"] = counted.get_total_flops() / 2e9
    shapes = compare(ours, others, dict.fromkeys(others, LIMITS[base]), rounds)
    assert shapes.pop("ours") == [(1, 1, height, width)]
    assert all(shape == [(1, 1, height, width)] * 2 for shape in shapes.values())
