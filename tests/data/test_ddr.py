"""DDR, on small files in its real layout."""

import numpy as np
import pytest
from PIL import Image

from fundus_lib.data import DDRGrading, DDRSegmentation
from fundus_lib.errors import (
    ArgumentError,
    DatasetNotFoundError,
    GradeRangeError,
    LabelFormatError,
    MaskSizeError,
    MissingFileError,
    UnexpectedFileError,
    UnknownNameError,
)
from helpers import small_ddr as small


def grades_file(ddr_root):
    return ddr_root / "DR_grading" / "train.txt"


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_segmentation(ddr_root, split):
    data = DDRSegmentation(ddr_root, split)
    assert data.names == small.NAMES["valid" if split == "val" else split]
    for i, name in enumerate(data.names):
        sample = data[i]
        assert sample["image"].shape == (3, *small.SIZES[name])
        for channel, lesion in zip(sample["mask"].numpy(), ("MA", "HE", "EX", "SE"), strict=True):
            assert np.array_equal(channel, small.boxes(lesion, small.SIZES[name]))
        assert (sample["dr"], sample["dme"]) == (-1, -1)


def test_sizes_become_one(ddr_root):
    data = DDRSegmentation(ddr_root, "train", lesions=("EX",), size=(20, 30))
    assert [tuple(data[i]["image"].shape) for i in range(2)] == [(3, 20, 30)] * 2
    assert np.array_equal(data[0]["mask"][0].numpy(), small.boxes("EX", (40, 60))[::2, ::2])


def test_missing_mask(ddr_root):
    (ddr_root / "lesion_segmentation/train/label/EX/007-0007-000.tif").unlink()
    with pytest.raises(MissingFileError, match=r"label/EX/007-0007-000\.tif"):
        DDRSegmentation(ddr_root, "train")
    assert len(DDRSegmentation(ddr_root, "train", lesions=("MA",))) == 2


def test_folder_of_masks_under_its_name_in_the_other_splits(ddr_root):
    folder = ddr_root / "lesion_segmentation/valid"
    (folder / "segmentation label").rename(folder / "label")
    with pytest.raises(MissingFileError, match="segmentation label"):
        DDRSegmentation(ddr_root, "val")


def test_mask_without_a_photograph(ddr_root):
    (ddr_root / "lesion_segmentation/train/image/007-0007-000.jpg").unlink()
    with pytest.raises(UnexpectedFileError, match=r"007-0007-000\.tif"):
        DDRSegmentation(ddr_root, "train")


def test_stray_file_among_the_photographs(ddr_root):
    (ddr_root / "lesion_segmentation/train/image/notes.txt").touch()
    with pytest.raises(UnexpectedFileError, match=r"notes\.txt"):
        DDRSegmentation(ddr_root, "train")


def test_mask_of_another_size(ddr_root):
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(ddr_root / "lesion_segmentation/train/label/EX/007-0007-000.tif")
    with pytest.raises(MaskSizeError, match=r"007-0007-000\.tif[\s\S]*9×9[\s\S]*50×50"):
        DDRSegmentation(ddr_root, "train")[1]


def test_wrong_root(ddr_root, tmp_path):
    with pytest.raises(DatasetNotFoundError, match="DDR"):
        DDRSegmentation(tmp_path, "train")
    ddr_root.rename(tmp_path / "DDR-dataset")
    with pytest.raises(DatasetNotFoundError, match=r"name .*DDR-dataset"):
        DDRGrading(tmp_path, "train")
    with pytest.raises(UnknownNameError, match="'val'"):
        DDRSegmentation(tmp_path / "DDR-dataset", "valid")


def test_grading_drops_the_ungradable(ddr_root):
    data = DDRGrading(ddr_root, "train")
    assert dict(zip(data.names, data.dr.tolist(), strict=True)) == {"007-0004-000": 0, "007-0007-000": 1, "train-a": 2}
    assert data.ungradable == ["train-b"]
    sample = data[1]
    assert (sample["name"], sample["dr"], sample["dme"]) == ("007-0007-000", 1, -1)
    assert sample["mask"].shape == (0, 50, 50)


def test_grading_keeps_the_ungradable_as_unknown(ddr_root):
    data = DDRGrading(ddr_root, "val", ungradable="keep")
    assert dict(zip(data.names, data.dr.tolist(), strict=True)) == {"007-1774-100": 0, "valid-a": 1, "valid-b": -1}
    with pytest.raises(ArgumentError, match="'drop' or 'keep'"):
        DDRGrading(ddr_root, "val", ungradable="maybe")


@pytest.mark.parametrize(
    ("old", "new", "error", "words"),
    [
        ("train-a.jpg 2", "train-a.jpg 6", GradeRangeError, "line 3.*\n.*6"),
        ("train-a.jpg 2", "train-a.jpg", LabelFormatError, "line 3"),
        ("train-a.jpg 2", "train-a.jpg two", LabelFormatError, "line 3"),
        ("train-a.jpg 2", "train-b.jpg 2", LabelFormatError, "second line"),
        ("train-a.jpg 2", "train-c.jpg 2", MissingFileError, r"train-c\.jpg"),
        ("train-a.jpg 2\n", "", UnexpectedFileError, r"train-a\.jpg"),
    ],
)
def test_label_file_with_a_fault(ddr_root, old, new, error, words):
    path = grades_file(ddr_root)
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(error, match=words):
        DDRGrading(ddr_root, "train")


def test_missing_label_file(ddr_root):
    grades_file(ddr_root).unlink()
    with pytest.raises(MissingFileError, match=r"train\.txt"):
        DDRGrading(ddr_root, "train")
