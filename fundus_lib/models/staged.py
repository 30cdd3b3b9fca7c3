"""Networks made of named parts that run one after another, so that two branches can share some of them.

A part is a module that takes what has been computed so far, a dictionary of tensors, and gives it back with its own
results added. So a network can be stopped after any part and continued from there more than once:
:class:`fundus_lib.models.dualbranch.DualBranch` runs the shared parts once and the others once per branch.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from fundus_lib.checks import check_images
from fundus_lib.errors import ArgumentError

Features = dict[str, Tensor]
"""What has been computed so far, by name.

There are ``"images"``, the current feature map ``"x"``, and whatever later parts or the caller need.
"""

OUTPUTS = ("logits", "aux", "sides", "dr")
"""The features that a network gives to its caller, where it has them."""


class Staged(nn.Module):
    """A network made of named parts.

    Args:
        parts: Name to part, in the order in which they run. A part maps :data:`Features` to :data:`Features`.

    Attributes:
        shared_until: How two branches share this network: ``"code"`` and ``"text"`` to the name of the last part that
            is shared. Everything before it is shared too.
    """

    shared_until: ClassVar[Mapping[str, str]]

    def __init__(self, parts: Mapping[str, nn.Module]):
        super().__init__()
        self.parts = nn.ModuleDict(parts)

    def forward(self, images: Tensor, keep: Collection[str] = ()) -> dict[str, Tensor]:
        """Logits of every lesion at every pixel.

        Args:
            images: float (B, 3, H, W), normalised; any height and width.
            keep: Names of further :data:`Features` to return. The U-Nets have ``"features"`` (B, C, H, W), the map
                that the last convolution turns into logits, cropped to the images.

        Returns:
            ``{"logits": float (B, L, H, W)}`` and what the class documents, at the images' size, and what is kept.

        Raises:
            ArgumentError: A name in ``keep`` is none of this network's, or these are no images of that shape and type.
        """
        check_images(self, images)
        features = run_parts(self.parts, init_features(images))
        if missing := sorted(set(keep) - set(features)):
            raise ArgumentError(
                f"{type(self).__name__}.forward",
                "this network has no such features to keep",
                found=f"keep={tuple(keep)!r}, of which {', '.join(map(repr, missing))} do not exist",
                expected=f"names among {', '.join(map(repr, features))}",
                remedy="correct the name, or choose a network that has it",
            )
        return select_outputs(features) | {name: features[name] for name in keep}


class BackbonePart(nn.Module):
    """The part that applies a module to the current feature map.

    Args:
        module: (B, C, h, w) to (B, C', h', w').
        keep: Name under which its result stays available to later parts.
        multiple: Continue the map until its sides are multiples of this number, before the module is applied.
    """

    def __init__(self, module: nn.Module, keep: str = "", multiple: int = 1):
        super().__init__()
        self.module = module
        self.keep = keep
        self.multiple = multiple

    def forward(self, features: Features) -> Features:
        """Replace ``"x"``."""
        x = features["x"] if self.multiple == 1 else pad_to_multiple(features["x"], self.multiple)
        x = self.module(x)
        return features | {"x": x} | ({self.keep: x} if self.keep else {})


class OutputPart(nn.Module):
    """The part that computes logits at the size of the images and leaves the current feature map as it is.

    Args:
        module: (B, C, h, w) to (B, L, h, w).
        name: Name of the result: ``"logits"``, or ``"aux"``.
        only_in_training: Skip it at inference, where an auxiliary prediction has no use.
    """

    def __init__(self, module: nn.Module, name: str = "logits", only_in_training: bool = False):
        super().__init__()
        self.module = module
        self.name = name
        self.only_in_training = only_in_training

    def forward(self, features: Features) -> Features:
        """Add the prediction."""
        if self.only_in_training and not self.training:
            return features
        return features | {self.name: upsample(self.module(features["x"]), features["images"])}


def init_features(images: Tensor) -> Features:
    """The features before the first part."""
    return {"images": images, "x": images}


def run_parts(parts: nn.ModuleDict, features: Features) -> Features:
    """Run parts in their order."""
    for part in parts.values():
        features = part(features)
    return features


def select_outputs(features: Features) -> dict[str, Tensor]:
    """Those features that are outputs of the network."""
    return {name: features[name] for name in OUTPUTS if name in features}


def upsample(x: Tensor, like: Tensor) -> Tensor:
    """Resize a feature map to the height and width of another, bilinearly with aligned corners."""
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=True)


def pad_to_multiple(images: Tensor, multiple: int) -> Tensor:
    """Continue images to the right and below until their sides are multiples of a number, by repeating their edge."""
    height, width = images.shape[-2:]
    return F.pad(images, (0, -width % multiple, 0, -height % multiple), mode="replicate")
