"""Folders as archives leave them: what to move, or which root to name; following the advice makes them usable."""

import re
import shutil
from pathlib import Path

import pytest

from fundus_lib.data import DDRGrading, DDRSegmentation, DiaRetDB1, IDRiDGrading, IDRiDSegmentation, doctor
from fundus_lib.data.recognise import advise, recognise
from fundus_lib.errors import DatasetNotFoundError, FundusError
from helpers import small_idrid as small

PARTS = ("A. Segmentation", "B. Disease Grading", "C. Localization")


def wrap(root, name, outer):
    """Move a folder into a new one beside it."""
    (root / "moving").mkdir()
    (root / name).rename(root / "moving" / name)
    (root / "moving").rename(root / outer)


def follow(advice):
    """Do what the advice says, word by word."""
    for step in advice.split("; "):
        if found := re.fullmatch(r"move all that '(.+)' holds up into '(.+)'", step):
            source, target = map(Path, found.groups())
            aside = target.with_name("aside")
            source.rename(aside)
            for path in aside.iterdir():
                path.rename(target / path.name)
            aside.rmdir()
        else:
            source, target = map(Path, re.fullmatch(r"rename '(.+)' to '(.+)'", step).groups())
            source.rename(target)


def doubled(root):
    for part in PARTS:
        wrap(root, part, part)


def percent(root):
    for part in PARTS:
        (root / part).rename(root / part.replace(" ", "%20"))


def both(root):
    for part in PARTS:
        wrap(root, part, part.replace(" ", "%20"))


def inner(root):
    wrap(root / PARTS[0] / "1. Original Images", "a. Training Set", "a. Training Set")


@pytest.mark.parametrize("change", [doubled, percent, both, inner])
@pytest.mark.parametrize("published", [False, True])
def test_idrid_as_it_usually_arrives(tmp_path, change, published):
    root = small.write(tmp_path / "IDRiD", manifest=not published)
    change(root)
    with pytest.raises(FundusError) as caught:
        IDRiDSegmentation(root, "train")
    assert "unpack" not in caught.value.remedy
    try:
        said = str(doctor.check(root))
        assert "Unpack the archives again" not in said or published
        assert caught.value.remedy in said
    except DatasetNotFoundError as error:
        assert caught.value.remedy in error.remedy
    for opening in (IDRiDSegmentation, IDRiDGrading, IDRiDGrading):
        try:
            opening(root, "train")
        except FundusError as error:
            if published and "published list" in str(error):  # of which this small copy holds too little
                break
            follow(error.remedy)
    if not published:
        assert len(IDRiDSegmentation(root, "train")) == 3 and len(IDRiDGrading(root, "test")) == 3
        assert doctor.check(root).exit_code == 0


def test_folders_of_macos_and_windows_do_not_count(tmp_path):
    root = small.write(tmp_path / "IDRiD")
    copy = root / "__MACOSX" / PARTS[0]
    copy.mkdir(parents=True)
    (copy / "._IDRiD_01.jpg").touch()
    (small.photograph_path(root, "IDRiD_01").parent / "desktop.ini").touch()
    assert doctor.check(root).exit_code == 0
    shutil.rmtree(root / PARTS[0])
    assert advise(root, PARTS[0]) == ""


def test_label_file_under_another_name(tmp_path):
    root = small.write(tmp_path / "IDRiD")
    (path,) = (root / PARTS[1] / "2. Groundtruths").glob("a.*")
    path.rename(path.with_name(path.name.replace(" ", "%20")))
    with pytest.raises(FundusError, match=f"rename it to '{path.name}'"):
        IDRiDGrading(root, "train")


@pytest.mark.parametrize("part", ["lesion_segmentation", "DR_grading"])
def test_ddr_in_doubled_folders(ddr_root, part):
    wrap(ddr_root, part, part)
    opening = DDRSegmentation if part == "lesion_segmentation" else DDRGrading
    with pytest.raises(DatasetNotFoundError, match="move all") as caught:
        opening(ddr_root, "train")
    assert caught.value.remedy in str(doctor.check(ddr_root))
    follow(caught.value.remedy)
    assert len(opening(ddr_root, "val")) and doctor.check(ddr_root).exit_code == 1


def test_ddr_masks_under_the_name_of_the_other_splits(ddr_root):
    folder = ddr_root / "lesion_segmentation" / "valid"
    (folder / "segmentation label").rename(folder / "label")
    with pytest.raises(FundusError, match=r"rename .*label to 'segmentation label'"):
        DDRSegmentation(ddr_root, "val")


@pytest.mark.parametrize("version", ["2.1", "1.1"])
def test_loader_and_doctor_name_the_same_folder_of_diaretdb1(request, tmp_path, version):
    root = request.getfixturevalue("v21" if version == "2.1" else "v11")
    home = tmp_path / "DiaRetDB1"
    home.mkdir()
    inside = root.rename(home / root.name)
    with pytest.raises(DatasetNotFoundError) as loader:
        DiaRetDB1(home, "train", version=version)
    with pytest.raises(DatasetNotFoundError) as said:
        doctor.check(home)
    assert loader.value.remedy == said.value.remedy == f"name {inside}"
    assert recognise(inside) == f"DiaRetDB1 {version}"


def test_what_works_on_idrid_alone_says_which_data_set_it_found(ddr_root, v21):
    for root, name in ((ddr_root, "DDR"), (v21, "DiaRetDB1 2.1")):
        with pytest.raises(DatasetNotFoundError, match=f"this is {name}"):
            IDRiDSegmentation(root, "train")
