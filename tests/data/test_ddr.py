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

LABEL = {"train": "label", "valid": "segmentation label", "test": "label"}
NAMES = {"train": ["007-0004-000", "007-0007-000"], "valid": ["007-1774-100"], "test": ["20170323093305605"]}
SIZES = {"007-0004-000": (40, 60), "007-0007-000": (50, 50), "007-1774-100": (40, 60), "20170323093305605": (30, 44)}


@pytest.fixture
def root(tmp_path):
    top = tmp_path / "DDR"
    for split, names in NAMES.items():
        folder = top / "lesion_segmentation" / split
        (folder / "image").mkdir(parents=True)
        for lesion in ("EX", "HE", "MA", "SE"):
            (folder / LABEL[split] / lesion).mkdir(parents=True)
            for name in names:
                Image.fromarray(drawn(lesion, SIZES[name]) * 255).save(folder / LABEL[split] / lesion / f"{name}.tif")
        grading = top / "DR_grading" / split
        grading.mkdir(parents=True)
        lines = []
        for k, name in enumerate([*names, f"{split}-a", f"{split}-b"]):
            picture = Image.fromarray(np.full((*SIZES.get(name, (20, 30)), 3), 40 * k, np.uint8))
            picture.save(grading / f"{name}.jpg")
            if name in names:
                picture.save(folder / "image" / f"{name}.jpg")
            lines.append(f"{name}.jpg {5 if name.endswith('-b') else k}")
        grading.with_suffix(".txt").write_text("\n".join(lines) + "\n")
    return top


def drawn(lesion, size):
    """The mask of a lesion; soft exudates are absent, which in DDR is a black file."""
    mask = np.zeros(size, np.uint8)
    row = {"EX": 2, "HE": 8, "MA": 14}.get(lesion)
    if row is not None:
        mask[row : row + 4, 4:12] = 1
    return mask


def grades_file(root):
    return root / "DR_grading" / "train.txt"


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_segmentation(root, split):
    data = DDRSegmentation(root, split)
    assert data.names == NAMES["valid" if split == "val" else split]
    for i, name in enumerate(data.names):
        sample = data[i]
        assert sample["image"].shape == (3, *SIZES[name])
        for channel, lesion in zip(sample["mask"].numpy(), ("MA", "HE", "EX", "SE"), strict=True):
            assert np.array_equal(channel, drawn(lesion, SIZES[name]))
        assert (sample["dr"], sample["dme"]) == (-1, -1)


def test_sizes_become_one(root):
    data = DDRSegmentation(root, "train", lesions=("EX",), size=(20, 30))
    assert [tuple(data[i]["image"].shape) for i in range(2)] == [(3, 20, 30)] * 2
    assert np.array_equal(data[0]["mask"][0].numpy(), drawn("EX", (40, 60))[::2, ::2])


def test_missing_mask(root):
    (root / "lesion_segmentation/train/label/EX/007-0007-000.tif").unlink()
    with pytest.raises(MissingFileError, match=r"label/EX/007-0007-000\.tif"):
        DDRSegmentation(root, "train")
    assert len(DDRSegmentation(root, "train", lesions=("MA",))) == 2


def test_folder_of_masks_under_its_name_in_the_other_splits(root):
    folder = root / "lesion_segmentation/valid"
    (folder / "segmentation label").rename(folder / "label")
    with pytest.raises(MissingFileError, match="segmentation label"):
        DDRSegmentation(root, "val")


def test_mask_without_a_photograph(root):
    (root / "lesion_segmentation/train/image/007-0007-000.jpg").unlink()
    with pytest.raises(UnexpectedFileError, match=r"007-0007-000\.tif"):
        DDRSegmentation(root, "train")


def test_stray_file_among_the_photographs(root):
    (root / "lesion_segmentation/train/image/notes.txt").touch()
    with pytest.raises(UnexpectedFileError, match=r"notes\.txt"):
        DDRSegmentation(root, "train")


def test_mask_of_another_size(root):
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(root / "lesion_segmentation/train/label/EX/007-0007-000.tif")
    with pytest.raises(MaskSizeError, match=r"007-0007-000\.tif[\s\S]*9×9[\s\S]*50×50"):
        DDRSegmentation(root, "train")[1]


def test_wrong_root(root, tmp_path):
    with pytest.raises(DatasetNotFoundError, match="DDR"):
        DDRSegmentation(tmp_path, "train")
    root.rename(tmp_path / "DDR-dataset")
    with pytest.raises(DatasetNotFoundError, match=r"name .*DDR-dataset"):
        DDRGrading(tmp_path, "train")
    with pytest.raises(UnknownNameError, match="'val'"):
        DDRSegmentation(tmp_path / "DDR-dataset", "valid")


def test_grading_drops_the_ungradable(root):
    data = DDRGrading(root, "train")
    assert dict(zip(data.names, data.dr.tolist(), strict=True)) == {"007-0004-000": 0, "007-0007-000": 1, "train-a": 2}
    assert data.ungradable == ["train-b"]
    sample = data[1]
    assert (sample["name"], sample["dr"], sample["dme"]) == ("007-0007-000", 1, -1)
    assert sample["mask"].shape == (0, 50, 50)


def test_grading_keeps_the_ungradable_as_unknown(root):
    data = DDRGrading(root, "val", ungradable="keep")
    assert dict(zip(data.names, data.dr.tolist(), strict=True)) == {"007-1774-100": 0, "valid-a": 1, "valid-b": -1}
    with pytest.raises(ArgumentError, match="'drop' or 'keep'"):
        DDRGrading(root, "val", ungradable="maybe")


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
def test_label_file_with_a_fault(root, old, new, error, words):
    path = grades_file(root)
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(error, match=words):
        DDRGrading(root, "train")


def test_missing_label_file(root):
    grades_file(root).unlink()
    with pytest.raises(MissingFileError, match=r"train\.txt"):
        DDRGrading(root, "train")


def test_dropping_the_ungradable_or_keeping_them_decodes_no_image_twice(root, monkeypatch, tmp_path):
    monkeypatch.setenv("FUNDUS_CACHE", str(tmp_path / "cache"))
    decoded = []
    monkeypatch.setattr(base, "read_image", lambda path, size: decoded.append(path.stem) or read_image(path, size))
    for ungradable in ("drop", "keep", "drop"):
        DDRGrading(root, "train", ungradable=ungradable, size=(20, 30)).prepare()
    assert sorted(decoded) == [*NAMES["train"], "train-a", "train-b"]
