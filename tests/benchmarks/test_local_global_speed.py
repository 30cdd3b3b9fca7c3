"""A whole image with the global network run once, against one row of patches with a pass of it for each.

EX's poolings (6 and 3) on one 2816×3328 image, 143 patches in 11 rows; both compute the same logits. The gain depends
on the widths: a pass of the global network has 6.25 times the pixels of a patch, and a local network of four times its
width costs more than that.
`pytest tests/benchmarks/test_local_global_speed.py --benchmark-only --dist=no`, with `-s` for the peak memory.
"""

import functools
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fundus_lib.models import create_model
from fundus_lib.models.patch_grid import PatchGrid

SETTINGS = {"global_width": 16, "global_depth": 6, "local_width": 8, "local_depth": 3}
SPEED = 5
"""Times as fast as one pass of the global network for each patch it is at least."""
PEAK = 2.0
"""Gigabytes that the process of an inference may take at most, torch and the image included."""


def make(side):
    torch.manual_seed(0)
    small = {"global_size": 64, "patch": 32} if side == "small" else {}
    size = (96, 128) if side == "small" else (2816, 3328)
    return create_model("localglobal", **SETTINGS | small).eval(), torch.rand(1, 3, *size)


@torch.inference_mode()
def predict(model, images):
    """As the library does."""
    return model(images)["logits"]


@torch.inference_mode()
def predict_top(model, images):
    """The top row of patches, each with its own pass of both networks, as a network on pairs of image and patch does.

    Returns the logits of these rows of pixels.
    """
    grid = PatchGrid(tuple(images.shape[-2:]), model.patch)
    whole, places, found = model.shrink(images), grid.places(), []
    for k, (patch, (top, _)) in enumerate(zip(grid.cut(images[0]), grid.corners, strict=True)):
        if top == 0:
            found.append(model.forward_patches(whole, patch[None], places[k : k + 1])["logits"])
    return torch.cat(found, dim=-1)


def test_whole_image(benchmark, compare):
    benchmark.group = "local_global, one image of 2816x3328"
    model, images = make("small" if benchmark.disabled else "whole")
    rows = images.shape[-2] // model.patch
    top = functools.partial(predict_top, model, images)
    ours = functools.partial(predict, model, images)
    name = f"a pass for each patch of one of {rows} rows"
    found = compare(ours, {name: top}, {name: rows / SPEED}, rounds=2)
    torch.testing.assert_close(found["ours"][..., : model.patch, :], found[name], rtol=1e-4, atol=1e-4)


def test_peak_memory(benchmark):
    if benchmark.disabled:
        pytest.skip("takes a minute; with --benchmark-only")
    command = [sys.executable, __file__]
    run = functools.partial(subprocess.run, command, capture_output=True, text=True, check=True)
    peak = float(benchmark.pedantic(run, rounds=1).stdout)
    benchmark.extra_info["peak memory in GB"] = peak
    print(f"\npeak memory of a process that predicts one 2816×3328 image: {peak:.2f} GB, allowed {PEAK}")
    assert peak < PEAK


if __name__ == "__main__":
    torch.set_num_threads(1)
    predict(*make("whole"))
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(int(peak.split()[1]) / 2**20)  # of this program alone, kilobytes to gigabytes
