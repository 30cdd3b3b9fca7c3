"""DeepLabV3: each place looks around it at three distances and at the whole image.

Source: L.-C. Chen et al., "Rethinking Atrous Convolution for Semantic Image Segmentation", arXiv 1706.05587 (2017), as
dual_branch's authors use it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fundus_lib.checks import check_counts
from fundus_lib.models.resnet import LEAK, DilatedResNet, auxiliary_head, convolution, spread

RATES = (12, 24, 36)
"""Distances, in places of the map (eight pixels each), at which the 3×3 convolutions look around."""


class DeepLabV3(DilatedResNet):
    """Dilated ResNet-50 with an atrous pyramid.

    Parts and outputs are those of :class:`~fundus_lib.models.resnet.DilatedResNet`.

    Args:
        lesions: Number of output channels L.
        width: Channels of the backbone's first stage; 64 is ResNet-50.
        stem: ``"deep"`` as in the authors' code, or ``"torchvision"``.
        pretrained: Start from ImageNet (``stem="torchvision"`` only).

    Raises:
        ArgumentError: A setting is out of range.
        WeightsError: ``pretrained``, and the weights cannot be had.
    """

    def __init__(self, lesions: int = 1, width: int = 64, stem: str = "deep", pretrained: bool = False):
        check_counts("DeepLabV3", lesions=lesions, width=width)
        head = nn.Sequential(
            AtrousPyramid(32 * width, 4 * width, 8 * width), nn.Conv2d(8 * width, lesions, kernel_size=1)
        )
        super().__init__("DeepLabV3", head, auxiliary_head(lesions, width), width, stem, pretrained)


class AtrousPyramid(nn.Module):
    """A 1×1 convolution, three spread 3×3 convolutions and the image's mean, side by side; then a 1×1 convolution.

    The mean is normalised over its channels (GroupNorm with one group) and not rectified, as in the authors' code: one
    value per image and channel is too little for batch normalisation at batch size 1.

    Args:
        channels: Channels C of the map.
        inner: Channels of each of the five: 256.
        channels_out: Channels of the result: 512 in the authors' code (256 in DeepLabV3's paper).
        rates: Distances of the 3×3 convolutions.
    """

    def __init__(self, channels: int, inner: int, channels_out: int, rates: tuple[int, ...] = RATES):
        super().__init__()
        self.mean = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, inner, kernel_size=1, bias=False), nn.GroupNorm(1, inner)
        )
        self.near = nn.Sequential(*convolution(channels, inner, kernel=1, leak=LEAK))
        self.far = nn.ModuleList(
            nn.Sequential(*convolution(channels, inner, dilation=rate, leak=LEAK)) for rate in rates
        )
        self.mix = nn.Sequential(
            *convolution((len(rates) + 2) * inner, channels_out, kernel=1, leak=LEAK), nn.Dropout2d(0.1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to (B, channels_out, h, w)."""
        seen = [spread(self.mean(x), x), self.near(x), *(far(x) for far in self.far)]
        result: Tensor = self.mix(torch.cat(seen, dim=1))
        return result
