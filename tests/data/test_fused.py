"""All lesions fused into one, on files in the layouts of three data sets."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fundus_lib.data import IDRiDSegmentation
from fundus_lib.data.field_square import FieldSquare
from fundus_lib.data.fused import CHANNELS, FusedDDR, FusedDiaRetDB1, FusedIDRiD
from fundus_lib.data.images import resize_mask
from helpers import small_ddr, small_diaretdb1


def brighten(folder: Path) -> None:
    """Photographs that show a field of view."""
    for path in [*folder.rglob("*.jpg"), *folder.rglob("images/*.png")]:
        size = Image.open(path).size
        Image.fromarray(np.full((*size[::-1], 3), 140, np.uint8)).save(path)


def test_the_union_is_made_at_the_size_on_disk(synthetic_root):
    data, raw = FusedIDRiD(synthetic_root, "train", 96), IDRiDSegmentation(synthetic_root, "train")
    assert CHANNELS == data.lesions == ("ANY", "MA", "HE", "EX", "SE")
    apart = 0
    for index in range(len(data)):
        mask, full = data.mask(index), raw.mask(index)
        assert mask.shape == (5, 96, 144)
        assert np.array_equal(mask[0], resize_mask(np.ascontiguousarray(full.max(0)), (96, 144)))
        assert np.array_equal(mask[1:], [resize_mask(np.ascontiguousarray(one), (96, 144)) for one in full])
        apart += int((mask[0] > mask[1:].max(0)).sum())
        sample = data[index]
        assert sample["image"].shape == (3, 96, 96) and sample["mask"].shape == (5, 96, 96)
        size = {"size": FieldSquare(96).read_size, "transform": FieldSquare(96)}
        assert torch.equal(sample["image"], IDRiDSegmentation(synthetic_root, "train", **size)[index]["image"])
    assert apart, "pixels of which two lesions cover half together"


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_ddr(tmp_path, split):
    small_ddr.write_both_parts(tmp_path)
    brighten(tmp_path / "lesion_segmentation")
    data = FusedDDR(tmp_path, split, 40)
    for index, name in enumerate(data.names):
        height, width = small_ddr.SIZES[name]
        full = np.stack([small_ddr.boxes(lesion, (height, width)) for lesion in CHANNELS[1:]])
        wanted = resize_mask(np.ascontiguousarray(full.max(0)), data.mask(index).shape[1:])
        assert np.array_equal(data.mask(index)[0], wanted) and wanted.any()
        assert data[index]["image"].shape == (3, 40, 40) and data[index]["mask"].shape == (5, 40, 40)


def test_diaretdb1(tmp_path):
    small_diaretdb1.write_v21(tmp_path)
    brighten(tmp_path)
    data = FusedDiaRetDB1(tmp_path, "train", 115)
    assert data.mask(0).shape == (5, 115, 150)
    assert np.array_equal(data.mask(0)[0], small_diaretdb1.disc(20, 40, 9) | small_diaretdb1.disc(60, 40, 9))
    assert not data.mask(1).any()
