"""SPNet: each position is also given the means along its row and its column.

Source: Q. Hou et al., "Strip Pooling: Rethinking Spatial Pooling for Scene Parsing", CVPR 2020, and its authors' code.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fundus_lib.checks import check_counts
from fundus_lib.models.resnet import DilatedResNet, build_fcn_head, convolution
from fundus_lib.models.staged import upsample

BINS = (20, 12)
"""Bins along each side over which mixed pooling takes means."""


class SPNet(DilatedResNet):
    """Dilated ResNet-50 with strip pooling in its blocks and mixed pooling in its head.

    Strip pooling gates the last block of each stage and every block of the last stage. Parts and outputs are those of
    :class:`~fundus_lib.models.resnet.DilatedResNet`; that the backbone has dual_branch's dilation rates, and
    that two branches share what they share of PSPNet, is our choice.

    Args:
        lesions: Number of output channels L.
        width: Channels of the backbone's first stage; 64 is ResNet-50.
        stem: ``"deep"`` as in the authors' code, or ``"torchvision"``.
        pretrained: Start from ImageNet (``stem="torchvision"`` only); the gates are newly initialised.

    Raises:
        ArgumentError: A setting is out of range.
        WeightsError: ``pretrained``, and the weights cannot be had.
    """

    def __init__(self, lesions: int = 1, width: int = 64, stem: str = "deep", pretrained: bool = False):
        check_counts("SPNet", lesions=lesions, width=width)
        head = nn.Sequential(
            *convolution(32 * width, 16 * width, kernel=1),
            MixedPooling(16 * width),
            MixedPooling(16 * width),
            build_fcn_head(16 * width, 8 * width, lesions),
        )
        super().__init__("SPNet", head, build_fcn_head(16 * width, 4 * width, lesions), width, stem, pretrained)
        for name in ("layer1", "layer2", "layer3", "layer4", "last_block"):
            blocks = list(self.parts[name].module)  # type: ignore[arg-type]
            for block in blocks if name == "layer4" else blocks[-1:]:
                # the gate follows the block's 3×3 convolution, that is, precedes its last one
                block.conv3 = nn.Sequential(StripGate(block.conv3.in_channels), block.conv3)


class StripGate(nn.Module):
    """Multiplies each value by a gate from 0 to 1, computed from the means of its row and its column.

    Args:
        channels: Channels C of the feature map.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.rows = build_conv_norm(channels, channels, (3, 1))
        self.columns = build_conv_norm(channels, channels, (1, 3))
        self.gate = nn.Sequential(nn.ReLU(), nn.Conv2d(channels, channels, kernel_size=1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to (B, C, h, w)."""
        rows, columns = x.mean(3, keepdim=True), x.mean(2, keepdim=True)  # (B, C, h, 1), (B, C, 1, w)
        gated: Tensor = x * self.gate(self.rows(rows) + self.columns(columns))
        return gated


class MixedPooling(nn.Module):
    """Adds to a feature map its means over bins of two sizes, and along rows and columns.

    Args:
        channels: Channels C of the feature map.
        bins: Bins along each side, for the two sizes.
    """

    def __init__(self, channels: int, bins: tuple[int, int] = BINS):
        super().__init__()
        inner = channels // 4
        self.to_fields = nn.Sequential(*convolution(channels, inner, kernel=1))
        self.to_strips = nn.Sequential(*convolution(channels, inner, kernel=1))
        self.near = build_conv_norm(inner, inner, (3, 3))
        self.fields = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(k), *build_conv_norm(inner, inner, (3, 3))) for k in bins
        )
        self.columns = build_conv_norm(inner, inner, (1, 3))
        self.rows = build_conv_norm(inner, inner, (3, 1))
        self.after_fields = nn.Sequential(nn.ReLU(), *convolution(inner, inner))
        self.after_strips = nn.Sequential(nn.ReLU(), *convolution(inner, inner))
        self.mix = build_conv_norm(2 * inner, channels, (1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to (B, C, h, w)."""
        near = self.to_fields(x)
        fields = self.near(near)
        for pool in self.fields:
            fields = fields + upsample(pool(near), x)
        strips = self.to_strips(x)
        strips = self.columns(strips.mean(2, keepdim=True)) + self.rows(strips.mean(3, keepdim=True))
        return torch.relu(x + self.mix(torch.cat([self.after_fields(fields), self.after_strips(strips)], dim=1)))


def build_conv_norm(channels_in: int, channels_out: int, kernel: tuple[int, int]) -> nn.Sequential:
    """Convolution that keeps the size, and batch normalisation."""
    padding = kernel[0] // 2, kernel[1] // 2
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel, padding=padding, bias=False), nn.BatchNorm2d(channels_out)
    )
