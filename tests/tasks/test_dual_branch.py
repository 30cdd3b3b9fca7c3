"""dual_branch's training: versions, steps, schedules, normalisation, and what the rows of its tables are."""

import copy
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fundus_lib.errors import ArgumentError
from fundus_lib.losses import DiceLoss, RebalancedDiceLoss, branch_weights
from fundus_lib.models import create_model
from fundus_lib.recipes import DualBranchRecipe, from_dict, recipes
from fundus_lib.recipes.dual_branch import HED, TABLE_4, dual, single
from fundus_lib.tasks.dual_branch import DualBranchTask, colours, experiment, hed_groups
from fundus_lib.tasks.experiment import Source
from fundus_lib.tasks.whole_images import (
    HELD_OUT,
    VERSIONS,
    Photographs,
    Steps,
    StepsModule,
    draw_photographs,
    mean_colour,
    read_photographs,
    version,
)

UNET = {"base": "unet", "width": 4, "depth": 2}


def photographs(count: int = 5, size=(16, 24)) -> Photographs:
    """Dark noise with bright squares, which are the lesions; the first pixel tells the number."""
    rng = np.random.default_rng(0)
    images, masks = [], []
    for number in range(count):
        mask = torch.zeros(1, *size, dtype=torch.uint8)
        for _ in range(3):
            top, left = rng.integers(1, size[0] - 4), rng.integers(size[1] - 4)
            mask[0, top : top + 4, left : left + 4] = 1
        image = torch.from_numpy(rng.integers(40, 90, (3, *size), dtype=np.uint8)) + 100 * mask
        image[:, 0, 0] = number
        images.append(image)
        masks.append(mask)
    return Photographs(images, masks, lambda i: masks[i].numpy(), Source("squares", "0", count))


def items(shown: Photographs, **settings) -> list[dict]:
    steps = Steps(shown, **settings)
    return [steps[i] for i in range(len(steps))]


def test_the_six_versions_are_different_and_turn_image_and_mask_alike():
    picture = torch.arange(12).reshape(1, 3, 4)
    made = [version(picture, number) for number in range(len(VERSIONS))]
    assert torch.equal(made[0], picture)
    assert [tuple(m.shape[1:]) for m in made] == [(3, 4), (4, 3), (3, 4), (4, 3), (3, 4), (3, 4)]
    assert torch.equal(version(made[1], 3), picture) and torch.equal(version(made[2], 2), picture)
    assert made[1][0, -1, 0] == 0  # a quarter turn to the left brings the upper left corner down
    assert made[4][0, 0].tolist() == [3, 2, 1, 0] and made[5][0, :, 0].tolist() == [8, 4, 0]
    assert len({tuple(m.flatten().tolist()) + tuple(m.shape) for m in made}) == 6


def test_an_epoch_shows_every_photograph_in_every_version_once():
    shown = [(int(item["image"][0, 0, 0]), item["version"]) for item in items(photographs(), seed=3)]
    assert sorted(shown) == [(number, v) for number in range(5) for v in range(6)]
    again = [(int(item["image"][0, 0, 0]), item["version"]) for item in items(photographs(), seed=3)]
    other = [(int(item["image"][0, 0, 0]), item["version"]) for item in items(photographs(), seed=3, epoch=1)]
    assert shown == again != other


def test_fewer_versions_are_drawn_anew_in_each_epoch():
    epochs = [
        [(int(item["image"][0, 0, 0]), item["version"]) for item in items(photographs(), versions=2, epoch=epoch)]
        for epoch in range(40)
    ]
    for shown in epochs:
        assert sorted(number for number, _ in shown) == sorted([*range(5)] * 2)
        assert len(set(shown)) == 10
    assert {v for shown in epochs for _, v in shown} == set(range(6))


def test_two_branches_see_photographs_of_their_own():
    pairs = items(photographs(), prefixes=("large_", "small_"))
    assert len(pairs) == 30
    numbers = [(int(p["large_image"][0, 0, 0]), int(p["small_image"][0, 0, 0])) for p in pairs]
    assert sorted(a for a, _ in numbers) == sorted(b for _, b in numbers) == sorted([*range(5)] * 6)
    assert sum(a == b for a, b in numbers) < 20


