"""pldmlt's training: what a batch holds, whose turn it is, what each step changes, and where labels come from."""

import math
from types import SimpleNamespace

import pytest
import torch

from fundus_lib.errors import ArgumentError
from fundus_lib.experiment import create_task
from fundus_lib.losses import PLDMLTCriterion
from fundus_lib.recipes import PLDMLTRecipe, recipes
from fundus_lib.tasks.pldmlt import StartedLabels, average_over_processes
from fundus_lib.tasks.pldmlt_data import LabelledData, apply_rule
from helpers.images import image_set
from helpers.runs import here, run_and_kill, same_weights, without_clocks

pytestmark = pytest.mark.usefixtures("one_thread")

SIDE = 64
PLAIN = PLDMLTRecipe(
    paper="pldmlt", table="t", row="r", side=SIDE, batch=2, epochs=4, precision="32", learning_rate=1e-2,
    model_args={"width": 4, "norm": True}, criterion={"beta": 0.5}, labels="rule", zoom=1.0,
)  # fmt: skip
UPDATE = PLAIN.replace(
    update=True, label_args={"width": 4, "norm": True}, virtual_rate=0.5, label_rate=1e-2, optimiser="one-cycle"
)


def images(count=4, side=SIDE):
    """Noise with bright squares; the first image has microaneurysms only, the second no lesion."""
    rng = torch.Generator().manual_seed(0)
    pixels = torch.randint(60, 120, (count, 3, side, side), dtype=torch.uint8, generator=rng)
    masks = torch.zeros(count, 5, side, side, dtype=torch.uint8)
    for n in range(count):
        channel = 1 if n == 0 else 3
        masks[n, [0, channel], 20 + n : 36, 16:40] = n != 1
        pixels[n] += 100 * masks[n, :1]
    return image_set(list(pixels), list(masks), dr=[1, 0, 3, -1][:count])


IMAGES = images()
LABELS = dict(zip(IMAGES.names, (1, 0, 2, 2), strict=True))


def task_of(recipe, epoch=0):
    torch.manual_seed(0)
    task = create_task(recipe)
    task.adapt(LabelledData(IMAGES, IMAGES.part([]), IMAGES, labels=LABELS))
    task.shown = {}
    task.log_dict = lambda values, **how: task.shown.update(
        {name: (v, how["batch_size"]) for name, v in values.items()}
    )
    found = task.optimise(16)
    parts = found if isinstance(found, tuple) else (found,)
    made = [part["optimizer"] for part in parts]
    for optimizer in made:
        optimizer.optimizer = optimizer
    task.optimizers = lambda: made
    task.lr_schedulers = lambda: parts[0]["lr_scheduler"]["scheduler"] if "lr_scheduler" in parts[0] else None
    task.manual_backward = torch.Tensor.backward
    task._trainer = SimpleNamespace(current_epoch=epoch)
    return task


def values(module):
    return {name: value.clone() for name, value in module.named_parameters()}


def changed(before, module):
    return {name for name, value in module.named_parameters() if not torch.equal(value, before[name])}


def test_a_batch_holds_the_fused_mask_the_labels_and_what_the_masks_allow():
    task = task_of(PLAIN)
    (first, second) = task.epoch_batches(IMAGES, 0)
    assert sorted(first + second) == [0, 1, 2, 3] and task.epoch_batches(IMAGES, 0) == [first, second]
    assert any(task.epoch_batches(IMAGES, epoch) != [first, second] for epoch in range(1, 5))
    batch = task.load_batch(IMAGES, [0, 1, 3])
    assert batch["mask"].shape == (3, 1, SIDE, SIDE) and batch["mask"].sum((1, 2, 3)).tolist() == [384, 0, 312]
    assert batch["label"].tolist() == [1, 0, 2] and batch["dr"].tolist() == [1, 0, -1] and batch["known"] == (3, 2)
    assert batch["allowed"].int().tolist() == [[0, 1, 0, 0, 0], [1, 0, 0, 0, 0], [0, 0, 1, 1, 1]]
    given, masks = task.augment(batch)
    assert given.shape == (3, 3, SIDE, SIDE) and masks.shape == (3, 1, SIDE, SIDE) and masks.dtype == torch.float32
    assert set(masks.unique().tolist()) == {0, 1} and not masks[1].any()


def test_with_fixed_labels_the_criterion_is_minimised():
    task = task_of(PLAIN)
    task.augment = lambda batch: (task.prepare(batch["image"], batch["statistics"]), batch["mask"].float())
    batch = task.load_batch(IMAGES, [0, 2])
    loss = task.training_step(batch, 0)
    output = task.model(task.prepare(batch["image"], batch["statistics"]))
    wanted = PLDMLTCriterion(beta=0.5)(output, {"mask": batch["mask"].float(), "dr": torch.tensor([1, 2])})
    torch.testing.assert_close(loss, wanted["total"])
    assert {name: float(v) for name, (v, _) in task.shown.items()} == pytest.approx(
        {
            "loss": float(loss.detach()),
            "segmentation": wanted["segmentation"].item(),
            "grading": wanted["grading"].item(),
        }
    )
    assert task.automatic_optimization and not task_of(UPDATE).automatic_optimization
    alone = task_of(PLAIN.replace(model_args={"width": 4, "grades": False}))
    alone.training_step(batch, 0)
    assert alone.shown.keys() == {"loss", "segmentation"}


