"""What a result depends on beside its recipe: machine, versions, commit."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch

_PACKAGES = ("torch", "torchvision", "lightning", "numpy", "opencv-python-headless", "pillow")


def provenance(device: torch.device) -> dict[str, object]:
    """Device, peak memory so far, versions, commit and date, for a record.

    Returns:
        `device`: name of the GPU, or of the processor with the number of threads used. `peak_memory_mb`: on a GPU the
        tensors', on a CPU the whole process's since it started, so that of several runs in a row each has at least that
        of the last. `commit`: see :func:`commit`; `dirty`: whether the library's files differ from it. No path
        or user of the machine is named.
    """
    return {
        "device": device_name(device),
        "peak_memory_mb": _peak_memory(device),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
        **commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def device_name(device: torch.device) -> str:
    """For example "NVIDIA H200" or "AMD EPYC, 2 threads"."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{_processor()}, {threads} thread{'s' if threads > 1 else ''}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _peak_memory(device: torch.device) -> int | None:
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 1e6)
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # kilobytes, but bytes on macOS
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except ImportError:
        return None


def commit() -> dict[str, str | bool | None]:
    """`commit` and `dirty` of the library.

    Where only an export of the repository travels, `FUNDUS_COMMIT` says which commit it is of; nobody has compared its
    files, so that `dirty` is None. Both are None outside a git checkout where it is not set.
    """
    named = os.environ.get("FUNDUS_COMMIT")
    if named:
        return {"commit": named, "dirty": None}
    folder = Path(__file__).parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=20
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")  # fails in a checkout that merely surrounds an installed copy
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ".")
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(changed)}
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": None}
