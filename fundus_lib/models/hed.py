"""HED: a VGG with a prediction of the lesions at each of its five resolutions.

Source: S. Xie, Z. Tu, "Holistically-Nested Edge Detection", ICCV 2015, as dual_branch's authors use it: VGG16 up to
conv5_3, a 1×1 convolution to each stage's last feature map (a **side output**), and a 1×1 convolution that fuses the
five.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fundus_lib.checks import check_counts
from fundus_lib.errors import ArgumentError
from fundus_lib.models.staged import Features, Staged

WIDTHS = (1, 2, 4, 8, 8)
"""Channels of VGG16's stages, in units of the first one's."""

DEPTHS = (2, 2, 3, 3, 3)
"""Convolutions of VGG16's stages."""


class HED(Staged):
    """Five stages, a side output at each, and their fusion.

    The parts are ``stage1`` … ``stage5``, each with its side output, and ``fuse``. Besides ``"logits"`` (B, L, H, W),
    the fused prediction, the network gives ``"sides"`` (B, L, 5, H, W), the side outputs' logits, finest first.

    The first convolution pads by 35 instead of 1, so that the coarsest feature map still covers the image with a
    margin and no side output is extrapolated: each is upsampled by its stride and cropped to the image. The original
    upsamples by a fixed bilinear transposed convolution and crops at 34, 35, 36, 38 and 42 pixels; its result lies
    half a stride further on than interpolation, so that here all are cropped at 34.

    Side outputs are initialised with zeros and the fusion with 0.2 each, as in the authors' code. VGG's convolutions
    start there from ImageNet; without it they are initialised as by He et al. [our choice]. The authors' ImageNet
    weights are Caffe's, for BGR images from 0 to 255 minus the mean; torchvision's expect what
    ``load_imagenet_weights`` documents.

    Args:
        lesions: Number of output channels L. With more than one, each has its own side outputs and its own fusion.
        width: Channels of the first stage; 64 is VGG16.
        pretrained: Start from torchvision's VGG16 trained on ImageNet (width 64 only).
        padding: Padding of the first convolution, 1 or more.

    Raises:
        ArgumentError: A setting is out of range.
        WeightsError: ``pretrained``, and the weights cannot be had.
    """

    shared_until: ClassVar = {"code": "stage3", "text": "stage3"}

    def __init__(self, lesions: int = 1, width: int = 64, pretrained: bool = False, padding: int = 35):
        check_counts("HED", lesions=lesions, width=width, padding=padding)
        parts: dict[str, nn.Module] = {}
        before = 3
        for k, (wide, depth) in enumerate(zip(WIDTHS, DEPTHS, strict=True)):
            parts[f"stage{k + 1}"] = Stage(k + 1, before, wide * width, depth, lesions, padding)
            before = wide * width
        parts["fuse"] = Fusion(lesions, sides=len(WIDTHS))
        super().__init__(parts)
        if pretrained:
            self._load_imagenet(width)

    def _load_imagenet(self, width: int) -> None:
        from torchvision.models import VGG16_Weights

        from fundus_lib.models.imagenet import load_imagenet_weights

        if width != 64:
            raise ArgumentError(
                "pretrained",
                "there are no ImageNet weights for this width",
                found=f"width={width}",
                expected="width=64, that of VGG16",
                remedy="use width=64, or pretrained=False",
            )
        theirs = load_imagenet_weights(VGG16_Weights.IMAGENET1K_V1)
        values = [value for name, value in theirs.items() if name.startswith("features.")]  # weight, bias, weight, …
        ours = [
            layer
            for name, stage in self.parts.items()
            if name.startswith("stage")
            for layer in stage.modules()
            if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3)
        ]
        with torch.no_grad():
            for layer, weight, bias in zip(ours, values[::2], values[1::2], strict=True):
                layer.weight.copy_(weight)
                layer.bias.copy_(bias)  # type: ignore[union-attr]


class Stage(nn.Module):
    """One resolution of VGG: pooling, convolutions and a side output.

    Args:
        number: 1 to 5; the stride is ``2 ** (number - 1)``.
        channels_in: Channels of the stage before.
        channels_out: Its own.
        depth: Number of 3×3 convolutions.
        lesions: Channels of the side output.
        padding: Padding of the network's first convolution.
    """

    def __init__(self, number: int, channels_in: int, channels_out: int, depth: int, lesions: int, padding: int):
        super().__init__()
        layers: list[nn.Module] = []
        for k in range(depth):
            pad = padding if number == 1 and k == 0 else 1
            layers += [
                init_he(nn.Conv2d(channels_out if k else channels_in, channels_out, kernel_size=3, padding=pad)),
                nn.ReLU(inplace=True),
            ]
        self.layers = nn.Sequential(*layers)
        self.side = init_zero(nn.Conv2d(channels_out, lesions, kernel_size=1))
        self.number = number
        self.margin = padding - 1  # pixels of the upsampled feature map before the image

    def forward(self, features: Features) -> Features:
        """Replace ``"x"``; add ``"side1"`` … ``"side5"``, (B, L, H, W)."""
        x = features["x"]
        if self.number > 1:
            x = F.max_pool2d(x, kernel_size=2, ceil_mode=True)
        x = self.layers(x)  # (B, C, (H + 2·margin)/stride, …), rounded up
        side = upsample_and_crop(self.side(x), 2 ** (self.number - 1), self.margin, features["images"])
        return features | {"x": x, f"side{self.number}": side}


class Fusion(nn.Module):
    """Weighted sum of the side outputs, per lesion; equal weights at first, 0.2 each for five.

    Args:
        lesions: Number of lesions L.
        sides: Number of side outputs K, named ``"side1"`` to ``"sideK"``.
        weight: Initial value of the weights; by default 1/K.
    """

    def __init__(self, lesions: int, sides: int, weight: float | None = None):
        super().__init__()
        self.layer = init_zero(nn.Conv2d(sides * lesions, lesions, kernel_size=1, groups=lesions))
        nn.init.constant_(self.layer.weight, 1 / sides if weight is None else weight)
        self.names = [f"side{k + 1}" for k in range(sides)]

    def forward(self, features: Features) -> Features:
        """Add ``"sides"`` (B, L, K, H, W) and ``"logits"`` (B, L, H, W)."""
        sides = torch.stack([features[name] for name in self.names], dim=2)
        return features | {"sides": sides, "logits": self.layer(sides.flatten(1, 2))}


def upsample_and_crop(side: Tensor, stride: int, margin: int, images: Tensor) -> Tensor:
    """Upsample a feature map and crop it to the images.

    Args:
        side: (B, L, h, w), large enough to cover images and margin.
        stride: Factor of upsampling.
        margin: Pixels of the upsampled map before the images' first one.
        images: (B, 3, H, W).

    Returns:
        (B, L, H, W).
    """
    height, width = images.shape[-2:]
    if stride > 1:
        size = stride * side.shape[-2], stride * side.shape[-1]
        side = F.interpolate(side, size=size, mode="bilinear", align_corners=False)
    return side[..., margin : margin + height, margin : margin + width]


def init_he(layer: nn.Conv2d) -> nn.Conv2d:
    """Initialise a convolution as K. He et al. (ICCV 2015), its bias with zeros."""
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def init_zero(layer: nn.Conv2d) -> nn.Conv2d:
    """Initialise a convolution with zeros."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
