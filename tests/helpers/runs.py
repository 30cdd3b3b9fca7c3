"""Runs in this process, in one that is killed, and in two that train together; and their weights."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from fundus_lib.recipes import Recipe
from fundus_lib.run import run
from fundus_lib.tasks.base import FundusTask

TOGETHER = '''
"""Run recipes, one after the other, and write which images each process has predicted in each of their tests."""
import hashlib, json, sys, torch
from pathlib import Path
from fundus_lib.processes import process_rank
from fundus_lib.protocols import grades
from fundus_lib.protocols.benchmark import Benchmark
from fundus_lib.protocols.fused_lesions import FusedLesions
from fundus_lib.protocols.grades import Grades
from fundus_lib.protocols.full_size import AtFullSize
from fundus_lib.protocols.image_means import ImageMeans
from fundus_lib.protocols.lesions import AtTrainingSize
from fundus_lib.protocols.whole_crops import WholeCrops
from fundus_lib.recipes import from_dict
from fundus_lib.run import run
from fundus_lib.tasks.base import FundusTask

torch.set_num_threads(1)
grades.BATCH = 4  # so that both have a share of a few images
tests, under_way = [], []

def watch(protocol):
    full = protocol.full
    def watched(self, *args):
        tests.append([])
        under_way.append(True)
        found = full(self, *args)
        under_way.clear()
        return found
    protocol.full = watched

def predict(self, images, statistics=None):
    if images.ndim == 4 and under_way:
        tests[-1] += [hashlib.sha256(image.numpy().tobytes()).hexdigest() for image in images]
    return whole(self, images, statistics)

for protocol in (Benchmark, Grades, AtFullSize, AtTrainingSize, FusedLesions, ImageMeans, WholeCrops):
    watch(protocol)
whole, FundusTask.predict = FundusTask.predict, predict
for job in json.loads(sys.argv[1]):
    tests.clear()
    run(from_dict(job["recipe"]), job["data"], job["out"], device="cpu", devices=2, progress=False)
    (Path(job["out"]) / f"process{process_rank()[0]}.predicted").write_text(json.dumps(tests))
'''


def here(recipe: Recipe, root: Path, out: Path, **settings: Any) -> dict[str, Any] | None:
    """A run in this process."""
    return run(recipe, root, out, device="cpu", progress=False, **settings)


def start_together(jobs: Sequence[tuple[Recipe, Path, Path]], folder: Path) -> subprocess.Popen:
    """Runs on two gloo processes, of recipes on the data of a root into a folder each.

    From a file, since Lightning starts the second process with the same command.
    """
    plain = [{"recipe": recipe.to_dict(), "data": str(root), "out": str(out)} for recipe, root, out in jobs]
    script = folder / "script.py"
    script.write_text(TOGETHER)
    return subprocess.Popen([sys.executable, str(script), json.dumps(plain)])


def run_and_kill(recipe: Recipe, root: Path, out: Path, *, batch: int) -> None:
    """Start a run in a process of its own that is killed as it begins a batch, counted from 0 over all stages."""
    process = os.fork()  # at one thread: what has been imported need not be imported again
    if not process:
        begin = FundusTask.on_train_batch_start

        def begin_or_die(task: FundusTask, *args: Any) -> None:
            if task.steps_before + task.global_step == batch:
                os.kill(os.getpid(), signal.SIGKILL)
            begin(task, *args)

        try:
            FundusTask.on_train_batch_start = begin_or_die
            here(recipe, root, out)
        finally:
            os._exit(1)  # whatever happens, pytest goes on in the parent alone
    status = os.waitpid(process, 0)[1]
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, "the run was over before it was killed"
    assert not list(out.glob("*.json"))


def weights(out: Path) -> dict[str, torch.Tensor]:
    (path,) = out.glob("*/model.pt")
    return torch.load(path, weights_only=True)["weights"]


def same_weights(first: Path, second: Path) -> bool:
    """Whether the one model in each folder has the same weights to the last bit."""
    one, other = weights(first), weights(second)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def without_clocks(record: dict[str, Any]) -> str:
    """What two runs of one recipe must have in common, as text, in which NaN equals NaN."""
    curve = [{k: v for k, v in point.items() if "seconds" not in k} for point in record["curve"]]
    kept = ("recipe", "metrics", "variants", "selection", "predictions", "protocol", "trained_on_fingerprint")
    return json.dumps([{name: record.get(name) for name in kept}, curve])
