"""Training crops: drawn by number, around lesions as often as asked for."""

import numpy as np
import pytest
import torch

from fundus_lib.data.patches import Crops
from fundus_lib.errors import ArgumentError
from helpers.images import squares

SIZE = (48, 64)
SPOTS = squares(4, SIZE, empty=1)


def crops(images, **settings) -> Crops:
    settings = {"crop": 16, "length": 60, **settings}
    return Crops(images.images, images.masks, images.statistics, **settings)


def test_crops_depend_on_seed_epoch_and_number_alone():
    one, again = crops(SPOTS, seed=1, epoch=2), crops(SPOTS, seed=1, epoch=2)
    assert all(torch.equal(one[i][key], again[i][key]) for i in (7, 3, 7) for key in one[0])
    for other in (crops(SPOTS, seed=2, epoch=2), crops(SPOTS, seed=1, epoch=3)):
        assert sum(torch.equal(one[i]["image"], other[i]["image"]) for i in range(20)) < 3


def test_crop_and_mask_are_cut_and_rotated_alike():
    for item in crops(SPOTS):
        assert item["image"].shape == (3, 16, 16) and item["mask"].shape == (1, 16, 16)
        assert torch.equal((item["image"][0] > 95).to(torch.uint8), item["mask"][0])


def test_lesion_fraction():
    def with_lesion(fraction):
        return np.mean([bool(item["mask"].any()) for item in crops(SPOTS, lesion_fraction=fraction, length=200)])

    assert with_lesion(1.0) == 1.0
    assert with_lesion(0.0) < with_lesion(0.5) < 1.0


def test_crops_of_images_without_any_lesion_lie_anywhere():
    empty = squares(4, SIZE, empty=4)
    assert not any(item["mask"].any() for item in crops(empty, lesion_fraction=1.0))


def test_crops_refuse_what_does_not_fit():
    with pytest.raises(ArgumentError, match="crop 49"):
        crops(SPOTS, crop=49)
