"""Baselines of sunet: one trunk with two classifiers, or two trunks that part after a stage.

Source: sunet, Table 2. "VGG19" and "ResNet34" have two softmax classifiers on one trunk; "early", "middle" and "late"
let the features of the two tasks separate at three stages, which we take to be after the first, second and third layer
of ResNet-34.
"""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor, nn

from fundus_lib.errors import ArgumentError
from fundus_lib.grades import GRADES
from fundus_lib.models.staged import check_counts
from fundus_lib.models.trunks import (
    RESNETS,
    STAGES,
    TRUNKS,
    VGG19,
    check_backbone,
    check_diseases,
    resnet_stages,
    trunk,
)

SPLITS = {"early": 2, "middle": 3, "late": 4}
"""Where the tasks part, and how many of the :data:`~fundus_lib.models.trunks.STAGES` they share."""


class Grader(nn.Module):
    """Grades retinopathy, macular edema or both.

    Args:
        backbone: ``"resnet34"``, ``"resnet18"``, ``"efficientnetlite0"`` or ``"vgg19"``.
        split: ``"early"``, ``"middle"`` or ``"late"``: after layer 1, 2 or 3 of a ResNet each disease has layers of its
            own, which start equal. None: all are shared, and only the linear classifiers are not.
        diseases: ``"dr"``, ``"dme"`` or both.
        pretrained: Start from ImageNet.
        **vgg: ``width`` and ``hidden`` of :class:`~fundus_lib.models.trunks.VGG19`.

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
        check_backbone("grader", backbone, (*TRUNKS, "vgg19"))
        self.diseases = check_diseases("grader", diseases)
        if split is not None and (split not in SPLITS or backbone not in RESNETS):
            raise ArgumentError(
                "grader",
                "the tasks cannot part there",
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
                    "this trunk has no such setting",
                    found=", ".join(vgg),
                    expected="no further settings",
                    remedy="leave them out, or backbone='vgg19'",
                )
            if split:
                stages = resnet_stages("grader", backbone, pretrained)
                self.shared = nn.Sequential(*(stages[name] for name in STAGES[: SPLITS[split]]))
                own = nn.Sequential(*(stages[name] for name in STAGES[SPLITS[split] :]))
            else:
                self.shared, channels = trunk("grader", backbone, pretrained)
        self.own = nn.ModuleDict({disease: copy.deepcopy(own) for disease in self.diseases})
        self.heads = nn.ModuleDict({disease: nn.Linear(channels, GRADES[disease]) for disease in self.diseases})

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Logits of the grades.

        Args:
            images: float (B, 3, H, W), normalised; any height and width, 32 at least for VGG19.

        Returns:
            Of each disease, ``"dr"`` (B, 5) and ``"dme"`` (B, 3).
        """
        shared = self.shared(images)
        features = {disease: own(shared) for disease, own in self.own.items()}
        return {d: self.heads[d](x.mean((2, 3)) if x.ndim == 4 else x) for d, x in features.items()}

    def class_maps(self, images: Tensor) -> dict[str, Tensor]:
        """Class activation maps: the classifier at every place, whose mean plus bias is the logit.

        Args:
            images: float (B, 3, H, W).

        Returns:
            Of each disease, ``"dr"`` (B, 5, h, w) and ``"dme"`` (B, 3, h, w), without the bias.

        Raises:
            ArgumentError: The trunk is VGG19, whose classifier sees no map; use Grad-CAM.
        """
        shared = self.shared(images)
        if shared.ndim != 4:
            raise ArgumentError(
                "class_maps",
                "this network's classifier does not stand on a map",
                found="backbone='vgg19'",
                expected="another trunk",
                remedy="use fundus_lib.explain's Grad-CAM, which asks for no such classifier",
            )
        return {d: places(own(shared), self.heads[d]) for d, own in self.own.items()}


def places(features: Tensor, head: nn.Module) -> Tensor:
    """A linear classifier at every place, without its bias: (B, C, h, w) to (B, K, h, w)."""
    weight: Tensor = head.weight  # type: ignore[assignment]
    return nn.functional.conv2d(features, weight[:, :, None, None].to(features.dtype))
