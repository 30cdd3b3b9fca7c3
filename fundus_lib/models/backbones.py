"""Backbones of the graders: networks for ImageNet without their classifiers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn
from torchvision import models

from fundus_lib.errors import ArgumentError
from fundus_lib.grades import GRADES
from fundus_lib.models.efficientnet import CHANNELS, EfficientNetLite0
from fundus_lib.models.imagenet import load_imagenet_weights, rename_dense_layer
from fundus_lib.models.nasnet import NASNET_CHANNELS, NASNet

if TYPE_CHECKING:
    from torch import Tensor

RESNETS = ("resnet18", "resnet34")
"""The backbones that are made of a stem and four layers of residual blocks, each ending in 512 channels."""

RESNEXTS = {"resnext50": "resnext50_32x4d", "resnext101": "resnext101_32x8d"}
"""ResNets of grouped convolutions, by torchvision's names: 32 groups of 4 and of 8 channels."""

BACKBONES = (*RESNETS, *RESNEXTS, "densenet201", "nasnet", "efficientnetlite0")
"""The backbones whose output is a feature map."""

STAGES = ("stem", "layer1", "layer2", "layer3", "layer4")
"""The parts of a ResNet, in order: their output strides are 4, 4, 8, 16 and 32."""


def build_resnet_stages(where: str, backbone: str, pretrained: bool = False) -> dict[str, nn.Sequential]:
    """A ResNet of basic blocks as its five :data:`STAGES`; together (B, 3, H, W) to (B, 512, H/32, W/32).

    Args:
        where: Name of the model, for messages.
        backbone: One of :data:`RESNETS`.
        pretrained: Start from torchvision's ImageNet weights.

    Raises:
        ArgumentError: There is no such backbone.
        WeightsError: ``pretrained``, and the weights cannot be had.
    """
    check_backbone(where, backbone, RESNETS)
    return _split_resnet(backbone, pretrained)


def _split_resnet(name: str, pretrained: bool) -> dict[str, nn.Sequential]:
    """One of torchvision's ResNets as its stages."""
    network = models.get_model(name, weights=None)
    if pretrained:
        network.load_state_dict(load_imagenet_weights(models.get_model_weights(name).IMAGENET1K_V1))
    stem = nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool)
    return {"stem": stem} | {stage: getattr(network, stage) for stage in STAGES[1:]}


def build_backbone(where: str, backbone: str, pretrained: bool = False) -> tuple[nn.Module, int]:
    """A backbone, (B, 3, H, W) to (B, C, H/32, W/32), and its C.

    Args:
        where: Name of the model, for messages.
        backbone: One of :data:`BACKBONES`.
        pretrained: Start from ImageNet.

    Raises:
        ArgumentError: There is no such backbone.
        WeightsError: ``pretrained``, and the weights cannot be had.
        MissingPackageError: A package that holds its layers is not installed.
    """
    check_backbone(where, backbone, BACKBONES)
    if backbone == "efficientnetlite0":
        return EfficientNetLite0(pretrained), CHANNELS
    if backbone == "nasnet":
        return NASNet(pretrained), NASNET_CHANNELS
    if backbone == "densenet201":
        network = models.densenet201(weights=None)
        if pretrained:
            theirs = load_imagenet_weights(models.DenseNet201_Weights.IMAGENET1K_V1)
            network.load_state_dict({rename_dense_layer(name): value for name, value in theirs.items()})
        return nn.Sequential(network.features, nn.ReLU(inplace=True)), network.classifier.in_features
    if backbone in RESNEXTS:
        return nn.Sequential(*_split_resnet(RESNEXTS[backbone], pretrained).values()), 2048
    return nn.Sequential(*build_resnet_stages(where, backbone, pretrained).values()), 512


class VGG19(nn.Module):
    """VGG19 up to its second hidden layer, (B, 3, H, W) to (B, hidden).

    Args:
        width: Channels of the first convolutions; 64 is VGG19.
        hidden: Size of the two hidden layers; 4096 is VGG19.
        pretrained: Start from torchvision's ImageNet weights (width 64, hidden 4096).

    Raises:
        ArgumentError: ``pretrained`` with another width or size.
        WeightsError: ``pretrained``, and the weights cannot be had.
    """

    def __init__(self, width: int = 64, hidden: int = 4096, pretrained: bool = False):
        super().__init__()
        plan: list[str | int] = [c if isinstance(c, str) else c * width // 64 for c in models.vgg.cfgs["E"]]
        self.features = models.vgg.make_layers(plan)
        self.pool = nn.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(  # torchvision's name and numbers, so that its weights fit
            *(nn.Linear(8 * width * 49, hidden), nn.ReLU(inplace=True), nn.Dropout()),
            *(nn.Linear(hidden, hidden), nn.ReLU(inplace=True), nn.Dropout()),
        )
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
            elif isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, 0, 0.01)
                nn.init.zeros_(layer.bias)
        if pretrained:
            if (width, hidden) != (64, 4096):
                raise ArgumentError(
                    "grader, pretrained",
                    "there are no ImageNet weights for these settings",
                    found=f"width={width}, hidden={hidden}",
                    expected="width=64, hidden=4096",
                    remedy="use those, or pretrained=False",
                )
            theirs = load_imagenet_weights(models.VGG19_Weights.IMAGENET1K_V1)
            self.load_state_dict({name: theirs[name] for name in self.state_dict()})

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, hidden).

        Raises:
            ArgumentError: Height or width is below 32: five poolings would leave no pixel.
        """
        height, width = images.shape[-2:]
        if min(height, width) < 32:
            raise ArgumentError(
                "vgg19",
                "the images are too small",
                found=f"{height}×{width} pixels",
                expected="32 or more in height and width",
                remedy="use larger images, or a ResNet",
            )
        features: Tensor = self.classifier(self.pool(self.features(images)).flatten(1))
        return features


def check_backbone(where: str, backbone: str, known: tuple[str, ...]) -> None:
    """Refuse a backbone that a model does not have.

    Raises:
        ArgumentError: It is not among them.
    """
    if backbone not in known:
        raise ArgumentError(
            where,
            "there is no such backbone",
            found=f"backbone={backbone!r}",
            expected=", ".join(map(repr, known)),
            remedy="choose one of these",
        )


def check_diseases(where: str, diseases: tuple[str, ...]) -> tuple[str, ...]:
    """The diseases to grade, in the order of :data:`~fundus_lib.grades.GRADES`.

    Raises:
        ArgumentError: There is none, one is not known, or one comes twice.
    """
    named = (diseases,) if isinstance(diseases, str) else tuple(diseases)
    if not named or not set(named) <= set(GRADES) or len(set(named)) < len(named):
        raise ArgumentError(
            where,
            "these are not diseases that it can grade",
            found=f"diseases={diseases!r}",
            expected='"dr", "dme" or both',
            remedy='write for instance diseases=("dr",)',
        )
    return tuple(disease for disease in GRADES if disease in named)
