"""The first segmenter's training: what it minimises, and that it learns."""

from dataclasses import replace

import pytest
import torch
from lightning import Trainer

from fundus_lib.data.epochs import EpochsModule
from fundus_lib.experiment import create_task
from fundus_lib.losses import create_loss
from fundus_lib.protocols.lesions import AtTrainingSize
from fundus_lib.recipes import SegmentationRecipe
from fundus_lib.tasks.base import Data
from helpers.images import squares

RECIPE = SegmentationRecipe(
    paper="p",
    table="t",
    row="r",
    size=(48, 64),
    model_args={"width": 6, "depth": 2},
    crop=32,
    batch=4,
    epochs=3,
    steps=20,
    learning_rate=0.02,
)
SPOTS = squares(4, (48, 64), empty=1)


def test_the_task_learns_and_is_scored():
    torch.manual_seed(0)
    task = create_task(RECIPE)
    data = Data(SPOTS, SPOTS.part([]), SPOTS)
    task.adapt(data)
    (stage,) = task.stages(data)
    protocol = AtTrainingSize(RECIPE, SPOTS)
    before = protocol.full(task).metrics
    task.stage, task.stage_steps = stage, stage.epochs * stage.count_steps(0)
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=RECIPE.epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        reload_dataloaders_every_n_epochs=1,
    )
    trainer.fit(task, EpochsModule(stage.images, stage.batches, stage.load, batch=stage.batch))
    after = protocol.full(task).metrics
    assert trainer.global_step == task.stage_steps == 60
    assert after["EX_aupr"] > 0.95 > before["EX_aupr"]
    assert after["EX_prevalence"] == pytest.approx(float(torch.stack(SPOTS.masks).float().mean()))
    assert after["EX_aupr_image_mean"] > 0.9  # the image without lesion does not count
    assert 0.7 < after["EX_iou"] <= after["EX_f1"] <= 1


def test_the_loss_of_the_recipe_is_what_is_trained():
    batch = SPOTS.batch(range(4))
    for name, settings in (("crossentropy", {}), ("dice", {"pool": "batch"}), ("focal", {"gamma": 1.0})):
        torch.manual_seed(0)
        task = create_task(RECIPE.replace(criterion={"loss": name, "loss_args": settings}))
        task.log = lambda *args, **kwargs: None
        logits = task(batch["image"], batch["statistics"])["logits"]
        expected = create_loss(name, **settings)(logits, batch["mask"].float())
        torch.testing.assert_close(task.training_step(batch, 0), expected)
    assert not torch.allclose(expected, create_loss("crossentropy")(logits, batch["mask"].float()))


def test_an_epoch_has_its_own_crops():
    task = create_task(RECIPE)
    shown = []
    for epoch in (0, 1, 0):
        (items, *rest) = task.epoch_batches(SPOTS, epoch)
        assert len(rest) + 1 == RECIPE.steps
        shown.append(task.load_batch(SPOTS, items))
    assert shown[0]["image"].shape == (4, 3, 32, 32) and shown[0]["mask"].shape == (4, 1, 32, 32)
    assert torch.equal(shown[0]["image"], shown[2]["image"]) and not torch.equal(shown[0]["image"], shown[1]["image"])
    other = task.load_batch(replace(SPOTS, images=SPOTS.images[::-1]), task.epoch_batches(SPOTS.part([1]), 0)[0])
    assert other["image"].shape == (4, 3, 32, 32)


@pytest.mark.parametrize("views", [1, 4])
def test_mirrored_views_are_averaged_in_the_test(views):
    torch.manual_seed(0)
    task = create_task(RECIPE.replace(test_flips=views == 4))
    image, statistics = SPOTS.images[0], SPOTS.statistics[0]
    logits, mirrored = (task.predict(i, statistics)["logits"] for i in (image, image.flip(2)))
    assert torch.allclose(logits, mirrored.flip(2), atol=1e-5) == (views == 4)
    assert task.training  # as it was before
    both = task.predict(torch.stack([image, image.flip(2)]), torch.stack([statistics] * 2))["logits"]
    torch.testing.assert_close(both, torch.stack([logits, mirrored]))
