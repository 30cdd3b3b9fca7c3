"""The dual-sampling modulated Dice loss without drawing pixels, against drawing them: forward and backward.

Drawing is timed as it is usually written, with lists of indices (`nonzero`, `randint`), and as our `SampledDiceLoss`
does it, which never waits for the device.
`pytest tests/benchmarks/test_dsm_speed.py --benchmark-only --dist=no`.
"""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fundus_lib.losses import DiceLoss, RebalancedDiceLoss, SampledDiceLoss
from helpers.plain import IndexTensors

BATCH, HEIGHT, WIDTH = 2, 960, 1440
LESION = 0.009
"""Share of exudate, as in IDRiD."""
SPEED = 5
"""Times as fast as with lists of indices the re-balanced term is, at least."""

WAYS = {"closed": RebalancedDiceLoss(), "sampled": SampledDiceLoss(), "index tensors": IndexTensors()}


def batch(side):
    """Logits of two branches and one mask, (B, 1, H, W) each."""
    draw = torch.Generator().manual_seed(0)
    shape = (BATCH, 1, HEIGHT // side, WIDTH // side)
    mask = (torch.rand(shape, generator=draw) < LESION).to(torch.uint8)
    return [torch.randn(shape, generator=draw).requires_grad_() for _ in range(2)], mask


def step(way, branches, mask, both):
    """One forward and backward: the re-balanced term of the small branch, or the whole modulated loss."""
    large, small = branches
    large.grad = small.grad = None
    loss = WAYS[way](small, mask)
    if both:
        loss = 0.5 * DiceLoss()(large, mask) + 0.5 * loss
    loss.backward()
    return loss.item()


@pytest.mark.parametrize("both", [False, True], ids=["re-balanced", "modulated"])
def test_loss(benchmark, compare, both):
    benchmark.group = f"{'modulated' if both else 're-balanced'} Dice, {BATCH}x{HEIGHT}x{WIDTH}, forward and backward"
    branches, mask = batch(20 if benchmark.disabled else 1)
    steps = {way: functools.partial(step, way, branches, mask, both) for way in WAYS}
    at_most = {} if both else {"index tensors": 1 / SPEED}
    losses = compare(steps.pop("closed"), steps, at_most, rounds=10)
    for way in steps:
        assert losses[way] == pytest.approx(losses["ours"], abs=0.05 if benchmark.disabled else 5e-3)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")
@pytest.mark.benchmark(group="peak of memory of the re-balanced Dice")
def test_memory(benchmark):
    if benchmark.disabled:  # each process loads torch anew: one shows that the measurement runs
        assert in_own_process("closed", 10) > 0
        return

    def peaks():
        return {way: in_own_process(way, 1) for way in WAYS}

    added = benchmark.pedantic(peaks, rounds=1)
    benchmark.extra_info.update(added)
    assert added["closed"] < added["index tensors"] / 2


def in_own_process(way, side):
    """What this file prints when it is run: MiB that a step adds at its peak, with nothing held back."""
    command = [sys.executable, Path(__file__), way, str(side)]
    exact = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "PYTHONPATH": os.pathsep.join(sys.path)}  # and helpers
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, env=exact).stdout)


def _status(field):
    """A line of /proc/self/status in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field + ":"))


def _main(way, side):
    torch.set_num_threads(1)
    branches, mask = batch(side)
    step(way, *batch(40), both=False)  # whatever torch sets up at its first step
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = _status("VmRSS")
    step(way, branches, mask, both=False)
    print(json.dumps(_status("VmHWM") - before))


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]))
