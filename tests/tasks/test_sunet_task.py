"""sunet's training: what a step shows and minimises, turning, schedules, and what the rows of its tables are."""

import copy
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from fundus_lib.errors import ArgumentError
from fundus_lib.losses import SUNetCriterion, inverse_frequency
from fundus_lib.models.imagenet import COLOURS, LITE_COLOURS
from fundus_lib.recipes import GradingRecipe, from_dict, recipes
from fundus_lib.recipes.sunet import CONTROL, MIXED, MIXED_CONTROL, plain, sunet
from fundus_lib.tasks import sunet as sunet_task
from fundus_lib.tasks.graded_batches import BatchesModule
from fundus_lib.tasks.sunet import SUNetTask, experiment, turned
from helpers.graded_images import photographs

SMALL = {"backbone": "resnet18", "channels": 8}


def small(row="r", **changes) -> GradingRecipe:
    return sunet(row, side=64, batch=4, model_args=SMALL | changes.pop("model_args", {}), **changes)


def task_of(recipe: GradingRecipe) -> SUNetTask:
    task = recipe.task()
    task.log = task.log_dict = lambda *args, **kwargs: None
    return task


def unturned(monkeypatch):
    monkeypatch.setattr(sunet_task, "turned", lambda images, masks, rotate: (images, masks))


