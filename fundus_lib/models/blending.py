"""The feature blending block, which separates feature maps for lesions and for grades, and a classifier of grades.

Source: Z. Tu et al., "SUNet: A Lesion Regularized Model for Simultaneous Diabetic Retinopathy and Diabetic Macular
Edema Grading", ISBI 2020.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fundus_lib.models.resnet import convolution

UNIONS = ("concatenation", "sum")
POOLINGS = ("max", "mean")


class FeatureBlending(nn.Module):
    """Separations into a lesion and a diagnosis map, with a union between each two (Eqs. 1 and 2 of sunet).

    Args:
        channels_in: Channels of the backbone's feature map.
        channels: Channels of every feature map of the block.
        steps: How many separations; 0: both maps are the backbone's, each compressed by a 1×1 convolution.
        union: ``"concatenation"`` or ``"sum"``.
        lesion_stream: Whether there are lesion maps.
    """

    def __init__(self, channels_in: int, channels: int, steps: int, union: str, lesion_stream: bool = True):
        super().__init__()
        self.union = union
        starts = [channels_in, *[channels] * (steps - 1)][:steps]
        joined = 2 * channels if lesion_stream and union == "concatenation" else channels

        def separation() -> nn.ModuleList:
            return nn.ModuleList(nn.Sequential(*convolution(start, channels)) for start in starts)

        width = steps * channels or channels_in
        self.diagnosis = separation()
        self.compress_diagnosis = nn.Conv2d(width, channels, kernel_size=1)
        self.lesion = separation() if lesion_stream else None
        self.compress_lesion = nn.Conv2d(width, channels, kernel_size=1) if lesion_stream else None
        self.unions = nn.ModuleList(nn.Sequential(*convolution(joined, channels)) for _ in starts[1:])

    def forward(self, x: Tensor) -> tuple[Tensor | None, Tensor]:
        """The backbone's feature map (B, channels_in, h, w) to the lesion map, None without it, and the diagnosis map.

        Both are (B, channels, h, w).
        """
        lesion_maps: list[Tensor] = []
        diagnosis_maps: list[Tensor] = []
        for step, separate in enumerate(self.diagnosis):
            if step:
                last = [*lesion_maps[-1:], diagnosis_maps[-1]]
                together = torch.cat(last, dim=1) if self.union == "concatenation" else torch.stack(last).sum(0)
                x = self.unions[step - 1](together)  # M of Eq. 2
            diagnosis_maps.append(separate(x))
            if self.lesion is not None:
                lesion_maps.append(self.lesion[step](x))
        lesion = None
        if self.compress_lesion is not None:
            lesion = self.compress_lesion(torch.cat(lesion_maps or [x], dim=1))
        return lesion, self.compress_diagnosis(torch.cat(diagnosis_maps or [x], dim=1))


class Classifier(nn.Module):
    """A convolution, ReLU, global pooling, and a linear layer: (B, C, h, w) to (B, grades)."""

    def __init__(self, channels: int, grades: int, pooling: str):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(channels, channels, kernel_size=3, padding=1), nn.ReLU(inplace=True))
        self.pooling = pooling
        self.linear = nn.Linear(channels, grades)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to logits (B, grades)."""
        features = self.features(x)
        logits: Tensor = self.linear(features.amax((2, 3)) if self.pooling == "max" else features.mean((2, 3)))
        return logits
