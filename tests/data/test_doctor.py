"""The doctor: what it finds, what it says, and its exit code."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from fundus_lib.data import layout
from fundus_lib.data.doctor import check
from fundus_lib.errors import DatasetNotFoundError, LabelFormatError
from helpers import small_idrid as small


@pytest.fixture
def root(tmp_path):
    return small.write(tmp_path / "IDRiD")


def state_of(report, path):
    (state,) = report.files.loc[report.files.file.str.endswith(path.name), "state"]
    return state


def test_whole_copy(root):
    report = check(root)
    assert report.exit_code == 0
    assert len(report.files) == 0
    assert report.counts["segmentation train"].tolist() == [3, 3, 2, 3, 1, 3]
    assert report.counts.loc["photographs", "grading test"] == 3
    assert report.grades["DR train"].tolist() == [1, 0, 1, 1, 1]
    assert report.parts.listed.tolist() == [26, 9, 4]
    text = str(report)
    for words in ("Synthetic data in IDRiD's layout, 48×72", ": fine", "What to do next", "IDRiDSegmentation"):
        assert words in text


def test_missing_file(root):
    path = small.mask_path(root, "EX", "IDRiD_02")
    path.unlink()
    report = check(root)
    assert report.exit_code == 2
    assert state_of(report, path) == "missing"
    assert report.parts.loc["A. Segmentation", "in short"] == "incomplete"
    assert report.parts.loc["B. Disease Grading", "in short"] == "complete"
    for words in ("not usable", "IDRiD_02_EX.tif", "make the copy again"):
        assert words in str(report)


def test_unexpected_file(root):
    path = small.mask_path(root, "EX", "IDRiD_99")
    shutil.copy(small.mask_path(root, "EX", "IDRiD_02"), path)
    report = check(root)
    assert (report.exit_code, state_of(report, path)) == (2, "unexpected")
    assert "correct their names" in str(report)


def test_unreadable_file(root):
    path = small.photograph_path(root, "IDRiD_02")
    path.write_bytes(path.read_bytes()[:500])
    report = check(root)
    assert (report.exit_code, state_of(report, path)) == (2, "unreadable")
    assert "500 bytes" in str(report)


def test_altered_photograph_is_usable(root):
    path = small.photograph_path(root, "IDRiD_02")
    Image.fromarray(np.zeros((*small.SIZE, 3), np.uint8)).save(path)
    report = check(root)
    assert (report.exit_code, state_of(report, path)) == (1, "altered")
    assert "cannot be compared" in str(report)


def test_resized_photograph_of_the_grading_part_is_usable(root):
    path = small.photograph_path(root, "IDRiD_004", part="grading")
    Image.open(path).resize((36, 24)).save(path)
    report = check(root)
    assert (report.exit_code, state_of(report, path)) == (1, "resized")
    assert "24×36" in str(report)


def test_squeezed_photograph_is_altered_and_not_resized(root):
    path = small.photograph_path(root, "IDRiD_004", part="grading")
    Image.open(path).resize((36, 36)).save(path)
    assert state_of(check(root), path) == "altered"


def test_photograph_that_no_longer_fits_its_mask(root):
    path = small.photograph_path(root, "IDRiD_02")
    Image.open(path).resize((36, 24)).save(path)
    report = check(root)
    assert report.exit_code == 2
    assert "mask and image differ in size" in str(report)


def test_altered_labels(root):
    path = root / layout.grades_file("train")
    path.write_bytes(path.read_bytes().replace(b"IDRiD_002,3,2", b"IDRiD_002,3,1"))
    assert (check(root).exit_code, state_of(check(root), path)) == (1, "altered")
    path.write_bytes(path.read_bytes().replace(b"IDRiD_002,3,1", b"IDRiD_002,3,7"))
    report = check(root)
    assert report.exit_code == 2
    assert "from 0 to 2" in str(report)


def test_part_that_was_not_unpacked(root):
    for folder in ("B. Disease Grading", "C. Localization"):
        shutil.rmtree(root / folder)
    report = check(root)
    assert report.exit_code == 1
    assert report.parts["in short"].tolist() == ["complete", "missing", "missing"]
    assert "B. Disease Grading is not here" in str(report)


def test_without_its_manifest_it_is_compared_with_the_published_list(root):
    (root / "manifest.json").unlink()
    report = check(root)
    assert report.exit_code == 2
    assert "published checksums" in str(report)
    assert report.parts.loc["A. Segmentation", "listed"] == 446


def test_manifest_that_cannot_be_understood(root):
    (root / "manifest.json").write_text("{")
    with pytest.raises(LabelFormatError):
        check(root)


def test_duplicates_and_overlap_are_named(tmp_path):
    pair = {
        "first_split": "train",
        "first": "IDRiD_001",
        "second_split": "train",
        "second": "IDRiD_004",
        "labels": "DR 0 and 4",
    }
    both = {"segmentation_split": "test", "segmentation": "IDRiD_04", "grading_split": "train", "grading": "IDRiD_003"}
    text = str(check(small.write(tmp_path / "IDRiD", duplicates=[pair], overlap=[both])))
    assert "DR 0 and 4" in text
    assert "1 of the segmentation test set are in the grading train set" in text
    assert "Leave out 3 training images" in text


def test_wrong_folder(root, tmp_path):
    with pytest.raises(DatasetNotFoundError, match=f"name {root}"):
        check(tmp_path)
    with pytest.raises(DatasetNotFoundError, match="no such folder"):
        check(tmp_path / "nowhere")


def test_ddr(ddr_root):
    report = check(ddr_root)
    assert report.exit_code == 1  # three photographs are not DDR as published
    assert report.counts["lesion_segmentation train"].tolist() == [2, 2, 2, 2, 2]
    assert report.counts.loc["photographs", "DR_grading val"] == 3
    assert report.grades["train"].to_dict() == {-1: 1, 0: 1, 1: 1, 2: 1}
    for words in ("No checksums", "383 are published"):
        assert words in str(report)
    (ddr_root / "lesion_segmentation/train/label/EX/007-0007-000.tif").unlink()
    assert check(ddr_root).exit_code == 2


def test_ddr_in_part(ddr_root):
    shutil.rmtree(ddr_root / "DR_grading")
    report = check(ddr_root)
    assert report.exit_code == 1
    assert "DR_grading was not unpacked" in str(report)


def test_diaretdb1(v21, v11):
    report = check(v21)
    assert report.exit_code == 1
    assert report.counts["train"].to_dict() == {"photographs": 2, "MA": 0, "HE": 0, "EX": 1, "SE": 0}
    assert "No checksums" in str(report)
    assert check(v11).counts["test"].to_dict() == {"photographs": 2, "MA": 0, "HE": 0, "EX": 2, "SE": 0}
    next((v21 / "groundtruth").glob("*")).write_text("")
    assert check(v21).exit_code == 2


def save_as_jpeg(path):
    with Image.open(path) as picture:
        changed = picture.convert("RGB")
    changed.save(path, format="JPEG", quality=60)


def test_mask_stored_as_jpeg(root):
    path = small.mask_path(root, "EX", "IDRiD_02")
    save_as_jpeg(path)
    report = check(root)
    assert (report.exit_code, state_of(report, path)) == (2, "altered")
    assert "background and lesion only" in str(report)


def test_what_the_loader_refuses_is_not_usable_in_any_data_set(ddr_root, v11):
    save_as_jpeg(ddr_root / "lesion_segmentation/train/label/EX/007-0007-000.tif")
    cut = ddr_root / "DR_grading/valid/valid-a.jpg"
    cut.write_bytes(cut.read_bytes()[:300])
    report = check(ddr_root)
    assert report.exit_code == 2 and len(report.problems) == 2
    cut = next((v11 / "resources/images/ddb1_fundusimages").glob("*"))
    cut.write_bytes(cut.read_bytes()[:60])
    assert check(v11).exit_code == 2


def test_many_problems_are_counted(root):
    for path in root.rglob("*.tif"):
        path.write_bytes(b"")
    assert "and 9 more" in str(check(root))  # of 21


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("size", ["a", "b"]),
        ("size", [0, 72]),
        ("coordinates_size", 5),
        ("files", {"/etc/passwd": "0"}),
        ("files", {"../x": "0"}),
        ("empty_masks", 7),
        ("duplicates", [{"first": 1}]),
    ],
)
def test_manifest_with_a_fault(tmp_path, key, value):
    root = small.write(tmp_path / "copy")
    path = root / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(LabelFormatError, match=r"manifest\.json"):
        check(root)
