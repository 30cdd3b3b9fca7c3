"""How much memory tensors take at most while something runs on the CPU, or a process of its own in all."""

import subprocess
import sys
from collections.abc import Callable

from torch.profiler import ProfilerActivity, profile

from helpers.imports import ROOT


def measure_tensors(run: Callable[[], object]) -> int:
    """Bytes allocated at most at one time during a run, above what there was before it."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    events = profiler.profiler.kineto_results.events()
    changes = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    now = peak = 0
    for _, change in changes:
        now += change
        peak = max(peak, now)
    return peak


SCORE_CROPS = """
import re, sys
from pathlib import Path
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
import numpy as np
import torch
from fundus_lib.protocols.whole_crops import WholeCrops
from helpers.images import image_set

torch.set_num_threads(1)
count, size = int(sys.argv[1]), (1408, 1664)

def read(n):
    mask = np.zeros((2848, 4288), np.uint8)
    mask[500:800, 1000 + 10 * n : 1300] = 1
    return mask[None]

class Task(torch.nn.Module):
    model = torch.nn.Identity()
    def predict(self, image, statistics):
        n = int(image[0, 0, 0])
        return {"logits": torch.randn(1, *size, generator=torch.Generator().manual_seed(n))}

images = image_set([torch.full((3, 1, 1), n, dtype=torch.uint8) for n in range(count)])
images = replace(images, full_masks=tuple(partial(read, n) for n in range(count)))
recipe = SimpleNamespace(lesions=("EX",), size=(1424, 2144), middle=size, crop=128, overlap=0)
WholeCrops(recipe, images).full(Task())
print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024)  # of this program alone
"""
"""Scores the middle of so many images of 2848×4288, with about 70,000 lesion pixels each."""


def measure_process(script: str, *arguments: object) -> int:
    """MB that a script takes at most, which it prints last."""
    code = f"import sys; sys.path[:0] = {[str(ROOT), str(ROOT / 'tests')]}\n{script}"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])
