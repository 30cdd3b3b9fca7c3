"""dual_branch's training: augmentations, steps, schedules, normalisation, and what the rows of its tables are."""

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fundus_lib.data.augment import augment_dihedral
from fundus_lib.data.image_set import ImageSet
from fundus_lib.errors import ArgumentError
from fundus_lib.experiment import create_experiment, create_task, read_data
from fundus_lib.losses import DiceLoss, RebalancedDiceLoss, branch_weights
from fundus_lib.models import create_model
from fundus_lib.recipes import DualBranchRecipe, recipes
from fundus_lib.recipes.dual_branch import TABLE_4, dual, single
from fundus_lib.tasks.dual_branch import HELD_OUT, Task, group_parameters, mean_colour, measure_channels
from helpers.images import squares

UNET = {"base": "unet", "width": 4, "depth": 2}


def items(task: Task, shown: ImageSet, epoch: int = 0) -> list[tuple]:
    """What an epoch shows, one after the other."""
    return [item for batch in task.epoch_batches(shown, epoch) for item in batch]


def single_task(**changes) -> Task:
    return create_task(single("r", "unet", "dice", model_args={"width": 4, "depth": 2}, **changes))


def task_of(recipe, shown: ImageSet) -> Task:
    task = create_task(recipe)
    task.statistics = measure_channels(recipe, shown)
    task.log_dict = lambda *args, **kwargs: None
    return task


def at(task: Task, epoch: int, of: int, monkeypatch) -> None:
    """Bring a task to an epoch of a stage."""
    task.stage = SimpleNamespace(epochs=of)
    monkeypatch.setattr(Task, "current_epoch", epoch)


def test_an_epoch_shows_every_image_in_every_augmentation_once():
    shown, task = squares(), single_task(seed=3)
    order = items(task, shown)
    assert sorted(order) == [((n, number),) for n in range(5) for number in range(6)]
    assert order == items(task, shown) != items(task, shown, epoch=1)
    assert order != items(single_task(seed=4), shown)


def test_fewer_augmentations_are_drawn_anew_in_each_epoch():
    shown, task = squares(4), single_task(dihedral=2)
    epochs = [[item for (item,) in items(task, shown, epoch)] for epoch in range(40)]
    for order in epochs:
        assert sorted(n for n, _ in order) == sorted([*range(4)] * 2) and len(set(order)) == 8
    assert {number for order in epochs for _, number in order} == set(range(6))


def test_two_branches_see_images_of_their_own():
    shown, task = squares(), create_task(dual("r", "unet", model_args=UNET))
    pairs = items(task, shown)
    assert sorted(a for a, _ in pairs) == sorted(b for _, b in pairs) == [(n, k) for n in range(5) for k in range(6)]
    assert sum(a[0] == b[0] for a, b in pairs) < 20
    (loaded,) = task.load_batch(shown, pairs[:1])
    for prefix, (n, number) in zip(("large_", "small_"), pairs[0], strict=True):
        assert torch.equal(loaded[f"{prefix}image"], augment_dihedral(shown.images[n], number))
        assert torch.equal(loaded[f"{prefix}mask"], augment_dihedral(shown.masks[n], number))


def test_a_step_of_one_network_is_the_mean_over_its_images_which_do_not_mix():
    shown = squares()
    recipe = single("r", "unet", "dice", model_args={"width": 4, "depth": 2}, normalise_by="deviation")
    task = task_of(recipe, shown).eval()
    batch = items(task, shown)[:2]
    mean, deviation = task.statistics[..., None, None]
    expected = []
    for ((n, number),) in batch:
        x, y = (augment_dihedral(part[n][None], number).float() for part in (shown.images, shown.masks))
        expected.append(DiceLoss()(task.model((x - mean) / deviation)["logits"], y))
    torch.testing.assert_close(task.training_step(task.load_batch(shown, batch), 0), torch.stack(expected).mean())


def test_a_step_of_two_branches_is_equations_5_and_6(monkeypatch):
    shown = squares()
    task = task_of(dual("r", "unet", p=0.3, model_args=UNET, epochs=10), shown).eval()
    at(task, 4, 10, monkeypatch)
    pair = items(task, shown)[0]
    mean, deviation = task.statistics[..., None, None]
    losses = []
    for prefix, (n, number), loss in zip(
        ("large", "small"), pair, (DiceLoss(), RebalancedDiceLoss(p=0.3)), strict=True
    ):
        x, y = (augment_dihedral(part[n][None], number).float() for part in (shown.images, shown.masks))
        losses.append(loss(task.model((x - mean) / deviation, prefix)["logits"], y))
    alpha, rest = branch_weights(0.4, "text")
    assert alpha == 1 - 0.4**2
    step = task.training_step(task.load_batch(shown, [pair]), 0)
    torch.testing.assert_close(step, alpha * losses[0] + rest * losses[1])


