"""Models by name: the one table of names and classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fundus_lib.registry import create

if TYPE_CHECKING:
    from torch import nn

_CLASSES = {
    "attentionunet": "fundus_lib.models.attentionunet:AttentionUNet",
    "cenet": "fundus_lib.models.cenet:CENet",
    "deeplabv3": "fundus_lib.models.deeplabv3:DeepLabV3",
    "deeplabv3plus": "fundus_lib.models.deeplabv3plus:DeepLabV3Plus",
    "dnl": "fundus_lib.models.dnl:DNL",
    "dualbranch": "fundus_lib.models.dualbranch:DualBranch",
    "fpn": "fundus_lib.models.packaged:FPN",
    "gradedunet": "fundus_lib.models.gradedunet:GradedUNet",
    "grader": "fundus_lib.models.grader:Grader",
    "hdenseunet": "fundus_lib.models.hdenseunet:HDenseUNet",
    "hed": "fundus_lib.models.hed:HED",
    "labelnet": "fundus_lib.models.pldmlt:LabelNet",
    "linknet": "fundus_lib.models.packaged:LinkNet",
    "localglobal": "fundus_lib.models.localglobal:LocalGlobal",
    "lseg": "fundus_lib.models.lseg:LSeg",
    "lwenet": "fundus_lib.models.lwenet:LWENet",
    "pldmlt": "fundus_lib.models.pldmlt:PLDMLT",
    "pspnet": "fundus_lib.models.pspnet:PSPNet",
    "resunet": "fundus_lib.models.resunet:ResUNet",
    "spnet": "fundus_lib.models.spnet:SPNet",
    "sunet": "fundus_lib.models.sunet:SUNet",
    "unet": "fundus_lib.models.unet:UNet",
    "unetpp": "fundus_lib.models.unetpp:UNetPP",
}
"""Name (lower case, no separators) to ``module:class``; the module is imported when its model is first created."""


def list_models() -> list[str]:
    """Names that :func:`create_model` accepts, in alphabetical order."""
    return sorted(_CLASSES)


def create_model(name: str, **kwargs: Any) -> nn.Module:
    """Create a model, newly initialised.

    Args:
        name: One of :func:`list_models`.
        **kwargs: Settings of the model's class, such as ``lesions`` (number of output channels).

    Returns:
        The module, in training mode. It maps images, float (B, 3, H, W), to a dictionary of tensors with ``"logits"``,
        float (B, L, H, W), of a network that segments, and ``"dr"`` and ``"dme"`` of one that grades. See its class.

    Raises:
        UnknownNameError: There is no model of that name.
        ArgumentError: The model has no such setting, or the setting's value is not possible.
    """
    return create("model", _CLASSES, name, kwargs)


def count_parameters(*models: nn.Module | str | None, **kwargs: Any) -> int:
    """How many parameters models have together.

    Args:
        *models: Modules, or names for :func:`create_model`, which are made without weights; None counts nothing.
        **kwargs: Settings of those that are named.
    """
    import torch

    with torch.device("meta"):  # shapes without numbers
        made = [create_model(model, **kwargs) if isinstance(model, str) else model for model in models]
    return sum(parameter.numel() for model in made if model is not None for parameter in model.parameters())
