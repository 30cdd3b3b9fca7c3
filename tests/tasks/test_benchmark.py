"""The benchmark's training: averages of weights, crops by kind of lesion and at other scales, and what is minimised."""

import copy

import numpy as np
import pytest
import torch

from fundus_lib.data.patches import Crops
from fundus_lib.data.sample import LESIONS
from fundus_lib.data.splits import find_shared, grading_leaks
from fundus_lib.errors import ArgumentError
from fundus_lib.experiment import create_task, read_data
from fundus_lib.models.localglobal import sample_boxes
from fundus_lib.published.benchmark_costs import count_costs
from fundus_lib.recipes import recipes
from fundus_lib.run import run
from fundus_lib.tasks.average import Average
from fundus_lib.tasks.benchmark_data import GradedOrder
from helpers.images import graded, image_set, squares
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
    recipe = BASE.replace(lesions=LESIONS, table="search", average=0.9).smoke().replace(epochs=3)
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
    assert base == recipes("benchmark", "base", "base")[0].replace(table="search", validation=9)
    for row in others:
        assert row.validation == 9 and row.replace(row="base") != base
        changed = [n for n, v in row.to_dict().items() if v != base.to_dict()[n] and n not in ("row", "batch", "steps")]
        assert len(changed) <= (2 if row.row.startswith("dice_crossentropy_") else 1), row.row


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


def task_for(row, **changes):
    """The task of an idea on small images, ready for its first batch."""
    recipe = recipes("benchmark", "ideas", row)[0]
    small = {**recipe.smoke().model_args, **({"width": 6} if recipe.model != "localglobal" else {})}
    task = task_of(recipe.replace(**{**SMALL, "model_args": small, **changes}))
    task.statistics = SPOTS.statistics[0]
    if recipe.graded_size:
        task.graded = GradedOrder(GRADED, 0)
    (items, *_) = task.epoch_batches(SPOTS, 0)
    return task, task.load_batch(SPOTS, items)


GRADED = graded(5, 0)
SMALL = {
    name: getattr(BASE, name) for name in ("precision", "size", "crop", "batch", "lesions")
} | {"colour_jitter": 0.0, "test_flips": False, "lesion_fraction": 1.0, "steps": 2}  # fmt: skip


@pytest.mark.parametrize("row", ["two_branches_dsm", "global_context", "hecl", "grades_blending"])
def test_a_network_with_an_idea_learns_a_batch_by_heart(row, monkeypatch):
    task, batch = task_for(row)
    monkeypatch.setattr(type(task), "progress", 0.5)  # both branches count
    optimizer = torch.optim.Adam(task.model.parameters(), lr=0.02)
    for _ in range(60):
        parts = task.compute_parts(batch)
        optimizer.zero_grad()
        parts["total"].backward()
        optimizer.step()
    task.eval()
    if row == "global_context":
        logits = (
            task.compute_parts(batch)
            and task.model.forward_patches(task.prepare(batch["whole"]), task.prepare(batch["image"]), batch["places"])[
                "logits"
            ]
        )
    else:
        logits = task.model(task.prepare(batch["image"]))["logits"]
    found = (logits > 0) == batch["mask"].bool()
    assert found.float().mean() > 0.99 and bool(batch["mask"].any())
    lesion = batch["mask"].bool()
    assert (logits[lesion] > 0).float().mean() > 0.8


def test_two_branches_see_the_same_crops_and_are_weighted_by_progress(monkeypatch):
    task, batch = task_for("two_branches_dsm")
    for progress in (0.0, 0.6):
        monkeypatch.setattr(type(task), "progress", progress)
        parts = task.compute_parts(batch)
        wanted = (1 - progress**2) * parts["large"] + progress**2 * parts["small"]
        torch.testing.assert_close(parts["total"], wanted)
    output = task.model(task.prepare(batch["image"]))
    torch.testing.assert_close(task.criterion.large(output["large_logits"], batch["mask"].float()), parts["large"])


def test_a_crop_lies_in_its_turned_image_where_it_was_cut():
    """Of an image that is a ramp of rows and of columns, the shrunk image at the crop's place is the crop."""
    rows, columns = np.mgrid[0:48, 0:64]
    ramp = torch.from_numpy(np.stack([4 * rows, 3 * columns, 0 * rows]).astype(np.uint8))
    mask = torch.zeros(1, 48, 64, dtype=torch.uint8)
    mask[:, 20:28, 40:50] = 1
    images = image_set([ramp, ramp.flip(1)], [mask, mask.flip(1)])
    task, _ = task_for("global_context", crop=32)
    (items, *more) = task.epoch_batches(images, 0)
    for batch in (task.load_batch(images, part) for part in (items, *more)):
        found = sample_boxes(batch["whole"].float(), batch["places"], (32, 32))
        assert (found - batch["image"].float()).abs().mean() < 2  # of 255; another turn would be tens away
        masks = sample_boxes(batch["whole_mask"].float(), batch["places"], (32, 32))
        assert ((masks > 0.5) == batch["mask"].bool()).float().mean() > 0.95


