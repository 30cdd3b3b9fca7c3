"""U-Net: the network that most lesion segmenters are measured against.

Source: O. Ronneberger, P. Fischer, T. Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI
2015. Departures from it: convolutions are padded, so that the output has the input's size; batch normalisation follows
each convolution; the width is a setting, and small by default (the paper's is 64).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from fundus_lib.errors import ArgumentError
from fundus_lib.models.staged import Features, Staged, pad_to_multiple


class UNet(Staged):
    """Encoder and decoder with a skip connection at each level.

    Parts: encoder, decoder, head. Two branches share the encoder (our choice: no paper pairs this network).

    Any height and width of at least one pixel is possible: the image is padded to a multiple of ``2**depth`` by
    repeating its edge, and the logits are cropped. (In training mode batch normalisation needs more than one value
    per channel at the lowest level, hence a batch or an image larger than ``2**depth``.)

    Args:
        lesions: Number of output channels L, one per lesion, each a binary classification.
        width: Channels at full resolution; each level down has twice as many. ``width=12, depth=4`` has 1.09 million
            parameters, the paper's ``width=64, depth=4`` 31 million.
        depth: How often the resolution is halved.
        prior: Probability that a newly initialised network predicts. Lesion pixels are rare, and a network that starts
            at one half spends the first hundred steps on learning that.
    """

    shared_until: ClassVar[Mapping[str, str]] = {"code": "encoder", "text": "encoder"}

    def __init__(self, lesions: int = 1, width: int = 12, depth: int = 4, prior: float = 0.01):
        check_unet("UNet", lesions, width, depth)
        widths = [width * 2**level for level in range(depth + 1)]
        super().__init__({"encoder": Encoder(widths), "decoder": Decoder(widths), "head": Head(width, lesions, prior)})


class Encoder(nn.Module):
    """The part that computes a feature map at each resolution.

    Args:
        widths: Channels at each level, from full resolution down.
        bias: As of :func:`build_double_convolution`.
    """

    def __init__(self, widths: list[int], bias: bool = False):
        super().__init__()
        self.blocks = nn.ModuleList(
            build_double_convolution(before, here, bias) for before, here in pairwise([3, *widths])
        )

    def forward(self, features: Features) -> Features:
        """Add ``"level0"``, ``"level1"``, … (B, widths[k], H'/2^k, W'/2^k); the lowest of them becomes ``"x"``."""
        x = pad_to_multiple(features["x"], 2 ** (len(self.blocks) - 1))
        levels: Features = {}
        for level, block in enumerate(self.blocks):
            x = block(F.max_pool2d(x, 2) if level else x)
            levels[f"level{level}"] = x
        return features | levels | {"x": x}


class Decoder(nn.Module):
    """The part that upsamples: half the channels and twice the resolution at each level.

    Args:
        widths: As of :class:`Encoder`.
    """

    def __init__(self, widths: list[int]):
        super().__init__()
        self.enlarge = nn.ModuleList(
            nn.ConvTranspose2d(below, here, kernel_size=2, stride=2) for here, below in pairwise(widths)
        )
        self.blocks = nn.ModuleList(build_double_convolution(2 * here, here) for here in widths[:-1])

    def forward(self, features: Features) -> Features:
        """Replace ``"x"``: (B, widths[0], H', W')."""
        x = features["x"]
        for level in reversed(range(len(self.blocks))):
            x = self.blocks[level](torch.cat([features[f"level{level}"], self.enlarge[level](x)], dim=1))
        return features | {"x": x}


class Head(nn.Module):
    """The part that computes the logits, cropped to the image's size.

    Args:
        width: Channels at full resolution.
        lesions: Number of output channels L.
        prior: As of :class:`UNet`.
        kernel: Side of the convolution, odd.

    Raises:
        ArgumentError: The prior is no probability between 0 and 1.
    """

    def __init__(self, width: int, lesions: int, prior: float, kernel: int = 1):
        super().__init__()
        self.layer = nn.Conv2d(width, lesions, kernel_size=kernel, padding=kernel // 2)
        set_prior(self.layer, prior)

    def forward(self, features: Features) -> Features:
        """Add ``"logits"`` (B, L, H, W) and ``"features"`` (B, width, H, W), from which they are computed."""
        height, width = features["images"].shape[-2:]
        x = features["x"]
        return features | {"features": x[..., :height, :width], "logits": self.layer(x)[..., :height, :width]}


def set_prior(layer: nn.Module, prior: float) -> None:
    """Let a new network predict a probability: its last layer's bias becomes the logit of it.

    Raises:
        ArgumentError: The prior is no probability between 0 and 1.
    """
    if not 0 < prior < 1:
        raise ArgumentError(
            "prior",
            "no network can start with this prediction",
            found=f"prior={prior}",
            expected="0 < prior < 1",
            remedy="0.01 is about the share of lesion pixels; 0.5 is how networks are usually started",
        )
    nn.init.constant_(layer.bias, torch.logit(torch.tensor(prior, device="cpu")).item())  # type: ignore[arg-type]


def build_double_convolution(channels_in: int, channels_out: int, bias: bool = False) -> nn.Sequential:
    """Twice convolution, batch normalisation, ReLU: (B, channels_in, H, W) to (B, channels_out, H, W).

    Args:
        channels_in: Input channels.
        channels_out: Output channels.
        bias: Whether the convolutions have a bias. The normalisation takes it away again; it counts as a parameter.
    """
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=1, bias=bias),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
        nn.Conv2d(channels_out, channels_out, kernel_size=3, padding=1, bias=bias),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


def check_unet(where: str, lesions: int, width: int, depth: int, narrowest: int = 1) -> None:
    """Refuse settings that no network of this kind can have.

    Args:
        where: Name of the model.
        lesions: Number of output channels.
        width: Channels at full resolution.
        depth: How often the resolution is halved.
        narrowest: The smallest width that is possible.

    Raises:
        ArgumentError: One of them is out of range.
    """
    if lesions < 1 or width < narrowest or depth < 0:
        raise ArgumentError(
            where,
            "a setting is out of range",
            found=f"lesions={lesions}, width={width}, depth={depth}",
            expected=f"lesions ≥ 1, width ≥ {narrowest}, depth ≥ 0",
            remedy="correct the setting; the defaults are a good start",
        )
