"""Crops, normalisation, and the task that learns from them."""

import dataclasses

import lightning as L
import numpy as np
import pytest
import torch

from fundus_lib.data.field_of_view import bounding_box, field_of_view, statistics
from fundus_lib.data.patches import Crops
from fundus_lib.errors import ArgumentError
from fundus_lib.losses import create_loss
from fundus_lib.recipes import SegmentationRecipe
from fundus_lib.tasks.arrays import Arrays, CropsModule, validation_split
from fundus_lib.tasks.base import normalise
from fundus_lib.tasks.segmentation import Segmentation, breakeven_threshold, evaluate, jitter, size_edges

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


def bright_spots(count: int = 4) -> Arrays:
    """Dark noise with bright squares, which are the lesions; the last image has none."""
    rng = np.random.default_rng(0)
    masks = torch.zeros(count, 1, 48, 64, dtype=torch.uint8)
    for mask in masks[:-1]:
        for _ in range(3):
            top, left = rng.integers(40), rng.integers(56)
            mask[0, top : top + 6, left : left + 6] = 1
    noise = torch.from_numpy(rng.integers(40, 90, (count, 3, 48, 64), dtype=np.uint8))
    images = noise + 100 * masks
    colours = torch.tensor([[70.0, 70, 70], [20, 20, 20]]).expand(count, 2, 3)
    return Arrays(images, masks, colours, 64.0, "spots", "0")


def crops(arrays: Arrays, **settings) -> Crops:
    settings = {"crop": 16, "length": 60, **settings}
    return Crops(arrays.images, arrays.masks, arrays.statistics, **settings)


def test_crops_depend_on_seed_epoch_and_number_alone():
    one, again = crops(bright_spots(), seed=1, epoch=2), crops(bright_spots(), seed=1, epoch=2)
    assert all(torch.equal(one[i][key], again[i][key]) for i in (7, 3, 7) for key in one[0])
    for other in (crops(bright_spots(), seed=2, epoch=2), crops(bright_spots(), seed=1, epoch=3)):
        assert sum(torch.equal(one[i]["image"], other[i]["image"]) for i in range(20)) < 3


def test_crop_and_mask_are_cut_and_turned_alike():
    for item in crops(bright_spots()):
        assert item["image"].shape == (3, 16, 16) and item["mask"].shape == (1, 16, 16)
        assert torch.equal((item["image"][0] > 95).to(torch.uint8), item["mask"][0])


def test_lesion_share():
    def with_lesion(share):
        return np.mean([bool(item["mask"].any()) for item in crops(bright_spots(), lesion_share=share, length=200)])

    assert with_lesion(1.0) == 1.0
    assert with_lesion(0.0) < with_lesion(0.5) < 1.0


def test_crops_of_images_without_any_lesion_lie_anywhere():
    arrays = bright_spots()
    empty = dataclasses.replace(arrays, masks=torch.zeros_like(arrays.masks))
    assert not any(item["mask"].any() for item in crops(empty, lesion_share=1.0))


def test_crops_refuse_what_does_not_fit():
    with pytest.raises(ArgumentError, match="crop 49"):
        crops(bright_spots(), crop=49)


def test_field_of_view_statistics_do_not_see_the_border():
    image = np.full((60, 90, 3), 3, np.uint8)
    rows, columns = np.ogrid[:60, :90]
    disc = (rows - 30) ** 2 + (columns - 40) ** 2 < 25**2
    image[disc] = (180, 90, 30)
    image[28:32, 38:42] = 5  # something dark within is still retina
    image[2:4, 85:88] = 200  # a label in the corner is not
    field = field_of_view(image)
    assert bounding_box(field) == (slice(6, 55), slice(16, 65))
    assert abs(int(field.sum()) - int(disc.sum())) < 0.02 * disc.sum()
    mean, deviation = statistics(image)
    assert mean.tolist() == pytest.approx([180, 90, 30], rel=0.05)
    assert deviation.min() >= 1


def test_a_black_photograph_has_no_field_of_view():
    with pytest.raises(ArgumentError, match="no retina"):
        field_of_view(np.zeros((20, 30, 3), np.uint8))


def test_normalise_and_jitter():
    images = torch.full((2, 3, 4, 4), 120, dtype=torch.uint8)
    colours = torch.tensor([[[100.0, 120, 140], [10, 10, 20]]]).expand(2, 2, 3)
    normal = normalise(images, colours)
    assert normal[0, :, 0, 0].tolist() == [2.0, 0.0, -1.0]
    assert jitter(normal, 0.0) is normal
    torch.manual_seed(0)
    varied = jitter(normal, 0.3)
    assert not torch.equal(varied[0], varied[1])
    assert (varied - normal).abs().max() <= 0.3 * 2 + 0.3


def test_the_task_learns_and_evaluates():
    arrays = bright_spots()
    torch.manual_seed(0)
    task = Segmentation(RECIPE)
    before = evaluate(task, arrays)
    trainer = L.Trainer(
        accelerator="cpu",
        max_epochs=RECIPE.epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        reload_dataloaders_every_n_epochs=1,
    )
    trainer.fit(task, CropsModule(RECIPE, arrays))
    after = evaluate(task, arrays)
    assert after["EX_aupr"] > 0.95 > before["EX_aupr"]
    assert after["EX_prevalence"] == pytest.approx(float(arrays.masks.float().mean()))
    assert after["EX_aupr_image_mean"] > 0.9  # the image without lesion does not count
    assert 0 < after["EX_iou"] < after["EX_f1"] <= 1


