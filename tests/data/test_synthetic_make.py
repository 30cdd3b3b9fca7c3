"""The data set on disk: IDRiD's layout with its quirks, read back by the real loaders; atomic; the same bytes again."""

import errno
import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from fundus_lib.data import IDRiDGrading, IDRiDSegmentation, layout, splits
from fundus_lib.data.synthetic import draw, make, make_idrid
from fundus_lib.data.synthetic.workers import Job, draw_files
from fundus_lib.errors import ArgumentError, FileAccessError, FundusError

TINY = {"size": (64, 96), "seed": 5, "segmentation": (2, 1), "grading": (7, 4), "progress": False}


def mask_path(root, lesion, split, name):
    return root / layout.mask_folder(lesion, split) / f"{name}_{lesion}.tif"


def test_the_loader_reads_back_what_was_drawn(synthetic_root):
    test = IDRiDSegmentation(synthetic_root, "test", cache=False)
    assert [item.name for item in test.items] == ["IDRiD_05", "IDRiD_06", "IDRiD_07"]
    fundus = draw(0, 6, (240, 360))  # the last one, whose exudates are in the odd file
    sample = test[2]
    assert np.array_equal(sample["image"].numpy().transpose(1, 2, 0), fundus.image)
    for channel, lesion in enumerate(test.lesions):
        expected = fundus.masks.get(lesion, np.zeros((240, 360), np.uint8))
        assert np.array_equal(sample["mask"][channel].numpy(), expected), lesion


def test_masks_are_one_bit_palette_files_but_for_the_last_exudates(synthetic_root):
    with Image.open(mask_path(synthetic_root, "EX", "train", "IDRiD_01")) as plain:
        assert plain.mode == "P" and plain.tag_v2[258] == (1,)
        assert plain.getpalette()[:6] == [0, 0, 0, 255, 0, 0]
        assert sorted(np.unique(np.asarray(plain))) == [0, 1]
        assert sorted(np.unique(np.asarray(plain.convert("L")))) == [0, 76]
    with Image.open(mask_path(synthetic_root, "EX", "test", "IDRiD_07")) as odd:
        assert odd.mode == "RGBA" and odd.info["compression"] == "tiff_lzw"
        pixels = np.asarray(odd)
        assert (pixels[..., 3] == 255).all() and set(np.unique(pixels[..., 0])) == {0, 255}


def test_an_absent_lesion_is_a_missing_file(synthetic_root):
    for split, numbers in (("train", range(4)), ("test", range(4, 7))):
        for i in numbers:
            fundus = draw(0, i, (240, 360))
            for lesion in ("MA", "HE", "EX", "SE"):
                there = mask_path(synthetic_root, lesion, split, f"IDRiD_{i + 1:02d}").exists()
                assert there == (lesion in fundus.masks)
    assert len(list((synthetic_root / layout.mask_folder("OD", "train")).iterdir())) == 4


def test_label_files_look_like_the_published_ones(synthetic_root):
    train = (synthetic_root / layout.grades_file("train")).read_bytes().split(b"\r\n")
    assert train[0] == b"Image name,Retinopathy grade,Risk of macular edema ,,,,,,,,,"
    assert len(train) == 8 and train[1].startswith(b"IDRiD_001,") and train[1].endswith(b"," * 9)
    test = (synthetic_root / layout.grades_file("test")).read_bytes().split(b"\r\n")
    assert test[0] == b"Image name,Retinopathy grade,Risk of macular edema "
    assert test[1].startswith(b"IDRiD_001,")  # numbering restarts
    for split in layout.SPLITS:
        for file in (layout.optic_disc_file(split), layout.fovea_file(split)):
            lines = (synthetic_root / file).read_bytes().split(b"\r\n")
            assert lines[0] == b"Image No,X- Coordinate,Y - Coordinate" + b"," * 45
            assert lines[-2] == b"," * 47 and len(lines) == 11


@pytest.mark.real_data
def test_label_files_have_the_header_lines_of_the_published_ones(synthetic_root, idrid_root):
    for split in layout.SPLITS:
        for file in (layout.grades_file(split), layout.optic_disc_file(split), layout.fovea_file(split)):
            drawn, real = ((root / file).read_bytes().split(b"\r\n") for root in (synthetic_root, idrid_root))
            assert drawn[0] == real[0]
            assert drawn[1].count(b",") == real[1].count(b",")
            assert drawn[-2].strip(b",") == b"" or b"IDRiD" in real[-2]


