"""Executing notebooks so that the same code on the same data stores the same bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import nbformat
import notebook_images
import notebook_store as store
from nbclient import NotebookClient
from nbformat import NotebookNode

# Runs before the first cell: ids of widgets and animations repeat, and every file of the library that is read is noted.
BEFORE = """
import random as _r, sys as _s, uuid as _u
_random, _s._fundus_files = _r.Random(0), set()
_u.uuid4 = lambda: _u.UUID(int=_random.getrandbits(128), version=4)
_s.addaudithook(lambda event, args: _s._fundus_files.add(str(args[0]))
                if event == "open" and "fundus_lib" in str(args[0]) else None)
"""

# Runs after the last cell: what the kernel has used.
AFTER = """
import json as _j, sys as _s
_modules = [m for n, m in list(_s.modules.items()) if n.split(".")[0] == "fundus_lib"]
_settings, _torch = _s.modules.get("fundus_lib.settings"), _s.modules.get("torch")
print(_j.dumps({
    "files": sorted({str(m.__file__) for m in _modules if getattr(m, "__file__", None)} | _s._fundus_files),
    "edition": _settings.edition().name if _settings else "none",
    "profile": _settings.profile() if _settings else "none",
    "gpu": _torch.cuda.get_device_name() if _torch and _torch.cuda.is_available() else "",
}))
"""

RECORDS = "fundus_lib/records/*.json"

NUMBERS = {1: "one CPU core", 2: "two CPU cores", 4: "four CPU cores", 8: "eight CPU cores"}


@dataclass(frozen=True)
class Used:
    """What a run has used: library files (relative to the repository), data edition, profile, device, seconds."""

    inputs: list[str]
    edition: str
    profile: str
    gpu: str
    seconds: float


def execute(notebook: NotebookNode, folder: Path, *, data: Path | None = None, timeout: int = 1800) -> Used:
    """Run all cells of a notebook in a fresh kernel of this Python, in place.

    Args:
        notebook: Its outputs are replaced.
        folder: Where the kernel starts.
        data: What FUNDUS_DATA is set to; None for the synthetic edition.
        timeout: For one cell, in seconds.

    Returns:
        What the run has used.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell failed.
    """
    cells = notebook.cells
    for cell in cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    before, after = nbformat.v4.new_code_cell(BEFORE), nbformat.v4.new_code_cell(AFTER)
    notebook.cells = [before, *cells, after]
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=timeout,
        record_timing=False,
        coalesce_streams=True,
        store_widget_state=False,
        resources={"metadata": {"path": str(folder)}},
    )
    try:
        with client.setup_kernel(env=environment(data)):
            client.execute_cell(before, 0, store_history=False)
            start = time.perf_counter()
            for index, cell in enumerate(cells, start=1):
                client.execute_cell(cell, index)
            seconds = time.perf_counter() - start
            client.execute_cell(after, len(cells) + 1, store_history=False)
    finally:
        notebook.cells = cells
    notebook_images.lighten(notebook)
    used = json.loads(after.outputs[0].text)
    return Used(_relative(used["files"]), used["edition"], used["profile"], used["gpu"], seconds)


def environment(data: Path | None) -> dict[str, str]:
    """The environment of a kernel: nothing of the caller's that would show in an output."""
    env = {key: value for key, value in os.environ.items() if key not in ("FUNDUS_DATA", "MPLBACKEND", "DISPLAY")}
    env |= {"TQDM_DISABLE": "1", "PYTHONHASHSEED": "0", "FUNDUS_PROFILE": os.environ.get("FUNDUS_PROFILE", "smoke")}
    env |= {"OMP_NUM_THREADS": str(cores()), "OMP_WAIT_POLICY": "passive", "COLUMNS": "100", "NO_COLOR": "1"}
    if data is not None:
        env["FUNDUS_DATA"] = str(data.resolve())
    return env


def warm_up(data: Path | None) -> None:
    """Draw the synthetic data set if it is not there yet: it is drawn once, so it is not part of a chapter's time."""
    code = "from fundus_lib.settings import edition; edition()"
    subprocess.run([sys.executable, "-c", code], env=environment(data), check=True)


def cores() -> int:
    """How many CPU cores a kernel may use: two, the machine that the book's times speak of, or fewer."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(2, usable)


def fill_time(notebook: NotebookNode, used: Used) -> None:
    """Write the measured seconds into the first cell, if they differ noticeably from what stands there."""
    first = notebook.cells[0]
    if not (line := store.TIME_LINE.search(first.source)):
        return
    seconds = max(1, round(used.seconds))
    cpu, gpu = line["cpu"], line["gpu"]
    stated = f" ({used.profile} profile)" if used.profile != "none" else ""  # a page without a banner has none
    if used.gpu:
        gpu = f"{seconds} s on one {used.gpu}{stated}"
    elif line["seconds"] is None or differs(int(line["seconds"]), seconds):
        cpu = f"{seconds} s on {NUMBERS[cores()]}{stated}"
    first.source = store.TIME_LINE.sub(f"**Time**: {cpu} · GPU: {gpu}", first.source, count=1)


def differs(old: int, new: int) -> bool:
    """Whether a time has changed by more than what two runs on one machine differ by."""
    return abs(new - old) > max(5, 0.25 * old)


def stamp(notebook: NotebookNode, used: Used) -> None:
    """Note in the notebook what it was made from."""
    notebook.metadata["fundus"] = {
        "cells_hash": store.cells_hash(notebook),
        "source_hash": store.source_hash(notebook),
        "outputs_hash": store.outputs_hash(notebook),
        "inputs": used.inputs,
        "inputs_hash": store.inputs_hash(used.inputs),
        "edition": used.edition,
        "profile": used.profile,
    }


def _relative(files: list[str]) -> list[str]:
    """The library's own files, relative to the repository, records as one pattern: a page reads all or none.

    Byte code is the shadow of a source, so it is left out.
    """
    library = store.ROOT / "fundus_lib"
    found = {Path(file).resolve() for file in files}
    return sorted(
        {
            RECORDS if file.match(RECORDS) else file.relative_to(store.ROOT).as_posix()
            for file in found
            if file.is_relative_to(library) and "__pycache__" not in file.parts and file.is_file()
        }
    )
