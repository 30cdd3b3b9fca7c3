"""DNL: attention between positions by their deviations from the mean.

Source: M. Yin et al., "Disentangled Non-Local Neural Networks", ECCV 2020, and its authors' code for the layers around
the block.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fundus_lib.checks import check_counts
from fundus_lib.models.resnet import DilatedResNet, build_fcn_head, convolution


class DNL(DilatedResNet):
    """Dilated ResNet-50 with a disentangled non-local head.

    Parts and outputs are those of :class:`~fundus_lib.models.resnet.DilatedResNet`.
    dual_branch does not give DNL's settings; head and auxiliary head are those of DNL's authors, who use them on a
    ResNet-101 with the deep stem. That two branches share what they share of PSPNet is our choice.

    Args:
        lesions: Number of output channels L.
        width: Channels of the backbone's first stage; 64 is ResNet-50.
        stem: ``"deep"`` or ``"torchvision"``.
        pretrained: Start from ImageNet (``stem="torchvision"`` only).

    Raises:
        ArgumentError: A setting is out of range.
        WeightsError: ``pretrained``, and the weights cannot be had.
    """

    def __init__(self, lesions: int = 1, width: int = 64, stem: str = "deep", pretrained: bool = False):
        check_counts("DNL", lesions=lesions, width=width)
        head = NonLocalHead(32 * width, 8 * width, lesions)
        super().__init__("DNL", head, build_fcn_head(16 * width, 8 * width, lesions), width, stem, pretrained)


class NonLocalHead(nn.Module):
    """Channel reduction, attention between all positions, and logits from its result concatenated with the input.

    Args:
        channels: Channels C of the feature map.
        inner: Channels during attention: 512.
        lesions: Number of output channels L.
    """

    def __init__(self, channels: int, inner: int, lesions: int):
        super().__init__()
        self.relate = nn.Sequential(
            *convolution(channels, inner), DisentangledNonLocal(inner, inner // 2), *convolution(inner, inner)
        )
        self.score = build_fcn_head(channels + inner, inner, lesions)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to (B, L, h, w)."""
        logits: Tensor = self.score(torch.cat([x, self.relate(x)], dim=1))
        return logits


class DisentangledNonLocal(nn.Module):
    """Two kinds of attention, added to the input: pairwise between positions, and unary, alike for all queries.

    The pairwise kind compares a query with a key after subtracting from each its mean over all positions; what the
    means would contribute is the unary kind, which has weights of its own. (The keys' mean need not be subtracted: it
    adds the same to a query's score with every key, which leaves the softmax as it is.) The mean is per channel, as in
    the paper; the authors' configuration for Cityscapes subtracts one number for all channels. Scores are not divided
    by the root of the number of channels, as there. The pairwise part starts with weight zero.

    Memory grows with the square of h·w where torch has no attention kernel that avoids it.

    Args:
        channels: Channels C of the feature map.
        inner: Channels of queries and keys.
    """

    def __init__(self, channels: int, inner: int):
        super().__init__()
        self.query = nn.Conv2d(channels, inner, kernel_size=1)
        self.key = nn.Conv2d(channels, inner, kernel_size=1)
        self.value = nn.Conv2d(channels, channels, kernel_size=1, bias=False)
        self.salience = nn.Conv2d(channels, 1, kernel_size=1)
        self.gamma = nn.Parameter(torch.zeros(1))
        for layer in (self.query, self.key, self.value, self.salience):
            nn.init.normal_(layer.weight, std=0.01)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to (B, C, h, w)."""
        query, key, value, salience = (
            layer(x).flatten(2).transpose(1, 2) for layer in (self.query, self.key, self.value, self.salience)
        )  # (B, h·w, channels) each
        query = query - query.mean(1, keepdim=True)  # the keys' mean drops out of the softmax
        pairwise = F.scaled_dot_product_attention(query[:, None], key[:, None], value[:, None], scale=1.0)[:, 0]
        common = salience.softmax(1).transpose(1, 2) @ value  # (B, 1, C), the same for every position
        added = (self.gamma * pairwise + common).transpose(1, 2)  # (B, C, h·w)
        result: Tensor = x + added.reshape(x.shape)
        return result
