"""Runs in this process and in processes of their own: started, killed, and their weights read."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from fundus_lib.recipes import Recipe
from fundus_lib.run import run

SCRIPT = """
import json, sys, torch
from fundus_lib.recipes import from_dict
from fundus_lib.run import run
torch.set_num_threads(1)
arguments = json.loads(sys.argv[1])
run(from_dict(arguments.pop("recipe")), device="cpu", precision="32", progress=False, **arguments)
"""


def here(recipe: Recipe, root: Path, out: Path, **settings: Any) -> dict[str, Any] | None:
    return run(recipe, root, out, device="cpu", precision="32", progress=False, **settings)


def start(recipe: Recipe, root: Path, out: Path, **settings: Any) -> subprocess.Popen:
    """The same in a process of its own, from a file, since Lightning starts further processes with the same command."""
    arguments = {"recipe": recipe.to_dict(), "data": str(root), "out": str(out), **settings}
    script = out / "script.py"
    script.write_text(SCRIPT)
    return subprocess.Popen([sys.executable, str(script), json.dumps(arguments)])


def start_and_kill(recipe: Recipe, root: Path, out: Path, *, seconds: float = 600) -> None:
    """Start a run in a process of its own and kill it as soon as it has written a checkpoint."""
    process = start(recipe, root, out)
    try:
        limit = time.monotonic() + seconds
        while not list(out.glob("*/last.ckpt")):
            assert process.poll() is None and time.monotonic() < limit
            time.sleep(0.001)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not list(out.glob("*.json")), "the run was over before it could be killed"


def weights(out: Path) -> dict[str, torch.Tensor]:
    (path,) = out.glob("*/model.pt")
    return torch.load(path, weights_only=True)["weights"]


def same_weights(first: Path, second: Path) -> bool:
    """Whether the one model in each folder has the same weights to the last bit."""
    one, other = weights(first), weights(second)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
