"""Attention U-Net: a U-Net whose decoder weighs each position of a skip connection before it takes it.

Source: O. Oktay et al., "Attention U-Net: Learning Where to Look for the Pancreas", MIDL 2018, Fig. 2, in the form with
two dimensions and 34.88 million parameters that comparisons of 2D networks use.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fundus_lib.models.staged import Features, Staged
from fundus_lib.models.unet import Encoder, Head, build_double_convolution, check_unet


class AttentionUNet(Staged):
    """U-Net with an attention gate on each skip connection.

    Parts: encoder, decoder, head. ``keep=("features",)`` also returns the map before the logits, (B, width, H, W) with
    values of at least 0. Two branches share the encoder (our choice: no paper pairs this network).

    At the defaults the network has 34,878,573 parameters; 34.88 million is the published count of the common 2D form.
    Departures from the paper: two dimensions for three, 64 channels at first for 8, no deep supervision, batch
    normalisation in the gates, a gate's attention at the skip connection's resolution rather than below it. Departures
    from the common 2D form: an image of any size is possible, which is padded to a multiple of ``2**depth`` by
    repeating its edge; the head's bias starts at the prior's logit (there near 0: ``prior=0.5``).

    Args:
        lesions: Number of output channels L, one per lesion, each a binary classification.
        width: Channels at full resolution, 2 or more; each level down has twice as many.
        depth: How often the resolution is halved.
        prior: Probability that a newly initialised network predicts, as of :class:`~fundus_lib.models.unet.UNet`.

    Raises:
        ArgumentError: A setting is out of range.
    """

    shared_until: ClassVar[Mapping[str, str]] = {"code": "encoder", "text": "encoder"}

    def __init__(self, lesions: int = 1, width: int = 64, depth: int = 4, prior: float = 0.01):
        check_unet("AttentionUNet", lesions, width, depth, narrowest=2)
        widths = [width * 2**level for level in range(depth + 1)]
        super().__init__(
            {
                "encoder": Encoder(widths, bias=True),
                "decoder": AttentionDecoder(widths),
                "head": Head(width, lesions, prior),
            }
        )


class AttentionDecoder(nn.Module):
    """The part that upsamples: half the channels and twice the resolution at each level.

    Args:
        widths: As of :class:`~fundus_lib.models.unet.Encoder`.
    """

    def __init__(self, widths: list[int]):
        super().__init__()
        self.shrink = nn.ModuleList(
            nn.Sequential(nn.Conv2d(below, here, kernel_size=3, padding=1), nn.BatchNorm2d(here), nn.ReLU(inplace=True))
            for here, below in pairwise(widths)
        )
        self.gates = nn.ModuleList(AttentionGate(here) for here in widths[:-1])
        self.blocks = nn.ModuleList(build_double_convolution(2 * here, here, bias=True) for here in widths[:-1])

    def forward(self, features: Features) -> Features:
        """Replace ``"x"``: (B, widths[0], H', W')."""
        x = features["x"]
        for level in reversed(range(len(self.blocks))):
            x = self.shrink[level](F.interpolate(x, scale_factor=2, mode="nearest"))
            skip = self.gates[level](features[f"level{level}"], x)
            x = self.blocks[level](torch.cat([skip, x], dim=1))
        return features | {"x": x}


class AttentionGate(nn.Module):
    """A weight between 0 and 1 for each position of a skip connection, from it and from the decoder's map.

    Args:
        channels: Channels C of either map; half as many are computed with.
    """

    def __init__(self, channels: int):
        super().__init__()
        inner = channels // 2
        self.skip = nn.Sequential(nn.Conv2d(channels, inner, kernel_size=1), nn.BatchNorm2d(inner))
        self.gating = nn.Sequential(nn.Conv2d(channels, inner, kernel_size=1), nn.BatchNorm2d(inner))
        self.weight = nn.Sequential(nn.Conv2d(inner, 1, kernel_size=1), nn.BatchNorm2d(1), nn.Sigmoid())

    def forward(self, skip: Tensor, gating: Tensor) -> Tensor:
        """Two maps (B, C, h, w) to the first one, weighed: (B, C, h, w)."""
        weighed: Tensor = skip * self.weight(F.relu(self.skip(skip) + self.gating(gating)))
        return weighed
