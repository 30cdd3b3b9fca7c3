"""Losses by name: the one table of names and classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fundus_lib.registry import create

if TYPE_CHECKING:
    from torch import nn

_CLASSES = {
    "bin": "fundus_lib.losses.bins:BinLoss",
    "categoricalfocal": "fundus_lib.losses.categorical_focal:CategoricalFocalLoss",
    "classbalanced": "fundus_lib.losses.class_balanced:ClassBalancedCrossEntropy",
    "crossentropy": "fundus_lib.losses.cross_entropy:CrossEntropy",
    "dice": "fundus_lib.losses.dice:DiceLoss",
    "dicecrossentropy": "fundus_lib.losses.dice_cross_entropy:DiceCrossEntropy",
    "focal": "fundus_lib.losses.focal:FocalLoss",
    "ntxent": "fundus_lib.losses.ntxent:NTXentLoss",
    "rebalanceddice": "fundus_lib.losses.rebalanced_dice:RebalancedDiceLoss",
    "sampleddice": "fundus_lib.losses.rebalanced_dice:SampledDiceLoss",
    "supcon": "fundus_lib.losses.supcon:SupConLoss",
    "weighted": "fundus_lib.losses.weighted:WeightedCrossEntropy",
}
"""Name (lower case, no separators) to ``module:class``; the module is imported when its loss is first created."""


def list_losses() -> list[str]:
    """Names that :func:`create_loss` accepts, in alphabetical order."""
    return sorted(_CLASSES)


def create_loss(name: str, **kwargs: Any) -> nn.Module:
    """Create a loss, which takes what its class documents and returns a scalar.

    Args:
        name: One of :func:`list_losses`.
        **kwargs: Settings of the loss's class, such as ``gamma`` of the focal loss.

    Returns:
        The module. The losses of segmentation take logits float (B, L, H, W) and masks of the same shape, bool or
        {0, 1}, and give a scalar.

    Raises:
        UnknownNameError: There is no loss of that name.
        ArgumentError: The loss has no such setting, or the setting's value is not possible.
    """
    return create("loss", _CLASSES, name, kwargs)
