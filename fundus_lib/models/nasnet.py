"""NASNet-A as a backbone, with the layers of the package timm, which is optional.

Source: B. Zoph et al., "Learning Transferable Architectures for Scalable Image Recognition", CVPR 2018. `pldmlt` names
it "NASNet"; the size is our choice.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from torch import Tensor, nn

from fundus_lib.errors import MissingPackageError, WeightsError

NASNET_CHANNELS = 4032
"""Channels of its last feature map."""


class NASNet(nn.Module):
    """NASNet-A (6 @ 4032), (B, 3, H, W) to (B, 4032, H/32, W/32); 84.72 million parameters.

    Args:
        pretrained: Start from timm's ImageNet weights. They expect RGB images from −1 to 1, of 331×331 pixels.

    Raises:
        MissingPackageError: timm is not installed.
        WeightsError: ``pretrained``, and the weights cannot be had.
    """

    def __init__(self, pretrained: bool = False):
        super().__init__()
        try:
            timm = import_module("timm")
        except ImportError as error:
            raise MissingPackageError(
                "nasnet",
                "a package that it is made of is not installed",
                found=f"{type(error).__name__}: {error}",
                expected="timm",
                remedy="pip install timm",
            ) from error
        try:
            self.network: Any = timm.create_model("nasnetalarge", pretrained=pretrained, num_classes=0)
        except Exception as error:  # each way of downloading has its own
            if not pretrained:
                raise
            raise WeightsError(
                "nasnet, pretrained",
                "the weights are not on this machine and cannot be downloaded",
                found=f"{type(error).__name__}: {error}",
                expected="access to timm's weights of nasnetalarge, or a copy of them in its cache",
                remedy="start from fresh weights: pretrained=False",
            ) from error

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, 4032, about H/32, about W/32)."""
        features: Tensor = self.network.forward_features(images)
        return features
