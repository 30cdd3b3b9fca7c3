"""hecl's training: whole images and crops, what is minimised, the rates, and moments that are forgotten."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fundus_lib.data import IDRiDSegmentation
from fundus_lib.data.images import inflate_mask, resize_image, resize_mask
from fundus_lib.errors import ArgumentError
from fundus_lib.experiment import create_task, read_data
from fundus_lib.losses import CrossEntropy, HECLCriterion
from fundus_lib.recipes import HECLRecipe, recipes
from fundus_lib.tasks.hecl import UNCHANGED
from helpers.images import squares

WHOLE = HECLRecipe(
    paper="hecl",
    table="t",
    row="r",
    size=(48, 72),
    square=60,
    crop=40,
    batch=2,
    epochs=4,
    halve_after=2,
    weight_decay=0.0,
    normalise_by="none",
    colour_jitter=0.5,
    model_args={"width": 4, "depth": 2},
    criterion={"terms": ("density", "edge")},
    precision="32",
)
SPOTS = squares(5, (48, 60))


def task_of(recipe):
    torch.manual_seed(0)
    task = create_task(recipe)
    task.statistics = UNCHANGED.clone()
    task.log_dict = lambda values, **_: shown.update(values)
    shown.clear()
    return task


shown: dict[str, torch.Tensor] = {}


def test_an_epoch_shows_every_image_once_in_full_batches():
    task = task_of(WHOLE)
    epochs = [task.epoch_batches(SPOTS, epoch) for epoch in (0, 1, 0)]
    assert epochs[0] == epochs[2] != epochs[1]
    for batches in epochs:
        assert [len(batch) for batch in batches] == [2, 2] and len({n for batch in batches for n in batch}) == 4
    batch = task.load_batch(SPOTS, epochs[0][0])
    images, masks = task.augment(batch)
    assert images.shape == (2, 3, 40, 40) and masks.shape == (2, 1, 40, 40) and 0 <= images.min() < images.max() <= 1
    assert set(masks.unique().tolist()) <= {0, 1}


def test_what_is_minimised_is_the_loss_with_or_without_terms():
    batch = SPOTS.batch(range(3))
    for terms in ({}, {"terms": ("edge",)}, {"terms": ("density", "edge"), "alpha": 0.5, "dense": 0.02}):
        task = task_of(WHOLE.replace(square=0, crop=32, colour_jitter=0.0, criterion=terms))
        loss = task.training_step(batch, 0)
        assert shown.keys() == {"loss", *terms.get("terms", ())} and all(not v.requires_grad for v in shown.values())
        output = task.model(task.prepare(batch["image"]), keep=("features",))
        mask = {"mask": batch["mask"].float()}
        plain = CrossEntropy()(output["logits"], mask["mask"])
        wanted = HECLCriterion(**terms)(output, mask)["total"] if terms else plain
        torch.testing.assert_close(loss, wanted)
        loss.backward()
        assert next(task.model.parameters()).grad.any()


def test_the_rate_is_halved_and_without_that_it_is_one_cycle():
    task = task_of(WHOLE)
    found = task.optimise(8)
    rates = []
    for _ in range(5):
        rates.append(found["optimizer"].param_groups[0]["lr"])
        found["optimizer"].step()
        found["lr_scheduler"].step()
    assert [rate / WHOLE.learning_rate for rate in rates] == [1, 1, 0.5, 0.5, 0.25]
    assert task_of(WHOLE.replace(halve_after=0)).optimise(8)["lr_scheduler"]["interval"] == "step"
    assert task.clip == 1 and task_of(WHOLE.replace(clip=0.0)).clip is None


@pytest.mark.parametrize("renew", [True, False])
def test_moments_are_forgotten_where_the_recipe_says_so(renew):
    task = task_of(WHOLE.replace(renew=renew))
    optimizer = task.optimise(8)["optimizer"]
    task.training_step(SPOTS.batch([0, 1]), 0).backward()
    optimizer.step()
    task._trainer = SimpleNamespace(optimizers=[optimizer])
    task.on_train_epoch_start()
    assert bool(optimizer.state) != renew


def test_the_images_of_a_recipe(synthetic_root):
    """Those of IDRiD are 3:2, and so are these."""
    data = read_data(WHOLE.replace(validation=1), synthetic_root)
    assert (len(data.training), len(data.validation), len(data.test)) == (3, 1, 3)
    assert {tuple(i.shape) for i in data.training.images} == {(3, 48, 60)}
    assert {tuple(m.shape) for part in (data.validation, data.test) for m in part.masks} == {(1, 60, 60)}
    train = {name for part in (data.training, data.validation) for name in part.names}
    assert train == set(IDRiDSegmentation(synthetic_root, "train").names)
    raw = IDRiDSegmentation(synthetic_root, "train", lesions=("EX",))  # 240×360, of which 302 columns count
    own = raw[raw.names.index(data.training.names[0])]
    middle = own["image"][..., 17:319].permute(1, 2, 0).contiguous().numpy()
    small = torch.from_numpy(resize_image(middle, (48, 60))).permute(2, 0, 1)
    assert torch.equal(data.training.images[0], small)
    wanted = resize_mask(own["mask"][0, :, 17:319].contiguous().numpy(), (48, 60))
    assert np.array_equal(data.training.masks[0][0].numpy(), wanted)
    square = data.test.images[0]
    assert not square[:, :5].any() and not square[:, 55:].any() and square[:, 7:53].any()
    crops = read_data(WHOLE.replace(square=0, crop=40), synthetic_root)
    assert {tuple(i.shape) for i in (*crops.training.images, *crops.test.images)} == {(3, 48, 72)}
    for fold in (1, 2):
        folded = read_data(WHOLE.replace(fold=(fold, 2)), synthetic_root)
        assert not set(folded.test.names) & set(folded.training.names) and len(folded.test) == 2


def test_inflated_masks_hold_more(synthetic_root):
    half, inflated = (read_data(WHOLE.replace(masks=kind), synthetic_root) for kind in ("half", "inflated"))
    for part in ("training", "test"):
        small, large = (torch.stack(getattr(data, part).masks) for data in (half, inflated))
        assert bool((large >= small).all()) and large.sum() > 1.2 * small.sum()
    mask = IDRiDSegmentation(synthetic_root, "train", lesions=("EX",)).mask(0)[0]
    assert (inflate_mask(mask, (24, 36)) >= resize_mask(mask, (24, 36))).all()
    assert (inflate_mask(mask, mask.shape) == mask).all()


def test_impossible_settings_are_refused():
    for changes, words in (
        ({"square": 0, "masks": "inflated"}, "whole images"),
        ({"crop": 61}, "middle columns"),
        ({"train_on": "SyntheticFundus", "train_images": 3}, "synthetic"),
        ({"pretraining_images": 3, "pretraining_epochs": 1}, "synthetic"),
    ):
        with pytest.raises(ArgumentError, match=words):
            WHOLE.replace(**changes)


def test_the_papers_rows():
    for row in (*recipes("hecl", "1"), *recipes("hecl", "2"), *recipes("hecl", "code")):
        assert (row.epochs, row.batch, row.learning_rate, row.halve_after, row.crop) == (300, 6, 3e-4, 100, 512)
        assert row.size == (580, 873) and row.square in (733, 512)  # 3600 of 4288 columns at 580/2848
    both = recipes("hecl", "2", "unetpp_hecl")[0]
    assert HECLCriterion(**both.criterion).terms == ("density", "edge")
