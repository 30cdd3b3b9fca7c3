"""The benchmark's training: averages of weights, crops by kind of lesion and at other scales, and what is minimised."""

import copy

import numpy as np
import pytest
import torch

from fundus_lib.data.patches import Crops
from fundus_lib.errors import ArgumentError
from fundus_lib.experiment import create_task
from fundus_lib.recipes import recipes
from fundus_lib.run import run
from fundus_lib.tasks.average import Average
from helpers.images import image_set, squares
from helpers.runs import here, run_and_kill, same_weights, without_clocks

BASE = recipes("benchmark", "base")[0].replace(
    precision="32", size=(48, 64), crop=32, batch=4, lesions=("EX",), model_args={"width": 6, "depth": 2}
)
SPOTS = squares(4, (48, 64), empty=1)


def task_of(recipe):
    torch.manual_seed(0)
    task = create_task(recipe)
    task.log_dict = lambda *args, **kwargs: None
    return task


def test_the_average_is_that_of_its_formula():
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.BatchNorm2d(2))
    average = Average(network, 0.6)
    slow = {name: value.double() for name, value in copy.deepcopy(network.state_dict()).items()}
    for step in range(1, 25):
        network(torch.randn(3, 1, 4, 4))  # moves the running means
        with torch.no_grad():
            for parameter in network.parameters():
                parameter += torch.randn_like(parameter)
        average.update(network, step)
        decay = 0.1 if step == 1 else min(0.6, step / (step + 9))
        slow = {n: decay * v + (1 - decay) * network.state_dict()[n].double() for n, v in slow.items()}
    trained = copy.deepcopy(network.state_dict())
    average.exchange(network)
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value.double(), slow[name], rtol=1e-5, atol=1e-6)
            assert not torch.equal(value, trained[name])
    average.exchange(network)
    assert all(torch.equal(value, trained[name]) for name, value in network.state_dict().items())


def test_the_average_is_tested_and_saved_and_a_killed_run_goes_on_alike(synthetic_root, tmp_path, one_thread):
    recipe = BASE.replace(table="search", average=0.9).smoke().replace(epochs=3)
    outs = [tmp_path / name for name in ("whole", "killed", "without")]
    for out in outs:
        out.mkdir()
    whole = here(recipe, synthetic_root, outs[0])
    run_and_kill(recipe, synthetic_root, outs[1], batch=4)
    resumed = here(recipe, synthetic_root, outs[1])
    assert resumed["resumed_from_epoch"] == 1
    assert same_weights(outs[0], outs[1]) and without_clocks(resumed) == without_clocks(whole)
    without = run(recipe.replace(average=0.0), synthetic_root, outs[2], device="cpu", progress=False)
    losses = [[point["loss"] for point in record["curve"]] for record in (whole, without)]
    assert losses[0] == losses[1], "what is trained does not depend on the average"
    assert not same_weights(outs[0], outs[2])


def test_each_kind_of_lesion_is_drawn_equally_often():
    """One of three images has the rare kind, and in one pixel."""
    masks = torch.zeros(3, 2, 40, 40, dtype=torch.uint8)
    masks[:, 0, 10:30, 10:30] = 1
    masks[2, 1, 20, 20] = 1
    images = image_set(list(torch.zeros(3, 3, 40, 40, dtype=torch.uint8)), list(masks))

    def fraction(each_lesion):
        crops = Crops(
            images.images, images.masks, images.statistics,
            crop=1, length=1500, lesion_fraction=1.0, each_lesion=each_lesion,
        )  # fmt: skip
        return np.mean([bool(crops[number]["mask"][1].any()) for number in range(1500)])

    assert abs(fraction(True) - 1 / 2) < 0.04
    assert abs(fraction(False) - 1 / 6) < 0.04


def test_crops_are_zoomed_with_their_masks_and_hold_their_lesion():
    crops = Crops(SPOTS.images, SPOTS.masks, SPOTS.statistics, crop=16, length=200, lesion_fraction=1.0, zoom=1.5)
    areas, sides = [], []
    for item in crops:
        image, mask = item["image"], item["mask"][0]
        assert image.shape == (3, 16, 16) and image.dtype == mask.dtype == torch.uint8
        areas.append(int(mask.sum()))
        bright = image[0] > 120
        assert (bright == mask.bool()).float().mean() > 0.9  # they differ where a pixel is partly lesion
        rows = mask.any(1).nonzero()
        sides.append(int(rows[-1] - rows[0]) + 1)
    assert min(areas) > 0 and {3, 4, 5} <= set(sides), "lesions of four pixels at other sizes"
    still = Crops(SPOTS.images, SPOTS.masks, SPOTS.statistics, crop=16, length=5, lesion_fraction=1.0)
    again = Crops(SPOTS.images, SPOTS.masks, SPOTS.statistics, crop=16, length=5, lesion_fraction=1.0, zoom=1.0)
    assert all(torch.equal(a[name], b[name]) for a, b in zip(still, again, strict=True) for name in a)
    with pytest.raises(ArgumentError, match=r"zoom 3\.5"):
        Crops(SPOTS.images, SPOTS.masks, SPOTS.statistics, crop=16, length=5, zoom=3.5)


def test_rows_of_the_search_differ_from_its_base_and_hold_out_images():
    base, *others = recipes("benchmark", "search")
    assert base == recipes("benchmark", "base")[0].replace(table="search", validation=9)
    for row in others:
        assert row.validation == 9 and row.replace(row="base") != base
        changed = [n for n, v in row.to_dict().items() if v != base.to_dict()[n] and n not in ("row", "batch", "steps")]
        assert len(changed) <= 1, row.row


def test_impossible_settings_are_refused():
    for changes, words in (
        ({"average": 1.0}, "decay"),
        ({"zoom": 0.9}, "zoom"),
        ({"zoom": 1.6}, "zoom"),
        ({"sampling": "pixel"}, "sampling"),
        ({"model": "localglobal", "criterion": {"terms": ("edge",)}}, "contrastive"),
    ):
        with pytest.raises(ArgumentError, match=words):
            BASE.replace(**changes)
