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


def check_sharing(target: torch.device, devices: int, nodes: int = 1, minutes: float | None = None) -> None:
    """Refuse numbers of processes and minutes that no run can have.

    Args:
        target: The kind of device.
        devices: Processes on this machine.
        nodes: Machines.
        minutes: Time for the run; None for no limit.

    Raises:
        ArgumentError: One is out of range, or there are fewer GPUs than `devices`.
    """
    for name, value, least in (("devices", devices, 1), ("nodes", nodes, 1), ("minutes", minutes, 0)):
        if value is not None and not value >= least:
            raise ArgumentError(
                name,
                "this is out of range",
                found=value,
                expected=f"{least} or more",
                remedy=f"leave out --{name} for the default",
            )
    if target.type == "cuda" and devices > torch.cuda.device_count():
        raise ArgumentError(
            "devices",
            "there are not as many GPUs on this machine",
            found=f"{devices} wanted, {torch.cuda.device_count()} there",
            expected=f"1 to {torch.cuda.device_count()}",
            remedy="ask for those that are there; share rows out among machines with --shard",
        )


def check_precision(precision: str, device: torch.device) -> None:
    """Say so if a recipe's precision is slow on the device. It stays: in another it would be another run."""
    if precision == "bf16" and not native_bf16(device):
        print("bf16 is not multiplied in hardware here, and slow; `--precision 32` is faster, and another run")


def native_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware; elsewhere bfloat16 is slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags
