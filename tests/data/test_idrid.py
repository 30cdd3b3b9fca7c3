"""The loaders of IDRiD on a small hand-made copy: samples, and every fault that an input can have."""

import json
import pickle
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from fundus_lib.data import IDRiDGrading, IDRiDSegmentation, layout
from fundus_lib.errors import (
    ArgumentError,
    DatasetNotFoundError,
    GradeRangeError,
    LabelFormatError,
    MaskSizeError,
    MaskValueError,
    MissingFileError,
    UnexpectedFileError,
    UnknownNameError,
    UnreadableImageError,
)
from helpers import small_idrid as small


@pytest.fixture
def root(tmp_path):
    return small.write(tmp_path / "IDRiD")


def test_sample_keeps_the_contract(root):
    data = IDRiDSegmentation(root, "train")
    assert len(data) == 3
    assert data.names == ["IDRiD_01", "IDRiD_02", "IDRiD_03"]
    sample = data[1]
    assert set(sample) == {"image", "mask", "dr", "dme", "name"}
    assert sample["image"].shape == (3, *small.SIZE)
    assert sample["mask"].shape == (4, *small.SIZE)
    assert sample["image"].dtype == sample["mask"].dtype == torch.uint8
    assert type(sample["image"]).__name__ == "Image"
    assert type(sample["mask"]).__name__ == "Mask"
    assert (sample["dr"], sample["dme"], sample["name"]) == (-1, -1, "IDRiD_02")


def test_masks_are_in_the_order_of_lesions_and_absent_ones_black(root):
    data = IDRiDSegmentation(root, "train")
    assert data.annotated.tolist() == [[True, True, True, False], [True, False, True, True], [True, True, True, False]]
    for i in range(3):
        for channel, lesion in zip(data[i]["mask"].numpy(), data.lesions, strict=True):
            there = (lesion, data.names[i]) not in small.ABSENT
            assert np.array_equal(channel, small.box(lesion) * there)


@pytest.mark.parametrize("lesions", [("EX",), ("SE", "MA"), ("OD",), ()])
def test_chosen_lesions_in_the_chosen_order(root, lesions):
    mask = IDRiDSegmentation(root, "test", lesions=lesions)[0]["mask"].numpy()
    assert mask.shape == (len(lesions), *small.SIZE)
    for channel, lesion in zip(mask, lesions, strict=True):
        assert np.array_equal(channel, small.box(lesion))


@pytest.mark.parametrize("cache", [True, False])
def test_size_shrinks_image_and_mask_together(root, cache):
    data = IDRiDSegmentation(root, "train", size=(24, 36), cache=cache)
    assert data[0]["image"].shape == (3, 24, 36)
    assert np.array_equal(data[0]["mask"][2].numpy(), small.box("EX")[::2, ::2])


def test_cached_sample_equals_decoded_sample(root):
    cached, decoded = (IDRiDSegmentation(root, "train", size=(31, 45), cache=c) for c in (True, False))
    for i in range(3):
        assert torch.equal(cached[i]["image"], decoded[i]["image"])
        assert torch.equal(cached[i]["mask"], decoded[i]["mask"])


def test_changing_a_sample_does_not_change_the_cache(root):
    data = IDRiDSegmentation(root, "train", size=(24, 36))
    before = data[0]["image"].clone()
    data[0]["image"].zero_()
    data[0]["mask"].fill_(1)
    assert torch.equal(data[0]["image"], before)
    assert not data[0]["mask"][3].any()


def test_transform_moves_image_mask_and_points_together(root):
    flip = v2.RandomHorizontalFlip(p=1)
    plain, flipped = IDRiDSegmentation(root, "train"), IDRiDSegmentation(root, "train", transform=flip)
    assert torch.equal(flipped[0]["image"], plain[0]["image"].flip(-1))
    assert torch.equal(flipped[0]["mask"], plain[0]["mask"].flip(-1))
    grading = IDRiDGrading(root, "train")
    x, y = grading[0]["fovea"][0].tolist()
    grading.transform = flip
    new_x, new_y = grading[0]["fovea"][0].tolist()
    assert (new_x, new_y) == pytest.approx((small.SIZE[1] - x, y), abs=1.01)


@pytest.mark.parametrize("workers", [0, 2])
def test_loader_with_workers(root, workers):
    data = IDRiDSegmentation(root, "train", size=(24, 36))
    context = "spawn" if workers else None
    batch = next(iter(DataLoader(data, batch_size=3, num_workers=workers, multiprocessing_context=context)))
    assert batch["image"].shape == (3, 3, 24, 36)
    assert batch["mask"].sum(dim=(0, 2, 3)).tolist() == [3 * 12, 2 * 12, 3 * 12, 12]
    assert batch["name"] == data.names


def test_pickle_does_not_carry_the_arrays(root):
    data = IDRiDSegmentation(root, "train", size=(24, 36))
    data.prepare()
    assert len(pickle.dumps(data)) < 10_000
    assert torch.equal(pickle.loads(pickle.dumps(data))[0]["image"], data[0]["image"])


def test_grading_sample(root):
    data = IDRiDGrading(root, "train")
    assert data.dr.tolist() == [0, 3, 2, 4]
    assert data.dme.tolist() == [0, 2, 1, 2]
    sample = data[1]
    assert (sample["name"], sample["dr"], sample["dme"]) == ("IDRiD_002", 3, 2)
    assert sample["mask"].shape == (0, *small.SIZE)
    assert sample["fovea"].dtype == torch.float32


@pytest.mark.parametrize("size", [None, (24, 36), (30, 90)])
def test_points_are_in_pixels_of_the_image(root, size):
    sample = IDRiDGrading(root, "test", size=size)[0]
    height, width = sample["image"].shape[-2:]
    for key, (x, y) in (("optic_disc", small.DISC), ("fovea", small.FOVEA)):
        assert sample[key].shape == (1, 2)
        assert sample[key][0].tolist() == pytest.approx([x * width / 4288, y * height / 2848])


def test_manifest_says_of_what_size_the_points_speak(tmp_path):
    root = small.write(tmp_path / "IDRiD", coordinates_size=[5696, 8576])
    x, y = IDRiDGrading(root, "test")[0]["fovea"][0].tolist()
    assert (x, y) == pytest.approx((small.FOVEA[0] * 72 / 8576, small.FOVEA[1] * 48 / 5696))


def test_excluded_images_are_left_out(root):
    data = IDRiDGrading(root, "train", exclude=["IDRiD_002"])
    assert data.names == ["IDRiD_001", "IDRiD_003", "IDRiD_004"]
    assert data.dr.tolist() == [0, 2, 4]
    with pytest.raises(UnknownNameError, match="IDRiD_413"):
        IDRiDGrading(root, "train", exclude=["IDRiD_413"])


def test_fingerprint_tells_content_and_not_place(root, tmp_path):
    copy = shutil.copytree(root, tmp_path / "elsewhere")
    first = IDRiDSegmentation(root, "train").fingerprint()
    assert IDRiDSegmentation(copy, "train").fingerprint() == first
    assert IDRiDSegmentation(copy, "test").fingerprint() != first
    path = small.mask_path(copy, "EX", "IDRiD_01")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert IDRiDSegmentation(copy, "train").fingerprint() != first
    assert IDRiDSegmentation(copy, "train", lesions=("MA",)).fingerprint() != first


# Faults: each has its own error, which names the file, what was found, what was expected, and a remedy.


def fails(error, *words):
    """Expect an error whose message has four parts and all of the words."""

    class Expectation:
        def __enter__(self):
            self.raises = pytest.raises(error)
            self.caught = self.raises.__enter__()

        def __exit__(self, *exception):
            result = self.raises.__exit__(*exception)
            message = str(self.caught.value)
            assert self.caught.type is error
            for word in ("found:", "expected:", "remedy:", *words):
                assert str(word) in message, message
            return result

    return Expectation()


def test_wrong_root(root, tmp_path):
    with fails(DatasetNotFoundError, tmp_path, f"name {root}"):
        IDRiDSegmentation(tmp_path, "train")
    with fails(DatasetNotFoundError, f"name {root}"):
        IDRiDSegmentation(root / "A. Segmentation", "train")
    with fails(DatasetNotFoundError, "no such folder"):
        IDRiDGrading(tmp_path / "nowhere", "train")
    (tmp_path / "empty").mkdir()
    with fails(DatasetNotFoundError, "an empty folder"):
        IDRiDSegmentation(tmp_path / "empty", "train")


def test_part_that_was_not_unpacked(root):
    shutil.rmtree(root / "C. Localization")
    IDRiDSegmentation(root, "train")
    with fails(DatasetNotFoundError, "C. Localization"):
        IDRiDGrading(root, "train")


@pytest.mark.parametrize("split", ["val", "Train", ""])
def test_split_that_does_not_exist(root, split):
    with fails(UnknownNameError, repr(split), "'train' or 'test'"):
        IDRiDSegmentation(root, split)


