"""U-Net: the network that most lesion segmenters are measured against.

Source: O. Ronneberger, P. Fischer, T. Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI
2015. Departures from it: convolutions are padded, so that the output has the input's size; batch normalisation follows
each convolution; the width is a setting, and small by default (the paper's is 64).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fundus_lib.errors import ArgumentError


class UNet(nn.Module):
    """Encoder and decoder with a skip connection at each level.

    Args:
        lesions: Number of output channels L, one per lesion, each its own yes-or-no question.
        width: Channels at full resolution; each level down has twice as many. ``width=12, depth=4`` has 1.09 million
            parameters, the paper's ``width=64, depth=4`` 31 million.
        depth: How often the resolution is halved.
        prior: The share of pixels that a fresh network takes for lesion. Lesions are rare, and a start at one half
            spends the first hundred steps on learning just that.
    """

    def __init__(self, lesions: int = 1, width: int = 12, depth: int = 4, prior: float = 0.01):
        super().__init__()
        if lesions < 1 or width < 1 or depth < 0 or not 0 < prior < 1:
            raise ArgumentError(
                "UNet",
                "a setting is out of range",
                found=f"lesions={lesions}, width={width}, depth={depth}, prior={prior}",
                expected="lesions ≥ 1, width ≥ 1, depth ≥ 0, 0 < prior < 1",
                remedy="correct the setting; the defaults are a good start",
            )
        widths = [width * 2**level for level in range(depth + 1)]
        self.encoder = nn.ModuleList(double_convolution(before, here) for before, here in pairwise([3, *widths]))
        self.enlarge = nn.ModuleList(
            nn.ConvTranspose2d(below, here, kernel_size=2, stride=2) for here, below in pairwise(widths)
        )
        self.decoder = nn.ModuleList(double_convolution(2 * here, here) for here in widths[:-1])
        self.head = nn.Conv2d(width, lesions, kernel_size=1)
        nn.init.constant_(self.head.bias, torch.logit(torch.tensor(prior)).item())  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Logits of every lesion at every pixel.

        Any height and width of at least one pixel will do: the image is continued to a multiple of ``2**depth`` by
        repeating its edge, and the logits are cut back. (In training mode batch normalisation needs more than one value
        per channel at the lowest level, hence a batch or an image larger than ``2**depth``.)

        Args:
            images: float (B, 3, H, W), normalised.

        Returns:
            ``{"logits": float (B, L, H, W)}``.
        """
        height, width = images.shape[-2:]
        multiple = 2 ** len(self.decoder)
        x = F.pad(images, (0, -width % multiple, 0, -height % multiple), mode="replicate")
        skips: list[Tensor] = []
        for level, block in enumerate(self.encoder):
            x = block(F.max_pool2d(x, 2) if level else x)  # (B, width·2^level, H/2^level, W/2^level)
            skips.append(x)
        skips.pop()  # the lowest level is x itself
        for skip, enlarge, block in reversed(list(zip(skips, self.enlarge, self.decoder, strict=True))):
            x = block(torch.cat([skip, enlarge(x)], dim=1))  # back up: half the channels, twice the resolution
        logits = self.head(x)  # (B, L, H', W'), H' and W' being multiples of 2^depth
        return {"logits": logits[..., :height, :width]}


def double_convolution(channels_in: int, channels_out: int) -> nn.Sequential:
    """Twice convolution, batch normalisation, ReLU: (B, channels_in, H, W) to (B, channels_out, H, W)."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
        nn.Conv2d(channels_out, channels_out, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )
