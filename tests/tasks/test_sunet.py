"""sunet's training: what is read, what leaks, the order of batches, what a step minimises, the rows of its tables."""

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from fundus_lib.data import splits
from fundus_lib.data.field_of_view import statistics
from fundus_lib.data.field_square import FieldSquare
from fundus_lib.data.idrid import IDRiDGrading, IDRiDSegmentation
from fundus_lib.data.image_set import ImageSet
from fundus_lib.errors import ArgumentError
from fundus_lib.experiment import Data, create_task, read_data
from fundus_lib.losses import SUNetCriterion, compute_class_weights
from fundus_lib.models.imagenet import LITE_MEAN_STD, MEAN_STD
from fundus_lib.protocols.grades import compute_class_maps, predict_all
from fundus_lib.recipes import GradingRecipe, recipes
from fundus_lib.recipes.sunet import CONTROL, MIXED, MIXED_CONTROL, plain, sunet
from fundus_lib.tasks import sunet as sunet_task
from fundus_lib.tasks.sunet import Task, order_batches
from helpers.images import graded, image_set, numbers

RECIPE = sunet("r", side=32, batch=2)
SMALL = {"backbone": "resnet18", "channels": 8}


def small(row="r", **changes) -> GradingRecipe:
    return sunet(row, side=64, batch=4, model_args=SMALL | changes.pop("model_args", {}), **changes)


def task_of(recipe: GradingRecipe) -> Task:
    task = create_task(recipe)
    task.log = task.log_dict = lambda *args, **kwargs: None
    return task


def batches_of(recipe: GradingRecipe, shown: ImageSet, epoch: int) -> list[list[int]]:
    return order_batches(shown, batch=recipe.batch, order=recipe.order, seed=recipe.seed, epoch=epoch)


def parts_of(data: Data) -> tuple[ImageSet, ...]:
    return data.training, data.validation, data.test, data.test_masks


def test_alternating_each_image_without_masks_comes_once_and_those_with_masks_again_and_again():
    shown = graded(12, 5)
    for epoch in range(5):
        order = numbers(order_batches(shown, batch=3, order="alternate", epoch=epoch), shown)
        assert len(order) == 8
        assert sorted(n for batch in order[::2] for n in batch) == [*range(12)]
        times = np.bincount([n for batch in order[1::2] for n in batch], minlength=17)[12:]
        assert times.sum() == 12 and times.max() - times.min() <= 1
    batches = [shown.batch(b) for b in order_batches(shown, batch=3, order="alternate")]
    assert ["mask" in batch for batch in batches] == [False, True] * 4
    assert all(batch["masked"].tolist() == [0, 1, 2] for batch in batches[1::2])


@pytest.mark.parametrize("order", ["once", "mixed"])
def test_once_and_mixed_show_each_image_once(order):
    shown = graded(12, 6)
    seen, pure = set(), []
    for epoch in range(10):
        made = numbers(order_batches(shown, batch=3, order=order, epoch=epoch), shown)
        assert sorted(n for batch in made for n in batch) == [*range(18)]
        seen.add(str(made))
        pure += [len({n >= 12 for n in batch}) == 1 for batch in made]
    assert len(seen) == 10
    assert all(pure) == (order == "once")


def test_what_does_not_fill_a_batch_waits_for_another_epoch():
    shown = graded(7, 3)
    left_out = set()
    for epoch in range(30):
        made = numbers(order_batches(shown, batch=3, order="mixed", epoch=epoch), shown)
        assert [len(batch) for batch in made] == [3, 3, 3]
        left_out |= set(range(10)) - {n for batch in made for n in batch}
    assert left_out == set(range(10))


def test_the_order_depends_on_seed_and_epoch_alone():
    shown = graded(12, 5)

    def made(**settings):
        return numbers(order_batches(shown, batch=3, order="alternate", **settings), shown)

    assert made(seed=1, epoch=2) == made(seed=1, epoch=2)
    assert made(seed=1, epoch=2) != made(seed=1, epoch=3) != made(seed=2, epoch=2)


def test_only_one_kind_of_image():
    assert len(order_batches(graded(8, 0), batch=3, order="alternate")) == 2
    assert len(order_batches(graded(0, 8), batch=3, order="alternate")) == 2
    with pytest.raises(ArgumentError, match="2 images without masks, 3 with, for a batch of 4"):
        order_batches(graded(2, 3), batch=4, order="once")


@pytest.mark.parametrize(
    ("recipe", "other"), [(sunet("r"), CONTROL), (MIXED, MIXED_CONTROL), (MIXED_CONTROL, plain("dr_dme"))]
)
def test_with_and_without_the_lesions_loss_the_same_images_come_in_the_same_order(recipe, other):
    shown = graded(12, 5)
    for epoch in range(3):
        first, second = (batches_of(r.replace(batch=4), shown, epoch) for r in (recipe, other))
        assert first == second


@pytest.fixture(scope="module")
def read(graded_root):
    return read_data(RECIPE, graded_root)


def test_what_leaks_is_neither_trained_on_nor_chosen_by(read, graded_root):
    training, validation, test, with_masks = parts_of(read)
    leaks = set(splits.grading_leaks(graded_root, "train")["name"])
    both = splits.overlap(graded_root)
    assert len(leaks) >= 4 and {"train", "test"} == set(both.segmentation_split) == set(both.grading_split)
    everything = IDRiDGrading(graded_root, "train").names
    graded = {n for n in training.names if n.startswith("IDRiD_")}
    assert graded | set(validation.names) == set(everything) - leaks
    assert not graded & set(validation.names) and len(validation) == round(0.15 * (24 - len(leaks)))
    leaking = set(splits.segmentation_leaks(graded_root, "train")["name"])
    assert len(leaking) == 1 and 6 >= len(training.with_masks) >= 3
    assert not any(name.startswith("test ") or name.removeprefix("ungraded ") in leaking for name in training.names)
    assert (len(test), len(with_masks)) == (6, 3)
    assert test.names == tuple(IDRiDGrading(graded_root, "test").names)
    assert len(set(training.names)) == len(training)
    images = [set(part.hashes) for part in parts_of(read)]
    assert len(set().union(*images[:3])) == sum(map(len, images[:3]))
    assert not images[0] & images[3]


def test_the_masks_of_validation_images_are_not_trained_on(read, graded_root):
    training, validation, _, _ = parts_of(read)
    both = splits.overlap(graded_root)
    twins = both[(both.segmentation_split == "train") & (both.grading_split == "train")]
    held_out = set(twins.grading) & set(validation.names)
    assert held_out, "with this seed one of them validates"
    with_masks = {training.names[i] for i in training.with_masks}
    assert set(twins.grading) - held_out == {n for n in with_masks if not n.startswith("ungraded")}
    assert len(with_masks) == 5 - len(held_out)


def test_an_image_with_masks_has_its_own_masks_and_the_grades_of_the_grading_part(read, graded_root):
    training = read.training
    square = FieldSquare(32)
    masked = IDRiDSegmentation(graded_root, "train", size=square.source_size, transform=square, cache=False)
    both = splits.overlap(graded_root)
    twins = {t.grading: t.segmentation for t in both.itertuples() if t.grading_split == t.segmentation_split == "train"}
    graded = IDRiDGrading(graded_root, "train")
    grades = dict(zip(graded.names, zip(graded.dr, graded.dme, strict=True), strict=True))
    for i, name in enumerate(training.names):
        assert (training.dr[i], training.dme[i]) == grades.get(name, (-1, -1))
        own = training.masks[i]
        assert (own is not None) == (name in twins or name.startswith("ungraded"))
        if own is not None:
            sample = masked[masked.names.index(twins.get(name, name.removeprefix("ungraded ")))]
            assert torch.equal(own, sample["mask"].as_subclass(torch.Tensor))
            assert torch.equal(training.images[i], sample["image"].as_subclass(torch.Tensor))
        torch.testing.assert_close(training.statistics[i], statistics(training.images[i].permute(1, 2, 0).numpy()))


def test_with_leaks_all_are_kept_under_the_grades_that_they_have(graded_root, read):
    training, validation, test, _ = parts_of(read_data(RECIPE.replace(leaks=True), graded_root))
    assert validation.names == read.validation.names, "with leaks and without, the epoch is chosen on the same images"
    named = [n for n in training.names if n.startswith("IDRiD_")]
    assert set(named) | set(validation.names) == set(IDRiDGrading(graded_root, "train").names)
    (leak,) = (i for i, name in enumerate(training.names) if name.startswith("test "))
    twin = test.names.index(training.names[leak].removeprefix("test "))
    assert (training.dr[leak], training.dme[leak]) == (test.dr[twin], test.dme[twin])
    assert training.masks[leak] is not None


def test_without_a_validation_fraction_all_are_trained_on(graded_root):
    training, validation, _, _ = parts_of(read_data(RECIPE.replace(leaks=True, validation=0), graded_root))
    assert len(validation) == 0
    assert {n for n in training.names if n.startswith("IDRiD_")} == set(IDRiDGrading(graded_root, "train").names)
    assert len(training.with_masks) == 6
    with pytest.raises(ArgumentError, match="validation=1: a fraction below 1"):
        RECIPE.replace(validation=1)


