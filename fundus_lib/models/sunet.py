"""SUNet: features that separate for lesions and for grades, unite, and separate again.

Source: Z. Tu et al., "SUNet: A Lesion Regularized Model for Simultaneous Diabetic Retinopathy and Diabetic Macular
Edema Grading", ISBI 2020. The paper gives the backbone, the order of the layers and their 3×3 kernels; number of steps,
channels and the form of the union are our choice (three steps, 256 channels, concatenation), and settings here. In its
Eq. 1, ``SL(L)`` must read ``SL(M)``.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fundus_lib.checks import check_counts, check_images
from fundus_lib.errors import ArgumentError
from fundus_lib.grades import GRADES
from fundus_lib.models.backbones import build_backbone, check_diseases
from fundus_lib.models.blending import POOLINGS, UNIONS, Classifier, FeatureBlending
from fundus_lib.models.grader import compute_class_map
from fundus_lib.models.resnet import convolution

PRIOR = 0.01
"""Probability of each lesion at a pixel that a newly initialised network predicts.

It is near the lesions' fraction of the pixels. A network that starts from equal probabilities spends its first
hundreds of steps on learning that nearly all pixels are background, and this gradient changes the backbone too.
"""


class SUNet(nn.Module):
    """A ResNet, the feature blending block, a classifier for each disease, and the lesion regulariser.

    Any part can be left out, so that each row of Table 1 is this class with other settings.

    Args:
        lesions: Number L of lesions that the regulariser segments.
        diseases: ``"dr"``, ``"dme"`` or both.
        regulariser: Whether there is a lesion stream: the layers SL, and the network that segments the lesions.
        steps: Separations in the feature blending block; 0 leaves the block out.
        channels: Channels of all feature maps in the block.
        union: How a union combines lesion and diagnosis maps before its 3×3 convolution: ``"concatenation"`` or
            ``"sum"``. Without regulariser there is one map and nothing to combine.
        pooling: Global pooling before a disease's classifier: ``"max"`` or ``"mean"``.
        backbone: ``"resnet34"`` as in the paper, ``"resnet18"`` or ``"efficientnetlite0"``.
        pretrained: Start from ImageNet.

    Raises:
        ArgumentError: A setting is not possible.
        WeightsError: ``pretrained``, and the weights cannot be had.
    """

    def __init__(
        self,
        lesions: int = 4,
        diseases: tuple[str, ...] = ("dr", "dme"),
        regulariser: bool = True,
        steps: int = 3,
        channels: int = 256,
        union: str = "concatenation",
        pooling: str = "max",
        backbone: str = "resnet34",
        pretrained: bool = False,
    ):
        super().__init__()
        check_counts("sunet", lesions=lesions, channels=channels, **({"steps": steps} if steps != 0 else {}))
        if union not in UNIONS or pooling not in POOLINGS:
            raise ArgumentError(
                "sunet",
                "there is no such union or pooling",
                found=f"union={union!r}, pooling={pooling!r}",
                expected=f"union {' or '.join(map(repr, UNIONS))}, pooling {' or '.join(map(repr, POOLINGS))}",
                remedy="choose one of these",
            )
        self.diseases = check_diseases("sunet", diseases)
        self.trunk, width = build_backbone("sunet", backbone, pretrained)
        self.blending = FeatureBlending(width, channels, steps, union, lesion_stream=regulariser)
        self.classifiers = nn.ModuleDict(
            {disease: Classifier(channels, GRADES[disease], pooling) for disease in self.diseases}
        )
        self.regulariser = LesionRegulariser(channels, 1 + lesions) if regulariser else None

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Grades and lesions.

        Args:
            images: float (B, 3, H, W), normalised; any height and width.

        Returns:
            Of each disease the logits of its grades, ``"dr"`` (B, 5) and ``"dme"`` (B, 3). With the regulariser
            ``"classes"`` (B, 1 + L, H, W), the logits of background and each lesion under one softmax, and
            ``"logits"`` (B, L, H, W), the log-odds of each lesion under that softmax: their sigmoid is the softmax.

        Raises:
            ArgumentError: These are no images of that shape and type.
        """
        check_images(self, images)
        lesion_map, diagnosis_map = self.blending(self.trunk(images))
        output: dict[str, Tensor] = {name: head(diagnosis_map) for name, head in self.classifiers.items()}
        if self.regulariser is not None:
            output["classes"] = self.regulariser(lesion_map, images.shape[-2:])
            output["logits"] = compute_log_odds(output["classes"])
        return output

    def compute_class_maps(self, images: Tensor) -> dict[str, Tensor]:
        """Class activation maps: each disease's linear classifier at every position before pooling.

        Args:
            images: float (B, 3, H, W).

        Returns:
            Of each disease, ``"dr"`` (B, 5, h, w) and ``"dme"`` (B, 3, h, w), without the bias. With mean pooling their
            mean plus the bias is the logit; with max pooling a logit depends on each channel's maximum alone.
        """
        check_images(self, images)
        diagnosis_map = self.blending(self.trunk(images))[1]
        return {
            name: compute_class_map(head.features(diagnosis_map), head.linear)  # type: ignore[operator, arg-type]
            for name, head in self.classifiers.items()
        }


class LesionRegulariser(nn.Module):
    """LR-Net: five times upsampled and compressed, then the classes of every pixel.

    Each upsampling doubles height and width and halves the channels, to 16 at least (or `channels`, if fewer).

    Args:
        channels: Channels of the lesion map.
        classes: Background and lesions together.
    """

    def __init__(self, channels: int, classes: int):
        super().__init__()
        least = min(channels, 16)
        widths = [max(channels // 2**k, least) for k in range(6)]
        self.compress = nn.ModuleList(nn.Sequential(*convolution(before, after)) for before, after in pairwise(widths))
        self.classes = nn.Conv2d(widths[-1], classes, kernel_size=1)
        nn.init.zeros_(self.classes.bias)  # type: ignore[arg-type]
        nn.init.constant_(self.classes.bias[1:], math.log(PRIOR))  # type: ignore[index]

    def forward(self, x: Tensor, size: torch.Size) -> Tensor:
        """(B, channels, h, w) to logits (B, classes, height, width) at the size (height, width) of the image."""
        for compress in self.compress:
            x = compress(F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False))
        classes: Tensor = self.classes(x)
        if classes.shape[-2:] != size:  # height and width do not divide by 32
            classes = F.interpolate(classes, size=size, mode="bilinear", align_corners=False)
        return classes


def compute_log_odds(classes: Tensor) -> Tensor:
    """Log-odds of each class but the first under a softmax.

    Args:
        classes: Logits of background and L lesions, float (B, 1 + L, H, W).

    Returns:
        float (B, L, H, W), whose sigmoid is the softmax of `classes`.
    """
    z = classes.float()
    # joined, since a list as index would be copied to the device, which waits for it
    others = [torch.cat([z[:, :k], z[:, k + 1 :]], dim=1) for k in range(1, z.shape[1])]
    return torch.stack([z[:, k] - rest.logsumexp(1) for k, rest in enumerate(others, 1)], dim=1)