def test_progress_starts_anew_in_each_stage(monkeypatch):
    task, found = create_task(dual("r", "unet", model_args=UNET)), []
    for epoch, epochs in ((0, 2), (1, 2), (0, 4), (1, 4), (2, 4), (3, 4)):
        at(task, epoch, epochs, monkeypatch)
        found.append(task.progress)
    assert found == [0, 0.5, 0, 0.25, 0.5, 0.75]


@pytest.mark.parametrize("steps", [6, 20])
def test_the_poly_schedule_falls_to_zero_in_each_stage(steps):
    configured = single_task(epochs=4).optimise(steps)
    (rate,) = configured["lr_scheduler"]["scheduler"].lr_lambdas
    assert rate(0) == 1 and rate(steps // 2) == pytest.approx(0.5**0.9)
    assert rate(steps - 1) == pytest.approx((1 / steps) ** 0.9) and rate(steps) == 0
    (group,) = configured["optimizer"].param_groups
    assert (group["momentum"], group["weight_decay"]) == (0.9, 5e-4)


@pytest.mark.parametrize("branches", [1, 2])
def test_every_parameter_of_hed_has_its_rate(branches):
    model = create_model("hed", width=4) if branches == 1 else create_model("dualbranch", base="hed", width=4)
    groups = group_parameters(model, 2e-4, 2e-4)
    rates = {id(p): (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
    named = dict(model.named_parameters())
    assert rates.keys() == {id(p) for p in named.values()}
    for name, parameter in named.items():
        multiple = {"fuse": 1e-3, "side": 1e-2}.get(next((k for k in ("fuse", "side") if k in name), ""), 1.0)
        if multiple == 1 and "stage5" in name:
            multiple = 100.0
        bias = name.endswith("bias")
        assert rates[id(parameter)] == pytest.approx((2e-4 * multiple * (1 + bias), 0 if bias else 2e-4)), name
    assert {round(math.log10(rate / 2e-4), 1) for rate, _ in rates.values()} == {-3, -2.7, -2, -1.7, 0, 0.3, 2, 2.3}


def test_normalisation_is_that_of_all_training_pixels():
    shown = squares(size=(8, 12))
    pixels = np.concatenate([image.numpy().reshape(3, -1) for image in shown.images], axis=1).astype(float)
    recipe = single("r", "unet", "dice")
    for way, divisor in (("mean", np.ones(3)), ("deviation", pixels.std(1))):
        found = measure_channels(recipe.replace(normalise_by=way), shown)
        np.testing.assert_allclose(found, np.stack([pixels.mean(1), divisor]), rtol=1e-5)
    assert measure_channels(recipe.replace(normalise_by="imagenet"), shown)[0, 0] == pytest.approx(123.675)


def test_validation_images_never_train_and_the_test_images_are_others(synthetic_root):
    recipe = TABLE_4[0].replace(size=(32, 48), pretraining_images=2, pretraining_epochs=1)
    with pytest.raises(ArgumentError, match="4 of 4 images of synthetic held out"):
        read_data(recipe, synthetic_root)  # which holds out 9, and there are 4
    data = read_data(recipe.replace(validation=1), synthetic_root)
    parts = (data.training, data.validation, data.test, data.synthetic)
    assert [len(part) for part in parts] == [3, 1, 3, 2] and HELD_OUT == 9
    assert len(set().union(*(part.hashes for part in parts))) == 9
    for part in parts[:3]:  # the full masks are those of the same images
        full = part.full_masks[0]()
        assert full.shape[1:] == (240, 360)
        small = torch.nn.functional.interpolate(torch.tensor(full[None]).float(), (32, 48), mode="area")[0] >= 0.5
        assert (small != part.masks[0]).float().mean() < 0.02 * max(float(full.mean()), 0.05)


def test_a_dual_network_learns_and_both_branches_do():
    shown = squares(4)
    recipe = dual("r", "unet", model_args={"base": "unet", "width": 6, "depth": 2}, normalise_by="deviation")
    torch.manual_seed(0)
    task = task_of(recipe, shown)
    optimiser = torch.optim.Adam(task.parameters(), 0.01)
    for epoch in range(4):
        for item in items(task, shown, epoch):
            optimiser.zero_grad()
            parts = task.compute_parts(task.load_batch(shown, [item]))
            (parts["large"] + parts["small"]).backward()
            optimiser.step()
    given = task.predict(shown.images[0])
    assert set(given) == {"logits", "large_logits", "small_logits"}
    for name, logits in given.items():
        assert ((logits > 0) == shown.masks[0]).float().mean() > 0.97, name
    torch.testing.assert_close(given["logits"], (given["large_logits"] + given["small_logits"]) / 2)
    assert task.training


def test_networks_that_normalise_over_the_batch_go_together():
    shown = squares(size=(32, 32))
    recipe = single("r", "deeplabv3plus", "crossentropy", model_args={"encoder": "resnet18"}, together=True)
    task = task_of(recipe, shown)
    assert torch.isfinite(task.training_step(task.load_batch(shown, items(task, shown)[:2]), 0))


def test_stages_have_their_steps_and_their_choice(synthetic_root):
    recipe = dual("r", "unet", model_args=UNET, pretraining_images=3, pretraining_epochs=1).smoke()
    made = create_experiment(recipe.replace(dihedral=3, batch=2), synthetic_root)
    stages = [(stage.epochs, stage.count_steps(0), stage.choose_by) for stage in made.stages]
    assert stages == [(1, 2 * 3 // 2, None), (2, 2 * 3 // 2, "EX_aupr")] and made.epochs == 3
    scores = made.score_epoch()
    assert set(scores) == {f"{on}_EX_{s}" for on in ("validation", "test") for s in ("f1", "aupr")}
    short = create_experiment(recipe.replace(batch=3), synthetic_root)
    with pytest.raises(ArgumentError, match="2 items for a batch of 3"):
        short.stages[1].count_steps(0)


def test_a_recipe_is_not_read_from_another_data_set(synthetic_root, tmp_path):
    recipe = single("r", "unet", "dice", size=(32, 48), validation=1)
    (tmp_path / "lesion_segmentation").mkdir()
    with pytest.raises(ArgumentError, match="not the data set that the recipe is for"):
        read_data(recipe, tmp_path)
    assert read_data(recipe.replace(dataset="DDR"), synthetic_root).test.title == "synthetic"


def test_every_published_table_has_its_rows():
    """Table 4 of the paper, and Tables 2, 3, 5 and 6 as far as they are not the same runs."""
    rows = {table: recipes("dual_branch", table) for table in "23456"}
    assert {table: len(found) for table, found in rows.items()} == {"2": 4, "3": 9, "4": 9, "5": 5, "6": 7}
    for table in "235":
        for recipe in rows[table]:
            assert (recipe.dataset, recipe.epochs, recipe.size) == ("DDR", 100, (1024, 1024))
    for recipe in rows["4"] + rows["6"]:
        assert (recipe.dataset, recipe.epochs, recipe.size, recipe.dihedral) == ("IDRiD", 40, (960, 1440), 6)
    for recipe in (recipe for found in rows.values() for recipe in found):
        assert recipe.dual == recipe.row.startswith("dual_")
        assert recipe.batch == (1 if recipe.dual or recipe.optimiser == "hed" else 2)
        summed = recipe.criterion.get("loss_args", {}).get("reduction") == "sum"
        hed = 1e-6 if summed else 2e-4
        assert recipe.learning_rate == {"hed": hed, "sgd": 0.01 if recipe.base == "lwenet" else 0.03}[recipe.optimiser]
        assert recipe.imagenet == (recipe.base != "lwenet")
    assert [r.criterion["small_args"]["p"] for r in rows["2"]] == [0.25, 0.5, 0.75, None]
    assert rows["2"][1].replace(table="3", row="dual_pspnet_dsm") == rows["3"][2]
    scratch = {r.row: r for r in recipes("dual_branch", "scratch")}
    assert {r.row for r in rows["4"]} == set(scratch) and not any(r.imagenet for r in scratch.values())


def _different() -> list[DualBranchRecipe]:
    """The rows that differ in what a step does; a small version of each."""
    found = {}
    for recipe in recipes("dual_branch"):
        small = recipe.smoke().replace(
            table="", row="", epochs=1, dataset="IDRiD", pretraining_images=0, pretraining_epochs=0
        )
        found.setdefault(small.digest, (recipe.table, recipe.row, small))
    return [pytest.param(small, id=f"{table}-{row}") for table, row, small in found.values()]


@pytest.mark.parametrize("recipe", _different())
def test_a_step_of_every_row_reaches_every_parameter(recipe):
    shown = squares(2, size=(96, 96))
    task = task_of(recipe, shown)
    configured = task.optimise(10)
    optimiser = configured["optimizer"] if isinstance(configured, dict) else configured
    loss = task.training_step(task.load_batch(shown, items(task, shown)[:2]), 0)
    loss.backward()
    assert torch.isfinite(loss)
    assert {id(p) for group in optimiser.param_groups for p in group["params"]} == {
        id(p) for p in task.model.parameters()
    }
    assert [name for name, p in task.model.named_parameters() if p.grad is None] == []


@pytest.mark.real_data
def test_the_mean_colour_of_idrid_is_the_one_in_the_authors_code(idrid_root: Path):
    """They subtract BGR (16.423, 56.430, 116.540). Nine of our 54 images are held out, so that ours differ a little."""
    recipe = TABLE_4[0].replace(size=(240, 360), validation=0)
    data = read_data(recipe, idrid_root)
    assert (len(data.training), len(data.validation)) == (54, 0)
    np.testing.assert_allclose(mean_colour(data.training).flip(0), [16.423, 56.430, 116.540], atol=0.6)