def test_fewer_masks_are_some_of_more_and_their_images_stay(graded_root, read):
    before: set[str] = set()
    without = RECIPE.replace(model_args={"regulariser": False})  # with one, there must be something to learn
    for masks in (0, 1, 2, 3):
        recipe = (RECIPE if masks else without).replace(masks=masks)
        training = read_data(recipe, graded_root).training
        now = {training.names[i] for i in training.with_masks}
        assert len(now) == masks and before <= now
        assert {n for n in training.names if n.startswith("IDRiD")} == {
            n for n in read.training.names if n.startswith("IDRiD")
        }
        before = now


def test_a_regulariser_without_masks_is_refused():
    with pytest.raises(ArgumentError, match="masks=0"):
        RECIPE.replace(masks=0)


def test_counts_can_be_cut_for_a_trial(graded_root):
    recipe = RECIPE.replace(train_images=12, test_images=4, mask_images=2)
    training, validation, test, with_masks = parts_of(read_data(recipe, graded_root))
    assert (len(validation), len(test), len(with_masks)) == (2, 4, 2)
    assert 10 <= len(training) <= 12 and len(training.with_masks) <= 2


def test_synthetic_images_have_grades_and_masks_and_are_others_for_each_seed(graded_root):
    recipe = RECIPE.replace(pretraining_images=4, pretraining_epochs=1, lesions=("EX", "HE"))
    made, again, other = (read_data(recipe.replace(seed=seed), graded_root).synthetic for seed in (0, 0, 1))
    assert made.images[0].shape == (3, 32, 32) and made.masks[3].shape == (2, 32, 32) and len(made) == 4
    assert (made.dr >= 0).all() and (made.dme >= 0).all() and made.with_masks == [0, 1, 2, 3]
    assert made.fingerprint == again.fingerprint != other.fingerprint
    assert read_data(RECIPE, graded_root).synthetic is None


@pytest.mark.real_data
def test_idrid_has_390_images_without_leaks_42_of_them_with_masks_and_9_with_masks_alone(idrid_root, monkeypatch):
    """Counted on names and grades; the images themselves are not decoded for it."""

    def names_alone(root, data, count):
        items = data.items[:count]
        one = torch.zeros(3, 1, 1, dtype=torch.uint8)
        masks = [one] * len(items) if data.lesions else None
        grades = {name: [getattr(item, name) for item in items] for name in ("dr", "dme")}
        return replace(image_set([one] * len(items), masks, **grades), names=tuple(item.name for item in items))

    monkeypatch.setattr(sunet_task, "_read", names_alone)
    training, validation, test, with_masks = parts_of(read_data(RECIPE, idrid_root))
    graded = {n for n in training.names if n.startswith("IDRiD")} | set(validation.names)
    assert (len(graded), len(test), len(with_masks), len(validation)) == (390, 103, 27, 58)
    both = splits.overlap(idrid_root)
    twins = set(both[(both.segmentation_split == "train") & (both.grading_split == "train")].grading)
    with_masks = {training.names[i] for i in training.with_masks}
    alone = {n for n in with_masks if n.startswith("ungraded")}
    assert len(twins & graded) == 42 and len(alone) == 9
    assert with_masks - alone == twins - set(validation.names)
    assert len(training) == 390 - 58 + 9
    assert (training.dr[[n in alone for n in training.names]] == -1).all()
    leaking = read_data(RECIPE.replace(leaks=True), idrid_root)
    named = {n for n in leaking.training.names if n.startswith("IDRiD")} | set(leaking.validation.names)
    assert len(named) == 413 and sum(n.startswith("test ") for n in leaking.training.names) == 3
    assert leaking.validation.names == validation.names
    everything = read_data(RECIPE.replace(leaks=True, validation=0), idrid_root).training
    assert (len(everything), len(everything.with_masks)) == (413 + 9 + 3, 54)


