"""local_global's stages: what each shows and trains, what is minimised, and what the networks predict."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fundus_lib.data import IDRiDSegmentation
from fundus_lib.data.augment import rotate_and_zoom
from fundus_lib.errors import ArgumentError
from fundus_lib.experiment import create_task, read_data
from fundus_lib.losses import WeightedCrossEntropy
from fundus_lib.models import count_parameters
from fundus_lib.models.localglobal import sample_boxes
from fundus_lib.recipes import recipes
from fundus_lib.recipes.local_global import PARTS, beyond, fused, shorten
from fundus_lib.tasks.base import Data
from helpers.images import squares
from helpers.runs import here, run_and_kill, same_weights, without_clocks

pytestmark = pytest.mark.usefixtures("one_thread")

EACH = {"global": 2, "local": 2, "fusion": 2}
SMALL = fused("EX_fused", "EX").smoke().replace(precision="32", before=EACH, epochs=2)
IMAGES = squares(4, (88, 104))
PLAIN = {"width": 4, "depth": 2}
ROWS = {
    "fused": SMALL,
    "global": shorten(SMALL, "global", "global"),
    "local": shorten(SMALL, "local", "local"),
    **{
        row.row.partition("_")[2]: row
        for row in beyond(SMALL.replace(patches=4), {"width": 4, "depth": 2}, {"width": 4, "depth": 2})
    },
}


def task_of(recipe, part=None):
    torch.manual_seed(0)
    task = create_task(recipe)
    task.statistics = torch.tensor([[70.0] * 3, [20.0] * 3])
    task.log_dict = lambda *args, **more: None
    if part:
        task.stage = SimpleNamespace(name=part)
    return task


def batch_of(task):
    (first, *_) = task.epoch_batches(IMAGES, 0)
    return task.load_batch(IMAGES, first)


def test_the_stages_of_each_row():
    stages = {name: row.stages for name, row in ROWS.items()}
    assert stages["fused"] == {"global": 2, "local": 2, "fusion": 2, "joint": 2}
    assert stages["global"] == {"global": 2} and stages["local"] == {"local": 2}
    assert stages["fused_only"] == {"global": 2, "local": 2, "fusion": 2}
    assert stages["joint_only"] == {"joint": 4} and stages["plain"] == stages["local_large"] == {"local": 8}
    assert ROWS["local_large"].crop == 2 * SMALL.crop and ROWS["local_large"].patches == 1
    for name, row in ROWS.items():
        made = task_of(row).stages(Data(IMAGES, IMAGES.part([]), IMAGES))
        assert [(stage.name, stage.epochs) for stage in made] == list(stages[name].items())
        assert list(stages[name]) == [part for part in PARTS if part in stages[name]]


def test_each_stage_trains_its_own_parameters_and_no_running_mean_of_others():
    trained = {"global": {"global_net"}, "local": {"local_net"}, "fusion": {"fusion"}}
    trained["joint"] = set.union(*trained.values())
    for part, names in trained.items():
        task = task_of(SMALL, part)
        starts = task.find_trained(part)
        for name, parameter in task.model.named_parameters():
            parameter.requires_grad_(name.startswith(starts))
        before = {name: value.clone() for name, value in task.model.state_dict().items()}
        task._trainer = SimpleNamespace(global_step=0, global_rank=0)
        optimizer = task.optimise(10)["optimizer"]
        batch = batch_of(task)
        torch.manual_seed(0)
        type(task).global_step = property(lambda _: 0)
        type(task).global_rank = property(lambda _: 0)
        try:
            task.on_train_batch_start(batch, 0)
        finally:
            del type(task).global_step, type(task).global_rank
        task.training_step(batch, 0).backward()
        optimizer.step()
        found = [name for name, parameter in task.model.named_parameters() if parameter.requires_grad]
        assert all(parameter.grad is not None for parameter in task.model.parameters() if parameter.requires_grad)
        after = task.model.state_dict()
        changed = {name.partition(".")[0] for name in after if not torch.equal(after[name], before[name])}
        assert changed == names == {name.partition(".")[0] for name in found}
        # without a loss of its own, the local head of a joint network has nothing to learn from
        assert any("local_net.parts.head" in name for name in found) == (part == "local")
    own = task_of(SMALL.replace(criterion={"local_weight": 1.0}), "joint")
    assert "local_net.parts.head." in own.find_trained("joint")


def test_what_a_stage_shows():
    task = task_of(SMALL, "joint")
    batch = batch_of(task)
    assert batch["image"].shape == (6, 3, 8, 8) and batch["mask"].shape == (6, 1, 8, 8)
    assert batch["whole"].shape == (2, 3, 32, 32) and batch["whole_mask"].shape == (2, 1, 32, 32)
    assert batch["places"][:, 0].tolist() == [0, 0, 0, 1, 1, 1] and batch["statistics"].shape == (2, 2, 3)
    assert set(batch_of(task_of(SMALL, "global"))) == {"whole", "whole_mask", "statistics"}
    local = batch_of(task_of(SMALL, "local"))
    assert local["image"].shape[-1] >= 8 * 1.25 * 2**0.5 and local["image"].shape[-1] % 2 == 0
    assert "whole" not in local
    again = [task.load_batch(IMAGES, task.epoch_batches(IMAGES, epoch)[0])["image"] for epoch in (0, 1, 0)]
    assert torch.equal(again[0], again[2]) and not torch.equal(again[0], again[1])


def test_the_global_network_sees_in_training_what_it_sees_in_the_test():
    task = task_of(SMALL, "joint")
    wholes, masks = task.shrunk.get(IMAGES, task.model)
    seen = task.model.shrink(task.prepare(IMAGES.images[1][None]))[0]
    assert (task.prepare(wholes[1:2])[0] - seen).abs().max() < 0.51 / 20, "half a grey level, by the deviation"
    assert set(masks.unique().tolist()) == {0, 1} and task.shrunk.get(IMAGES, task.model)[0] is wholes


def test_patches_lie_on_the_global_map_where_they_lie_in_the_image():
    """An image whose brightness is a ramp: patch and sampled map agree wherever it is turned to."""
    down, across = torch.meshgrid(torch.arange(88) * 2, torch.arange(104) * 2, indexing="ij")
    ramp = torch.stack([down, across, 0 * down]).to(torch.uint8)
    images = replace(IMAGES, images=(ramp,) * 4)
    task = task_of(SMALL, "joint")
    seen = 0
    for epoch in range(4):
        batch = task.load_batch(images, task.epoch_batches(images, epoch)[0])
        found, patches = sample_boxes(batch["whole"].float(), batch["places"], (8, 8))[:, :2], batch["image"][:, :2]
        inside = (patches > 16) & (patches < 150)  # at the border the shrunk image holds no more than its own pixels
        seen += int(inside.sum())
        assert (found - patches.float()).abs()[inside].max() < 2, "grey levels, of which a pixel of the image is 2"
    assert seen > 500


def test_what_is_minimised():
    for part, name in (("global", "whole"), ("local", "image")):
        task = task_of(SMALL.replace(zoom=1.0, noise=0.0, criterion={"loss_args": {"gamma": 3.0}}), part)
        batch = batch_of(task)
        torch.manual_seed(1)
        total = task.compute_losses(batch)["total"]
        torch.manual_seed(1)
        side = 8 if part == "local" else 32
        images, masks = rotate_and_zoom(batch[name], batch[{"whole": "whole_mask", "image": "mask"}[name]], side, 1.0)
        net = task.model.global_net if part == "global" else task.model.local_net
        logits = net(task.prepare(images))["logits"]
        torch.testing.assert_close(total, WeightedCrossEntropy(gamma=3.0)(logits, masks.float()))
    task = task_of(SMALL, "joint")
    batch = batch_of(task)
    parts = task.compute_losses(batch)
    output = task.model.forward_patches(task.prepare(batch["whole"]), task.prepare(batch["image"]), batch["places"])
    loss = WeightedCrossEntropy()
    torch.testing.assert_close(parts["global"], loss(output["global_logits"], batch["whole_mask"].float()))
    torch.testing.assert_close(parts["fused"], loss(output["logits"], batch["mask"].float()))
    torch.testing.assert_close(parts["total"], parts["global"] + parts["fused"])


def test_rates_of_both_optimisers():
    for part, rate in (("global", 2e-4), ("fusion", 2e-4), ("joint", 1e-4)):
        task = task_of(SMALL, part)
        found = task.optimise(10)
        assert type(found["optimizer"]).__name__ == "Adam" and found["optimizer"].param_groups[0]["lr"] == rate
        for _ in range(5):
            found["optimizer"].step()
            found["lr_scheduler"]["scheduler"].step()
        assert found["optimizer"].param_groups[0]["lr"] == pytest.approx(rate * 0.5**0.9)
    cycle = task_of(SMALL.replace(optimiser="one-cycle", learning_rate=1e-2), "local").optimise(10)
    assert type(cycle["optimizer"]).__name__ == "AdamW" and cycle["lr_scheduler"]["scheduler"].total_steps == 10


def test_predicting_leaves_each_module_in_its_own_mode(monkeypatch):
    task, image = task_of(SMALL).train(), IMAGES.images[0]
    task.model.global_net.eval()  # as a frozen part
    modes = [module.training for module in task.modules()]

    def fail(*_, **__):
        raise RuntimeError("a mistake in the network")

    for predict in (task.predict, task.predict_variants):
        predict(image)
        assert [module.training for module in task.modules()] == modes
        with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="mistake"):
            patch.setattr(task.model, "forward", fail)
            predict(image)
        assert [module.training for module in task.modules()] == modes


def test_what_each_row_predicts():
    image = IMAGES.images[0]
    for name, row in ROWS.items():
        task = task_of(row).eval()
        found = task.predict(image)
        own = {"fused": {"global_logits", "local_logits"}, "fused_only": {"global_logits", "local_logits"}}
        more = own.get(name, {"global_logits"} if name == "joint_only" else set())
        assert set(found) == {"logits", *more} and all(v.shape == (1, 88, 104) for v in found.values())
        variants = task.predict_variants(image)
        assert bool(variants) == (name in ("fused", "fused_only", "joint_only"))
        if name not in ("global", "fused", "fused_only", "joint_only"):
            net = task.model.local_net if name == "local" else task.model
            with torch.inference_mode():
                piece = net(task.prepare(image[None])[..., : row.crop, row.crop : 2 * row.crop])["logits"][0]
            torch.testing.assert_close(found["logits"][:, : row.crop, row.crop : 2 * row.crop], piece)
        if name == "fused":
            with torch.inference_mode():
                prepared, shift = task.prepare(image[None]), (2, 2)
                zeroed, shifted = task.model(prepared, zero=True), task.model(prepared, shift=shift)
            torch.testing.assert_close(variants["global map zeroed"], zeroed["logits"][0])
            torch.testing.assert_close(variants["global map shifted"], shifted["logits"][0])
    overlapping = task_of(SMALL.replace(overlap=2)).eval().predict(image)["logits"]
    assert overlapping.shape == (1, 88, 104) and overlapping.isfinite().all()


def test_the_images_of_a_recipe(synthetic_root):
    data = read_data(SMALL.replace(validation=1), synthetic_root)
    assert (len(data.training), len(data.validation), len(data.test)) == (3, 1, 3)
    for part in (data.training, data.validation, data.test):
        assert {tuple(image.shape) for image in part.images} == {(3, 88, 104)}
        assert {tuple(mask.shape) for mask in part.masks} == {(1, 88, 104)}
    assert data.test.full_masks[0]().shape == (1, 240, 360), "that of the whole image, at its size on disk"
    names = IDRiDSegmentation(synthetic_root, "train").names
    assert {*data.training.names, *data.validation.names} == set(names)


@pytest.fixture(scope="module")
def undisturbed(synthetic_root, one_thread, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed")
    return out, here(SMALL, synthetic_root, out)


@pytest.mark.parametrize("stage", range(4), ids=PARTS)
def test_a_run_that_is_killed_inside_a_stage_goes_on_to_the_same_result(undisturbed, synthetic_root, stage, tmp_path):
    out, record = undisturbed
    epoch = SMALL.steps * (2 * stage + 1)
    run_and_kill(SMALL, synthetic_root, tmp_path, batch=epoch + 1)  # in the second epoch of the stage
    resumed = here(SMALL, synthetic_root, tmp_path)
    assert resumed["resumed_from_epoch"] == 2 * stage + 1
    assert without_clocks(resumed) == without_clocks(record) and same_weights(out, tmp_path)


def test_the_record_of_a_fused_network(undisturbed):
    record = undisturbed[1]
    assert set(record["variants"]) == {"global branch", "local branch", "global map zeroed", "global map shifted"}
    assert len(record["predictions"]["EX_aupr"]) == len(record["predictions"]["names"]) == 3
    assert [len(point) for point in record["curve"]] and np.isfinite([point["loss"] for point in record["curve"]]).all()
    assert {"global", "local", "fused"} <= set(record["curve"][-1]) and "fused" not in record["curve"][0]


def test_impossible_settings_are_refused():
    for changes, words in (
        ({"last": "both"}, "'global'"),
        ({"before": {"joint": 1}}, "parts are"),
        ({"before": {"global": 0}}, "at least one epoch"),
        ({"last": "fusion", "before": {"global": 1}}, "two networks"),
        ({"model": "unet"}, "patches alone"),
        ({"middle": (97, 104)}, "fit into"),
        ({"crop": 90}, "fit into"),
        ({"overlap": 8}, "overlap=8"),
        ({"patches": 0}, "patches=0"),
        ({"zoom": 0.9}, "zoom=0.9"),
        ({"optimiser": "sgd"}, "one-cycle"),
        ({"test_flips": True}, "mirrored"),
        ({"train_on": "SyntheticFundus", "train_images": 3}, "synthetic"),
    ):
        with pytest.raises(ArgumentError, match=words):
            SMALL.replace(**changes)


def test_rows_of_every_table():
    for row in recipes("local_global", "1"):
        assert row.middle == (11 * row.crop, 13 * row.crop) and row.model_args["local_width"] in (16, 64)
        assert (row.learning_rate, row.joint_rate, row.optimiser) == (2e-4, 1e-4, "adam")
    for table in ("beyond", "half"):
        for lesion in ("EX", "MA"):
            pair = [recipes("local_global", table, f"{lesion}_{name}")[0] for name in ("plain", "fused_only")]
            sizes = [count_parameters(row.model, **row.model_args) for row in pair]
            assert sizes[0] == pytest.approx(sizes[1], rel=0.07)
            whole = recipes("local_global", "1" if table == "beyond" else "half", f"{lesion}_fused")[0]
            assert pair[0].epochs == sum(whole.stages.values())
