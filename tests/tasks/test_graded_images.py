"""Photographs with grades, some with masks: what is read, what leaks and is left out, in which order it is shown."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fundus_lib.data import splits
from fundus_lib.data.field_of_view import statistics
from fundus_lib.data.field_square import FieldSquare
from fundus_lib.data.idrid import IDRiDGrading, IDRiDSegmentation
from fundus_lib.errors import ArgumentError
from fundus_lib.recipes.sunet import CONTROL, MIXED, MIXED_CONTROL, plain, sunet
from fundus_lib.tasks import graded_images
from fundus_lib.tasks.experiment import Source
from fundus_lib.tasks.graded_batches import Batches, BatchesModule
from fundus_lib.tasks.graded_images import GradedImages, draw_graded, read_graded
from helpers.graded_images import photographs

RECIPE = sunet("r", side=32, batch=2)


def numbers(batches: Batches) -> list[list[int]]:
    return [batches[i]["image"][:, 0, 0, 0].tolist() for i in range(len(batches))]


def test_a_batch_holds_each_image_with_its_own_grades_and_masks():
    shown = photographs()
    batch = shown.batch([8, 1, 9])
    assert batch["image"][:, 0, 0, 0].tolist() == [8, 1, 9]
    assert (batch["dr"].tolist(), batch["dme"].tolist()) == ([3, 1, -1], [2, 1, -1])
    assert batch["masked"].tolist() == [0, 2]
    assert torch.equal(batch["mask"][[0, 2]], shown.masks[[1, 2]]) and not batch["mask"][1].any()
    assert not {"mask", "masked"} & shown.batch([0, 1]).keys()
    assert (shown.with_masks, shown.without_masks) == ([7, 8, 9], [*range(7)])


def test_in_turn_each_image_without_masks_comes_once_and_those_with_masks_again_and_again():
    shown = photographs(12, 5)
    for epoch in range(5):
        order = numbers(Batches(shown, batch=3, order="alternate", epoch=epoch))
        assert len(order) == 8
        assert sorted(n for batch in order[::2] for n in batch) == [*range(12)]
        times = np.bincount([n for batch in order[1::2] for n in batch], minlength=17)[12:]
        assert times.sum() == 12 and times.max() - times.min() <= 1
    batches = Batches(shown, batch=3, order="alternate")
    assert ["mask" in batches[i] for i in range(8)] == [False, True] * 4
    assert all(batches[i]["masked"].tolist() == [0, 1, 2] for i in range(1, 8, 2))


@pytest.mark.parametrize("order", ["once", "mixed"])
def test_once_and_mixed_show_each_image_once(order):
    shown = photographs(12, 6)
    seen, pure = set(), []
    for epoch in range(10):
        made = numbers(Batches(shown, batch=3, order=order, epoch=epoch))
        assert sorted(n for batch in made for n in batch) == [*range(18)]
        seen.add(str(made))
        pure += [len({n >= 12 for n in batch}) == 1 for batch in made]
    assert len(seen) == 10
    assert all(pure) == (order == "once")


def test_what_does_not_fill_a_batch_waits_for_another_epoch():
    shown = photographs(7, 3)
    left_out = set()
    for epoch in range(30):
        made = numbers(Batches(shown, batch=3, order="mixed", epoch=epoch))
        assert [len(batch) for batch in made] == [3, 3, 3]
        left_out |= set(range(10)) - {n for batch in made for n in batch}
    assert left_out == set(range(10))


def test_the_order_depends_on_seed_and_epoch_alone():
    shown = photographs(12, 5)

    def made(**settings):
        return numbers(Batches(shown, batch=3, order="alternate", **settings))

    assert made(seed=1, epoch=2) == made(seed=1, epoch=2)
    assert made(seed=1, epoch=2) != made(seed=1, epoch=3) != made(seed=2, epoch=2)


def test_only_one_kind_of_image():
    assert len(Batches(photographs(8, 0), batch=3, order="alternate")) == 2
    assert len(Batches(photographs(0, 8), batch=3, order="alternate")) == 2
    with pytest.raises(ArgumentError, match="2 images without masks, 3 with, for a batch of 4"):
        Batches(photographs(2, 3), batch=4, order="once")
    with pytest.raises(IndexError):
        Batches(photographs(8, 0), batch=3, order="once")[2]


@pytest.mark.parametrize(
    ("recipe", "other"), [(sunet("r"), CONTROL), (MIXED, MIXED_CONTROL), (MIXED_CONTROL, plain("dr_dme"))]
)
def test_with_and_without_the_lesions_loss_the_same_images_come_in_the_same_order(recipe, other):
    shown = photographs(12, 5)
    for epoch in range(3):
        first, second = (BatchesModule(r.replace(batch=4), shown).batches(epoch).batches for r in (recipe, other))
        assert first == second


def test_two_processes_share_each_batch():
    module = BatchesModule(RECIPE.replace(batch=4), photographs(12, 5))
    module.trainer = SimpleNamespace(world_size=1, global_rank=0, current_epoch=1)
    alone = [batch["image"][:, 0, 0, 0].tolist() for batch in module.train_dataloader()]
    module.trainer.world_size = 2
    shares = []
    for module.trainer.global_rank in (0, 1):
        shares.append([batch["image"][:, 0, 0, 0].tolist() for batch in module.train_dataloader()])
    assert [[a for pair in zip(*both, strict=True) for a in pair] for both in zip(*shares, strict=True)] == alone
    module.trainer.world_size = 3
    with pytest.raises(ArgumentError, match="batch of 4 for 3 processes"):
        module.train_dataloader()


def test_drawn_photographs_come_first_and_for_as_long_as_the_recipe_says():
    drawn = replace(photographs(0, 6), images=torch.full((6, 3, 32, 32), 250, dtype=torch.uint8))
    recipe = RECIPE.replace(pretraining_images=6, pretraining_epochs=2)
    module = BatchesModule(recipe, photographs(), drawn)
    assert [numbers(module.batches(epoch))[0][0] == 250 for epoch in range(4)] == [True, True, False, False]


@pytest.fixture(scope="module")
def read(graded_root):
    return read_graded(RECIPE, graded_root)


def test_what_leaks_is_neither_trained_on_nor_chosen_by(read, graded_root):
    training, validation, test, pictures = read
    leaks = set(splits.grading_leaks(graded_root, "train")["name"])
    both = splits.overlap(graded_root)
    assert len(leaks) >= 4 and {"train", "test"} == set(both.segmentation_split) == set(both.grading_split)
    everything = IDRiDGrading(graded_root, "train").names
    graded = {n for n in training.names if n.startswith("IDRiD_")}
    assert graded | set(validation.names) == set(everything) - leaks
    assert not graded & set(validation.names) and len(validation) == round(0.15 * (24 - len(leaks)))
    leaking = set(splits.segmentation_leaks(graded_root, "train")["name"])
    assert len(leaking) == 1 and len(training.masks) == 6 >= len(training.with_masks) >= 3
    assert not any(name.startswith("test ") or name.removeprefix("ungraded ") in leaking for name in training.names)
    assert (len(test), len(pictures)) == (6, 3)
    assert test.names == tuple(IDRiDGrading(graded_root, "test").names)
    assert len(set(training.names)) == len(training)
    images = [{image.numpy().tobytes() for image in part.images} for part in read]
    assert len(set().union(*images[:3])) == sum(map(len, images[:3]))
    assert not images[0] & images[3]


def test_the_masks_of_validation_images_are_not_trained_on(read, graded_root):
    training, validation, _, _ = read
    both = splits.overlap(graded_root)
    twins = both[(both.segmentation_split == "train") & (both.grading_split == "train")]
    held_out = set(twins.grading) & set(validation.names)
    assert held_out, "with this seed one of them validates"
    with_masks = {training.names[i] for i in training.with_masks}
    assert set(twins.grading) - held_out == {n for n in with_masks if not n.startswith("ungraded")}
    assert len(with_masks) == 5 - len(held_out)


def test_an_image_with_masks_has_its_own_masks_and_the_grades_of_the_grading_part(read, graded_root):
    training = read[0]
    square = FieldSquare(32)
    masked = IDRiDSegmentation(graded_root, "train", size=square.source_size, transform=square, cache=False)
    both = splits.overlap(graded_root)
    twins = {t.grading: t.segmentation for t in both.itertuples() if t.grading_split == t.segmentation_split == "train"}
    graded = IDRiDGrading(graded_root, "train")
    grades = dict(zip(graded.names, zip(graded.dr, graded.dme, strict=True), strict=True))
    for i, name in enumerate(training.names):
        assert (training.dr[i], training.dme[i]) == grades.get(name, (-1, -1))
        own = training.mask_of[i]
        assert (own >= 0) == (name in twins or name.startswith("ungraded"))
        if own >= 0:
            sample = masked[masked.names.index(twins.get(name, name.removeprefix("ungraded ")))]
            assert torch.equal(training.masks[own], sample["mask"].as_subclass(torch.Tensor))
            assert torch.equal(training.images[i], sample["image"].as_subclass(torch.Tensor))
        torch.testing.assert_close(training.statistics[i], statistics(training.images[i].permute(1, 2, 0).numpy()))


def test_with_leaks_all_are_kept_under_the_grades_that_they_have(graded_root, read):
    training, validation, test, _ = read_graded(RECIPE.replace(leaks=True), graded_root)
    assert validation.names == read[1].names, "with leaks and without, the epoch is chosen on the same images"
    named = [n for n in training.names if n.startswith("IDRiD_")]
    assert set(named) | set(validation.names) == set(IDRiDGrading(graded_root, "train").names)
    (leak,) = (i for i, name in enumerate(training.names) if name.startswith("test "))
    twin = test.names.index(training.names[leak].removeprefix("test "))
    assert (training.dr[leak], training.dme[leak]) == (test.dr[twin], test.dme[twin])
    assert training.mask_of[leak] >= 0


def test_without_a_validation_share_all_are_trained_on(graded_root):
    training, validation, _, _ = read_graded(RECIPE.replace(leaks=True, validation=0), graded_root)
    assert len(validation) == 0
    assert {n for n in training.names if n.startswith("IDRiD_")} == set(IDRiDGrading(graded_root, "train").names)
    assert len(training.with_masks) == len(training.masks) == 6
    with pytest.raises(ArgumentError, match="validation=1: a share below 1"):
        RECIPE.replace(validation=1)


def test_fewer_masks_are_some_of_more_and_their_images_stay(graded_root, read):
    before: set[str] = set()
    without = RECIPE.replace(model_args={"regulariser": False})  # with one, there must be something to learn
    for masks in (0, 1, 2, 3):
        recipe = (RECIPE if masks else without).replace(masks=masks)
        training = read_graded(recipe, graded_root)[0]
        now = {training.names[i] for i in training.with_masks}
        assert len(now) == masks and before <= now
        assert {n for n in training.names if n.startswith("IDRiD")} == {
            n for n in read[0].names if n.startswith("IDRiD")
        }
        before = now


def test_a_regulariser_without_masks_is_refused():
    with pytest.raises(ArgumentError, match="masks=0"):
        RECIPE.replace(masks=0)


def test_counts_can_be_cut_for_a_trial(graded_root):
    recipe = RECIPE.replace(train_images=12, test_images=4, mask_images=2)
    training, validation, test, pictures = read_graded(recipe, graded_root)
    assert (len(validation), len(test), len(pictures)) == (2, 4, 2)
    assert 10 <= len(training) <= 12 and len(training.with_masks) <= 2


def test_pretraining_photographs_have_grades_and_masks_and_are_others_for_each_seed():
    recipe = RECIPE.replace(pretraining_images=4, pretraining_epochs=1, lesions=("EX", "HE"))
    drawn, again, other = (draw_graded(recipe.replace(seed=seed)) for seed in (0, 0, 1))
    assert drawn.images.shape == (4, 3, 32, 32) and drawn.masks.shape == (4, 2, 32, 32)
    assert (drawn.dr >= 0).all() and (drawn.dme >= 0).all() and drawn.with_masks == [0, 1, 2, 3]
    assert drawn.source.fingerprint == again.source.fingerprint != other.source.fingerprint
    assert draw_graded(RECIPE) is None


@pytest.mark.real_data
def test_idrid_has_390_images_without_leaks_42_of_them_with_masks_and_9_with_masks_alone(idrid_root, monkeypatch):
    """Counted on names and grades; the photographs themselves are not decoded for it."""

    def names_alone(data, root, count):
        items, masked = data.items[:count], bool(data.lesions)
        return GradedImages(
            tuple(item.name for item in items),
            torch.zeros(len(items), 3, 1, 1, dtype=torch.uint8),
            torch.zeros(len(items), 2, 3),
            torch.tensor([item.dr for item in items]),
            torch.tensor([item.dme for item in items]),
            torch.zeros(len(items) * masked, 4, 1, 1, dtype=torch.uint8),
            torch.arange(len(items)) if masked else torch.full((len(items),), -1),
            Source("IDRiD", "0", len(items)),
        )

    monkeypatch.setattr(graded_images, "_images", names_alone)
    training, validation, test, pictures = read_graded(RECIPE, idrid_root)
    graded = {n for n in training.names if n.startswith("IDRiD")} | set(validation.names)
    assert (len(graded), len(test), len(pictures), len(validation)) == (390, 103, 27, 58)
    both = splits.overlap(idrid_root)
    twins = set(both[(both.segmentation_split == "train") & (both.grading_split == "train")].grading)
    with_masks = {training.names[i] for i in training.with_masks}
    alone = {n for n in with_masks if n.startswith("ungraded")}
    assert len(twins & graded) == 42 and len(alone) == 9
    assert with_masks - alone == twins - set(validation.names)
    assert len(training) == 390 - 58 + 9
    assert (training.dr[[n in alone for n in training.names]] == -1).all()
    leaking = read_graded(RECIPE.replace(leaks=True), idrid_root)
    named = {n for n in leaking[0].names if n.startswith("IDRiD")} | set(leaking[1].names)
    assert len(named) == 413 and sum(n.startswith("test ") for n in leaking[0].names) == 3
    assert leaking[1].names == validation.names
    everything = read_graded(RECIPE.replace(leaks=True, validation=0), idrid_root)[0]
    assert (len(everything), len(everything.with_masks)) == (413 + 9 + 3, 54)
