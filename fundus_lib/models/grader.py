"""Graders: one backbone with a classifier for each disease, or a backbone that splits after a stage.

Sources: sunet, Table 2, where "VGG19" and "ResNet34" have two softmax classifiers on one backbone, and "early",
"middle" and "late" split the network between the two tasks at three stages, which we take to be after the first, second
and third layer of ResNet-34; and `pldmlt`, whose ResNeXt-50, ResNeXt-101, DenseNet-201 and NASNet grade retinopathy
alone (``diseases=("dr",)``).
"""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor, nn

from fundus_lib.checks import check_counts, check_images
from fundus_lib.errors import ArgumentError
from fundus_lib.grades import GRADES
from fundus_lib.models.backbones import (
    BACKBONES,
    RESNETS,
    STAGES,
    VGG19,
    build_backbone,
    build_resnet_stages,
    check_backbone,
    check_diseases,
)

SPLITS = {"early": 2, "middle": 3, "late": 4}
"""Where the network splits, and how many of the :data:`~fundus_lib.models.backbones.STAGES` the tasks share."""


class Grader(nn.Module):
    """Grades retinopathy, macular edema or both.

    Args:
        backbone: One of :data:`~fundus_lib.models.backbones.BACKBONES`, or ``"vgg19"``.
        split: ``"early"``, ``"middle"`` or ``"late"``: after layer 1, 2 or 3 of a ResNet each disease has layers of its
            own, which are initialised equally. None: all are shared, and only the linear classifiers are not.
        diseases: ``"dr"``, ``"dme"`` or both.
        pretrained: Start from ImageNet.
        **vgg: ``width`` and ``hidden`` of :class:`~fundus_lib.models.backbones.VGG19`.

    Raises:
        ArgumentError: A setting is not possible.
        WeightsError: ``pretrained``, and the weights cannot be had.
    """

    def __init__(
        self,
        backbone: str = "resnet34",
        split: str | None = None,
        diseases: tuple[str, ...] = ("dr", "dme"),
        pretrained: bool = False,
        **vgg: Any,
    ):
        super().__init__()
        check_backbone("grader", backbone, (*BACKBONES, "vgg19"))
        self.diseases = check_diseases("grader", diseases)
        if split is not None and (split not in SPLITS or backbone not in RESNETS):
            raise ArgumentError(
                "grader",
                "the network cannot be split there",
                found=f"split={split!r}, backbone={backbone!r}",
                expected=f"a ResNet, and one of {', '.join(map(repr, SPLITS))}",
                remedy="correct the setting, or split=None",
            )
        self.shared: nn.Module
        own: nn.Module = nn.Identity()
        channels = 512
        if backbone == "vgg19":
            settings = {"width": 64, "hidden": 4096} | vgg
            check_counts("grader", **settings)
            self.shared, channels = VGG19(**settings, pretrained=pretrained), settings["hidden"]
        else:
            if vgg:
                raise ArgumentError(
                    "grader",
                    "this backbone has no such setting",
                    found=", ".join(vgg),
                    expected="no further settings",
                    remedy="leave them out, or backbone='vgg19'",
                )
            if split:
                stages = build_resnet_stages("grader", backbone, pretrained)
                self.shared = nn.Sequential(*(stages[name] for name in STAGES[: SPLITS[split]]))
                own = nn.Sequential(*(stages[name] for name in STAGES[SPLITS[split] :]))
            else:
                self.shared, channels = build_backbone("grader", backbone, pretrained)
        self.own = nn.ModuleDict({disease: copy.deepcopy(own) for disease in self.diseases})
        self.heads = nn.ModuleDict({disease: nn.Linear(channels, GRADES[disease]) for disease in self.diseases})

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Logits of the grades.

        Args:
            images: float (B, 3, H, W), normalised; any height and width, 32 at least for VGG19.

        Returns:
            Of each disease, ``"dr"`` (B, 5) and ``"dme"`` (B, 3).

        Raises:
            ArgumentError: These are no images of that shape and type.
        """
        check_images(self, images)
        shared = self.shared(images)
        features = {disease: own(shared) for disease, own in self.own.items()}
        return {d: self.heads[d](x.mean((2, 3)) if x.ndim == 4 else x) for d, x in features.items()}

    def compute_class_maps(self, images: Tensor) -> dict[str, Tensor]:
        """Class activation maps: the classifier at every position; their mean plus the bias is the logit.

        Args:
            images: float (B, 3, H, W).

        Returns:
            Of each disease, ``"dr"`` (B, 5, h, w) and ``"dme"`` (B, 3, h, w), without the bias.

        Raises:
            ArgumentError: The backbone is VGG19, whose classifier has no feature map as its input; use Grad-CAM.
        """
        check_images(self, images)
        shared = self.shared(images)
        if shared.ndim != 4:
            raise ArgumentError(
                "compute_class_maps",
                "the input of this network's classifier is not a feature map",
                found="backbone='vgg19'",
                expected="another backbone",
                remedy="use fundus_lib.explain's Grad-CAM, which needs no such classifier",
            )
        return {d: compute_class_map(own(shared), self.heads[d]) for d, own in self.own.items()}


def compute_class_map(features: Tensor, head: nn.Module) -> Tensor:
    """Apply a linear classifier at every position, without its bias: (B, C, h, w) to (B, K, h, w)."""
    weight: Tensor = head.weight  # type: ignore[assignment]
    return nn.functional.conv2d(features, weight[:, :, None, None].to(features.dtype))
