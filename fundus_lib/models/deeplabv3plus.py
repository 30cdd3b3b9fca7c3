"""DeepLabV3+: DeepLabV3 with a decoder that also takes an early feature map of higher resolution.

Source: L.-C. Chen et al., "Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation", ECCV
2018. The layers are those of segmentation_models_pytorch, a package that is needed for this network alone.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, ClassVar

from torch import nn

from fundus_lib.errors import ArgumentError, MissingPackageError
from fundus_lib.models.staged import BackbonePart, Features, Staged, check_counts

if TYPE_CHECKING:
    from types import ModuleType

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
        check_counts("DeepLabV3Plus", lesions=lesions)
        if encoder not in ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"):
            raise ArgumentError(
                "DeepLabV3Plus",
                "this encoder cannot be split into parts",
                found=f"encoder={encoder!r}",
                expected="'resnet50', or a ResNet of 18, 34, 101 or 152 layers",
                remedy="'resnet50' is what the papers use",
            )
        made = _package().DeepLabV3Plus(encoder_name=encoder, encoder_weights=None, classes=lesions)
        network = made.encoder
        if pretrained:
            from torchvision.models import get_model_weights

            from fundus_lib.models.imagenet import load_imagenet_weights

            network.load_state_dict(load_imagenet_weights(get_model_weights(encoder).IMAGENET1K_V1))  # without fc
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


def _package() -> ModuleType:
    try:
        return import_module("segmentation_models_pytorch")
    except ImportError as error:
        raise MissingPackageError(
            "DeepLabV3Plus",
            "a package that holds this network's layers is not installed",
            found=f"{type(error).__name__}: {error}",
            expected="segmentation_models_pytorch",
            remedy="pip install segmentation-models-pytorch",
        ) from error
