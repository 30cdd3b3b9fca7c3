"""PSPNet: each position is also given the means over a sixth, a third, half and the whole of the image.

Source: H. Zhao et al., "Pyramid Scene Parsing Network", CVPR 2017, as dual_branch's authors use it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fundus_lib.checks import check_counts
from fundus_lib.models.resnet import LEAK, DilatedResNet, auxiliary_head


class PSPNet(DilatedResNet):
    """Dilated ResNet-50 with a pyramid pooling head.

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
        check_counts("PSPNet", lesions=lesions, width=width)
        head = nn.Sequential(PyramidPooling(32 * width, 8 * width), nn.Conv2d(8 * width, lesions, kernel_size=1))
        super().__init__("PSPNet", head, auxiliary_head(lesions, width), width, stem, pretrained)


class PyramidPooling(nn.Module):
    """Means over 1, 4, 9 and 36 bins, upsampled and concatenated with the feature map; then a 3×3 convolution.

    The convolution of the upsampled means is computed without upsampling them (see :func:`convolve_upsampled`), which
    spares half of the head's multiplications and a feature map of 2048 channels.

    Args:
        channels: Channels C of the feature map.
        inner: Channels of each mean, and of the result: 512 in the paper.
        bins: Bins along each side.
    """

    def __init__(self, channels: int, inner: int, bins: tuple[int, ...] = (1, 2, 3, 6)):
        super().__init__()
        self.means = nn.ModuleList(
            nn.Sequential(
                nn.AdaptiveAvgPool2d(k), nn.Conv2d(channels, inner, kernel_size=1, bias=False), nn.GroupNorm(1, inner)
            )
            for k in bins
        )
        self.mix = nn.Conv2d(len(bins) * inner + channels, inner, kernel_size=3, padding=1, bias=False)
        self.finish = nn.Sequential(nn.BatchNorm2d(inner), nn.LeakyReLU(LEAK, inplace=True), nn.Dropout2d(0.1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to (B, inner, h, w)."""
        inner = self.mix.out_channels
        *weights, own = torch.split(self.mix.weight, [inner] * len(self.means) + [x.shape[1]], dim=1)
        y = F.conv2d(x, own, padding=1)
        for mean, weight in zip(self.means, weights, strict=True):
            y = y + convolve_upsampled(mean(x), weight, (x.shape[-2], x.shape[-1]))
        result: Tensor = self.finish(y)
        return result


def convolve_upsampled(small: Tensor, weight: Tensor, size: tuple[int, int]) -> Tensor:
    """Upsample a small feature map bilinearly and convolve it, computed in the opposite order.

    Both are linear, so the channels can be mixed first, at the low resolution: once for each of the nine positions of
    the kernel. Interpolation, with each position's shift in it, is then a matrix from the left and one from the right.
    The result is the same up to rounding; what is saved is a convolution of h·w positions with 9·C·O weights.

    Args:
        small: (B, C, k, l).
        weight: (O, C, 3, 3).
        size: Height h and width w.

    Returns:
        (B, O, h, w), the 3×3 convolution, zero-padded, of the map upsampled with aligned corners.
    """
    batch, _, rows, columns = small.shape
    mixed = torch.einsum("ocyx,bcij->boyixj", weight, small)  # (B, O, 3, k, 3, l)
    mixed = mixed.reshape(batch, len(weight), 3 * rows, 3 * columns)
    down, across = (build_shifted_interpolation(n, m, small) for n, m in zip(size, (rows, columns), strict=True))
    return down @ mixed @ across.T


def build_shifted_interpolation(large: int, small: int, like: Tensor) -> Tensor:
    """The matrix of linear interpolation, three times side by side: shifted by −1, 0 and 1, padded with zeros.

    Args:
        large: Number of positions to interpolate to.
        small: Number of positions to interpolate from.
        like: Whose device and type the matrix is to have.

    Returns:
        (large, 3·small).
    """
    identity = torch.eye(small, device=like.device, dtype=torch.promote_types(like.dtype, torch.float32))
    matrix = F.interpolate(identity[None], size=large, mode="linear", align_corners=True)[0].T  # (large, small)
    padded = F.pad(matrix, (0, 0, 1, 1))
    return torch.cat([padded[shift : shift + large] for shift in range(3)], dim=1).to(like.dtype)
