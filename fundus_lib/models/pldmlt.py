"""The two networks of `pldmlt`: a VGG16 U-Net that also grades, and the network that writes its grades.

Source: `pldmlt`, Sections 3.2 and 3.3: a U-Net with VGG16 as its encoder, pooling and a fully connected layer at the
encoder's end, and a label update network beside it. Without its grade head the first is the U-Net (VGG16) that the
paper compares with; MTUnet, for which there is no code either, is the first alone, trained with both losses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F
from torchvision import models

from fundus_lib.checks import check_counts
from fundus_lib.errors import ArgumentError
from fundus_lib.grades import GRADES
from fundus_lib.models.imagenet import load_imagenet_weights
from fundus_lib.models.staged import Features, Staged, pad_to_multiple
from fundus_lib.models.unet import Head, build_double_convolution

WIDTH = 64
"""Channels of VGG16's first convolutions."""


class PLDMLT(Staged):
    """VGG16 U-Net with a grade head.

    Parts: encoder, grade (with ``grades``), decoder, head. ``forward`` gives ``"logits"`` (B, L, H, W) and, with
    ``grades``, ``"dr"`` (B, 5), the logits of the grades of retinopathy. ``keep=("bottleneck",)`` also returns the
    encoder's last map, (B, 8 · width, H'/32, W'/32), of which the grades are computed; ``keep=("features",)`` the map
    before the logits. Two branches share the encoder (our choice: no paper pairs this network).

    At width 64 the segmenter has 23,748,241 parameters, exactly as many as segmentation_models_pytorch's
    ``Unet("vgg16")``, whose layers it has, and the grade head 2,565. The paper does not describe the decoder; this is
    the package's, whose last level, at full resolution, has no skip connection. Departures from it: an image of any
    size is possible, which is padded to a multiple of 32 by repeating its edge; the width is a setting; all weights
    start as He et al. propose (the paper's "He Normal"), and the head's bias at the prior's logit (there 0:
    ``prior=0.5``).

    Args:
        lesions: Number of output channels L: one in the paper, all lesions fused.
        width: Channels of the first convolutions, a multiple of 4; 64 is VGG16.
        grades: Whether there is a grade head.
        norm: Batch normalisation after each convolution of the encoder; the decoder always has it. The paper's VGG16
            has none, MAXL's has it. A narrow network without ImageNet weights learns faster with it.
        pretrained: Start the encoder from torchvision's ImageNet weights of VGG16, as the paper does (width 64).
        prior: Probability that a newly initialised network predicts, as of :class:`~fundus_lib.models.unet.UNet`.

    Raises:
        ArgumentError: A setting is out of range, or ``pretrained`` with another width.
        WeightsError: ``pretrained``, and the weights cannot be had.
    """

    shared_until: ClassVar[Mapping[str, str]] = {"code": "encoder", "text": "encoder"}

    def __init__(
        self,
        lesions: int = 1,
        width: int = WIDTH,
        grades: bool = True,
        norm: bool = False,
        pretrained: bool = False,
        prior: float = 0.01,
    ):
        check_counts("PLDMLT", lesions=lesions, width=width)
        if width % 4:
            raise ArgumentError(
                "PLDMLT",
                "the decoder's last level has a quarter of the width",
                found=f"width={width}",
                expected="a multiple of 4",
                remedy="64 is VGG16, 16 a quarter of it",
            )
        decoder, head = Decoder(width), Head(width // 4, lesions, prior, kernel=3)
        for layer in decoder.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        super().__init__(
            {"encoder": VGG16Encoder("PLDMLT", width, norm, pretrained)}
            | ({"grade": GradeHead(8 * width)} if grades else {})
            | {"decoder": decoder, "head": head}
        )


class LabelNet(Staged):
    """The label update network: VGG16, pooling and a fully connected layer; ``forward`` gives ``"dr"`` (B, 5).

    These are logits, of which :func:`fundus_lib.losses.pldmlt.mask_softmax` makes labels. It shares nothing with
    :class:`PLDMLT`. As there, the paper names no layers behind the convolutions; MAXL's network has a hidden layer of
    512 and batch normalisation (``norm=True``).

    Args:
        width: As of :class:`PLDMLT`, but any.
        norm: As of :class:`PLDMLT`.
        pretrained: As of :class:`PLDMLT`.

    Raises:
        ArgumentError: The width is below 1, or ``pretrained`` with another width than 64.
        WeightsError: ``pretrained``, and the weights cannot be had.
    """

    shared_until: ClassVar[Mapping[str, str]] = {}

    def __init__(self, width: int = WIDTH, norm: bool = False, pretrained: bool = False):
        check_counts("LabelNet", width=width)
        super().__init__({"encoder": VGG16Encoder("LabelNet", width, norm, pretrained), "grade": GradeHead(8 * width)})


class VGG16Encoder(nn.Module):
    """The part that applies VGG16's convolutions and keeps the map before each pooling.

    Args:
        where: Name of the model, for messages.
        width: Channels of the first convolutions.
        norm: Whether batch normalisation follows each convolution.
        pretrained: Start from torchvision's ImageNet weights.
    """

    def __init__(self, where: str, width: int, norm: bool, pretrained: bool):
        super().__init__()
        plan: list[str | int] = [c if isinstance(c, str) else c * width // WIDTH for c in models.vgg.cfgs["D"]]
        self.features = models.vgg.make_layers(plan, batch_norm=norm)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        if pretrained:
            if width != WIDTH:
                raise ArgumentError(
                    f"{where}, pretrained",
                    "there are no ImageNet weights for this width",
                    found=f"width={width}",
                    expected=f"width={WIDTH}",
                    remedy="leave it out, or pretrained=False",
                )
            kind = models.VGG16_BN_Weights if norm else models.VGG16_Weights
            theirs = load_imagenet_weights(kind.IMAGENET1K_V1)
            self.load_state_dict({name: theirs[name] for name in self.state_dict()})

    def forward(self, features: Features) -> Features:
        """Add ``"level0"`` to ``"level4"``, (B, C, H'/2^k, W'/2^k), and ``"bottleneck"``, which becomes ``"x"``."""
        x, levels = pad_to_multiple(features["x"], 32), dict[str, torch.Tensor]()
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d):
                levels[f"level{len(levels)}"] = x
            x = layer(x)
        return features | levels | {"bottleneck": x, "x": x}


class GradeHead(nn.Module):
    """The part that grades: mean over all positions, then a fully connected layer.

    Args:
        channels: Of the current feature map.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.layer = nn.Linear(channels, GRADES["dr"])

    def forward(self, features: Features) -> Features:
        """Add ``"dr"`` (B, 5)."""
        return features | {"dr": self.layer(features["x"].mean((2, 3)))}


class Decoder(nn.Module):
    """The part that upsamples: two convolutions at the bottleneck, and two at each of five levels.

    Args:
        width: Of the encoder; the levels have 4, 2, 1, 1/2 and 1/4 times as many channels.
    """

    def __init__(self, width: int):
        super().__init__()
        self.center = build_double_convolution(8 * width, 8 * width)
        skips = [8 * width, 8 * width, 4 * width, 2 * width, 0]
        widths = [8 * width, 4 * width, 2 * width, width, width // 2, width // 4]
        self.blocks = nn.ModuleList(
            build_double_convolution(below + skip, here)
            for below, skip, here in zip(widths[:-1], skips, widths[1:], strict=True)
        )

    def forward(self, features: Features) -> Features:
        """Replace ``"x"``: (B, width / 4, H', W')."""
        x = self.center(features["x"])
        for level, block in zip((4, 3, 2, 1, 0), self.blocks, strict=True):
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = block(torch.cat([x, features[f"level{level}"]], dim=1) if level else x)
        return features | {"x": x}