def test_a_fused_network_takes_a_whole_image_as_one_patch():
    task, _ = task_for("global_context")
    task.eval()
    images = torch.stack(SPOTS.images[:2])
    with torch.no_grad():
        found = task(images, SPOTS.statistics[:2])
        prepared = task.prepare(images)
        patchwise = task.model(prepared, chunk=1)["logits"]  # one patch, since images are smaller than 256
    assert found.keys() == {"logits"}
    torch.testing.assert_close(found["logits"], patchwise, rtol=1e-3, atol=1e-4)


def test_costs_are_counted():
    names = ("hecl", "loss_dice", "two_branches", "global_context", "wide")
    rows = {name: count_costs(recipes("benchmark", "ideas", name)[0]) for name in names}
    base = count_costs(recipes("benchmark", "base")[0])
    network = create_task(recipes("benchmark", "base")[0], start=False).model
    assert base.parameters == sum(parameter.numel() for parameter in network.parameters())
    assert rows["hecl"] == rows["loss_dice"] == base
    first = 2 * 3 * 16 * 9 * 640 * 960  # the first of the convolutions
    assert base.image > 4 * first and base.image % 4 == 0
    assert base.parameters < rows["two_branches"].parameters < 2 * base.parameters
    assert base.step < rows["global_context"].step < rows["two_branches"].step < 2 * base.step
    assert abs(rows["wide"].parameters / rows["global_context"].parameters - 1) < 0.05


def test_the_ideas_have_the_bases_data_updates_and_test():
    base = recipes("benchmark", "base")[0]
    own = {"table", "row", "model", "model_args", "criterion", "graded_size", "labels", "grade_weight"}
    for row in recipes("benchmark", "ideas"):
        assert {n for n, v in row.to_dict().items() if v != base.to_dict()[n]} <= own
    assert [row.row for row in recipes("benchmark", "gpu")][1:] == [row.row for row in recipes("benchmark", "ideas")]


def test_graded_images_come_round_and_are_the_same_for_every_device():
    order = GradedOrder(GRADED, 3)
    numbers = [order.draw_number(place)[0] for place in range(15)]
    assert all(sorted(numbers[start : start + 5]) == [0, 1, 2, 3, 4] for start in (0, 5, 10))
    assert len({tuple(numbers[start : start + 5]) for start in (0, 5, 10)}) > 1
    batch = order.draw([4, 2])
    assert batch["dr"].tolist() == [GRADED.dr[numbers[4]], GRADED.dr[numbers[2]]]
    for image, number in zip(batch["image"], (numbers[4], numbers[2]), strict=True):
        assert torch.equal(image.flatten().sort()[0], GRADED.images[number].flatten().sort()[0])


def test_grades_are_learnt_with_lesions_and_their_means_are_those_of_crops():
    task, batch = task_for("grades_shared")
    before = {name: value.clone() for name, value in task.model.state_dict().items() if "running" in name}
    task.model.grade(task.prepare(batch["graded_image"]))
    assert all(torch.equal(value, task.model.state_dict()[name]) for name, value in before.items())
    parts = task.compute_parts(batch)
    assert not all(torch.equal(value, task.model.state_dict()[name]) for name, value in before.items())
    torch.testing.assert_close(parts["total"], parts["logits"] + parts["grading"])
    wanted = torch.nn.functional.cross_entropy(
        task.model.grade(task.prepare(batch["graded_image"])), batch["graded_dr"]
    )
    torch.testing.assert_close(parts["grading"], wanted)
    control, same = task_for("grades_control")
    parts = control.compute_parts(same)
    torch.testing.assert_close(parts["total"], parts["logits"])
    assert torch.equal(same["image"], batch["image"]) and torch.equal(same["graded_image"], batch["graded_image"])
    control.eval()
    assert control(batch["image"], batch["statistics"]).keys() == {"logits"}


def test_graded_images_are_none_that_has_masks(graded_root):
    row = recipes("benchmark", "ideas", "grades_shared")[0].smoke().replace(train_images=None)
    data = read_data(row, graded_root)
    without = {*find_shared(graded_root), *grading_leaks(graded_root, "train")["name"]}
    assert without and not without & set(data.graded.names) and min(data.graded.dr) >= 0
    assert {tuple(image.shape) for image in data.graded.images} == {(3, 48, 72)} and data.graded.with_masks == []
    pseudo = read_data(row.replace(labels="pseudo", validation=1), graded_root)
    assert pseudo.graded.names == pseudo.training.names and set(pseudo.graded.dr.tolist()) <= {0, 1, 2}
    plain = read_data(row.replace(model="unet", model_args={}, graded_size=None), graded_root)
    assert plain.graded is None
    assert len({one.training.fingerprint for one in (data, pseudo, plain)}) == 3


def test_a_set_without_graded_images_of_its_own_is_named(synthetic_root):
    with pytest.raises(ArgumentError, match="there is no graded image to show"):
        read_data(recipes("benchmark", "ideas", "grades_shared")[0].smoke(), synthetic_root)
