"""The backbone of PSPNet, DeepLabV3, DNL and SPNet: ResNet-50 with dilation in its last two stages.

Stages 4 and 5 (``layer3``, ``layer4``) keep an output stride of 8; their 3×3 convolutions have dilation rates 2 and 4.
The blocks are torchvision's. Two stems: the **deep** one of the papers' codes, three 3×3 convolutions with 64, 64 and
128 channels, and torchvision's, one 7×7 with 64, for which ImageNet weights exist.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import Bottleneck

from fundus_lib.errors import ArgumentError, WeightsError
from fundus_lib.models.staged import BackbonePart, OutputPart, Staged

STEMS = ("deep", "torchvision")

LEAK = 0.01
"""Slope below zero of the activations outside the backbone.

The authors set none, so that it is the default of InPlaceABN, the library of their normalisation layers.
"""


class DilatedResNet(Staged):
    """Dilated ResNet-50, a head on its last feature map, and an auxiliary head on ``layer3``.

    The parts are ``stem``, ``layer1``, ``layer2``, ``layer3``, ``aux``, ``layer4`` (its first two blocks),
    ``last_block`` (its third) and ``head``. Besides ``"logits"``, the network returns in training ``"aux"``
    (B, L, H, W), the auxiliary head's logits.

    Two branches share everything but the last block and the head in dual_branch's code; everything but ``layer4`` and
    the head according to its text ("weights in first four stages").

    Args:
        where: The network's name, for messages.
        head: (B, 32·width, H/8, W/8) to (B, L, H/8, W/8).
        auxiliary: (B, 16·width, H/8, W/8) to (B, L, H/8, W/8).
        width: Channels of the first stage; 64 is ResNet-50.
        stem: ``"deep"`` or ``"torchvision"``.
        pretrained: Start from torchvision's ResNet-50 trained on ImageNet (its own stem and width 64 only).

    Raises:
        ArgumentError: There is no such stem.
        WeightsError: ``pretrained``, and the weights cannot be had.
    """

    shared_until: ClassVar = {"code": "layer4", "text": "aux"}

    def __init__(self, where: str, head: nn.Module, auxiliary: nn.Module, width: int, stem: str, pretrained: bool):
        if stem not in STEMS:
            raise ArgumentError(
                where,
                "there is no such stem",
                found=f"stem={stem!r}",
                expected=" or ".join(map(repr, STEMS)),
                remedy="'deep' is that of the paper's code, 'torchvision' the one with ImageNet weights",
            )
        first = 2 * width if stem == "deep" else width
        layer4 = build_stage(16 * width, 8 * width, blocks=3, dilation=4)
        super().__init__(
            {
                "stem": BackbonePart(build_deep_stem(width) if stem == "deep" else build_torchvision_stem(width)),
                "layer1": BackbonePart(build_stage(first, width, blocks=3)),
                "layer2": BackbonePart(build_stage(4 * width, 2 * width, blocks=4, stride=2)),
                "layer3": BackbonePart(build_stage(8 * width, 4 * width, blocks=6, dilation=2)),
                "aux": OutputPart(auxiliary, "aux", only_in_training=True),
                "layer4": BackbonePart(layer4[:2]),
                "last_block": BackbonePart(layer4[2:]),
                "head": OutputPart(head),
            }
        )
        if pretrained:
            if stem != "torchvision" or width != 64:
                raise WeightsError(
                    f"{where}, pretrained",
                    "there are no ImageNet weights for these settings",
                    found=f"stem={stem!r}, width={width}",
                    expected="stem='torchvision', width=64",
                    remedy="use those, or pretrained=False",
                )
            self._load_imagenet()

    def _load_imagenet(self) -> None:
        from torchvision.models import ResNet50_Weights

        from fundus_lib.models.imagenet import load_imagenet_weights

        theirs = load_imagenet_weights(ResNet50_Weights.IMAGENET1K_V1)
        sources = {
            "stem": {"0": "conv1", "1": "bn1"},
            **{f"layer{k}": {str(i): f"layer{k}.{i}" for i in range(6)} for k in (1, 2, 3, 4)},
            "last_block": {"2": "layer4.2"},  # a slice keeps its numbers
        }
        for part, renamed in sources.items():
            module = self.parts[part].module
            values = {}
            for name in module.state_dict():  # type: ignore[operator, union-attr]
                child, _, rest = name.partition(".")
                values[name] = theirs[f"{renamed[child]}.{rest}"]
            module.load_state_dict(values)  # type: ignore[operator, union-attr]


def build_deep_stem(width: int) -> nn.Sequential:
    """Three 3×3 convolutions and a pooling: (B, 3, H, W) to (B, 2·width, about H/4, about W/4)."""
    return nn.Sequential(
        *convolution(3, width, stride=2),
        *convolution(width, width),
        *convolution(width, 2 * width),
        nn.MaxPool2d(kernel_size=3, stride=2, padding=1, ceil_mode=True),
    )


def build_torchvision_stem(width: int) -> nn.Sequential:
    """A 7×7 convolution and a pooling: (B, 3, H, W) to (B, width, about H/4, about W/4)."""
    return nn.Sequential(
        *convolution(3, width, kernel=7, stride=2),
        nn.MaxPool2d(kernel_size=3, stride=2, padding=1, ceil_mode=True),
    )


def build_stage(channels_in: int, planes: int, blocks: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Residual blocks: (B, channels_in, h, w) to (B, 4·planes, h/stride, w/stride).

    All 3×3 convolutions of a stage have the same dilation rate, the first block's too, as in the papers' codes (in
    torchvision the first block's is that of the stage before).
    """
    layers = []
    for k in range(blocks):
        match = None
        if k == 0:  # the sum needs the same shape on both sides
            match = nn.Sequential(
                nn.Conv2d(channels_in, 4 * planes, kernel_size=1, stride=stride, bias=False),
                nn.BatchNorm2d(4 * planes),
            )
        before = 4 * planes if k else channels_in
        layers.append(Bottleneck(before, planes, stride if k == 0 else 1, match, dilation=dilation))
    made = nn.Sequential(*layers)
    for layer in made.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return made


