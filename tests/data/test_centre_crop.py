"""The middle of IDRiD's images: the right pixels, at any size, and mapped from disk instead of copied."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fundus_lib.data import IDRiDSegmentation
from fundus_lib.data.centre_crop import CentreCrop, find_middle, scale_middle
from fundus_lib.data.image_set import ImageSet
from fundus_lib.data.images import resize_image, resize_mask
from fundus_lib.errors import ArgumentError
from helpers.small_idrid import write

FULL, MIDDLE = (2848, 4288), (2816, 3328)


def test_the_middle_of_the_published_size_and_of_half_of_it():
    assert find_middle(FULL, MIDDLE) == (slice(16, 2832), slice(480, 3808))
    assert find_middle((1424, 2144), (1408, 1664)) == (slice(8, 1416), slice(240, 1904))
    assert scale_middle((1424, 2144), (1408, 1664), FULL) == find_middle(FULL, MIDDLE)
    assert scale_middle(FULL, MIDDLE, FULL) == find_middle(FULL, MIDDLE)
    with pytest.raises(ArgumentError, match="2849×3328 of 2848×4288"):
        find_middle(FULL, (2849, 3328))
    with pytest.raises(ArgumentError, match="larger than the image"):
        CentreCrop("nowhere", "train", lesions=("EX",), size=(48, 72), crop=(48, 80))


@pytest.mark.parametrize("lesions", [("EX",), ("SE", "MA", "HE", "EX")])
def test_images_and_masks_are_read_at_their_size_and_cut(tmp_path, lesions):
    root = write(tmp_path / "IDRiD")
    whole = IDRiDSegmentation(root, "train", lesions=lesions)
    middle = CentreCrop(root, "train", lesions=lesions, size=(24, 36), crop=(22, 26))
    middle.prepare()
    for n in range(3):
        image = resize_image(whole[n]["image"].permute(1, 2, 0).contiguous().numpy(), (24, 36))[1:23, 5:31]
        assert np.array_equal(middle[n]["image"].permute(1, 2, 0).numpy(), image)
        masks = [resize_mask(np.ascontiguousarray(le), (24, 36))[1:23, 5:31] for le in whole.mask(n)]
        assert np.array_equal(middle[n]["mask"].numpy(), masks) and np.array_equal(middle.mask(n), masks)
    assert middle.part([2, 0])[1]["name"] == whole[0]["name"]


def mapped_file(tensor: torch.Tensor) -> str:
    """The file that the memory of a tensor is a view of; empty if there is none."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        place, *_, name = line.split(maxsplit=5)
        first, last = (int(end, 16) for end in place.split("-"))
        if first <= tensor.data_ptr() < last:
            return name if name.startswith("/") else ""
    return ""


@pytest.mark.skipif(not Path("/proc/self/maps").is_file(), reason="Linux says what is mapped")
def test_nothing_is_copied_whatever_the_lesions_and_what_is_written_stays_in_the_process(tmp_path):
    root = write(tmp_path / "IDRiD")

    def read() -> ImageSet:
        data = CentreCrop(root, "train", lesions=("MA", "HE", "EX", "SE"), size=(48, 72), crop=(44, 52))
        return ImageSet.read(data, "small", data.fingerprint())

    images = read()
    for part in (*images.images, *images.masks):
        assert mapped_file(part).endswith(".npy")
    before = images.images[0].clone()
    images.images[0].zero_()
    assert torch.equal(read().images[0], before)
