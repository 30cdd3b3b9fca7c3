"""A whole image with the global network run once, against running it for each patch.

EX's poolings (6 and 3) on one 2816×3328 image, 143 patches; both compute the same logits. The gain depends on the
widths: a pass of the global network has 6.25 times the pixels of a patch, and a local network of four times its width
costs more than that.
`pytest tests/benchmarks/test_local_global_speed.py --benchmark-only --dist=no`, with `-s` for the peak memory.
"""

import functools
import subprocess
import sys

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
def predict_each(model, images):
    """Each patch with its own pass of both networks, as a network on pairs of image and patch does by itself."""
    grid, logits = PatchGrid(tuple(images.shape[-2:]), model.patch), torch.empty_like(images[:, :1])
    whole, places = model.shrink(images), grid.places()
    for k, (patch, (top, left)) in enumerate(zip(grid.cut(images[0]), grid.corners, strict=True)):
        found = model.forward_patches(whole, patch[None], places[k : k + 1])["logits"]
        logits[..., top : top + grid.shape[0], left : left + grid.shape[1]] = found
    return logits


def test_whole_image(benchmark, compare):
    benchmark.group = "local_global, one image of 2816x3328"
    model, images = make("small" if benchmark.disabled else "whole")
    each = functools.partial(predict_each, model, images)
    ours = functools.partial(predict, model, images)
    found = compare(ours, {"a pass for each patch": each}, {"a pass for each patch": 1 / SPEED}, rounds=2)
    torch.testing.assert_close(found["ours"], found["a pass for each patch"], rtol=1e-4, atol=1e-4)


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
    import resource

    torch.set_num_threads(1)
    predict(*make("whole"))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
