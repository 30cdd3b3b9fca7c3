"""CE-Net: a ResNet-34 and a decoder, with dilated convolutions and poolings of four sizes between them.

Source: Z. Gu et al., "CE-Net: Context Encoder Network for 2D Medical Image Segmentation", IEEE Transactions on Medical
Imaging 2019, Figs. 2-4, and its authors' network definition.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fundus_lib.checks import check_counts
from fundus_lib.models.backbones import build_resnet_stages
from fundus_lib.models.staged import BackbonePart, Features, Staged
from fundus_lib.models.unet import Head

POOLS = (2, 3, 5, 6)
"""Sides of the residual multi-kernel pooling's windows."""


class CENet(Staged):
    """ResNet-34, dense atrous convolution (DAC), residual multi-kernel pooling (RMP), and a decoder with added skips.

    Parts: the backbone's five stages, ``context`` (DAC and RMP), ``decoder``, ``head``. ``keep=("features",)`` also
    returns the map before the logits, (B, 32, H, W) with values of at least 0. Two branches share everything up to
    ``context`` (our choice: no paper pairs this network).

    At the defaults the network has 29,003,093 parameters; 29.00 million is the published count. As in the authors'
    code, the four branches of DAC share their convolutions, and so do the four poolings of RMP. Departures from it:
    an image of any size is possible, which is padded to a multiple of 32 by repeating its edge; a window of RMP is no
    larger than the feature map; the head gives logits, not probabilities, and its bias starts at the prior's logit
    (there near 0: ``prior=0.5``).

    Args:
        lesions: Number of output channels L, one per lesion, each a binary classification.
        backbone: ``"resnet34"``, or ``"resnet18"``.
        pretrained: Start from torchvision's weights of the backbone, trained on ImageNet, as the paper does.
        prior: Probability that a newly initialised network predicts, as of :class:`~fundus_lib.models.unet.UNet`.

    Raises:
        ArgumentError: A setting is out of range, or there is no such backbone.
        WeightsError: ``pretrained``, and the weights cannot be had.
    """

    shared_until: ClassVar[Mapping[str, str]] = {"code": "context", "text": "context"}

    def __init__(self, lesions: int = 1, backbone: str = "resnet34", pretrained: bool = False, prior: float = 0.01):
        check_counts("CENet", lesions=lesions)
        stages = build_resnet_stages("CENet", backbone, pretrained)
        context = nn.Sequential(DenseAtrousConvolution(512), MultiKernelPooling(512))
        super().__init__(
            {
                "stem": BackbonePart(stages["stem"], multiple=32),
                "layer1": BackbonePart(stages["layer1"], keep="skip1"),
                "layer2": BackbonePart(stages["layer2"], keep="skip2"),
                "layer3": BackbonePart(stages["layer3"], keep="skip3"),
                "layer4": BackbonePart(stages["layer4"]),
                "context": BackbonePart(context),
                "decoder": AddingDecoder(512 + len(POOLS)),
                "head": Head(32, lesions, prior, kernel=3),
            }
        )


class DenseAtrousConvolution(nn.Module):
    """Four chains of dilated convolutions, from a 3×3 neighbourhood to one of 19×19, added to their input.

    The chains have the rates 1; 3; 1 and 3; 1, 3 and 5; all but the first end in a 1×1 convolution. Chains share the
    convolutions of a rate, so that each intermediate map is computed once.

    Args:
        channels: Channels C.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.rates = nn.ModuleList(
            nn.Conv2d(channels, channels, kernel_size=3, padding=rate, dilation=rate) for rate in (1, 3, 5)
        )
        self.last = nn.Conv2d(channels, channels, kernel_size=1)
        for layer in (*self.rates, self.last):
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to the same shape."""
        one, three, five = self.rates
        near = one(x)
        middle = three(near)
        y = x + F.relu(near)
        for end in (three(x), middle, five(middle)):
            y = y + F.relu(self.last(end))
        return y


class MultiKernelPooling(nn.Module):
    """Adds one channel for each of :data:`POOLS`: the map's maxima in windows of that size, weighed and upsampled.

    Args:
        channels: Channels C.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.weigh = nn.Conv2d(channels, 1, kernel_size=1)  # one for all sizes

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to (B, C + 4, h, w), the new channels first."""
        height, width = x.shape[-2:]
        size = (height, width)
        pooled = [self.weigh(F.max_pool2d(x, (min(side, height), min(side, width)))) for side in POOLS]
        return torch.cat([*(F.interpolate(y, size=size, mode="bilinear") for y in pooled), x], dim=1)


class AddingDecoder(nn.Module):
    """The part that upsamples: the result of each block and the backbone's map of that resolution are added.

    Args:
        channels: Of the map at the lowest resolution.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.blocks = nn.ModuleList(
            build_decoder_block(before, here) for before, here in ((channels, 256), (256, 128), (128, 64), (64, 64))
        )
        self.finish = nn.Sequential(
            nn.ConvTranspose2d(64, 32, kernel_size=4, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(32, 32, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
        )

    def forward(self, features: Features) -> Features:
        """Replace ``"x"``: (B, channels, H'/32, W'/32) to (B, 32, H', W')."""
        x = features["x"]
        for block, skip in zip(self.blocks, ("skip3", "skip2", "skip1"), strict=False):
            x = block(x) + features[skip]
        return features | {"x": self.finish(self.blocks[-1](x))}


def build_decoder_block(channels_in: int, channels_out: int) -> nn.Sequential:
    """A bottleneck that upsamples: (B, channels_in, h, w) to (B, channels_out, 2h, 2w)."""
    inner = channels_in // 4
    layers = (
        nn.Conv2d(channels_in, inner, kernel_size=1),
        nn.ConvTranspose2d(inner, inner, kernel_size=3, stride=2, padding=1, output_padding=1),
        nn.Conv2d(inner, channels_out, kernel_size=1),
    )
    return nn.Sequential(
        *(part for layer in layers for part in (layer, nn.BatchNorm2d(layer.out_channels), nn.ReLU(inplace=True)))
    )
