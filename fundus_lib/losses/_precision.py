"""The precision in which losses sum."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def wide(values: Tensor) -> Tensor:
    """float16 and bfloat16 as float32, in which sums over a million pixels are exact enough; others as they are."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def without_autocast(values: Tensor) -> AbstractContextManager[None]:
    """Products inside are computed in the precision of the values, where autocast would take bfloat16."""
    device = values.device.type
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()