def test_centres_are_those_of_the_synthetic_image(synthetic_root):
    overlap = splits.overlap(synthetic_root)
    row = overlap[overlap.grading_split == "train"].iloc[0]
    data = IDRiDGrading(synthetic_root, "train", cache=False)
    sample = data[[item.name for item in data.items].index(row.grading)]
    fundus = draw(0, int(row.segmentation[-2:]) - 1, (240, 360))
    assert np.allclose(np.asarray(sample["fovea"]).ravel(), fundus.fovea, atol=0.51)
    assert np.allclose(np.asarray(sample["optic_disc"]).ravel(), fundus.optic_disc, atol=0.51)


def test_overlap_and_duplicates_are_there_as_the_manifest_says(tmp_path):
    root = make_idrid(tmp_path / "IDRiD", **{**TINY, "grading": (90, 20)})
    manifest = json.loads((root / "manifest.json").read_text())
    assert manifest["kind"] == "synthetic" and manifest["seed"] == 5
    assert manifest["size"] == manifest["coordinates_size"] == [64, 96]

    def read(part, split, name):
        return (root / layout.image_folder(part, split) / f"{name}.jpg").read_bytes()

    overlap = splits.overlap(root)
    assert {(a, b) for a, b in zip(overlap.segmentation_split, overlap.grading_split, strict=True)} >= {
        ("train", "train"),
        ("test", "train"),
    }
    for row in overlap.itertuples():
        same = read("segmentation", row.segmentation_split, row.segmentation)
        assert same == read("grading", row.grading_split, row.grading)
    pairs = splits.duplicates(root)
    assert ("train", "test") in set(zip(pairs.first_split, pairs.second_split, strict=True))
    grades = {s: {i.name: (i.dr, i.dme) for i in IDRiDGrading(root, s, cache=False).items} for s in layout.SPLITS}
    for row in pairs.itertuples():
        same = read("grading", row.first_split, row.first)
        assert same == read("grading", row.second_split, row.second)
        one, two = grades[row.first_split][row.first], grades[row.second_split][row.second]
        assert (one == two) == (row.labels == "the same")
        if one[0] != two[0]:
            assert row.labels == f"DR {one[0]} and {two[0]}"
    seen = [p.read_bytes() for s in layout.SPLITS for p in (root / layout.image_folder("grading", s)).iterdir()]
    assert len(seen) - len({hashlib.sha256(b).digest() for b in seen}) == len(pairs)  # no duplicate unknown


def test_the_same_bytes_with_one_process_and_with_two(tmp_path):
    def files(root):
        return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}

    one = files(make_idrid(tmp_path / "one", workers=1, **TINY))
    assert one == files(make_idrid(tmp_path / "two", workers=2, **TINY))
    assert one != files(make_idrid(tmp_path / "other", **{**TINY, "seed": 6}))


def test_an_interrupted_run_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(make, "_write_labels", fail)
    with pytest.raises(FileAccessError, match="no room"):
        make_idrid(tmp_path / "IDRiD", workers=1, **TINY)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    for target, words in (("file", "a file, not a folder"), ("file/IDRiD", "a file is where a folder is meant")):
        with pytest.raises(FundusError, match=words):
            make_idrid(tmp_path / target, workers=1, **TINY)


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("two years of work")
    with pytest.raises(ArgumentError, match=r"not empty(.|\n)*thesis\.txt"):
        make_idrid(tmp_path, **TINY)
    assert (tmp_path / "thesis.txt").exists()


def test_a_process_that_fails_is_an_error_that_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr(make.layout, "image_folder", lambda part, split: f"no/{part}/{split}" if split else "")
    monkeypatch.setattr(make.Path, "mkdir", lambda *_args, **_kwargs: None)
    with pytest.raises(FileNotFoundError, match="No such file"):
        make._fill(tmp_path, (64, 96), 0, (1, 1), (4, 3), 1, False)
    with pytest.raises(OSError, match=r"stopped(.|\n)*nobody"):
        draw_files(tmp_path, (64, 96), 0, [Job("nobody", 0, [], {})], 1, lambda: None)


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on the size of files")
def test_no_room_for_what_a_process_writes(tmp_path):
    """A limit on the size of files is met at the same places as the end of a disk."""
    code = (
        "import resource, signal, sys; from fundus_lib.data.synthetic import make_idrid; "
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200)); "
        "make_idrid(sys.argv[1], size=(64, 96), segmentation=(1, 1), grading=(4, 3), workers=1)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "IDRiD")]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    assert "FileAccessError" in said.splitlines()[-4] and "no room" in said, said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", [{"segmentation": (0, 1)}, {"grading": (3, 0)}, {"size": (8, 12)}])
def test_too_small_is_refused(tmp_path, wrong):
    with pytest.raises(ArgumentError, match="too small"):
        make_idrid(tmp_path / "IDRiD", **{**TINY, **wrong})
