"""DDR, on small files in its real layout."""

import numpy as np
import pytest
from PIL import Image

from fundus_lib.data import DDRGrading, DDRSegmentation, base
from fundus_lib.data.images import read_image
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


def test_dropping_the_ungradable_or_keeping_them_decodes_no_image_twice(ddr_root, monkeypatch, tmp_path):
    monkeypatch.setenv("FUNDUS_CACHE", str(tmp_path / "cache"))
    decoded = []
    monkeypatch.setattr(base, "read_image", lambda path, size: decoded.append(path.stem) or read_image(path, size))
    for ungradable in ("drop", "keep", "drop"):
        DDRGrading(ddr_root, "train", ungradable=ungradable, size=(20, 30)).prepare()
    assert sorted(decoded) == [*small.NAMES["train"], "train-a", "train-b"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_labels_as_other_programs_save_them(ddr_root, encoding):
    path, before = grades_file(ddr_root), DDRGrading(ddr_root, "train")
    lines = path.read_text().replace(".jpg", ".JPG").replace(" ", "\t").splitlines()
    path.write_bytes(("\r\n".join(lines) + "\r\n \r\n").encode(encoding))
    after = DDRGrading(ddr_root, "train")
    assert (after.names, after.dr.tolist()) == (before.names, before.dr.tolist())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("007-0004-000.jpg 0\ntr\xe4in-a.jpg 2\n".encode("latin-1"), "0xe4 in line 2"),
        ("007-0004-000.jpg 0\n".encode("utf-16-le"), "NUL"),
        ("007-0004-000.jpg \xb2\n".encode(), "line 1"),
    ],
)
def test_labels_in_an_encoding_that_cannot_be_known(ddr_root, content, words):
    grades_file(ddr_root).write_bytes(content)
    with pytest.raises(LabelFormatError, match=words):
        DDRGrading(ddr_root, "train")


def test_photograph_with_a_loud_suffix(ddr_root):
    path = ddr_root / "DR_grading" / "train" / "train-a.jpg"
    path.rename(path.with_suffix(".JPG"))
    with pytest.raises(UnexpectedFileError, match=r"rename it to train-a\.jpg"):
        DDRGrading(ddr_root, "train")
