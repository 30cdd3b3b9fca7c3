"""The images of pldmlt and their labels: on IDRiD, on two data sets together, on DDR, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fundus_lib.data import pseudo_label_table
from fundus_lib.data.idrid import IDRiDGrading, IDRiDSegmentation
from fundus_lib.data.splits import overlap
from fundus_lib.errors import ArgumentError, DatasetNotFoundError, MissingFileError
from fundus_lib.experiment import read_data as read_any
from fundus_lib.recipes import PLDMLTRecipe, recipes
from fundus_lib.tasks import pldmlt_data
from fundus_lib.tasks.pldmlt_data import apply_rule, read_data
from helpers import small_ddr, small_diaretdb1
from helpers.runs import here

pytestmark = pytest.mark.usefixtures("one_thread")

SIDE = 64
PLAIN = PLDMLTRecipe(
    paper="pldmlt", table="t", row="r", side=SIDE, batch=2, epochs=1, precision="32", labels="rule",
    model_args={"width": 4, "norm": True},
)  # fmt: skip


def test_images_of_a_recipe_and_their_labels(graded_root):
    recipe = PLAIN.replace(labels="true", fold=(1, 2))
    parts = [read_data(recipe.replace(fold=(k, 2)), graded_root) for k in (1, 2)]
    names = {split: IDRiDSegmentation(graded_root, split).names for split in ("train", "test")}
    assert sorted([*parts[0].test.names, *parts[1].test.names]) == sorted(names["train"] + names["test"])
    data, other = parts
    assert set(data.training.names) == set(other.test.names) and data.source.startswith("true")
    assert (
        data.test.fingerprint
        == pldmlt_data.test_fingerprint(recipe, graded_root)
        != pldmlt_data.test_fingerprint(PLAIN, graded_root)
    )
    both = overlap(graded_root)
    grades = {
        split: dict(zip(d.names, d.dr, strict=True)) for split in names for d in [IDRiDGrading(graded_root, split)]
    }
    known = {row.segmentation: grades[row.grading_split][row.grading] for row in both.itertuples()}
    assert known and {n: data.labels[n] for n in known} == known
    assert all(data.labels[n] == -1 for n in data.labels if n not in known)
    for mask, image in zip(data.test.masks, data.test.images, strict=True):
        assert mask.shape == (5, SIDE, SIDE) and image.shape == (3, SIDE, SIDE)
    whole = read_data(PLAIN, graded_root)
    assert (list(whole.training.names), list(whole.test.names)) == (names["train"], names["test"])
    assert whole.labels == dict(zip(whole.labels, apply_rule(whole.training.join(whole.test)), strict=True))
    assert whole.training.fingerprint != read_data(PLAIN.replace(labels="true"), graded_root).training.fingerprint
    stand_in = read_data(PLAIN.replace(labels="corrected"), graded_root)
    assert "drawn" in stand_in.source and {n: stand_in.labels[n] for n in known} == known
    assert not read_data(PLAIN.replace(model_args={"grades": False}), graded_root).labels
    unpooled = read_data(recipe.replace(pooled=False), graded_root)
    assert set(unpooled.test.names) < set(names["train"])


def as_published(monkeypatch, names=("IDRiD",)):
    """Let drawn files pass for published ones."""

    monkeypatch.setattr(pldmlt_data, "title", lambda root: "IDRiD")


def test_pseudo_labels_come_from_the_table_and_are_refused_where_it_has_none(graded_root, tmp_path, monkeypatch):

    as_published(monkeypatch)
    names = [*IDRiDSegmentation(graded_root, "train").names, *IDRiDSegmentation(graded_root, "test").names]
    lines = ["image,grader,leaks,p0,p1,p2,p3,p4,label"]
    for n, name in enumerate(names):
        lines += [f"{name},first,0,0.6,0.1,0.1,0.1,0.1,{n % 5}", f"{name},second,0,0.05,0.05,0.1,0.1,0.7,{n % 5}"]
    path = tmp_path / "labels.csv"
    path.write_text("\n".join(lines) + "\n")
    read = pseudo_label_table.read_pseudo_labels
    monkeypatch.setattr(pldmlt_data, "read_pseudo_labels", lambda leaks: read(leaks, path))
    data = read_data(PLAIN.replace(labels="corrected"), graded_root)
    assert data.labels == {name: n % 5 for n, name in enumerate(names)} and "corrected" in data.source
    before = read_data(PLAIN.replace(labels="graders"), graded_root)
    assert set(before.labels.values()) == {4} and "corrected" not in before.source
    path.write_text("\n".join(lines[:-2]) + "\n")
    with pytest.raises(ArgumentError, match=names[-1]):
        read_data(PLAIN.replace(labels="corrected"), graded_root)
    path.unlink()
    with pytest.raises(MissingFileError, match="rule"):
        read_data(PLAIN.replace(labels="corrected"), graded_root)


def test_data_sets_that_are_not_there_are_refused(graded_root, monkeypatch, tmp_path):
    as_published(monkeypatch)
    with pytest.raises(DatasetNotFoundError, match="DiaRetDB1"):
        read_data(PLAIN.replace(further=("DiaRetDB1",)), graded_root)
    with pytest.raises(ArgumentError, match="expected: DDR"):
        read_data(PLAIN.replace(dataset="DDR"), graded_root)
    with pytest.raises(ArgumentError, match="no data set that is known"):
        read_data(PLAIN.replace(dataset="DDR"), tmp_path)


def brighten(folder: Path) -> None:
    """Photographs that show a field of view, and differ."""
    for number, path in enumerate(sorted([*folder.rglob("*.jpg"), *folder.rglob("images/*.png")])):
        size = Image.open(path).size
        Image.fromarray(np.full((*size[::-1], 3), 100 + 7 * number, np.uint8)).save(path)


def test_two_data_sets_are_trained_on_together(graded_root, tmp_path, monkeypatch):
    as_published(monkeypatch)
    (tmp_path / "IDRiD").symlink_to(graded_root)
    small_diaretdb1.write_v21(tmp_path / "DiaRetDB1")
    brighten(tmp_path / "DiaRetDB1")
    recipe = PLAIN.replace(further=("DiaRetDB1",), fold=(1, 2))
    parts = [read_data(recipe.replace(fold=(k, 2)), tmp_path / "IDRiD") for k in (1, 2)]
    tested = [name for data in parts for name in data.test.names]
    assert len(tested) == len(set(tested)) == 12 and sum(name.startswith("diaretdb1") for name in tested) == 3
    data = parts[0]
    assert data.test.title == data.training.title == ", ".join(recipe.needs) == "IDRiD, DiaRetDB1"
    assert data.test.fingerprint == pldmlt_data.test_fingerprint(recipe, tmp_path / "IDRiD")
    alone = read_data(recipe.replace(further=()), tmp_path / "IDRiD")
    assert alone.test.fingerprint != data.test.fingerprint
    whole = read_data(recipe.replace(fold=None), tmp_path / "IDRiD")
    assert (len(whole.training), len(whole.test)) == (8, 4)
    assert whole.test.fingerprint == pldmlt_data.test_fingerprint(recipe.replace(fold=None), tmp_path / "IDRiD")


def test_ddr(tmp_path):
    root = tmp_path / "DDR"
    small_ddr.write_both_parts(root)
    brighten(root)
    recipe = PLAIN.replace(dataset="DDR", fold=(1, 2), update=True, label_args={"width": 4, "norm": True})
    data = read_data(recipe, root)
    names = [name for split in small_ddr.NAMES.values() for name in split]
    assert sorted([*data.training.names, *data.test.names]) == sorted(names)
    grades = {name: k for split in small_ddr.NAMES.values() for k, name in enumerate(split)}
    for part in (data.training, data.test):
        assert part.dr.tolist() == [grades[name] for name in part.names] and part.title == "DDR"
    assert set(data.labels.values()) == {2}, "there are exudates in all of them"
    with pytest.raises(ArgumentError, match="expected: IDRiD"):
        read_data(PLAIN, root)
    record = here(recipe, root, tmp_path / "out")
    assert (record["dataset"], record["split"], record["images"]) == ("DDR", "fold 1 of 2", len(data.test))
    assert record["metrics"]["dr_images"] == len(data.test)


def test_the_table_of_pseudo_labels_has_none_for_other_data_sets(tmp_path, monkeypatch):
    root = tmp_path / "DDR"
    small_ddr.write_both_parts(root)
    brighten(root)
    path = tmp_path / "labels.csv"
    path.write_text("image,grader,leaks,p0,p1,p2,p3,p4,label\nx,a,0,1,0,0,0,0,0\nx,b,0,1,0,0,0,0,0\n")
    read = pseudo_label_table.read_pseudo_labels
    monkeypatch.setattr(pldmlt_data, "read_pseudo_labels", lambda leaks: read(leaks, path))
    with pytest.raises(ArgumentError, match="4 of 4 images"):
        read_data(PLAIN.replace(dataset="DDR", labels="corrected", fold=(1, 2)), root)


def test_a_grader_on_ddr(tmp_path):
    root = tmp_path / "DDR"
    small_ddr.write_both_parts(root)
    brighten(root)
    recipe = recipes("pldmlt", "2", "resnext50")[0].smoke().replace(precision="32", batch=2, side=32, epochs=1)
    data = read_any(recipe, root)
    assert [len(part) for part in (data.training, data.validation, data.test)] == [3, 2, 2]
    assert data.training.names == ("007-0004-000", "007-0007-000", "train-a") and data.training.dr.tolist() == [0, 1, 2]
    assert data.test_masks.names == tuple(small_ddr.NAMES["test"])
    assert {tuple(image.shape) for image in data.training.images} == {(3, 32, 32)}
    record = here(recipe, root, tmp_path / "out")
    assert record["dataset"] == "DDR" and 0 <= record["metrics"]["dr_accuracy"] <= 1
    for bad in ({"fold": (1, 2)}, {"model_args": {"backbone": "resnet18"}}):
        with pytest.raises(ArgumentError, match="grades alone"):
            read_any(recipe.replace(**bad), root)
    with pytest.raises(ArgumentError, match="expected: DDR"):
        read_any(recipe, tmp_path)
    with pytest.raises(ArgumentError, match="expected: IDRiD"):
        read_any(recipe.replace(dataset="IDRiD"), root)