@pytest.mark.parametrize("model", ["linknet", "fpn", "deeplabv3plus"])
def test_networks_that_only_segment(model):
    task = task_of(PLAIN.replace(model=model, model_args={"encoder": "resnet18"}))
    assert not task.recipe.grades
    task.training_step(task.load_batch(IMAGES, [0, 1, 2]), 0).backward()
    assert all(parameter.grad is not None for parameter in task.model.parameters())


def test_each_step_changes_its_own_network():
    """In the order of batches both, or only the first; in nested epochs one of them in turn."""
    for recipe, epoch, index, network, labels in (
        (UPDATE, 0, 0, True, True),
        (UPDATE.replace(every=2), 0, 1, True, False),
        (UPDATE.replace(every=2), 0, 2, True, True),
        (UPDATE.replace(order="nested"), 0, 0, True, False),
        (UPDATE.replace(order="nested"), 1, 0, False, True),
        (UPDATE.replace(order="nested", block=2), 1, 1, True, False),
        (UPDATE.replace(order="nested", block=2), 3, 1, False, True),
    ):
        task = task_of(recipe, epoch)
        assert task.find_turns(index) == (network, labels)
        batch = task.load_batch(IMAGES, [0, 2])
        before, label_before = values(task.model), values(task.label_network)
        assert task.training_step(batch, index) is None
        names = changed(before, task.model)
        assert (len(names) > 20) == network and bool(names) == network
        names = changed(label_before, task.label_network)
        assert bool(names) == labels
        shown = {name: float(value) for name, (value, _) in task.shown.items()}
        assert math.isnan(shown["segmentation"]) == (not network) and math.isfinite(shown["loss"])
        assert task.shown["outer"][1] == 2 * labels
        assert task.shown["label_true_agreement"] == (1 if False else task.shown["label_true_agreement"][0], 2)


def test_the_label_network_descends_along_the_gradient_of_the_second_order():
    """Its step is Adam's on what LabelUpdate gives for the network after that one's own step."""
    task = task_of(UPDATE.replace(optimiser="adam"))
    copy = task_of(UPDATE.replace(optimiser="adam"))
    images, masks = task.augment(task.load_batch(IMAGES, [0, 2]))
    for made in (task, copy):
        made.augment = lambda batch: (images, masks)
    batch = copy.load_batch(IMAGES, [0, 2])
    task.training_step(batch, 0)
    network = copy.label_network
    network.begin_at(batch["label"])
    labels = copy.update.generate(network, images).detach()
    optimizer, label_optimizer = copy.optimizers()
    copy._criterion(copy.model(images), {"mask": masks, "dr": labels})["total"].backward()
    optimizer.step()
    gradients, _ = copy.update.compute_gradients(copy.model, network, images, {"mask": masks})
    for name, parameter in network.named_parameters():
        parameter.grad = gradients[name]
    label_optimizer.step()
    for name, value in task.label_network.named_parameters():
        torch.testing.assert_close(value, network.get_parameter(name))
    for name, value in task.model.named_parameters():
        torch.testing.assert_close(value, copy.model.get_parameter(name))


def test_generated_labels_begin_at_the_first_ones_and_are_masked_if_the_recipe_says_so():
    from fundus_lib.losses import mask_softmax

    task = task_of(UPDATE)
    batch = task.load_batch(IMAGES, [0, 1, 2])
    network = task.label_network
    network.begin_at(torch.tensor([1, 0, -1]))
    labels = task.update.generate(network, torch.randn(3, 3, SIDE, SIDE))
    wanted = torch.full((3, 5), 0.025)
    wanted[0, 1] = wanted[1, 0] = 0.9
    wanted[2] = 0.2
    torch.testing.assert_close(labels, wanted)
    allowed = mask_softmax(network(torch.randn(3, 3, SIDE, SIDE))["dr"], batch["allowed"], "maxl")
    assert allowed[0, 1] > 0.99999 and allowed[1, 0] > 0.99999
    free = StartedLabels(task.label_network.network, 0.2)
    assert free.lead == 0


def test_what_the_labels_are_is_logged():
    task = task_of(UPDATE)
    labels = torch.tensor([[0.0, 1, 0, 0, 0], [0.2] * 5, [0, 0, 0, 1, 0]])
    task._show_labels(labels, {"label": torch.tensor([1, 0, 2]), "dr": torch.tensor([1, -1, 3]), "known": (3, 2)})
    shown = {name: (float(value), count) for name, (value, count) in task.shown.items()}
    assert shown["label_entropy"] == (pytest.approx(math.log(5) / 3), 3)
    assert [shown[f"label_{n}"][0] for n in range(5)] == pytest.approx([0.2 / 3, 1.2 / 3, 0.2 / 3, 1.2 / 3, 0.2 / 3])
    assert shown["label_agreement"] == (pytest.approx(2 / 3), 3) and shown["label_true_agreement"] == (1, 2)


