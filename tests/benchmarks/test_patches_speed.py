"""Patches for training from images mapped into memory, against decoding the image for each patch, as is usual.

Each patch is normalised; alone the local network sees it rotated by any angle, zoomed and with noise, in the fused
network turned by quarters. 400 patches a second on two cores are 5 ms of one core for each.
`pytest tests/benchmarks/test_patches_speed.py --benchmark-only --dist=no`.
"""

import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fundus_lib.data.augment import normalise, rotate_and_zoom
from fundus_lib.data.images import read_image, read_mask
from fundus_lib.experiment import create_task, read_data
from fundus_lib.recipes import recipes
from helpers.memory import SCORE_CROPS, measure_process
from helpers.small_idrid import mask_path, photograph_path, write

WANTED = 400
"""Patches a second on two cores."""

STATISTICS = torch.tensor([[100.0] * 3, [40.0] * 3])


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("patches") / "IDRiD"


@pytest.mark.parametrize("part", ["local", "joint"])
def test_patches(benchmark, compare, root, part):
    benchmark.group = "32 patches of 256x256"
    recipe = recipes("local_global", "1", "EX_fused")[0].replace(batch=4, train_images=2, test_images=1)
    recipe = recipe.smoke() if benchmark.disabled else recipe
    if not root.is_dir():
        write(root, recipe.size)
    images = read_data(recipe, root).training
    task = create_task(recipe)
    task.statistics, task.stage = STATISTICS.clone(), SimpleNamespace(name=part)
    batches, fastest = task.epoch_batches(images, 0), []
    if part == "joint":
        task.shrunk.get(images, task.model)

    def cut():
        start = time.process_time()
        batch = task.load_batch(images, batches[0])
        patches, masks = batch["image"], batch["mask"]
        if part == "local":
            patches, masks = rotate_and_zoom(patches, masks, recipe.crop, recipe.zoom)
        made = task.vary(task.normalise(batch, "image", patches), noise=recipe.noise if part == "local" else 0.0)
        fastest.append((time.process_time() - start) / len(made))
        return made.shape

    def decode_one():
        name = images.names[0]
        whole = torch.from_numpy(read_image(photograph_path(root, name), recipe.size).transpose(2, 0, 1).copy())
        mask = torch.from_numpy(read_mask(mask_path(root, "EX", name), recipe.size)[None].copy())
        side = recipe.crop
        window = [m[None, :, : 2 * side, : 2 * side] for m in (whole, mask)]
        return normalise(rotate_and_zoom(*window, side, 1.25)[0], STATISTICS[None]).shape

    compare(cut, {"decoding one": decode_one}, {"decoding one": 4.0}, rounds=6)
    if not benchmark.disabled:
        assert 2 / min(fastest) >= WANTED, f"{2 / min(fastest):.0f} patches a second on two cores"


def test_the_test_of_27_images_takes_less_than_2_gib(benchmark):
    count = 1 if benchmark.disabled else 27
    found = benchmark.pedantic(measure_process, (SCORE_CROPS, count), rounds=1)
    assert np.isfinite(found) and found < 2048