@pytest.mark.parametrize("lesions", [("XX",), "EX", ("EX", "EX")])
def test_lesions_that_do_not_exist(root, lesions):
    with fails(UnknownNameError, "MA, HE, EX, SE"):
        IDRiDSegmentation(root, "train", lesions=lesions)


@pytest.mark.parametrize("size", [(0, 10), (10,), 10, (1.5, 2), "10x10"])
def test_sizes_that_are_none(root, size):
    with fails(ArgumentError, repr(size)):
        IDRiDSegmentation(root, "train", size=size)


def test_missing_photograph(root):
    small.photograph_path(root, "IDRiD_02").unlink()
    with fails(MissingFileError, "IDRiD_02.jpg"):
        IDRiDSegmentation(root, "train")


def test_missing_mask_is_an_error_and_no_black_mask(root):
    small.mask_path(root, "EX", "IDRiD_02").unlink()
    with fails(MissingFileError, "IDRiD_02_EX.tif"):
        IDRiDSegmentation(root, "train", lesions=("EX",))


def test_misspelt_mask_names_both_names(root):
    path = small.mask_path(root, "MA", "IDRiD_02")
    path.rename(path.with_name("IDRiD_2_MA.tif"))
    with fails(MissingFileError, "IDRiD_02_MA.tif", "IDRiD_2_MA.tif", "rename"):
        IDRiDSegmentation(root, "train")


def test_missing_folder_of_masks(root):
    shutil.rmtree(root / layout.mask_folder("HE", "test"))
    with fails(MissingFileError, "2. Haemorrhages", "2 of 2"):
        IDRiDSegmentation(root, "test")


def test_extra_mask_and_extra_photograph(root):
    shutil.copy(small.mask_path(root, "MA", "IDRiD_02"), small.mask_path(root, "HE", "IDRiD_02"))
    with fails(UnexpectedFileError, "IDRiD_02_HE.tif"):
        IDRiDSegmentation(root, "train")
    path = small.photograph_path(root, "IDRiD_001", "test", "grading")
    shutil.copy(path, path.with_name("IDRiD_001 (copy).jpg"))
    with fails(UnexpectedFileError, "IDRiD_001 (copy).jpg"):
        IDRiDGrading(root, "test")


def test_hidden_files_do_not_count(root):
    folder = small.photograph_path(root, "IDRiD_02").parent
    (folder / ".DS_Store").touch()
    (folder / "Thumbs.db").touch()
    assert len(IDRiDSegmentation(root, "train")) == 3


@pytest.mark.parametrize("size", [None, (24, 36)])
def test_mask_of_another_size(root, size):
    small.write_mask(small.mask_path(root, "HE", "IDRiD_03"), small.box("HE", (96, 144)))
    with fails(MaskSizeError, "IDRiD_03_HE.tif", "96×144", "48×72"):
        IDRiDSegmentation(root, "train", size=size)[2]


@pytest.mark.parametrize("size", [None, (24, 36)])
def test_black_mask(root, size):
    small.write_mask(small.mask_path(root, "HE", "IDRiD_03"), np.zeros(small.SIZE, np.uint8))
    with fails(MaskValueError, "IDRiD_03_HE.tif", "0 lesion pixels"):
        IDRiDSegmentation(root, "train", size=size)[2]


def test_rgba_mask_is_read_as_any_other(root):
    small.write_mask(small.mask_path(root, "EX", "IDRiD_04", "test"), small.box("EX"), kind="rgba")
    assert np.array_equal(IDRiDSegmentation(root, "test").mask(0)[2], small.box("EX"))


@pytest.mark.parametrize("size", [None, (24, 36)])
def test_damaged_photograph(root, size):
    path = small.photograph_path(root, "IDRiD_02")
    path.write_bytes(path.read_bytes()[:600])
    with fails(UnreadableImageError, "IDRiD_02.jpg", "600 bytes"):
        IDRiDSegmentation(root, "train", size=size)[1]


def test_message_survives_a_worker_process(root):
    """Whatever type the loader's machinery gives to it, the reader sees which file it is and what to do."""
    small.photograph_path(root, "IDRiD_02").write_bytes(b"")
    loader = DataLoader(IDRiDSegmentation(root, "train"), num_workers=1)
    with pytest.raises(Exception, match=r"UnreadableImageError[\s\S]*IDRiD_02\.jpg: this image cannot[\s\S]*remedy:"):
        list(loader)


def edit(path, old, new):
    text = path.read_bytes().decode()
    assert old in text
    path.write_bytes(text.replace(old, new, 1).encode())


