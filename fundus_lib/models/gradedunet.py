"""A U-Net that also grades, for two kinds of images: some with masks of lesions, some with a grade of retinopathy.

Lesions and grades are told apart at the encoder's lowest map, by sunet's feature blending block or by a 1×1 convolution
each. (sunet segments from that map alone, without the encoder's others.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from fundus_lib.checks import check_choice, check_counts, check_images
from fundus_lib.grades import GRADES
from fundus_lib.models.blending import Classifier, FeatureBlending
from fundus_lib.models.staged import Features, Staged, init_features
from fundus_lib.models.unet import Decoder, Encoder, Head, check_unet


class GradedUNet(Staged):
    """U-Net with a grade head.

    Parts: encoder, blend, decoder, head. ``forward`` gives ``"logits"`` (B, L, H, W) and ``"dr"`` (B, 5), the logits
    of the grades of retinopathy. Two branches share the encoder (our choice: no paper pairs this network).

    Args:
        lesions: As of :class:`~fundus_lib.models.unet.UNet`.
        width: As of it.
        depth: As of it.
        steps: Separations in the blending block; 0: lesions and grades share the encoder's map, and a 1×1 convolution
            compresses it for each.
        channels: Channels of the maps of the block.
        pooling: Before the grades, ``"max"`` or ``"mean"``.
        prior: As of :class:`~fundus_lib.models.unet.UNet`.

    Raises:
        ArgumentError: A setting is out of range.
    """

    shared_until: ClassVar[Mapping[str, str]] = {"code": "encoder", "text": "encoder"}

    def __init__(
        self,
        lesions: int = 1,
        width: int = 16,
        depth: int = 4,
        steps: int = 3,
        channels: int = 128,
        pooling: str = "max",
        prior: float = 0.01,
    ):
        check_unet("GradedUNet", lesions, width, depth)
        check_choice("GradedUNet", "pooling", pooling, ("max", "mean"))
        check_counts("GradedUNet", channels=channels, **({"steps": steps} if steps != 0 else {}))
        widths = [width * 2**level for level in range(depth + 1)]
        super().__init__(
            {
                "encoder": Encoder(widths),
                "blend": Blend(widths[-1], channels, steps, pooling),
                "decoder": Decoder([*widths[:-1], channels]),
                "head": Head(width, lesions, prior),
            }
        )

    def grade(self, images: Tensor) -> Tensor:
        """Logits of the grades of whole images, float (B, 3, H, W) to (B, 5), without a look at lesions.

        In training, the running means of batch normalisation stay those of `forward`.

        Raises:
            ArgumentError: These are no images of that shape and type.
        """
        check_images(self, images)
        norms = [module for module in self.modules() if isinstance(module, nn.BatchNorm2d)]
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.momentum = 0.0
        try:
            features = self.parts["blend"](self.parts["encoder"](init_features(images)))
        finally:
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = momentum
        logits: Tensor = features["dr"]
        return logits


class Blend(nn.Module):
    """The part that separates lesions and grades.

    Args:
        channels_in: Channels of the encoder's lowest map.
        channels: Channels of the block's maps.
        steps: As of :class:`GradedUNet`.
        pooling: As of it.
    """

    def __init__(self, channels_in: int, channels: int, steps: int, pooling: str):
        super().__init__()
        self.block = FeatureBlending(channels_in, channels, steps, "concatenation")
        self.classifier = Classifier(channels, GRADES["dr"], pooling)

    def forward(self, features: Features) -> Features:
        """Replace ``"x"`` by the lesion map (B, channels, h, w), and add ``"dr"`` (B, 5)."""
        lesion, diagnosis = self.block(features["x"])
        return features | {"x": lesion, "dr": self.classifier(diagnosis)}
