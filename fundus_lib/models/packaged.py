"""LinkNet and FPN: segmenters whose layers are those of segmentation_models_pytorch, a package that is optional.

Sources: A. Chaurasia and E. Culurciello, "LinkNet: Exploiting Encoder Representations for Efficient Semantic
Segmentation", VCIP 2017; A. Kirillov, K. He, R. Girshick and P. Dollár, "A Unified Architecture for Instance and
Semantic Segmentation" (the package's FPN), after T.-Y. Lin et al., "Feature Pyramid Networks for Object Detection",
CVPR 2017. `pldmlt` compares with both. :mod:`fundus_lib.models.deeplabv3plus` takes its layers from there too.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn

from fundus_lib.checks import check_counts
from fundus_lib.errors import ArgumentError, MissingPackageError
from fundus_lib.models.staged import Features, Staged, pad_to_multiple
from fundus_lib.models.unet import set_prior

if TYPE_CHECKING:
    from types import ModuleType

STRIDE = 32
"""Factor by which the encoders downsample."""

ENCODERS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")


class Packaged(Staged):
    """A network of the package in three parts: encoder, decoder, head.

    Images may have any size: they are padded to a multiple of 32 by repeating their edge. Two branches share the
    encoder (our choice: no paper pairs these networks).

    Args:
        lesions: Number of output channels L.
        encoder: One of :data:`ENCODERS`.
        pretrained: Start from torchvision's weights of the encoder, trained on ImageNet.
        prior: Probability that a newly initialised network predicts, as of :class:`~fundus_lib.models.unet.UNet`.

    Raises:
        MissingPackageError: segmentation_models_pytorch is not installed.
        ArgumentError: There is no such encoder, or a setting is out of range.
        WeightsError: ``pretrained``, and the weights cannot be had.
    """

    shared_until: ClassVar[Mapping[str, str]] = {"code": "encoder", "text": "encoder"}
    network: ClassVar[str]

    def __init__(self, lesions: int, encoder: str, pretrained: bool, prior: float):
        made = build_packaged(type(self).__name__, self.network, encoder, lesions, pretrained)
        set_prior(made.segmentation_head[0], prior)
        super().__init__(
            {
                "encoder": EncoderPart(made.encoder),
                "decoder": DecoderPart(made.decoder),
                "head": HeadPart(made.segmentation_head),
            }
        )


class LinkNet(Packaged):
    """LinkNet: maps of the encoder are added to those of a narrow decoder; 11,663,777 parameters with ResNet-18.

    Settings and parts are those of :class:`Packaged`.
    """

    network = "Linknet"

    def __init__(self, lesions: int = 1, encoder: str = "resnet18", pretrained: bool = False, prior: float = 0.01):
        super().__init__(lesions, encoder, pretrained, prior)


class FPN(Packaged):
    """Feature pyramid network: maps of four resolutions are summed at a quarter of the image's; 26,116,033 parameters.

    Settings and parts are those of :class:`Packaged`. The encoder's depth is not printed in `pldmlt` ("ResNet"): we
    take that of its DeepLabV3+, ResNet-50.
    """

    network = "FPN"

    def __init__(self, lesions: int = 1, encoder: str = "resnet50", pretrained: bool = False, prior: float = 0.01):
        super().__init__(lesions, encoder, pretrained, prior)


class EncoderPart(nn.Module):
    """The part that computes a feature map at each resolution, ``"level0"`` (the images) to ``"level5"``."""

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder = encoder

    def forward(self, features: Features) -> Features:
        """Add the levels; the lowest of them becomes ``"x"``."""
        maps: list[Tensor] = self.encoder(pad_to_multiple(features["x"], STRIDE))
        return features | {f"level{k}": x for k, x in enumerate(maps)} | {"x": maps[-1]}


class DecoderPart(nn.Module):
    """The part that upsamples and combines the levels."""

    def __init__(self, decoder: nn.Module):
        super().__init__()
        self.decoder = decoder

    def forward(self, features: Features) -> Features:
        """Replace ``"x"``."""
        levels = sorted(name for name in features if name.startswith("level"))
        return features | {"x": self.decoder([features[name] for name in levels])}


class HeadPart(nn.Module):
    """The part that computes the logits, cropped to the images' size."""

    def __init__(self, score: nn.Module):
        super().__init__()
        self.score = score

    def forward(self, features: Features) -> Features:
        """Add ``"logits"``."""
        height, width = features["images"].shape[-2:]
        return features | {"logits": self.score(features["x"])[..., :height, :width]}


def build_packaged(where: str, network: str, encoder: str, lesions: int, pretrained: bool) -> Any:
    """A network of the package, its encoder with torchvision's weights if these are asked for.

    Args:
        where: Name of the model, for messages.
        network: Name of its class in the package.
        encoder: One of :data:`ENCODERS`.
        lesions: Number of output channels.
        pretrained: Start from torchvision's weights of the encoder, trained on ImageNet.

    Raises:
        MissingPackageError: segmentation_models_pytorch is not installed.
        ArgumentError: There is no such encoder, or lesions are fewer than one.
        WeightsError: ``pretrained``, and the weights cannot be had.
    """
    check_counts(where, lesions=lesions)
    if encoder not in ENCODERS:
        raise ArgumentError(
            where,
            "this encoder is not one of those that the library knows",
            found=f"encoder={encoder!r}",
            expected=" or ".join(map(repr, ENCODERS)),
            remedy="leave it out for the one that the papers use",
        )
    made = getattr(_package(where), network)(encoder_name=encoder, encoder_weights=None, classes=lesions)
    if pretrained:
        from torchvision.models import get_model_weights

        from fundus_lib.models.imagenet import load_imagenet_weights

        made.encoder.load_state_dict(load_imagenet_weights(get_model_weights(encoder).IMAGENET1K_V1))  # without fc
    return made


def _package(where: str) -> ModuleType:
    try:
        return import_module("segmentation_models_pytorch")
    except ImportError as error:
        raise MissingPackageError(
            where,
            "a package that holds this network's layers is not installed",
            found=f"{type(error).__name__}: {error}",
            expected="segmentation_models_pytorch",
            remedy="pip install segmentation-models-pytorch",
        ) from error