def test_two_processes_share_out_what_one_would_have_shown():
    """Every other item of one order each, in every epoch; the pairs are the same for any number of processes."""

    def key(item):
        return tuple((int(item[f"{p}image"][0, 0, 0]), item[f"{p}version"]) for p in ("large_", "small_"))

    recipe = dual("r", "unet").replace(batch=2, versions=2)
    module = StepsModule(recipe, photographs())
    module.trainer = type("Trainer", (), {"world_size": 1, "global_rank": 0, "current_epoch": 1})()
    alone = [key(item) for batch in module.train_dataloader() for item in batch]
    module.trainer.world_size = 2
    shares = []
    for module.trainer.global_rank in (0, 1):
        shares.append([key(item) for (item,) in module.train_dataloader()])
    assert len(alone) == 10 and shares == [alone[::2], alone[1::2]]
    module.trainer.world_size = 3
    with pytest.raises(ArgumentError, match="batch of 2"):
        module.train_dataloader()


def task_of(recipe, shown: Photographs) -> DualBranchTask:
    task = recipe.task()
    task.statistics = colours(recipe, shown)
    task.log_dict = lambda *args, **kwargs: None
    return task


def test_a_step_of_one_network_is_the_mean_over_its_photographs_and_turns_do_not_mix():
    shown = photographs()
    recipe = single("r", "unet", "dice", model_args={"width": 4, "depth": 2}, normalise_by="deviation")
    task = task_of(recipe, shown).eval()
    batch = items(shown)[:2]
    expected = []
    for item in batch:
        x, y = (version(item[kind][None], item["version"]).float() for kind in ("image", "mask"))
        mean, deviation = task.statistics
        logits = task.model((x - mean[:, None, None]) / deviation[:, None, None])["logits"]
        expected.append(DiceLoss()(logits, y))
    torch.testing.assert_close(task.training_step(batch, 0), torch.stack(expected).mean())


def test_a_step_of_two_branches_is_equations_5_and_6(monkeypatch):
    shown = photographs()
    recipe = dual("r", "unet", p=0.3, model_args=UNET, epochs=10)
    task = task_of(recipe, shown).eval()
    monkeypatch.setattr(DualBranchTask, "current_epoch", 4)
    (item,) = items(shown, prefixes=("large_", "small_"))[:1]
    losses = []
    for prefix, loss in (("large", DiceLoss()), ("small", RebalancedDiceLoss(p=0.3))):
        turn = item[f"{prefix}_version"]
        x, y = (version(item[f"{prefix}_{kind}"][None], turn).float() for kind in ("image", "mask"))
        mean, deviation = task.statistics
        x = (x - mean[:, None, None]) / deviation[:, None, None]
        losses.append(loss(task.model(x, prefix)["logits"], y))
    alpha, rest = branch_weights(0.4, "text")
    assert alpha == 1 - 0.4**2
    torch.testing.assert_close(task.training_step([item], 0), alpha * losses[0] + rest * losses[1])


def test_progress_starts_anew_after_pre_training(monkeypatch):
    recipe = dual("r", "unet", model_args=UNET, epochs=4, pretraining_images=2, pretraining_epochs=2)
    task = recipe.task()
    found = []
    for epoch in range(6):
        monkeypatch.setattr(DualBranchTask, "current_epoch", epoch)
        found.append(task.progress)
    assert found == [0, 0.5, 0, 0.25, 0.5, 0.75]


def test_the_poly_schedule_falls_to_zero_twice_with_pre_training():
    recipe = single("r", "unet", "dice", model_args={"width": 4, "depth": 2}, epochs=4)
    task = recipe.replace(pretraining_images=2, pretraining_epochs=2).task()
    task.steps = (3, 5)  # 6 steps of pre-training, 20 of training
    configured = task.configure_optimizers()
    (rate,) = configured["lr_scheduler"]["scheduler"].lr_lambdas
    assert rate(0) == rate(6) == 1
    assert rate(3) == pytest.approx(0.5**0.9) and rate(16) == pytest.approx(0.5**0.9)
    assert rate(25) == pytest.approx(0.05**0.9) and rate(26) == 0
    (group,) = configured["optimizer"].param_groups
    assert (group["momentum"], group["weight_decay"]) == (0.9, 5e-4)


