"""The images of an experiment: divided, joined, batched; shown epoch by epoch; and never those that are tested on."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fundus_lib.data import IDRiDSegmentation
from fundus_lib.data.epochs import EpochsModule, cut_into_batches
from fundus_lib.data.field_of_view import statistics
from fundus_lib.data.image_set import ImageSet
from fundus_lib.data.sample import FIRST_TRAINING_SEED
from fundus_lib.data.synthetic import make_idrid
from fundus_lib.errors import ArgumentError
from fundus_lib.experiment import create_experiment
from fundus_lib.recipes import SegmentationRecipe
from fundus_lib.recipes.dual_branch import single
from fundus_lib.recipes.sunet import sunet
from fundus_lib.run import run
from helpers.images import graded, image_set, squares


def firsts(images: ImageSet) -> list[int]:
    return [int(image[0, 0, 0]) for image in images.images]


def same(one: ImageSet, other: ImageSet) -> bool:
    return one.names == other.names and firsts(one) == firsts(other) and one.dr.tolist() == other.dr.tolist()


def test_samples_are_read_with_what_is_known_of_them(synthetic_root):
    data = IDRiDSegmentation(synthetic_root, "train", lesions=("EX",), size=(60, 90))
    full = IDRiDSegmentation(synthetic_root, "train", lesions=("EX",), cache=False)
    images = ImageSet.read(data, "synthetic", data.fingerprint(), full=full.mask, count=3)
    assert (len(images), images.names, images.title) == (3, tuple(data.names[:3]), "synthetic")
    assert images.fingerprint == data.fingerprint(), "that of all, of which these are a part"
    for n in range(3):
        assert torch.equal(images.images[n], data[n]["image"]) and torch.equal(images.masks[n], data[n]["mask"])
        assert np.array_equal(images.full_masks[n](), full.mask(n)) and full.mask(n).shape == (1, 240, 360)
        torch.testing.assert_close(images.statistics[n], statistics(data[n]["image"].permute(1, 2, 0).numpy()))
    assert 60 < images.field_width < 90
    assert ImageSet.read(data, "t").fingerprint == ImageSet.read(data, "u").fingerprint != images.fingerprint
    assert ImageSet.read(data, "t", masks=False).with_masks == []
    assert len(ImageSet.read(data, "t", "0", count=0)) == 0


def test_a_part_has_all_of_each_of_its_images_and_copies_none():
    images = graded()
    part = images.part([9, 2])
    assert firsts(part) == [9, 2] and part.names == ("image 9", "image 2") and part.dr.tolist() == [-1, 2]
    assert (part.with_masks, part.without_masks) == ([0], [1])
    assert part.images[0] is images.images[9] and part.fingerprint == images.fingerprint
    assert np.array_equal(part.full_masks[0](), images.masks[9].numpy()) and part.full_masks[1] is None
    assert images.first(None) is images is images.first(10) and firsts(images.first(2)) == [0, 1]


def test_joined_sets_stand_one_after_the_other_under_a_fingerprint_of_both():
    one, other = graded(2, 1), graded(1, 2)
    both = one.join(other)
    assert firsts(both) == [0, 1, 2, 0, 1, 2] and both.with_masks == [2, 4, 5]
    assert both.dr.tolist() == one.dr.tolist() + other.dr.tolist() and both.statistics.shape == (6, 2, 3)
    assert both.fingerprint not in (one.fingerprint, "")
    assert same(both.part([3, 4, 5]), other)


@pytest.mark.parametrize("way", [{"count": 3}, {"fraction": 0.3}, {"fold": (2, 3)}])
def test_what_is_held_out_is_random_and_the_same_every_time(way):
    images = squares(10)
    rest, held_out = images.hold_out(**way)
    assert (len(rest), len(held_out)) == (7, 3)
    assert sorted(firsts(rest) + firsts(held_out)) == [*range(10)]
    assert firsts(rest) == sorted(firsts(rest)) and firsts(held_out) not in ([0, 1, 2], [7, 8, 9])
    again = images.hold_out(**way)
    assert same(again[0], rest) and same(again[1], held_out)


def test_nothing_held_out_of_names_that_never_are_nor_by_no_or_two_ways():
    images = squares(10)
    never = ("image 1", "image 2", "image 8")
    for fraction in (0.3, 0.5, 0.9):
        rest, held_out = images.hold_out(fraction=fraction, never=never)
        assert set(never) <= set(rest.names) and len(held_out) == round(7 * fraction)
    assert len(images.hold_out(fraction=0)[1]) == len(images.hold_out(0)[1]) == 0
    with pytest.raises(ArgumentError, match="one way"):
        images.hold_out()
    with pytest.raises(ArgumentError, match="one way"):
        images.hold_out(2, fold=(1, 2))
    with pytest.raises(ArgumentError, match="10 of 10"):
        images.hold_out(10)


def test_folds_are_parts_stratified_by_grade():
    """Each grade is spread as evenly over the folds as its images allow."""
    rng = np.random.default_rng(0)
    grades = rng.permutation([0] * 20 + [1] * 7 + [2] * 13 + [3] * 10).tolist()
    images = image_set([torch.full((3, 4, 4), n, dtype=torch.uint8) for n in range(50)], dr=grades)
    folds = [images.hold_out(fold=(k, 5)) for k in range(1, 6)]
    assert sorted(n for _, part in folds for n in firsts(part)) == [*range(50)]
    for rest, part in folds:
        assert len(part) == 10 and not set(firsts(part)) & set(firsts(rest)) and len(rest) == 40
    counts = np.stack([np.bincount(part.dr, minlength=4) for _, part in folds])
    assert (counts.max(0) - counts.min(0) <= 1).all()
    with_unknown = image_set(images.images, dr=[-1, *grades[1:]])
    parts = [with_unknown.hold_out(fold=(k, 5))[1] for k in range(1, 6)]
    assert sorted(n for part in parts for n in firsts(part)) == [*range(50)]


def test_a_batch_holds_each_image_with_its_own_grades_and_masks():
    images = graded()
    batch = images.batch([8, 1, 9])
    assert batch["image"][:, 0, 0, 0].tolist() == [8, 1, 9]
    assert (batch["dr"].tolist(), batch["dme"].tolist()) == ([3, 1, -1], [2, 1, -1])
    assert batch["masked"].tolist() == [0, 2] and batch["statistics"].shape == (3, 2, 3)
    assert torch.equal(batch["mask"][0], images.masks[8]) and torch.equal(batch["mask"][2], images.masks[9])
    assert not batch["mask"][1].any()
    assert not {"mask", "masked"} & images.batch([0, 1]).keys()
    assert (images.with_masks, images.without_masks) == ([7, 8, 9], [*range(7)])


def test_a_moved_set_lies_on_one_device_and_is_as_usable():
    device = torch.device("meta")  # stands for a GPU
    moved = squares(3, (16, 16)).to(device)
    held = [value if isinstance(value, tuple) else (value,) for value in vars(moved).values()]
    tensors = [tensor for values in held for tensor in values if torch.is_tensor(tensor)]
    assert len(tensors) == 3 + 3 + 4 and {tensor.device for tensor in tensors} == {device}
    assert len(moved.part([1, 0]).field_widths) == 2


def test_two_processes_share_out_each_batch_of_the_epoch_under_way():
    images = squares(12)

    def batches(of, epoch):
        return cut_into_batches(np.random.default_rng(epoch).permutation(len(of)).tolist(), 4, "here")

    def module(rank, processes):
        made = EpochsModule(images, batches, lambda of, items: [firsts(of)[n] for n in items], batch=4, first=3)
        device = SimpleNamespace(root_device=torch.device("cpu"))
        made.trainer = SimpleNamespace(world_size=processes, global_rank=rank, current_epoch=2, strategy=device)
        return made

    (alone, first, second) = (list(module(*part).train_dataloader()) for part in ((0, 1), (0, 2), (1, 2)))
    assert alone == batches(images, 3 + 2)
    assert [[n for pair in zip(a, b, strict=True) for n in pair] for a, b in zip(first, second, strict=True)] == alone
    with pytest.raises(ArgumentError, match="batch of 4 for 3 processes"):
        module(0, 3).train_dataloader()
    with pytest.raises(ArgumentError, match="3 items for a batch of 4"):
        cut_into_batches([1, 2, 3], 4, "here")
    assert cut_into_batches([*range(9)], 4, "here") == [[0, 1, 2, 3], [4, 5, 6, 7]]


SIZE = (64, 96)


@pytest.fixture(scope="module")
def same_size(tmp_path_factory):
    """Synthetic data at the very size at which recipes read it: equal images would be equal in every pixel."""
    root = tmp_path_factory.mktemp("same") / "IDRiD"
    return make_idrid(root, size=SIZE, seed=0, segmentation=(3, 3), grading=(8, 4), progress=False)


SMALL = {"size": SIZE, "epochs": 1, "batch": 2, "precision": "32"}
UNET = {"width": 4, "depth": 2}
DRAWN = SegmentationRecipe(
    **{"paper": "p", "table": "t", "row": "r", "train_on": "SyntheticFundus", "train_images": 7, "crop": 32},
    **{"steps": 1, "model_args": UNET},
    **SMALL,
)
PRETRAINED = {"pretraining_images": 7, "pretraining_epochs": 1}


@pytest.mark.parametrize(
    "recipe",
    [
        DRAWN,
        DRAWN.replace(train_on="IDRiD", train_images=2, **PRETRAINED),
        single("r", "unet", "dice", model_args=UNET, validation=0, **PRETRAINED, **SMALL),
        sunet("r", side=64, batch=2, validation=0, model_args={"backbone": "resnet18", "channels": 8}, **PRETRAINED),
    ],
    ids=["drawn", "pre-trained", "dual_branch", "sunet"],
)
def test_synthetic_training_images_are_no_test_images_of_a_synthetic_data_set(recipe, same_size):
    """Both have the seed 0, and image n of a seed is the same eye for training and for the data set on disk."""
    made = create_experiment(recipe, same_size)
    assert made.find_test_images_in_training() == []
    with_seed = create_experiment(recipe.replace(seed=3), same_size)
    assert not set(with_seed.data.test.hashes) & set((with_seed.data.synthetic or with_seed.data.training).hashes)


def test_no_seed_of_a_data_set_on_disk_is_one_of_training(tmp_path):
    """Which begin where those of data sets must end."""
    with pytest.raises(ArgumentError, match=f"seed={FIRST_TRAINING_SEED}"):
        make_idrid(tmp_path / "IDRiD", size=(32, 48), seed=FIRST_TRAINING_SEED, segmentation=(1, 1), grading=(1, 1))
    with pytest.raises(ArgumentError, match="seed=-1"):
        DRAWN.replace(seed=-1)


def test_a_copy_of_a_test_image_in_training_is_reported_and_recorded(same_size, tmp_path, monkeypatch, capsys):
    from fundus_lib.tasks import first_segmenter

    read = first_segmenter.read_data

    def planted(recipe, root):
        data = read(recipe, root)
        copy = data.test.part([1])
        return type(data)(data.training.join(copy), data.validation, data.test)

    monkeypatch.setattr(first_segmenter, "read_data", planted)
    recipe = DRAWN.replace(train_on="IDRiD", train_images=2)
    (name,) = planted(recipe, same_size).training.names[2:]
    record = run(recipe, same_size, tmp_path, device="cpu", progress=False)
    assert record["test_images_in_training"] == [name]
    assert f"1 test images are trained on: {name}" in capsys.readouterr().out


def test_a_number_below_1_is_a_fraction():
    images = ImageSet.synthetic(8, (48, 72), 0, lesions=("EX",))
    rest, held = images.hold_out(0.25)
    assert (len(rest), len(held)) == (6, 2) and held.names == images.hold_out(fraction=0.25)[1].names
    assert len(images.hold_out(3.0)[1]) == 3