@pytest.mark.parametrize(
    ("old", "new", "error", "words"),
    [
        ("Retinopathy grade", "DR", LabelFormatError, ["DR", "Retinopathy grade"]),
        (",Risk of macular edema ", "", LabelFormatError, ["Risk of macular edema"]),
        ("IDRiD_002,3,2", "IDRiD_002,3,x", LabelFormatError, ["IDRiD_002", "'x'"]),
        ("IDRiD_002,3,2", "IDRiD_002,,2", LabelFormatError, ["IDRiD_002", "''"]),
        ("IDRiD_002,3,2", "IDRiD_002,3.5,2", LabelFormatError, ["3.5"]),
        ("IDRiD_002,3,2", "IDRiD_002,5,2", GradeRangeError, ["IDRiD_002", "5", "from 0 to 4"]),
        ("IDRiD_002,3,2", "IDRiD_002,-1,2", GradeRangeError, ["-1"]),
        ("IDRiD_002,3,2", "IDRiD_002,3,3", GradeRangeError, ["risk of macular edema", "from 0 to 2"]),
        ("IDRiD_002,3,2", "IDRiD_001,3,2", LabelFormatError, ["IDRiD_001 has two rows"]),
        ("IDRiD_002,3,2", "IDRiD_02,3,2", LabelFormatError, ["no row for IDRiD_002", "'IDRiD_02'"]),
        ("IDRiD_002,3,2,,,,,,,,,\r\n", "", LabelFormatError, ["no row for IDRiD_002"]),
    ],
)
def test_label_file_with_a_fault(root, old, new, error, words):
    path = root / layout.grades_file("train")
    edit(path, old, new)
    with fails(error, path.name, *words):
        IDRiDGrading(root, "train")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00binary", b"<html>not found</html>"])
def test_label_file_that_is_no_table(root, content):
    path = root / layout.grades_file("test")
    path.write_bytes(content)
    with fails(LabelFormatError, path.name):
        IDRiDGrading(root, "test")


def test_missing_label_files(root):
    for file in (layout.grades_file("train"), layout.fovea_file("train")):
        (root / file).rename(tmp := root / "away")
        with fails(MissingFileError, (root / file).name):
            IDRiDGrading(root, "train")
        tmp.rename(root / file)


@pytest.mark.parametrize("new", ["IDRiD_003,5000,10", "IDRiD_003,-1,10", "IDRiD_003,,"])
def test_point_outside_the_image(root, new):
    path = root / layout.optic_disc_file("train")
    edit(path, "IDRiD_003,2858,1805", new)
    with fails(LabelFormatError, path.name, "IDRiD_003", "0 … 4288"):
        IDRiDGrading(root, "train")


@pytest.mark.parametrize("text", ["{", "[]", '{"kind": "other"}', '{"kind": "shrunk", "files": []}'])
def test_manifest_that_cannot_be_understood(root, text):
    (root / "manifest.json").write_text(text)
    with fails(LabelFormatError, "manifest.json"):
        IDRiDSegmentation(root, "train")


def test_without_a_manifest_the_published_list_holds(root):
    (root / "manifest.json").unlink()
    with fails(MissingFileError, "the published list"):
        IDRiDSegmentation(root, "train")


def test_list_that_misses_what_a_photograph_needs(root):
    manifest = json.loads((root / "manifest.json").read_text())
    manifest["files"] = {k: v for k, v in manifest["files"].items() if not k.endswith("IDRiD_02_EX.tif")}
    (root / "manifest.json").write_text(json.dumps(manifest))
    with fails(UnexpectedFileError, "IDRiD_02_EX.tif"):
        IDRiDSegmentation(root, "train")


def test_photograph_reads_as_pillow_reads_it(root):
    expected = np.asarray(Image.open(small.photograph_path(root, "IDRiD_03")))
    assert np.array_equal(IDRiDSegmentation(root, "train")[2]["image"].permute(1, 2, 0).numpy(), expected)


def test_grades_that_a_spreadsheet_saved(tmp_path):
    root = small.write(tmp_path / "IDRiD")
    path = root / layout.grades_file("train")
    text = path.read_text().replace("IDRiD_002,3,2", "IDRiD_002,3.0,2.00")
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        path.write_bytes((text + "\r\n,,\r\n").encode(encoding))
        assert IDRiDGrading(root, "train").dr.tolist() == [0, 3, 2, 4]
    for old, new, words in (
        (",", ";", "Image name;Retinopathy"),
        ("3.0", "2.5", "'2.5'"),
        ("3.0", "9" * 30, "9999"),
        ("3.0", "\0", "NUL"),
    ):
        path.write_text(text.replace(old, new))
        with pytest.raises(LabelFormatError, match=words):
            IDRiDGrading(root, "train")
