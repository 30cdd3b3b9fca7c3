"""ImageNet weights of torchvision's networks, for backbones with the same layers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import torch

from fundus_lib.errors import WeightsError

if TYPE_CHECKING:
    import torchvision
    from torch import Tensor

MEAN_STD = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]) * 255
"""ImageNet's channel means and standard deviations, as torchvision's weights expect; (2, 3), grey levels 0-255."""

LITE_MEAN_STD = torch.tensor([[127.0] * 3, [128.0] * 3])
"""What EfficientNet-Lite0's weights expect instead; (2, 3)."""


def load_imagenet_weights(weights: torchvision.models.WeightsEnum) -> dict[str, Tensor]:
    """Read weights from torch's cache, or download them into it.

    They expect RGB images from 0 to 1, from which ImageNet's mean (0.485, 0.456, 0.406) is subtracted and which are
    divided by its standard deviation (0.229, 0.224, 0.225).

    Args:
        weights: One of torchvision's, such as ``ResNet50_Weights.IMAGENET1K_V1``.

    Returns:
        Names, as torchvision's network has them, to values.

    Raises:
        WeightsError: They are neither in the cache nor can they be downloaded.
    """
    try:
        return dict(weights.get_state_dict(progress=False, check_hash=True))
    except (OSError, RuntimeError) as error:  # no network, or what came does not have the right checksum
        from torch.hub import get_dir

        raise WeightsError(
            f"pretrained ({weights})",
            "the weights are not on this machine and cannot be downloaded",
            found=f"{type(error).__name__}: {error}",
            expected=f"access to {weights.url}, or that file under {get_dir()}/checkpoints",
            remedy="copy the file there, or start from fresh weights: pretrained=False",
        ) from error


def rename_dense_layer(name: str) -> str:
    """The name of a weight in torchvision's DenseNets, from that in its older files: ``norm.1`` is ``norm1``."""
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", name)
