"""ResUNet: a U-Net of residual blocks that normalise and rectify before each convolution.

Source: Z. Zhang, Q. Liu, Y. Wang, "Road Extraction by Deep Residual U-Net", IEEE Geoscience and Remote Sensing Letters
2018, Fig. 2 and Table I, in the form with 13.04 million parameters that comparisons use.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from fundus_lib.models.staged import Features, Staged, pad_to_multiple
from fundus_lib.models.unet import Head, check_unet


class ResUNet(Staged):
    """Encoder and decoder of residual blocks; strides of 2 take the place of pooling.

    Parts: encoder, decoder, head. ``keep=("features",)`` also returns the map before the logits, (B, width, H, W):
    a residual block's sum, which may be negative. Two branches share the encoder (our choice: no paper pairs this
    network).

    At the defaults the network has 13,043,009 parameters; 13.04 million is the published count of the common form.
    Departures of that form from the paper: shortcuts are 3×3 convolutions, not 1×1, and the decoder upsamples with
    learned transposed convolutions. Departures from the common form: an image of any size is possible, which is padded
    to a multiple of ``2**depth`` by repeating its edge; the head's bias starts at the prior's logit (there near 0:
    ``prior=0.5``).

    Args:
        lesions: Number of output channels L, one per lesion, each a binary classification.
        width: Channels at full resolution; each level down has twice as many.
        depth: How often the resolution is halved; 3 in the paper.
        prior: Probability that a newly initialised network predicts, as of :class:`~fundus_lib.models.unet.UNet`.

    Raises:
        ArgumentError: A setting is out of range.
    """

    shared_until: ClassVar[Mapping[str, str]] = {"code": "encoder", "text": "encoder"}

    def __init__(self, lesions: int = 1, width: int = 64, depth: int = 3, prior: float = 0.01):
        check_unet("ResUNet", lesions, width, depth)
        widths = [width * 2**level for level in range(depth + 1)]
        super().__init__(
            {
                "encoder": ResidualEncoder(widths),
                "decoder": ResidualDecoder(widths),
                "head": Head(width, lesions, prior),
            }
        )


class ResidualEncoder(nn.Module):
    """The part that computes a feature map at each resolution.

    Args:
        widths: Channels at each level, from full resolution down.
    """

    def __init__(self, widths: list[int]):
        super().__init__()
        stem = ResidualBlock(3, widths[0])
        stem.layers = stem.layers[2:]  # the image itself is neither normalised nor rectified
        stem.shortcut = stem.shortcut[:1]
        self.blocks = nn.ModuleList([stem, *(ResidualBlock(before, here, 2) for before, here in pairwise(widths))])

    def forward(self, features: Features) -> Features:
        """Add ``"level0"``, ``"level1"``, … (B, widths[k], H'/2^k, W'/2^k); the lowest of them becomes ``"x"``."""
        x = pad_to_multiple(features["x"], 2 ** (len(self.blocks) - 1))
        levels: Features = {}
        for level, block in enumerate(self.blocks):
            x = block(x)
            levels[f"level{level}"] = x
        return features | levels | {"x": x}


class ResidualDecoder(nn.Module):
    """The part that upsamples: half the channels and twice the resolution at each level.

    Args:
        widths: As of :class:`ResidualEncoder`.
    """

    def __init__(self, widths: list[int]):
        super().__init__()
        self.enlarge = nn.ModuleList(nn.ConvTranspose2d(below, below, 2, stride=2) for below in widths[1:])
        self.blocks = nn.ModuleList(ResidualBlock(below + here, here) for here, below in pairwise(widths))

    def forward(self, features: Features) -> Features:
        """Replace ``"x"``: (B, widths[0], H', W')."""
        x = features["x"]
        for level in reversed(range(len(self.blocks))):
            x = self.blocks[level](torch.cat([self.enlarge[level](x), features[f"level{level}"]], dim=1))
        return features | {"x": x}


class ResidualBlock(nn.Module):
    """Twice normalisation, ReLU and convolution; a convolution of the input is added.

    Args:
        channels_in: Input channels.
        channels_out: Output channels.
        stride: Of the first convolution and of the shortcut.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1):
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm2d(channels_in),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels_in, channels_out, kernel_size=3, stride=stride, padding=1),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels_out, channels_out, kernel_size=3, padding=1),
        )
        self.shortcut = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, kernel_size=3, stride=stride, padding=1), nn.BatchNorm2d(channels_out)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels_in, h, w) to (B, channels_out, h/stride, w/stride)."""
        result: Tensor = self.layers(x) + self.shortcut(x)
        return result
