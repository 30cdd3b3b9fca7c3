"""The diagram of a U-Net says what the network does, and leaves it as it was."""

import re

import pytest
import torch
from torch import nn

from fundus_lib.errors import ArgumentError
from fundus_lib.models import create_model
from fundus_lib.viz import draw_unet


@pytest.mark.parametrize(("width", "depth", "lesions"), [(4, 2, 1), (6, 4, 3)])
def test_every_level_has_the_channels_and_the_size_of_its_features(width: int, depth: int, lesions: int) -> None:
    network = create_model("unet", lesions=lesions, width=width, depth=depth)
    svg = draw_unet(network, (32, 48)).svg
    expected = [f"{width * 2**k} × {32 >> k}×{48 >> k}" for k in range(depth + 1)]
    shown = re.findall(r"\d+ × \d+×\d+(?=</tspan>)", svg)
    assert sorted(shown) == sorted([*expected, *expected[:-1], "3 × 32×48", f"{lesions} × 32×48"])
    kept = network(torch.zeros(2, 3, 32, 48), keep=[f"level{k}" for k in range(depth + 1)])
    assert [
        f"{f.shape[1]} × {f.shape[2]}×{f.shape[3]}" for f in (kept[f"level{k}"] for k in range(depth + 1))
    ] == expected
    assert svg.count("<line") == 2 + 3 * depth  # image and logits; down, up and across at each level
    assert float(svg.split('viewBox="')[1].split()[2]) < 400  # two columns fit on a phone


def test_network_stays_as_it_was() -> None:
    network = create_model("unet", width=4, depth=2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    draw_unet(network, (16, 16))
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())


def test_other_networks_are_refused() -> None:
    with pytest.raises(ArgumentError, match="only a U-Net"):
        draw_unet(nn.Linear(2, 2), (16, 16))
