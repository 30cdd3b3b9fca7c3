"""What the metrics accept: numpy arrays or torch tensors, checked once here."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from fundus_lib.checks import check_shapes
from fundus_lib.errors import ArgumentError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

CHUNK = 2**22
"""Pixels worked on at a time, which bounds the memory beyond the inputs."""


def chunks(values: Tensor) -> tuple[Tensor, ...]:
    """A flat tensor in pieces of `CHUNK` pixels."""
    return torch.split(values, CHUNK)


WIDER = {torch.uint16: torch.int32, torch.uint32: torch.int64}
"""Types in which torch can hardly compute, and signed ones that hold all their values."""


def as_tensor(values: ArrayLike | Tensor) -> Tensor:
    """The same values as a flat tensor, without a copy where that is possible; uint16 and uint32 are widened.

    Raises:
        ArgumentError: They are no numbers, or of a type that torch does not know.
    """
    if not isinstance(values, Tensor):
        array = np.ascontiguousarray(values)
        if not array.dtype.isnative:
            array = array.astype(array.dtype.newbyteorder("="))
        with warnings.catch_warnings():  # a read-only array is only read
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            try:
                values = torch.from_numpy(array)
            except TypeError as error:
                raise ArgumentError(
                    "metrics",
                    "values are of a type that cannot be counted",
                    found=array.dtype,
                    expected="bool, integers, or float16 to float64",
                    remedy="convert them with array.astype, to float64 say",
                ) from error
    return values.detach().reshape(-1).to(WIDER.get(values.dtype, values.dtype))


def as_binary(values: ArrayLike | Tensor, where: str) -> Tensor:
    """The same mask as a flat bool tensor.

    Raises:
        ArgumentError: A value is neither 0 nor 1.
    """
    mask = as_tensor(values)
    if mask.dtype == torch.bool:
        return mask
    if mask.dtype == torch.uint8 and mask.numel() and mask.max() <= 1:
        return mask.view(torch.bool)  # the same bytes: a hundred times faster than to compare them
    binary = mask != 0
    if not torch.equal(binary, mask == 1):
        others = mask[(mask != 0) & (mask != 1)][:1]
        raise ArgumentError(
            where,
            "a mask holds other values than 0 and 1",
            found=f"the value {others.item()}",
            expected="bool, or the numbers 0 and 1",
            remedy="compare with a threshold first: mask > 0 for a palette image, scores > 0.5 for probabilities",
        )
    return binary


def as_scores(values: ArrayLike | Tensor, where: str) -> Tensor:
    """The same scores as a flat tensor of real numbers.

    Raises:
        ArgumentError: A score is NaN, or of a type that has no exact order here (complex, uint64).
    """
    scores = as_tensor(values)
    if scores.is_complex() or scores.dtype == torch.uint64:
        raise ArgumentError(
            where,
            "scores of a type that cannot be compared exactly",
            found=str(scores.dtype).removeprefix("torch."),
            expected="float16 to float64, or an integer up to int64",
            remedy="convert the scores, to float32 say",
        )
    if any(bool(torch.isnan(part).any()) for part in chunks(scores)):
        raise ArgumentError(
            where,
            "a score is not a number",
            found=f"{int(torch.isnan(scores).sum())} NaN among {scores.numel()} scores",
            expected="real numbers",
            remedy="look for a diverged training or a division by zero before the scores",
        )
    return scores


def as_pair(scores: ArrayLike | Tensor, target: ArrayLike | Tensor, where: str) -> tuple[Tensor, Tensor]:
    """Flat scores and flat bool target on the scores' device, both checked."""
    check_shapes(where, scores, target)
    values = as_scores(scores, where)
    return values, as_binary(target, where).to(values.device)