@pytest.mark.parametrize("branches", [1, 2])
def test_every_parameter_of_hed_has_its_rate(branches):
    model = create_model("hed", width=4) if branches == 1 else create_model("dualbranch", base="hed", width=4)
    groups = hed_groups(model, 2e-4, 2e-4)
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
    shown = photographs(size=(8, 12))
    pixels = np.concatenate([image.numpy().reshape(3, -1) for image in shown.images], axis=1).astype(float)
    recipe = single("r", "unet", "dice")
    np.testing.assert_allclose(mean_colour(shown), pixels.mean(1), rtol=1e-6)
    np.testing.assert_allclose(colours(recipe, shown), np.stack([pixels.mean(1), np.ones(3)]), rtol=1e-6)
    by_deviation = colours(recipe.replace(normalise_by="deviation"), shown)
    np.testing.assert_allclose(by_deviation, np.stack([pixels.mean(1), pixels.std(1)]), rtol=1e-5)
    assert colours(recipe.replace(normalise_by="imagenet"), shown)[0, 0] == pytest.approx(123.675)


def test_validation_images_never_train_and_the_test_images_are_others(synthetic_root):
    recipe = TABLE_4[0].replace(size=(32, 48))
    with pytest.raises(ArgumentError, match=f"{HELD_OUT} are held out"):
        read_photographs(recipe, synthetic_root)
    training, validation, test = read_photographs(recipe.replace(validation_images=1), synthetic_root)
    assert (len(training), len(validation)) == (3, 1)
    keys = [{image.numpy().tobytes() for image in part.images} for part in (training, validation, test)]
    assert len(keys[0] | keys[1] | keys[2]) == len(training) + len(validation) + len(test)
    for part in (training, validation, test):  # the full masks are those of the same photographs
        full = part.full_mask(0)
        assert full.shape[1] > 48
        small = torch.nn.functional.interpolate(torch.tensor(full[None]).float(), (32, 48), mode="area")[0] >= 0.5
        assert (small != part.masks[0]).float().mean() < 0.02 * max(float(full.mean()), 0.05)


def test_pretraining_photographs_are_drawn(synthetic_root):
    recipe = single("r", "unet", "dice", size=(32, 48), pretraining_images=2, pretraining_epochs=1)
    drawn = draw_photographs(recipe)
    assert len(drawn) == 2 and drawn.images[0].shape == (3, 32, 48)
    assert draw_photographs(recipe.replace(pretraining_images=0, pretraining_epochs=0)) is None


def test_a_dual_network_learns_and_both_branches_do(synthetic_root):
    shown = photographs(4)
    recipe = dual("r", "unet", model_args={"base": "unet", "width": 6, "depth": 2}, normalise_by="deviation")
    torch.manual_seed(0)
    task = task_of(recipe, shown)
    optimiser = torch.optim.Adam(task.parameters(), 0.01)
    for epoch in range(4):
        for item in items(shown, prefixes=recipe.prefixes, epoch=epoch):
            optimiser.zero_grad()
            parts = task.parts_of([item])
            (parts["large"] + parts["small"]).backward()
            optimiser.step()
    given = task.branches(shown.images[0])
    assert set(given) == {"logits", "large_logits", "small_logits"}
    for name, logits in given.items():
        assert ((logits > 0) == shown.masks[0]).float().mean() > 0.97, name
    torch.testing.assert_close(given["logits"], (given["large_logits"] + given["small_logits"]) / 2)
    torch.testing.assert_close(task.logits(shown.images[0], task.statistics).cpu(), given["logits"].cpu())
    assert task.training


def test_networks_that_normalise_over_the_batch_go_together():
    shown = photographs(size=(32, 32))
    recipe = single("r", "deeplabv3plus", "crossentropy", model_args={"encoder": "resnet18"}, together=True)
    task = task_of(recipe, shown)
    assert torch.isfinite(task.training_step(items(shown)[:2], 0))


