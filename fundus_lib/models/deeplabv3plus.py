"""DeepLabV3+: DeepLabV3 with a decoder that also takes an early feature map of higher resolution.

Source: L.-C. Chen et al., "Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation", ECCV
2018. The layers are those of segmentation_models_pytorch, see :mod:`fundus_lib.models.packaged`.
"""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from fundus_lib.models.packaged import build_packaged
from fundus_lib.models.staged import BackbonePart, Features, Staged

STRIDE = 16
"""Factor by which the encoder downsamples."""


class DeepLabV3Plus(Staged):
    """segmentation_models_pytorch's DeepLabV3+, split into parts.

    The parts are ``stem``, ``layer1``, ``layer2``, ``layer3``, ``layer4`` (all but its last block), ``last_block`` and
    ``head``. Images may have any size: they are padded to a multiple of 16 by repeating their edge. In training,
    batch normalisation of the image's mean needs at least two images. The paper has no two branches of it: that they
    share as PSPNet's do is our choice.

    Args:
        lesions: Number of output channels L.
        encoder: ``"resnet50"``, or another ResNet of the package.
        pretrained: Start from torchvision's weights of the encoder, trained on ImageNet.

    Raises:
        MissingPackageError: segmentation_models_pytorch is not installed.
        ArgumentError: The package has no such ResNet.
        WeightsError: ``pretrained``, and the weights cannot be had.
    """

    shared_until: ClassVar = {"code": "layer4", "text": "layer3"}

    def __init__(self, lesions: int = 1, encoder: str = "resnet50", pretrained: bool = False):
        made = build_packaged("DeepLabV3Plus", "DeepLabV3Plus", encoder, lesions, pretrained)
        network = made.encoder
        super().__init__(
            {
                "stem": BackbonePart(
                    nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool), multiple=STRIDE
                ),
                "layer1": BackbonePart(network.layer1, keep="early"),
                "layer2": BackbonePart(network.layer2),
                "layer3": BackbonePart(network.layer3),
                "layer4": BackbonePart(network.layer4[:-1]),
                "last_block": BackbonePart(network.layer4[-1:]),
                "head": DecoderPart(made.decoder, made.segmentation_head),
            }
        )


class DecoderPart(nn.Module):
    """The part that combines the last feature map with the early one and computes the logits."""

    def __init__(self, decoder: nn.Module, score: nn.Module):
        super().__init__()
        self.decoder = decoder
        self.score = score

    def forward(self, features: Features) -> Features:
        """Add ``"logits"``."""
        height, width = features["images"].shape[-2:]
        x = self.decoder([None, None, features["early"], None, None, features["x"]])  # it uses these two only
        return features | {"logits": self.score(x)[..., :height, :width]}
