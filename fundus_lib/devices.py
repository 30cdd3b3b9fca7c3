"""Which device a run uses, and how precisely it multiplies there."""

from __future__ import annotations

from pathlib import Path

import torch

from fundus_lib.errors import ArgumentError


def choose_device(name: str) -> torch.device:
    """The device of that name: `"cpu"`, `"cuda"`, or `"auto"` for a GPU if there is one."""
    if name in ("auto", "cuda", "cpu"):
        there = torch.cuda.is_available()
        if name != "cuda" or there:
            return torch.device("cuda" if there and name != "cpu" else "cpu")
    raise ArgumentError(
        "device",
        "there is no such device on this machine",
        found=repr(name),
        expected="'auto', 'cpu', or 'cuda' where torch finds a GPU",
        remedy="use 'auto'; to use a GPU, install a CUDA build of torch",
    )


def choose_precision(name: str, device: torch.device) -> str:
    """`"bf16"` or `"32"`; `"auto"` is bf16 where the hardware multiplies it."""
    if name == "auto":
        return "bf16" if native_bf16(device) else "32"
    if name in ("bf16", "32"):
        return name
    raise ArgumentError(
        "precision",
        "there is no such precision",
        found=repr(name),
        expected="'auto', 'bf16' or '32'",
        remedy="use 'auto'",
    )


def native_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware; elsewhere bfloat16 is slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags
