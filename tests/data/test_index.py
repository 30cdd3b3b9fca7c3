"""Images are asked for by their number: what is no number, and numbers that no image has."""

import numpy as np
import pytest
import torch

from fundus_lib.data import DiaRetDB1, IDRiDGrading, IDRiDSegmentation, SyntheticFundus
from fundus_lib.data.ddr_whole import DDRWholeImages
from fundus_lib.errors import ArgumentError, ImageIndexError
from helpers import small_idrid as small


@pytest.fixture
def sets(tmp_path, ddr_root, v21):
    root = small.write(tmp_path / "IDRiD")
    return [
        IDRiDSegmentation(root, "train"),
        IDRiDGrading(root, "train"),
        DDRWholeImages(ddr_root, "val", side=32),
        DiaRetDB1(v21, "train"),
        SyntheticFundus(2, size=(48, 72)),
    ]


@pytest.mark.parametrize("index", [slice(0, 2), [0, 1], 1.0, "0", None, np.array([0, 1])])
def test_what_is_no_number(sets, index):
    for data in sets:
        readers = [data.__getitem__, *(getattr(data, n) for n in ("mask", "centres", "full_mask") if hasattr(data, n))]
        for read in readers:
            with pytest.raises(ArgumentError, match=r"\.part\(range\(2\)\)"):
                read(index)


def test_from_either_end(sets):
    for data in sets:
        last = data[len(data) - 1]["name"]
        assert data[-1]["name"] == data[np.int64(-1)]["name"] == data[torch.tensor(len(data) - 1)]["name"] == last
        for index in (len(data), -len(data) - 1):
            with pytest.raises(ImageIndexError, match=f"found:    {index}"):
                data[index]
        assert [sample["name"] for sample in data] == [data[i]["name"] for i in range(len(data))]  # it ends


def test_part_of_images_that_are_not_there(sets):
    with pytest.raises(ImageIndexError):
        sets[0].part([0, 3])
