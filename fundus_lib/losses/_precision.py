"""The precision in which losses sum."""

from __future__ import annotations

import torch
from torch import Tensor


def wide(values: Tensor) -> Tensor:
    """float16 and bfloat16 as float32, in which sums over a million pixels are exact enough; others as they are."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