def convolution(
    channels_in: int, channels_out: int, kernel: int = 3, stride: int = 1, leak: float = 0.0, dilation: int = 1
) -> list[nn.Module]:
    """Convolution that keeps the size (divided by the stride), batch normalisation, ReLU or leaky ReLU."""
    padding = dilation * (kernel // 2)
    make = AtrousConv2d if dilation > 1 else nn.Conv2d
    layer = make(channels_in, channels_out, kernel, stride, padding, dilation, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    activation = nn.LeakyReLU(leak, inplace=True) if leak else nn.ReLU(inplace=True)
    return [layer, nn.BatchNorm2d(channels_out), activation]


class AtrousConv2d(nn.Conv2d):
    """A convolution that keeps the size and omits the rows and columns of its kernel that only meet padding.

    Where a feature map is no higher than the dilation rate, two of the three rows of a 3×3 kernel multiply zeros alone;
    likewise for columns. The weight is :class:`torch.nn.Conv2d`'s, and so is the result, up to rounding. Kernels are
    odd and the padding is dilation · (kernel // 2).
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to (B, C', h/stride, w/stride)."""
        height, width = (
            min(kernel // 2, (size - 1) // rate)
            for kernel, rate, size in zip(self.kernel_size, self.dilation, x.shape[-2:], strict=True)
        )
        row, column = (kernel // 2 for kernel in self.kernel_size)
        weight = self.weight[:, :, row - height : row + height + 1, column - width : column + width + 1]
        padding = height * self.dilation[0], width * self.dilation[1]
        return F.conv2d(x, weight, self.bias, self.stride, padding, self.dilation)


def auxiliary_head(lesions: int, width: int) -> nn.Sequential:
    """The head on ``layer3`` of PSPNet and DeepLabV3: (B, 16·width, h, w) to (B, L, h, w)."""
    return nn.Sequential(
        nn.Conv2d(16 * width, 8 * width, kernel_size=3, padding=1),  # with a bias, in the authors' code
        nn.BatchNorm2d(8 * width),
        nn.LeakyReLU(LEAK, inplace=True),
        nn.Dropout2d(0.1),
        nn.Conv2d(8 * width, lesions, kernel_size=1),
    )


def build_fcn_head(channels: int, inner: int, lesions: int) -> nn.Sequential:
    """A 3×3 convolution, then the logits: (B, channels, h, w) to (B, L, h, w)."""
    return nn.Sequential(*convolution(channels, inner), nn.Dropout2d(0.1), nn.Conv2d(inner, lesions, kernel_size=1))


def spread(x: Tensor, like: Tensor) -> Tensor:
    """Repeat one value per channel at every position of a feature map: (B, C, 1, 1) to (B, C, h, w)."""
    return x.expand(-1, -1, *like.shape[-2:])