def test_processes_share_gradients(monkeypatch):
    from fundus_lib.tasks import pldmlt

    given = {"a": torch.ones(2, 3), "b": torch.tensor([4.0])}
    average_over_processes(given)
    assert given["a"].eq(1).all()
    monkeypatch.setattr(pldmlt, "process_rank", lambda: (0, 2))
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda flat: flat.mul_(3))
    average_over_processes(given)
    assert given["a"].eq(1.5).all() and given["a"].shape == (2, 3) and given["b"].tolist() == [6]


def test_the_schedule_counts_the_networks_steps_alone():
    for recipe, steps in ((UPDATE, 16), (UPDATE.replace(order="nested"), 8)):
        first, second = task_of(recipe).optimise(16)
        assert first["lr_scheduler"]["scheduler"].total_steps == steps
        assert second["optimizer"].param_groups[0]["lr"] == UPDATE.label_rate
    assert isinstance(task_of(PLAIN).optimise(16)["optimizer"], torch.optim.Adam)


def test_an_epoch_learns_both(synthetic_root, tmp_path):
    """Trained on few images it knows their lesions, and writes their labels anew."""
    recipe = recipes("pldmlt", "small", "update")[0].smoke().replace(
        fold=None, precision="32", epochs=16, learning_rate=2e-2, label_rate=3e-2, every=1, batch=4,
        train_images=4, test_images=1, zoom=1.0, model_args={"width": 8, "norm": True}, entropy=0.2,
    )  # fmt: skip
    record = here(recipe, synthetic_root, tmp_path)
    first, last = record["curve"][0], record["curve"][-1]
    assert last["segmentation"] < 0.7 * first["segmentation"] and last["outer"] < first["outer"]
    assert first["label_agreement"] == 1 and last["label_entropy"] != pytest.approx(first["label_entropy"], abs=0.05)
    assert record["metrics"]["empty_mdice_micro"] == pytest.approx(1 - record["metrics"]["ANY_prevalence"])


def test_a_nested_run_that_is_killed_goes_on_alike(synthetic_root, tmp_path):
    """In an epoch of the label network; the next one is of the other."""
    recipe = recipes("pldmlt", "ablations", "nested")[0].smoke().replace(fold=None, precision="32", epochs=4)
    whole, other = tmp_path / "whole", tmp_path / "killed"
    other.mkdir()
    record = here(recipe, synthetic_root, whole)
    steps = [point["step"] for point in record["curve"]]
    assert steps == [2, 4, 6, 8], "each batch is one step, whichever network makes it"
    run_and_kill(recipe, synthetic_root, other, batch=steps[1] - 1)
    resumed = here(recipe, synthetic_root, other)
    assert resumed["resumed_from_epoch"] == 1
    assert without_clocks(resumed) == without_clocks(record) and same_weights(whole, other)


def test_the_rule_gives_the_least_grade():
    assert apply_rule(IMAGES) == [1, 0, 2, 2]


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"labels": "guessed"}, "'corrected'"),
        ({"order": "random"}, "'batch'"),
        ({"lesions": ("EX",)}, "fused"),
        ({"update": True, "model_args": {"grades": False}}, "does not grade"),
        ({"start": 0.1}, "start"),
        ({"zoom": 0.5}, "zoom"),
        ({"every": 0}, "every"),
        ({"virtual_rate": 0.0}, "virtual_rate"),
        ({"update": True, "order": "nested", "block": 3}, "multiple"),
        ({"pretraining_images": 2, "pretraining_epochs": 1}, "synthetic"),
    ],
)
def test_impossible_settings_are_refused(bad, words):
    with pytest.raises(ArgumentError, match=words):
        PLAIN.replace(**bad)


def test_the_papers_rows():
    four = recipes("pldmlt", "3")
    assert [(r.grades, r.update, r.criterion.get("beta")) for r in four] == [
        (False, False, None), (True, False, 1.0), (True, True, 1.0), (True, True, 0.8),
    ]  # fmt: skip
    for r in four:
        assert (r.side, r.learning_rate, r.optimiser, r.fold, r.imagenet) == (1024, 5e-5, "adam", (1, 5), True)
        assert r.needs == ("IDRiD", "DiaRetDB1") and len(r.every_fold()) == 5
    small = recipes("pldmlt", "small")
    assert [r.row for r in small] == [r.row for r in four]
    assert [(r.update, r.criterion) for r in small] == [(r.update, r.criterion) for r in four]
    assert next(r for r in recipes("pldmlt", "2") if r.row == "ours").criterion["beta"] == 0.95