@pytest.mark.parametrize("indices", [[0, 3, 5, 1], [8, 7, 9, 8], [8, 0, 9, 2]])
def test_a_step_is_the_criterion_on_images_each_normalised_by_its_own(indices, monkeypatch):
    monkeypatch.setattr(sunet_task, "rotate_and_mirror", lambda images, masks, rotate: (images, masks))
    shown = graded(side=64)
    task = task_of(small()).eval()
    x = (shown.batch(indices)["image"].double() - 120) / 40
    output = task.model(x.float())
    batch = {"dr": shown.dr[indices], "dme": shown.dme[indices]}
    masked = [i for i, n in enumerate(indices) if n >= 7]
    if masked:
        output["classes"] = output["classes"][masked]
        batch["mask"] = torch.stack([shown.masks[indices[i]] for i in masked])
    else:
        del output["classes"]
    torch.testing.assert_close(
        task.training_step(shown.batch(indices), 0), SUNetCriterion()(output, batch)["total"], rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(
    ("backbone", "colours"), [("resnet18", MEAN_STD), ("efficientnetlite0", LITE_MEAN_STD), (None, MEAN_STD)]
)
def test_from_imagenet_its_colours_count(backbone, colours, monkeypatch):
    monkeypatch.setattr(sunet_task, "create_model", lambda name, **settings: torch.nn.Conv2d(3, 1, 1))
    recipe = sunet("r", imagenet=True, model_args={"backbone": backbone} if backbone else {})
    task = create_task(recipe, start=False)
    images = torch.randint(256, (2, 3, 4, 4), dtype=torch.uint8)
    expected = (images - colours[0][:, None, None]) / colours[1][:, None, None]
    torch.testing.assert_close(task.prepare(images, torch.zeros(2, 2, 3)), expected)
    assert MEAN_STD[0, 0] == pytest.approx(123.675) and MEAN_STD[1, 2] == pytest.approx(57.375)


def test_with_and_without_the_lesions_loss_a_step_shows_the_same():
    """Start, order, turns: all but the gradient of the lesions."""
    seen, weights, losses = [], [], []
    shown = graded(12, 5, side=64)
    for recipe in (MIXED, MIXED_CONTROL):
        recipe = recipe.replace(side=64, batch=4, model_args=SMALL)
        torch.manual_seed(recipe.seed)
        task = task_of(recipe)
        weights.append(copy.deepcopy(task.model.state_dict()))
        task.model.trunk.register_forward_hook(lambda module, given, out: seen.append(given[0].clone()))
        batch = task.load_batch(shown, task.epoch_batches(shown, 1)[0])
        with torch.random.fork_rng():
            task.on_train_batch_start(None, 0)
            losses.append(task.training_step(batch, 0).item())
    assert torch.equal(*seen)
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert losses[0] > losses[1]


def test_the_randomness_of_a_step_depends_on_seed_and_step(monkeypatch):
    def drawn(seed, step):
        task = create_task(small(seed=seed))
        monkeypatch.setattr(Task, "global_step", step, raising=False)
        with torch.random.fork_rng():
            task.on_train_batch_start(None, 0)
            return torch.rand(3).tolist()

    assert drawn(0, 5) == drawn(0, 5) != drawn(0, 6) != drawn(1, 6)


@pytest.mark.parametrize("steps", [6, 20])
def test_the_rate_falls_to_zero_along_a_cosine_in_each_stage(steps):
    configured = create_task(small(learning_rate=0.3)).optimise(steps)
    (rate,) = configured["lr_scheduler"]["scheduler"].lr_lambdas
    assert configured["lr_scheduler"]["interval"] == "step"
    assert rate(0) == 1 and rate(steps // 2) == pytest.approx(0.5)
    assert rate(steps - 1) == pytest.approx((1 + math.cos(math.pi * (steps - 1) / steps)) / 2)
    assert rate(steps) == rate(steps + 4) == 0 < rate(steps - 1)
    (group,) = configured["optimizer"].param_groups
    assert isinstance(configured["optimizer"], torch.optim.Adam) and group["initial_lr"] == 0.3


def test_weights_of_grades_are_those_of_the_training_images():
    shown = graded(12, 5)
    task = create_task(small(criterion={"form": "weighted", "lesions": 0.5}))
    task.adapt(Data(shown, shown, shown))
    for name, count in (("dr", 5), ("dme", 3)):
        own = task.criterion.grades[name].weights.tolist()
        assert own == pytest.approx(compute_class_weights(getattr(shown, name), count)) and len(set(own)) > 1
    assert task.criterion.factors["lesions"] == 0.5


def test_what_the_network_predicts_of_all_images():
    shown = graded(5, 13, side=64)
    task = create_task(small()).train()
    frozen = next(module for module in task.model.modules() if not list(module.children())).eval()
    modes = [module.training for module in task.modules()]
    output, maps = predict_all(task, shown), compute_class_maps(task, shown)
    assert [module.training for module in task.modules()] == modes and task.training and not frozen.training
    task.eval()
    x = task.prepare(torch.stack(shown.images), shown.statistics)
    with torch.inference_mode():
        expected, expected_maps = task.model(x), task.model.compute_class_maps(x)
    assert set(output) == {"dr", "dme", "logits"}
    for name, value in output.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-3, atol=1e-4)
    for name, value in maps.items():
        torch.testing.assert_close(value, expected_maps[name], rtol=1e-3, atol=1e-4)
    assert set(predict_all(task, graded(5, 0, side=64))) == {"dr", "dme"}, "no lesions of images without masks"


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
    shown = graded(5, 5, side=recipe.side)
    task = task_of(recipe)
    task.adapt(Data(shown, shown, shown))
    losses = [task.training_step(shown.batch(b), i) for i, b in enumerate(task.epoch_batches(shown, 0)[:2])]
    torch.stack(losses).sum().backward()
    assert all(loss.isfinite() for loss in losses)
    optimiser = task.optimise(2)["optimizer"]
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
