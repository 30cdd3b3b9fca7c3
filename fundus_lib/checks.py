"""What the library refuses, and how: each check in one place, raising an error that says what to do.

Tensors are checked by shape and type alone, so that a training step never waits for the device. Wrong *values* (a logit
that is NaN, a mask of 0 and 255) make a loss NaN on every device. On the CPU, where looking costs nothing, an error
explains it; on an accelerator the NaN stays the sign that something is wrong.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from fundus_lib.errors import ArgumentError, ImageIndexError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def check_images(model: nn.Module, images: Tensor, method: str = "forward") -> None:
    """Refuse what is no batch of colour images in floating point: torch's own message would name a convolution."""
    where = f"{type(model).__name__}.{method}"
    if not isinstance(images, Tensor) or not images.is_floating_point():
        raise ArgumentError(
            where,
            "the images are no floating-point tensor",
            found=images.dtype if isinstance(images, Tensor) else type(images).__name__,
            expected="float (B, 3, H, W), normalised",
            remedy="images.float() / 255 for a new network; task.prepare(images) of one that a run has trained",
        )
    if images.ndim != 4 or images.shape[1] != 3 or images.numel() == 0:
        raise ArgumentError(
            where,
            "the images have the wrong shape",
            found=tuple(images.shape),
            expected="(B, 3, H, W), each at least 1",
            remedy="images[None] makes one image a batch; images.movedim(-1, -3) puts the colours first",
        )
    weight = next(model.parameters(), images)
    kind = images.device.type
    if images.dtype != weight.dtype and not (kind in ("cpu", "cuda") and torch.is_autocast_enabled(kind)):
        raise ArgumentError(
            where,
            "the images are of another type than the weights",
            found=images.dtype,
            expected=weight.dtype,
            remedy=f"images.to({weight.dtype}); what comes from NumPy has 64 bits by default",
        )


def check_logits(where: str, logits: Tensor, axes: str, dimensions: Sequence[int]) -> None:
    """Refuse what is no floating-point tensor of so many dimensions, or holds nothing."""
    if not isinstance(logits, Tensor) or not logits.is_floating_point():
        raise ArgumentError(
            where,
            "the logits are no floating-point tensor",
            found=logits.dtype if isinstance(logits, Tensor) else type(logits).__name__,
            expected=f"float {axes}, before any sigmoid or softmax",
            remedy="pass the model's output['logits']",
        )
    if logits.ndim not in dimensions or logits.numel() == 0:
        raise ArgumentError(
            where,
            "the logits have the wrong shape",
            found=tuple(logits.shape),
            expected=f"{axes}, each at least 1",
            remedy="add the missing axis with logits[None] or logits[:, None]",
        )


def check_target(where: str, target: Tensor, logits: Tensor, shape: Sequence[int]) -> None:
    """Refuse a target of another shape or on another device than the logits'."""
    if not isinstance(target, Tensor) or target.shape != torch.Size(shape):
        raise ArgumentError(
            where,
            "the target does not fit the logits",
            found=tuple(target.shape) if isinstance(target, Tensor) else type(target).__name__,
            expected=f"a tensor of shape {tuple(shape)}, the logits being {tuple(logits.shape)}",
            remedy="resize the logits to the target's size; add the missing lesion axis with target[:, None]",
        )
    if target.device != logits.device:
        raise ArgumentError(
            where,
            "logits and target are on two devices",
            found=f"{logits.device} and {target.device}",
            expected="one device",
            remedy="target.to(logits.device)",
        )


def check_setting(where: str, name: str, value: float, low: float, high: float = math.inf) -> float:
    """Refuse a setting that is not a number from low to high."""
    if not low <= value <= high or math.isinf(value):
        raise ArgumentError(
            where,
            f"{name} is out of range",
            found=f"{name}={value}",
            expected=f"{low} ≤ {name}" + ("" if math.isinf(high) else f" ≤ {high}"),
            remedy="the default is the paper's value, or a good start where the paper gives none",
        )
    return value


def check_counts(where: str, **counts: int) -> None:
    """Refuse numbers of lesions, channels and the like that are below 1.

    Args:
        where: What has these settings.
        **counts: Setting to its value.

    Raises:
        ArgumentError: One of them is not an integer of at least 1.
    """
    for name, value in counts.items():
        if not isinstance(value, int) or value < 1:
            raise ArgumentError(
                where,
                "a setting is out of range",
                found=f"{name}={value!r}",
                expected=f"{name} ≥ 1",
                remedy="correct the setting; the defaults are the paper's",
            )


def check_choice(where: str, name: str, value: str, choices: Sequence[str]) -> str:
    """Refuse a setting that is not one of the choices."""
    if value not in choices:
        raise ArgumentError(
            where,
            f"{name} is not among its choices",
            found=f"{name}={value!r}",
            expected=" or ".join(map(repr, choices)),
            remedy="spell it as above",
        )
    return value


def explained(
    where: str, loss: Tensor, inputs: Tensor, valid_targets: Tensor | None = None, allowed: str = ""
) -> Tensor:
    """The loss itself; on the CPU an error instead of a loss that is not finite.

    Args:
        where: The loss's name.
        loss: Scalar.
        inputs: The logits or features that the loss was computed from.
        valid_targets: bool; false where a target has a value that means nothing. None if any value will do.
        allowed: The values that a target may have, in words.
    """
    if loss.device.type != "cpu" or bool(loss.isfinite()):
        return loss
    if valid_targets is not None and not bool(valid_targets.all()):
        raise ArgumentError(
            where,
            "a target has a value that means nothing",
            found=f"{int((~valid_targets).sum())} such values among {valid_targets.numel()}",
            expected=allowed,
            remedy="mask > 0 for a mask of 0 and 255" if "bool" in allowed else "count from 0; −1 for what is unknown",
        )
    raise ArgumentError(
        where,
        "an input is not finite",
        found=f"{int((~inputs.isfinite()).sum())} NaN or infinite among {inputs.numel()} values",
        expected="finite numbers",
        remedy="look for a diverged training: lower the learning rate, clip the gradient",
    )


def check_shapes(where: str, first: ArrayLike | Tensor, second: ArrayLike | Tensor) -> None:
    """Refuse two arrays of unlike shape: broadcasting would compare pixels with pixels of another place."""
    shapes = tuple(np.shape(first)), tuple(np.shape(second))  # type: ignore[arg-type]
    if shapes[0] != shapes[1]:
        raise ArgumentError(
            where,
            "prediction and target differ in shape",
            found=f"{shapes[0]} and {shapes[1]}",
            expected="the same shape",
            remedy="resize the prediction to the target's size, or add the missing channel axis",
        )


def check_index(where: str, index: object, count: int) -> int:
    """The index of an image as an integer from 0 to below `count`; a negative one counts from the end.

    Raises:
        ArgumentError: It is no integer, for instance a slice.
        ImageIndexError: There is no such image.
    """
    try:
        if isinstance(index, bool):  # of a mask, which would be read as 0 and 1
            raise TypeError
        number = operator.index(index)  # type: ignore[arg-type]
    except TypeError:
        raise ArgumentError(
            where,
            "an image is asked for by its number",
            found=repr(index),
            expected=f"one integer, from 0 to {count - 1}",
            remedy="take each, [data[i] for i in range(2)]; data sets on disk have .part(range(2)) and .first(2), too",
        ) from None
    if -count <= number < count:
        return number % count
    raise ImageIndexError(
        where,
        "there is no such image",
        found=number,
        expected=f"from 0 to {count - 1}, or from {-count} to -1 counted from the end"
        if count
        else "an empty data set",
        remedy="len(data) says how many images there are",
    )
