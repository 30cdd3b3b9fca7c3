"""LWENet: a small network for hard exudates, of Inception-like blocks at half the resolution.

Source: S. Guo et al., "A Lightweight Neural Network for Hard Exudate Segmentation of Fundus Image", ICANN 2019, and
its authors' network definition.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from fundus_lib.checks import check_counts
from fundus_lib.errors import ArgumentError
from fundus_lib.models.hed import Fusion, upsample_and_crop
from fundus_lib.models.staged import Features, Staged


class LWENet(Staged):
    """Two resolutions, a side output at each, and their fusion.

    The parts are ``stage1`` (half the resolution), ``stage2`` (a quarter), each with its side output, and ``fuse``.
    Besides ``"logits"`` (B, L, H, W) the network gives ``"sides"`` (B, L, 2, H, W). The paper has no two branches of
    it: that they share ``stage1`` is our choice.

    Args:
        lesions: Number of output channels L.
        width: Channels of the first convolution, a multiple of 4; 64 in the paper.
        rectified: Apply a ReLU to the side outputs, as the authors' definition does. A side output is then never
            negative, and one that starts below zero everywhere has no gradient, as 12 of 80 newly initialised ones on
            noise: hence not by default [our choice].

    Raises:
        ArgumentError: A setting is out of range.
    """

    shared_until: ClassVar = {"code": "stage1", "text": "stage1"}

    def __init__(self, lesions: int = 1, width: int = 64, rectified: bool = False):
        check_counts("LWENet", lesions=lesions, width=width)
        if width % 4:
            raise ArgumentError(
                "LWENet",
                "the blocks' branches have quarters of the width",
                found=f"width={width}",
                expected="a multiple of 4",
                remedy="64 is the paper's width",
            )
        unit = width // 4
        fine = nn.Sequential(
            *add_relu(nn.Conv2d(3, width, kernel_size=7, stride=2, padding=3)),
            Inception(width, width, (4 * unit, 6 * unit, 2 * unit, unit)),
            Inception(13 * unit, width, (3 * unit, 5 * unit, unit, unit)),
            Inception(10 * unit, width, (3 * unit, 5 * unit, unit, unit)),
            *add_relu(nn.Conv2d(10 * unit, 2 * width, kernel_size=3, padding=1)),
        )
        coarse = nn.Sequential(
            nn.MaxPool2d(2, ceil_mode=True), Chain(2 * width, 2 * width), Chain(4 * width, 2 * width)
        )
        super().__init__(
            {
                "stage1": SidePart(1, fine, build_side_output(2 * width, width, lesions, 0.2, rectified)),
                "stage2": SidePart(2, coarse, build_side_output(4 * width, width, lesions, 0.0, rectified)),
                "fuse": Fusion(lesions, sides=2, weight=0.1),
            }
        )


class SidePart(nn.Module):
    """One resolution and its side output.

    Args:
        number: 1 or 2; the stride is ``2 ** number``.
        trunk: The current feature map to the next.
        side: (B, C, h, w) to (B, L, h, w).
    """

    def __init__(self, number: int, trunk: nn.Module, side: nn.Module):
        super().__init__()
        self.number = number
        self.trunk = trunk
        self.side = side

    def forward(self, features: Features) -> Features:
        """Replace ``"x"``; add ``"side1"`` or ``"side2"``, (B, L, H, W)."""
        x = self.trunk(features["x"])
        logits = upsample_and_crop(self.side(x), stride=2**self.number, margin=0, images=features["images"])
        return features | {"x": x, f"side{self.number}": logits}


class Inception(nn.Module):
    """A 3×3 convolution, then in parallel a 1×1, a 3×3, a 5×5 and, after 5×5 max pooling, a 1×1 convolution.

    Args:
        channels_in: Input channels.
        inner: Channels of the first convolution.
        channels_out: Of each of the four branches.
    """

    def __init__(self, channels_in: int, inner: int, channels_out: tuple[int, int, int, int]):
        super().__init__()
        one, three, five, pooled = channels_out
        self.reduce = add_relu(nn.Conv2d(channels_in, inner, kernel_size=3, padding=1))
        self.branches = nn.ModuleList(
            [
                add_relu(nn.Conv2d(inner, one, kernel_size=1)),
                add_relu(nn.Conv2d(inner, three, kernel_size=3, padding=1)),
                add_relu(nn.Conv2d(inner, five, kernel_size=5, padding=2)),
                nn.Sequential(nn.MaxPool2d(5, stride=1, padding=2), *add_relu(nn.Conv2d(inner, pooled, kernel_size=1))),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels_in, h, w) to (B, sum(channels_out), h, w)."""
        x = self.reduce(x)
        return torch.cat([branch(x) for branch in self.branches], dim=1)


class Chain(nn.Module):
    """Three 3×3 convolutions; the outputs of the first and the third are concatenated."""

    def __init__(self, channels_in: int, channels_out: int):
        super().__init__()
        self.first = add_relu(nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=1))
        self.rest = nn.Sequential(
            *add_relu(nn.Conv2d(channels_out, channels_out, kernel_size=3, padding=1)),
            *add_relu(nn.Conv2d(channels_out, channels_out, kernel_size=3, padding=1)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels_in, h, w) to (B, 2·channels_out, h, w)."""
        x = self.first(x)
        return torch.cat([x, self.rest(x)], dim=1)


def build_side_output(channels: int, inner: int, lesions: int, bias: float, rectified: bool) -> nn.Sequential:
    """The logits at one resolution: (B, channels, h, w) to (B, L, h, w)."""
    last = init_xavier(nn.Conv2d(inner, lesions, kernel_size=1), bias=0.0)
    layers = add_relu(nn.Conv2d(channels, inner, kernel_size=3, padding=1), bias)
    return nn.Sequential(*layers, last, *([nn.ReLU()] if rectified else []))


def add_relu(layer: nn.Conv2d, bias: float = 0.2) -> nn.Sequential:
    """A convolution and its ReLU."""
    return nn.Sequential(init_xavier(layer, bias), nn.ReLU(inplace=True))


def init_xavier(layer: nn.Conv2d, bias: float) -> nn.Conv2d:
    """Initialise a convolution as Caffe's filler "xavier": uniformly within ±√(3 / number of inputs)."""
    bound = (3 / layer.weight[0].numel()) ** 0.5
    nn.init.uniform_(layer.weight, -bound, bound)
    nn.init.constant_(layer.bias, bias)  # type: ignore[arg-type]
    return layer