class Painted(Segmentation):
    """A task whose logits are the first channel of the image, so that a test says what was found."""

    def logits(self, image, statistics):
        return image[:1].float() - 100


def test_recall_by_size_and_the_break_even_threshold():
    """On 480×720, where lesions of 7 pixels are medium and of 35 large: three lesions, one of each size."""
    masks = torch.zeros(2, 1, 480, 720, dtype=torch.uint8)
    scores = torch.full((2, 1, 480, 720), 40, dtype=torch.uint8)
    masks[0, 0, 10, 10:16] = 1  # small: 6 pixels, all below one half, one above every pixel of background
    scores[0, 0, 10, 10:16] = torch.tensor([90, 60, 41, 41, 41, 41])
    masks[0, 0, 100, 20:27] = 1  # medium: 7 pixels, 3 above one half
    scores[0, 0, 100, 20:27] = torch.tensor([130, 130, 130, 41, 41, 41, 41])
    masks[1, 0, 200:205, 30:37] = 1  # large: 35 pixels, all above
    scores[1, 0, 200:205, 30:37] = 200
    scores[1, 0, 300, 0:3] = 120  # false alarms
    colours = torch.zeros(2, 2, 3)
    task = Painted(RECIPE.replace(size=(480, 720)))
    found = evaluate(task, Arrays(scores.expand(2, 3, 480, 720), masks, colours, 700.0, "painted", "0"))
    sizes = ("small", "medium", "large")
    assert [found[f"EX_lesions_{size}"] for size in sizes] == [1, 1, 1]
    assert [found[f"EX_recall_{size}"] for size in sizes] == [0, 1, 1]
    assert [found[f"EX_pixel_recall_{size}"] for size in sizes] == pytest.approx([0, 3 / 7, 1])
    assert found["EX_sensitivity"] == pytest.approx(38 / 48)
    # 48 pixels are lesion; the 48 highest scores are 35 + 3 + 3 false + 2 of the small lesion + 5 at 41, of which there
    # are 8, and equal scores are called alike
    assert found["EX_breakeven"] == 1.0
    assert [found[f"EX_breakeven_pixel_recall_{size}"] for size in sizes] == [1, 1, 1]
    assert breakeven_threshold(torch.from_numpy(scores.numpy().astype(np.float32)), masks) == 41
    assert found["EX_mean_score"] == pytest.approx((scores.double() - 100).sigmoid().mean().item(), abs=1e-6)


def test_break_even_calls_as_many_pixels_as_are_lesion():
    rng = np.random.default_rng(0)
    scores, mask = torch.from_numpy(rng.normal(size=(2, 40, 50))), torch.from_numpy(rng.random((2, 40, 50)) < 0.1)
    called = scores >= breakeven_threshold(scores, mask)
    assert called.sum() == mask.sum() > 0
    assert breakeven_threshold(scores, torch.zeros_like(mask)) == float("inf")


def test_size_classes_are_shares_of_the_image():
    assert size_edges(480, 720) == (7, 35)
    assert size_edges(2848, 4288) == (245, 1222)
    assert size_edges(10, 10) == (1, 2)  # however small the image, one class ends before the next begins


def test_the_loss_of_the_recipe_is_what_is_trained():
    arrays = bright_spots()
    batch = {"image": arrays.images, "mask": arrays.masks, "statistics": arrays.statistics}
    for name, settings in (("crossentropy", {}), ("dice", {"pool": "batch"}), ("focal", {"gamma": 1.0})):
        torch.manual_seed(0)
        task = Segmentation(RECIPE.replace(loss=name, loss_args=settings))
        task.log = lambda *args, **kwargs: None
        logits = task(arrays.images, arrays.statistics)
        expected = create_loss(name, **settings)(logits, arrays.masks.float())
        torch.testing.assert_close(task.training_step(batch, 0), expected)
    assert not torch.allclose(expected, create_loss("crossentropy")(logits, arrays.masks.float()))


def test_flips_at_test_time_average_mirror_images():
    arrays = bright_spots(2)
    torch.manual_seed(0)
    task = Segmentation(RECIPE.replace(test_flips=True))
    logits = task.logits(arrays.images[0], arrays.statistics[0])
    mirrored = task.logits(arrays.images[0].flip(2), arrays.statistics[0]).flip(2)
    torch.testing.assert_close(logits, mirrored)
    assert task.training  # as it was before


def test_validation_images_are_apart_from_training_images():
    arrays = dataclasses.replace(bright_spots(10), images=torch.arange(10).reshape(10, 1, 1, 1).expand(10, 3, 48, 64))
    train, validation = validation_split(RECIPE.replace(validation_images=3), arrays)
    numbers = [set(part.images[:, 0, 0, 0].tolist()) for part in (train, validation)]
    assert (len(numbers[0]), len(numbers[1])) == (7, 3)
    assert numbers[0] | numbers[1] == set(range(10))
