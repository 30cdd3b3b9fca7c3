"""Dilation of masks with a cross, also within patches alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def dilate(mask: Tensor, times: int, walls: Sequence[Tensor] | None = None, outside: bool = False) -> list[Tensor]:
    """A mask, and what it is after each of so many dilations with a cross of 3×3.

    Args:
        mask: bool (B, H, W).
        times: How many.
        walls: Rows and columns, int64, where patches begin: nothing grows from one patch into another.
        outside: Whether the mask grows into each patch from all around it.
    """
    found = [mask]
    for _ in range(times):
        before, mask = mask, mask.clone()
        for axis in (1, 2):
            length = mask.shape[axis] - 1
            for start in (1, 0):  # from the row above, from the row below
                wall = None if walls is None else walls[axis - 1] - 1 + start
                kept = None if wall is None else mask.index_select(axis, wall)
                mask.narrow(axis, start, length).bitwise_or_(before.narrow(axis, 1 - start, length))
                if outside:
                    mask.select(axis, 0 if start else length).fill_(True)
                if wall is not None and kept is not None:
                    mask.index_copy_(axis, wall, torch.ones_like(kept) if outside else kept)
        found.append(mask)
    return found