def test_the_experiment_counts_its_steps(synthetic_root):
    recipe = dual("r", "unet", model_args=UNET, pretraining_images=3, pretraining_epochs=1).smoke()
    made = experiment(recipe.replace(versions=3, batch=2), synthetic_root)
    assert made.task.steps == (2 * 3 // 2, 2 * 3 // 2)
    assert made.epochs == recipe.epochs + 1
    scores = made.watch()
    assert set(scores) == {f"{on}_EX_{s}" for on in ("validation", "test") for s in ("f1", "aupr")}
    assert made.select_by == "EX_aupr"
    with pytest.raises(ArgumentError, match="2 photographs in 1 version"):
        experiment(recipe.replace(batch=3), synthetic_root)


@pytest.mark.parametrize(
    "bad",
    [
        {"batch": 0},
        {"versions": 7},
        {"pretraining_epochs": 2},
        {"optimiser": "hed"},
        {"lesions": ()},
    ],
)
def test_recipes_refuse_what_does_not_go_together(bad):
    with pytest.raises(ArgumentError, match="do not go together"):
        single("r", "pspnet", "dice", **bad)


def test_every_published_table_has_its_rows():
    """Table 4 of the paper, and Tables 2, 3, 5 and 6 as far as they are not the same runs."""
    rows = {table: recipes("dual_branch", table) for table in "23456"}
    assert {table: len(found) for table, found in rows.items()} == {"2": 4, "3": 9, "4": 9, "5": 5, "6": 7}
    for table in "235":
        for recipe in rows[table]:
            assert (recipe.test_on, recipe.epochs, recipe.size) == ("DDR", 100, (1024, 1024))
    for recipe in rows["4"] + rows["6"]:
        assert (recipe.test_on, recipe.epochs, recipe.size, recipe.versions) == ("IDRiD", 40, (960, 1440), 6)
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
            table="", row="", epochs=1, test_on="IDRiD", pretraining_images=0, pretraining_epochs=0
        )
        found.setdefault(small.digest, (recipe.table, recipe.row, small))
    return [pytest.param(small, id=f"{table}-{row}") for table, row, small in found.values()]


@pytest.mark.parametrize("recipe", _different())
def test_a_step_of_every_row_reaches_every_parameter(recipe):
    shown = photographs(2, size=(96, 96))
    task = task_of(recipe, shown)
    configured = task.configure_optimizers()
    optimiser = configured["optimizer"] if isinstance(configured, dict) else configured
    loss = task.training_step(items(shown, prefixes=recipe.prefixes)[:2], 0)
    loss.backward()
    assert torch.isfinite(loss)
    assert {id(p) for group in optimiser.param_groups for p in group["params"]} == {
        id(p) for p in task.model.parameters()
    }
    assert [name for name, p in task.model.named_parameters() if p.grad is None] == []


def test_a_recipe_survives_json_and_loads_no_weights_for_a_checkpoint():
    for recipe in (TABLE_4[2], single("hed", "hed", "dice", **HED)):
        assert from_dict(recipe.to_dict()) == recipe
    small = TABLE_4[2].replace(model_args={**TABLE_4[2].model_args, "width": 8})
    assert isinstance(small.task(start=False).model, nn.Module)
    assert small.digest != small.replace(imagenet=False).digest


def test_a_fresh_copy_of_a_task_has_its_own_weights():
    task = dual("r", "unet", model_args=UNET).task()
    assert copy.deepcopy(task).model is not task.model


@pytest.mark.real_data
def test_the_mean_colour_of_idrid_is_the_one_in_the_authors_code(idrid_root: Path):
    """They subtract BGR (16.423, 56.430, 116.540). Nine of our 54 images are held out, so that ours differ a little."""
    recipe = TABLE_4[0].replace(size=(240, 360), validation_images=0)
    training, validation, _ = read_photographs(recipe, idrid_root)
    assert (len(training), len(validation)) == (54, 0)
    np.testing.assert_allclose(mean_colour(training).flip(0), [16.423, 56.430, 116.540], atol=0.6)