@pytest.mark.parametrize("indices", [[0, 3, 5, 1], [8, 7, 9, 8], [8, 0, 9, 2]])
def test_a_step_is_the_criterion_on_photographs_each_in_its_own_colours(indices, monkeypatch):
    unturned(monkeypatch)
    shown = photographs(side=64)
    task = task_of(small()).eval()
    x = (shown.images[indices].double() - 120) / 40
    output = task.model(x.float())
    batch = {"dr": shown.dr[indices], "dme": shown.dme[indices]}
    masked = [i for i, n in enumerate(indices) if n >= 7]
    if masked:
        output["classes"] = output["classes"][masked]
        batch["mask"] = shown.masks[[indices[i] - 7 for i in masked]]
    else:
        del output["classes"]
    torch.testing.assert_close(
        task.training_step(shown.batch(indices), 0), SUNetCriterion()(output, batch)["total"], rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(
    ("backbone", "colours"), [("resnet18", COLOURS), ("efficientnetlite0", LITE_COLOURS), (None, COLOURS)]
)
def test_from_imagenet_its_colours_count(backbone, colours, monkeypatch):
    monkeypatch.setattr(sunet_task, "create_model", lambda name, **settings: torch.nn.Conv2d(3, 1, 1))
    task = sunet("r", imagenet=True, model_args={"backbone": backbone} if backbone else {}).task(start=False)
    images = torch.randint(256, (2, 3, 4, 4), dtype=torch.uint8)
    expected = (images - colours[0][:, None, None]) / colours[1][:, None, None]
    torch.testing.assert_close(task.prepared(images, torch.zeros(2, 2, 3)), expected)
    assert COLOURS[0, 0] == pytest.approx(123.675) and COLOURS[1, 2] == pytest.approx(57.375)


def blob(side=64, row=20.0, column=40.0):
    """A soft spot and its mask, on a ground of −1: (1, 3, S, S) and (1, 1, S, S)."""
    y, x = torch.meshgrid(torch.arange(side) + 0.5, torch.arange(side) + 0.5, indexing="ij")
    spot = torch.exp(-((y - row) ** 2 + (x - column) ** 2) / 40)
    return (spot - 1).expand(1, 3, -1, -1), (spot > 0.5).to(torch.uint8)[None, None]


def middle(weights):
    """Centre of mass (y, x) of a map, in pixels from the map's middle."""
    side = weights.shape[-1]
    places = torch.arange(side) + 0.5 - side / 2
    whole = weights.sum()
    return (weights.sum(1) @ places / whole).item(), (weights.sum(0) @ places / whole).item()


def test_turning_keeps_the_distance_from_the_middle_and_takes_masks_along():
    image, mask = blob()
    torch.manual_seed(0)
    images, masks = turned(image.repeat(60, 1, 1, 1), mask.repeat(60, 1, 1, 1), True)
    assert images.shape == (60, 3, 64, 64) and masks.shape == (60, 1, 64, 64) and masks.dtype == torch.uint8
    angles = []
    for own, drawn in zip(images, masks, strict=True):
        y, x = middle(own[0] + 1)
        assert math.hypot(y, x) == pytest.approx(math.hypot(20 - 32, 40 - 32), abs=0.3)
        assert middle(drawn[0].float()) == pytest.approx((y, x), abs=0.4)
        assert own.min() == pytest.approx(-1, abs=1e-3), "what comes into view is as dark as the darkest"
        angles.append(math.atan2(y, x))
    assert {int(angle // (math.pi / 4)) for angle in angles} == set(range(-4, 4)), "angles of all eighths"


def test_turning_by_a_known_angle_and_both_mirror_images(monkeypatch):
    image, mask = blob()
    drawn = iter([torch.tensor([0.25, 0.25]), torch.tensor([0.1, 0.9])])  # angles, mirrors
    monkeypatch.setattr(torch, "rand", lambda *args, **kwargs: next(drawn))
    images, masks = turned(image.repeat(2, 1, 1, 1), mask.repeat(2, 1, 1, 1), True)
    quarters = {tuple(torch.rot90(m, k).flatten().tolist()) for m in (mask[0, 0], mask[0, 0].flip(1)) for k in (1, 3)}
    found = [tuple(m[0].flatten().tolist()) for m in masks]
    assert set(found) <= quarters and len(set(found)) == 2
    assert torch.equal((images[:, :1] > -0.5).to(torch.uint8), masks)


def test_without_turning_an_image_is_itself_or_its_mirror_image():
    shown = photographs(2, 40, side=32)
    torch.manual_seed(0)
    images = (shown.images[2:].float() - 120) / 40
    new, masks = turned(images, shown.masks, False)
    mirrored = []
    for own, image, drawn, mask in zip(new, images, masks, shown.masks, strict=True):
        flip = torch.allclose(own, image.flip(-1), atol=1e-4)
        assert flip or torch.allclose(own, image, atol=1e-4)
        assert torch.equal(drawn, mask.flip(-1) if flip else mask)
        mirrored.append(flip)
    assert 10 < sum(mirrored) < 30
    assert turned(images[:2], None, True)[1] is None


def test_with_and_without_the_lesions_loss_a_step_shows_the_same():
    """Start, order, turns: all but the gradient of the lesions."""
    seen, weights, losses = [], [], []
    shown = photographs(12, 5, side=64)
    for recipe in (MIXED, MIXED_CONTROL):
        recipe = recipe.replace(side=64, batch=4, model_args=SMALL)
        torch.manual_seed(recipe.seed)
        task = task_of(recipe)
        weights.append(copy.deepcopy(task.model.state_dict()))
        task.model.trunk.register_forward_hook(lambda module, given, out: seen.append(given[0].clone()))
        batches = BatchesModule(recipe, shown).batches(1)
        with torch.random.fork_rng():
            task.on_train_batch_start(None, 0)
            losses.append(task.training_step(batches[0], 0).item())
    assert torch.equal(*seen)
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert losses[0] > losses[1]


def test_the_randomness_of_a_step_depends_on_seed_and_step(monkeypatch):
    def drawn(seed, step):
        task = small(seed=seed).task()
        monkeypatch.setattr(SUNetTask, "global_step", step, raising=False)
        with torch.random.fork_rng():
            task.on_train_batch_start(None, 0)
            return torch.rand(3).tolist()

    assert drawn(0, 5) == drawn(0, 5) != drawn(0, 6) != drawn(1, 6)


def test_the_rate_falls_to_zero_along_a_cosine_twice_with_pretraining():
    task = small(epochs=4, pretraining_images=2, pretraining_epochs=2, learning_rate=0.3).task()
    task.steps = (3, 5)  # 6 steps of pre-training, 20 of training
    configured = task.configure_optimizers()
    (rate,) = configured["lr_scheduler"]["scheduler"].lr_lambdas
    assert configured["lr_scheduler"]["interval"] == "step"
    assert rate(0) == rate(6) == 1
    assert rate(3) == pytest.approx(0.5) and rate(16) == pytest.approx(0.5)
    assert rate(5) == pytest.approx((1 + math.cos(math.pi * 5 / 6)) / 2)
    assert rate(26) == rate(30) == 0 < rate(25)
    (group,) = configured["optimizer"].param_groups
    assert isinstance(configured["optimizer"], torch.optim.Adam) and group["initial_lr"] == 0.3


def test_weights_of_grades_are_those_of_the_training_images():
    shown = photographs(12, 5)
    task = small(criterion={"form": "weighted", "lesions": 0.5}).task()
    task.weigh({"dr": shown.dr, "dme": shown.dme})
    for name, count in (("dr", 5), ("dme", 3)):
        own = task.criterion.grades[name].weights.tolist()
        assert own == pytest.approx(inverse_frequency(getattr(shown, name), count)) and len(set(own)) > 1
    assert task.criterion.factors["lesions"] == 0.5


def test_what_the_network_says_of_all_images():
    shown = photographs(5, 3, side=64)
    task = small().task().train()
    output, maps = task.outputs(shown, batch=3), task.class_maps(shown, batch=3)
    assert task.training and task.model.training
    task.eval()
    x = task.prepared(shown.images, shown.statistics)
    with torch.inference_mode():
        expected, expected_maps = task.model(x), task.model.class_maps(x)
    assert set(output) == {"dr", "dme", "logits"}
    for name, value in output.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-3, atol=1e-4)
    for name, value in maps.items():
        torch.testing.assert_close(value, expected_maps[name], rtol=1e-3, atol=1e-4)
    assert set(task.outputs(photographs(5, 0, side=64))) == {"dr", "dme"}, "without masks nobody asks for lesions"


def _different() -> list:
    """The rows that differ in what a step does; a small version of each."""
    found = {}
    for recipe in recipes("sunet"):
        less = recipe.smoke().replace(
            table="", row="", leaks=False, masks=None, learning_rate=1e-3, pretraining_images=0, pretraining_epochs=0
        )
        found.setdefault(less.digest, (recipe.table, recipe.row, less))
    return [pytest.param(less, id=f"{table}-{row}") for table, row, less in found.values()]


@pytest.mark.parametrize("recipe", _different())
def test_steps_of_every_row_reach_every_parameter(recipe):
    torch.manual_seed(0)
    shown = photographs(5, 5, side=recipe.side)
    task = task_of(recipe)
    task.weigh({"dr": shown.dr, "dme": shown.dme})
    batches = BatchesModule(recipe, shown).batches(0)
    losses = [task.training_step(batches[i], i) for i in range(2)]
    torch.stack(losses).sum().backward()
    assert all(loss.isfinite() for loss in losses)
    optimiser = task.configure_optimizers()["optimizer"]
    assert {id(p) for group in optimiser.param_groups for p in group["params"]} == {
        id(p) for p in task.model.parameters()
    }
    without = {name for name, p in task.model.named_parameters() if p.grad is None or not p.grad.isfinite().all()}
    assert without == set()
    still = {name for name, p in task.model.named_parameters() if not p.grad.any()}
    learns_lesions = recipe.regulariser and recipe.criterion.get("lesions", 1.0) > 0
    if learns_lesions or not recipe.regulariser:
        assert still == set()
    else:  # what leads to the lesions alone: the regulariser, and the last lesion layer
        last = task.model.blending.lesion[-1]
        alone = (task.model.regulariser, task.model.blending.compress_lesion, last)
        assert {id(p) for name, p in task.model.named_parameters() if name in still} == {
            id(p) for module in alone for p in module.parameters()
        }


def test_the_experiment_counts_its_steps_and_chooses_by_accuracy(graded_root):
    recipe = small(pretraining_images=4, pretraining_epochs=2, epochs=3).replace(side=32, batch=2)
    made = experiment(recipe, graded_root)
    drawn, training = (made.batches.batches(epoch) for epoch in (0, 2))
    assert made.task.steps == (len(drawn), len(training)) == (2, len(training.batches))
    assert (made.epochs, made.select_by, made.select_from) == (5, "joint_accuracy", 2)
    assert (made.training.title, made.test.title, made.test.images) == ("synthetic", "synthetic", 6)
    scores = made.watch()
    ends = ("dr_accuracy", "dr_kappa", "dme_accuracy", "dme_kappa", "joint_accuracy")
    assert set(scores) == {f"{on}_{end}" for on in ("validation", "test") for end in ends}
    assert "32×32" in made.protocol and "joint_accuracy" in made.protocol and "6 test images" in made.protocol
    assert made.test.fingerprint == recipe.test_fingerprint(graded_root)
    alone = recipe.replace(pretraining_images=0, pretraining_epochs=0, model_args=SMALL | {"diseases": ("dme",)})
    assert (alone.chosen, alone.replace(choose_by="kappa").chosen) == ("dme_accuracy", "dme_kappa")
    assert recipe.replace(choose_by="kappa").chosen == "dr_kappa"
    assert experiment(alone, graded_root).training.fingerprint != made.training.fingerprint


@pytest.mark.parametrize(
    "bad",
    [
        *({"batch": 0}, {"epochs": 0}, {"lesions": ()}, {"pretraining_images": 3}, {"masks": -1}),
        *({"order": "in turns"}, {"model": "unet"}, {"choose_by": "joint_accuracy"}),
    ],
)
def test_recipes_refuse_what_does_not_go_together(bad):
    with pytest.raises(ArgumentError, match="do not go together"):
        sunet("r", **bad)


def test_a_recipe_survives_json_and_loads_no_weights_for_a_checkpoint():
    for recipe in (sunet("r", lesions=("EX",), criterion={"dr": 2.0}), plain("late", "grader", split="late")):
        assert from_dict(recipe.to_dict()).to_dict() == recipe.to_dict()
        assert from_dict(recipe.to_dict()).digest == recipe.digest
    started = sunet("r", imagenet=True, model_args=SMALL)
    assert isinstance(started.task(start=False).model, torch.nn.Module)
    assert started.digest != started.replace(imagenet=False).digest


def test_the_published_tables_have_their_rows():
    rows = {table: {r.row: r for r in recipes("sunet", table)} for table in ("1", "2", "phi", "scratch")}
    assert list(rows["1"]) == ["dr", "dme", "dr_dme", "dr_lr", "dme_lr", "sunet"]
    assert set(rows["2"]) >= {"vgg19", "resnet34", "early", "middle", "late"}
    assert set(rows["1"]) | set(rows["2"]) <= set(rows["scratch"])
    for table in ("1", "2", "phi"):
        for recipe in rows[table].values():
            assert (
                recipe.imagenet
                and recipe.side == 512
                and recipe.model_args.get("backbone", "resnet34")
                in (
                    "resnet34",
                    "vgg19",
                )
            )
    for row, recipe in rows["1"].items():
        assert recipe.regulariser == (row.endswith("lr") or row == "sunet")
        assert recipe.diseases == {"dr": ("dr",), "dme": ("dme",)}.get(row.removesuffix("_lr"), ("dr", "dme"))
    for row, recipe in rows["1"].items():
        assert rows["scratch"][row].replace(table="1", imagenet=True) == recipe
    assert [r.masks for r in rows["phi"].values()][1:] == [5, 9, 18, 27]
    assert not rows["phi"]["masks_0"].regulariser


def test_a_control_differs_from_sunet_in_the_lesions_loss_alone():
    for recipe, control in ((sunet("sunet"), CONTROL), (MIXED, MIXED_CONTROL)):
        assert control.replace(row=recipe.row, criterion=recipe.criterion) == recipe
        assert control.criterion == {"lesions": 0.0}
    for table in ("small", "scratch"):
        rows = {r.row: r for r in recipes("sunet", table)}
        changed = rows["dr_dme_alternating"].replace(row="sunet", criterion={})
        assert changed == rows["sunet"]


def test_each_ablation_changes_one_thing_and_those_after_leaks_one_more_than_the_row_before():
    base = recipes("sunet", "lite", "sunet_mixed")[0].to_dict()
    steps = ["leaks", "all_photographs", "as_published"]
    for recipe in recipes("sunet", "ablations"):
        other = recipe.to_dict()
        changed = {name for name in base if name not in ("table", "row") and other[name] != base[name]}
        expected = {"leaks", "validation", "order"} if recipe.row == steps[2] else {"leaks", "validation"}
        assert changed == expected if recipe.row in steps[1:] else len(changed) == 1, (recipe.row, changed)
        if changed == {"model_args"}:
            a, b = base["model_args"], other["model_args"]
            assert sum(a.get(k) != b.get(k) for k in a | b) == 1, recipe.row
    assert [recipe.row for recipe in recipes("sunet", "ablations")][-3:] == steps
    assert np.all([r.pretraining_epochs == 0 for r in recipes("sunet", "ablations")])


def test_turned_images_keep_their_colours():
    """Bilinear turning of a field that is even in its middle leaves the middle as it is."""
    images = torch.full((5, 3, 32, 32), -1.5)
    images[:, :, 8:24, 8:24] = 0.7
    torch.manual_seed(1)
    new, _ = turned(images, None, True)
    torch.testing.assert_close(new[:, :, 13:19, 13:19], torch.full((5, 3, 6, 6), 0.7))
    torch.testing.assert_close(new[:, :, 0, 0], torch.full((5, 3), -1.5))
    assert F.mse_loss(new, images) > 0
