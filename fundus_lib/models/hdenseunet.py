"""H-DenseUNet's 2D network: a DenseNet-161 and a decoder to which the encoder's maps are added.

Source: X. Li et al., "H-DenseUNet: Hybrid Densely Connected UNet for Liver and Tumor Segmentation from CT Volumes",
IEEE Transactions on Medical Imaging 2018, Table I (2D DenseUNet-167), and its authors' network definition. Its 3D
network and the fusion of both have no meaning for one image.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import nn
from torch.nn import functional as F
from torchvision.models import DenseNet, DenseNet161_Weights

from fundus_lib.checks import check_counts
from fundus_lib.errors import ArgumentError
from fundus_lib.models.imagenet import load_imagenet_weights, rename_dense_layer
from fundus_lib.models.staged import Features, Staged, pad_to_multiple
from fundus_lib.models.unet import Head

BLOCKS = (6, 12, 36, 24)
"""Layers of DenseNet-161's four blocks."""

GROWTH = 48
"""Channels that each of its layers adds."""


class HDenseUNet(Staged):
    """Torchvision's DenseNet without its classifier, and five times upsampling, adding and a convolution.

    Parts: encoder, decoder, head. ``keep=("features",)`` also returns the map before the logits, (B, 4·width/3, H, W)
    with values of at least 0. Two branches share the encoder (our choice: no paper pairs this network).

    At the defaults the network has 49,527,713 parameters: 26,472,000 of DenseNet-161 without its classifier and those
    of the decoder; the paper prints no count. Departures from the authors' definition: three channels of an RGB image
    take the place of three neighbouring slices; normalisation is not followed by a second scaling; an image of any
    size is possible, which is padded to a multiple of 32 by repeating its edge; the head's bias starts at the prior's
    logit (there 0: ``prior=0.5``).

    hecl's own code has another network of this name, with DenseNet-121 and concatenated skips (44.4 million).

    Args:
        lesions: Number of output channels L, one per lesion, each a binary classification.
        width: Channels that each layer of the encoder adds; 48 is DenseNet-161.
        blocks: Layers of the encoder's four blocks; the default is DenseNet-161.
        pretrained: Start from torchvision's DenseNet-161 trained on ImageNet, as the paper does.
        prior: Probability that a newly initialised network predicts, as of :class:`~fundus_lib.models.unet.UNet`.

    Raises:
        ArgumentError: A setting is out of range, or ``pretrained`` with another encoder.
        WeightsError: ``pretrained``, and the weights cannot be had.
    """

    shared_until: ClassVar[Mapping[str, str]] = {"code": "encoder", "text": "encoder"}

    def __init__(
        self,
        lesions: int = 1,
        width: int = GROWTH,
        blocks: tuple[int, ...] = BLOCKS,
        pretrained: bool = False,
        prior: float = 0.01,
    ):
        check_counts("HDenseUNet", lesions=lesions, width=width, **{f"blocks[{k}]": n for k, n in enumerate(blocks)})
        if len(blocks) != 4 or (pretrained and (width, tuple(blocks)) != (GROWTH, BLOCKS)):
            raise ArgumentError(
                "HDenseUNet",
                "there is no such encoder" + ", or no ImageNet weights for it" * pretrained,
                found=f"width={width}, blocks={blocks}, pretrained={pretrained}",
                expected=f"width={GROWTH}, blocks={BLOCKS}" if pretrained else "four blocks",
                remedy="leave out both settings for DenseNet-161" + ", or pretrained=False" * pretrained,
            )
        encoder = DenseEncoder(width, tuple(blocks), pretrained)
        final = max(1, 4 * width // 3)
        super().__init__(
            {"encoder": encoder, "decoder": DenseDecoder(encoder.channels, final), "head": Head(final, lesions, prior)}
        )


class DenseEncoder(nn.Module):
    """The part that computes a feature map at each resolution.

    Args:
        width: As of :class:`HDenseUNet`.
        blocks: As of :class:`HDenseUNet`.
        pretrained: As of :class:`HDenseUNet`.

    Attributes:
        channels: Of the maps at strides 2, 4, 8, 16 and 32.
    """

    def __init__(self, width: int, blocks: tuple[int, ...], pretrained: bool):
        super().__init__()
        network = DenseNet(width, blocks, 2 * width, num_classes=1)  # type: ignore[arg-type]
        self.layers = network.features
        self.channels = [2 * width]
        for k, count in enumerate(blocks):
            before = self.channels[-1] // 2 if k else self.channels[-1]  # transitions halve the channels
            self.channels.append(before + count * width)
        if pretrained:
            self.layers.load_state_dict(load_densenet161())

    def forward(self, features: Features) -> Features:
        """Add ``"skip0"`` … ``"skip3"``, at strides 2 to 16; the last map, at stride 32, becomes ``"x"``."""
        kept = {"relu0": "skip0", "denseblock1": "skip1", "denseblock2": "skip2", "denseblock3": "skip3"}
        x = pad_to_multiple(features["x"], 32)
        skips: Features = {}
        for name, layer in self.layers.named_children():
            x = layer(x)
            if name in kept:
                skips[kept[name]] = x
        return features | skips | {"x": F.relu(x)}


class DenseDecoder(nn.Module):
    """The part that upsamples by repetition, adds the encoder's map and convolves, five times.

    Args:
        channels: As of :class:`DenseEncoder`.
        final: Channels at full resolution.
    """

    def __init__(self, channels: list[int], final: int):
        super().__init__()
        first, second, third, fourth, last = channels
        self.fit = nn.Conv2d(fourth, last, kernel_size=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(before, here, kernel_size=3, padding=1), nn.BatchNorm2d(here), nn.ReLU(inplace=True)
            )
            for before, here in ((last, third), (third, second), (second, first), (first, first))
        )
        self.finish = nn.Sequential(
            nn.Conv2d(first, final, kernel_size=3, padding=1),
            nn.Dropout(0.3),
            nn.BatchNorm2d(final),
            nn.ReLU(inplace=True),
        )

    def forward(self, features: Features) -> Features:
        """Replace ``"x"``: (B, channels[4], H'/32, W'/32) to (B, final, H', W')."""
        skips = self.fit(features["skip3"]), features["skip2"], features["skip1"], features["skip0"]
        x = features["x"]
        for block, skip in zip(self.blocks, skips, strict=True):
            x = block(F.interpolate(x, scale_factor=2, mode="nearest") + skip)
        return features | {"x": self.finish(F.interpolate(x, scale_factor=2, mode="nearest"))}


def load_densenet161() -> Features:
    """Torchvision's weights of DenseNet-161 without its classifier, under the names that its layers have today."""
    theirs = load_imagenet_weights(DenseNet161_Weights.IMAGENET1K_V1)
    prefix = "features."
    return {
        rename_dense_layer(name.removeprefix(prefix)): value
        for name, value in theirs.items()
        if name.startswith(prefix)
    }
