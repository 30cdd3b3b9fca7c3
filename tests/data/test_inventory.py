"""The list of files that a copy of IDRiD must hold."""

import json
import shutil
from collections import Counter

import pytest

from fundus_lib.data import inventory, layout
from fundus_lib.errors import ArgumentError, MissingFileError
from helpers import small_idrid as small


def test_published_list_is_complete():
    files = inventory.published()
    assert len(files.files) == 972
    assert all(len(digest) == 16 and int(digest, 16) >= 0 for digest in files.files.values())
    masks = {(le, s): len(files.names(layout.mask_folder(le, s))) for le in layout.MASKS for s in layout.SPLITS}
    assert masks == {
        ("MA", "train"): 54, ("MA", "test"): 27, ("HE", "train"): 53, ("HE", "test"): 27, ("EX", "train"): 54,
        ("EX", "test"): 27, ("SE", "train"): 26, ("SE", "test"): 14, ("OD", "train"): 54, ("OD", "test"): 27,
    }  # fmt: skip
    assert "IDRiD_43_HE.tif" not in files.names(layout.mask_folder("HE", "train"))
    photographs = {
        p: [len(files.names(layout.image_folder(p, s))) for s in layout.SPLITS] for p in ("segmentation", "grading")
    }
    assert photographs == {"segmentation": [54, 27], "grading": [413, 103]}
    for label in (layout.grades_file, layout.optic_disc_file, layout.fovea_file):
        assert {label("train"), label("test")} <= set(files.files)


def test_manifest_is_read_back(tmp_path):
    root = small.write(tmp_path / "IDRiD", overlap=[], drawn_with="a pencil")
    manifest = inventory.read_manifest(root)
    assert manifest["kind"] == "synthetic"
    assert manifest["size"] == list(small.SIZE)
    assert manifest["made_by"].startswith("fundus_lib ")
    assert manifest["drawn_with"] == "a pencil"
    files = inventory.inventory(root)
    on_disk = {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()} - {"manifest.json"}
    assert set(files.files) == on_disk
    assert json.loads((root / "manifest.json").read_text()) == manifest


def test_without_a_manifest_the_published_list_holds(tmp_path):
    assert inventory.read_manifest(tmp_path) is None
    assert inventory.inventory(tmp_path) is inventory.published()


def test_names_are_those_of_the_folder_and_not_of_folders_in_it():
    files = inventory.Inventory("published", {"a/1": "", "a/b/2": "", "ab/3": "", "a/0": ""})
    assert files.names("a") == ["0", "1"]


def test_fingerprint_tells_content_and_not_place(tmp_path):
    root = small.write(tmp_path / "IDRiD")
    first = {part: inventory.fingerprint(root, part) for part in layout.PARTS}
    assert Counter(map(len, first.values())) == {12: 3}
    assert len(set(first.values())) == 3
    copy = shutil.copytree(root, tmp_path / "elsewhere")
    path = small.mask_path(copy, "EX", "IDRiD_01")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    second = {part: inventory.fingerprint(copy, part) for part in layout.PARTS}
    assert second.pop("segmentation") != first.pop("segmentation")
    assert second == first


def test_fingerprint_of_what_is_not_there(tmp_path):
    root = small.write(tmp_path / "IDRiD")
    with pytest.raises(ArgumentError, match="segmentation, grading, localization"):
        inventory.fingerprint(root, "A. Segmentation")
    small.mask_path(root, "EX", "IDRiD_01").unlink()
    with pytest.raises(MissingFileError, match="IDRiD_01_EX"):
        inventory.fingerprint(root, "segmentation")
