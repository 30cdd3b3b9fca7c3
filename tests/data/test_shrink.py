"""The small copy: complete or not there, the same masks, the same points."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fundus_lib.data import IDRiDGrading, IDRiDSegmentation, layout, splits
from fundus_lib.data.doctor import check
from fundus_lib.data.images import image_size, read_image
from fundus_lib.data.inventory import read_manifest
from fundus_lib.data.shrink import shrink
from fundus_lib.errors import (
    ArgumentError,
    DatasetNotFoundError,
    FileAccessError,
    MissingFileError,
    UnreadableImageError,
)
from helpers import small_idrid as small

SMALL = (24, 36)


@pytest.fixture
def root(tmp_path):
    return small.write(tmp_path / "IDRiD")


@pytest.mark.parametrize("size", [SMALL, (31, 46)])
def test_masks_are_those_of_reading_at_that_size(root, tmp_path, size):
    copy = shrink(root, tmp_path / "small", size)
    for split in ("train", "test"):
        wanted = IDRiDSegmentation(root, split, lesions=tuple(layout.MASKS), size=size, cache=False)
        found = IDRiDSegmentation(copy, split, lesions=tuple(layout.MASKS))
        assert found.names == wanted.names
        assert np.array_equal(found.annotated, wanted.annotated)
        for i in range(len(wanted)):
            assert np.array_equal(found.mask(i), wanted.mask(i))
            difference = found[i]["image"].int() - wanted[i]["image"].int()
            assert difference.abs().float().mean() < 4  # JPEG


def test_grades_and_points_stay(root, tmp_path):
    copy = shrink(root, tmp_path / "small", SMALL)
    wanted, found = (IDRiDGrading(r, "train", size=SMALL) for r in (root, copy))
    assert found.dr.tolist() == wanted.dr.tolist()
    for i in range(len(wanted)):
        assert found[i]["image"].shape == (3, *SMALL)
        assert found[i]["fovea"].tolist() == wanted[i]["fovea"].tolist()
        assert found[i]["optic_disc"].tolist() == wanted[i]["optic_disc"].tolist()
    for split in layout.SPLITS:
        for file in (layout.grades_file, layout.optic_disc_file, layout.fovea_file):
            assert (copy / file(split)).read_bytes() == (root / file(split)).read_bytes()


def test_manifest_and_doctor(root, tmp_path):
    copy = shrink(root, tmp_path / "small", SMALL)
    manifest = read_manifest(copy)
    assert manifest["kind"] == "synthetic"  # a shrunk drawing is still a drawing
    assert manifest["size"] == list(SMALL)
    assert manifest["coordinates_size"] == [2848, 4288]
    assert check(copy).exit_code == 0


def test_what_the_source_says_of_leaks_goes_with_it(tmp_path):
    pair = {
        "first_split": "train",
        "first": "IDRiD_001",
        "second_split": "train",
        "second": "IDRiD_004",
        "labels": "the same",
    }
    root = small.write(tmp_path / "IDRiD", duplicates=[pair], overlap=[])
    copy = shrink(root, tmp_path / "small", SMALL)
    assert splits.grading_leaks(copy).name.tolist() == ["IDRiD_004"]


def test_mask_of_which_nothing_is_left(root, tmp_path):
    dot = np.zeros(small.SIZE, np.uint8)
    dot[20, 20] = 1
    path = small.mask_path(root, "MA", "IDRiD_02")
    small.write_mask(path, dot)
    small.write_manifest(root, "synthetic", size=small.SIZE)
    copy = shrink(root, tmp_path / "small", SMALL)
    assert read_manifest(copy)["empty_masks"] == [path.relative_to(root).as_posix()]
    data = IDRiDSegmentation(copy, "train")
    assert data.annotated[1, 0]
    assert not data.mask(1)[0].any()
    again = shrink(copy, tmp_path / "smaller", (12, 18))
    assert not IDRiDSegmentation(again, "train").mask(1)[0].any()


def test_nothing_is_enlarged(root, tmp_path):
    copy = shrink(root, tmp_path / "small", (480, 720))
    for path in (small.photograph_path(root, "IDRiD_01"), small.photograph_path(root, "IDRiD_001", part="grading")):
        assert (copy / path.relative_to(root)).read_bytes() == path.read_bytes()
    assert np.array_equal(IDRiDSegmentation(copy, "train").mask(0)[0], small.box("MA"))
    assert read_manifest(copy)["size"] == list(small.SIZE)  # that of the images, not the one that was asked for
    assert "48×72" in str(check(copy))


def test_an_image_that_is_smaller_in_one_side_is_copied(root, tmp_path):
    copy = shrink(root, tmp_path / "small", (48, 73))
    assert image_size(small.photograph_path(copy, "IDRiD_01")) == small.SIZE
    assert read_manifest(copy)["size"] == list(small.SIZE)


@pytest.mark.parametrize(
    ("size", "advice"), [((72, 48), "swap"), ((36, 24), "swap"), ((24, 24), "24x16"), ((40, 144), "144x96")]
)
def test_nothing_is_distorted(root, tmp_path, size, advice):
    with pytest.raises(ArgumentError, match=rf"48 high and 72 wide(.|\n)*{advice}"):
        shrink(root, tmp_path / "small", size)
    assert left(tmp_path) == ["IDRiD"]


def test_smaller_images_of_a_part_are_counted(tmp_path):
    root = small.write(tmp_path / "IDRiD")
    for split, names in small.GRADES.items():
        for name in names:
            path = small.photograph_path(root, name, split, "grading")
            Image.open(path).resize((36, 24)).save(path)
    small.write_manifest(root, "synthetic", size=small.SIZE)
    copy = shrink(root, tmp_path / "small", (32, 48))
    assert (read_manifest(copy)["size"], read_manifest(copy)["smaller"]) == ([32, 48], 7)
    assert "7 photographs are smaller" in str(check(copy))


def test_a_target_that_cannot_be_written(root, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(FileAccessError, match="a file is where a folder is meant"):
        shrink(root, tmp_path / "file" / "small", SMALL)
    for number, words in ((errno.ENOSPC, "no room"), (errno.EROFS, "may not")):

        def fail(*_, number=number, **__):
            raise OSError(number, os.strerror(number))

        with monkeypatch.context() as patch:
            patch.setattr(Path, "write_bytes", fail)
            with pytest.raises(FileAccessError, match=words):
                shrink(root, tmp_path / "small", SMALL)
    assert left(tmp_path) == ["IDRiD", "file"]


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on the size of files")
@pytest.mark.parametrize("limit", [0, 200])
def test_no_room_is_said_whichever_encoder_meets_it(root, tmp_path, limit):
    """A limit on the size of files is met at the same places as the end of a disk."""
    code = (
        "import resource, signal, sys; from fundus_lib.data.shrink import shrink; "
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit})); "
        f"shrink(*sys.argv[1:], {SMALL})"
    )
    command = [sys.executable, "-c", code, str(root), str(tmp_path / "small")]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "FileAccessError" in said.stderr.splitlines()[-4] and "no room" in said.stderr, said.stderr
    assert left(tmp_path) == ["IDRiD"]


def test_part_of_the_source(root, tmp_path):
    import shutil

    shutil.rmtree(root / "B. Disease Grading")
    shutil.rmtree(root / "C. Localization")
    copy = shrink(root, tmp_path / "small", SMALL)
    assert len(IDRiDSegmentation(copy, "train")) == 3
    assert not (copy / "B. Disease Grading").exists()


def left(folder):
    return sorted(p.name for p in folder.iterdir())


def test_full_target_is_left_alone(root, tmp_path):
    target = tmp_path / "full"
    target.mkdir()
    (target / "thesis.tex").write_text("years of work")
    for wrong in (target, target / "thesis.tex"):
        with pytest.raises(ArgumentError, match=r"new or empty folder"):
            shrink(root, wrong, SMALL)
    assert left(target) == ["thesis.tex"]
    assert left(tmp_path) == ["IDRiD", "full"]


def test_empty_target_is_filled(root, tmp_path):
    (tmp_path / "empty").mkdir()
    assert len(IDRiDSegmentation(shrink(root, tmp_path / "empty", SMALL), "train")) == 3


@pytest.mark.parametrize("size", [None, (0, 5), 24])
def test_size_that_is_none(root, tmp_path, size):
    with pytest.raises(ArgumentError, match="size"):
        shrink(root, tmp_path / "small", size)


def test_target_inside_the_source(root):
    with pytest.raises(ArgumentError, match="inside the source"):
        shrink(root, root / "small", SMALL)


def test_fault_in_the_source_leaves_nothing(root, tmp_path):
    path = small.photograph_path(root, "IDRiD_03", part="segmentation")
    whole = path.read_bytes()
    path.write_bytes(whole[:600])
    with pytest.raises(UnreadableImageError, match=r"IDRiD_03\.jpg"):
        shrink(root, tmp_path / "small", SMALL)
    path.unlink()
    with pytest.raises(MissingFileError, match=r"IDRiD_03\.jpg"):
        shrink(root, tmp_path / "small", SMALL)
    with pytest.raises(DatasetNotFoundError):
        shrink(tmp_path, tmp_path / "small", SMALL)
    assert left(tmp_path) == ["IDRiD"]


def test_masks_have_the_form_of_the_published_ones(root, tmp_path):
    copy = shrink(root, tmp_path / "small", SMALL)
    with Image.open(small.mask_path(copy, "EX", "IDRiD_01")) as picture:
        assert picture.mode == "P"
        assert picture.getpalette()[:6] == [0, 0, 0, 255, 0, 0]
        assert set(np.unique(np.asarray(picture))) == {0, 1}
    assert read_image(small.photograph_path(copy, "IDRiD_01")).shape == (*SMALL, 3)
