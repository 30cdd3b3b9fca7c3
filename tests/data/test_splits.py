"""What leaks between IDRiD's parts and splits."""

import numpy as np
import pytest

from fundus_lib.data import splits
from fundus_lib.errors import ArgumentError, DatasetNotFoundError, UnknownNameError
from helpers import small_idrid as small

OVERLAP = [
    {"segmentation_split": "test", "segmentation": "IDRiD_04", "grading_split": "train", "grading": "IDRiD_003"},
    {"segmentation_split": "train", "segmentation": "IDRiD_01", "grading_split": "test", "grading": "IDRiD_002"},
    {"segmentation_split": "train", "segmentation": "IDRiD_02", "grading_split": "train", "grading": "IDRiD_001"},
]


def pair(first, second, labels="the same", splits=("train", "train")):
    return {"first_split": splits[0], "first": first, "second_split": splits[1], "second": second, "labels": labels}


def test_published_overlap():
    table = splits.overlap()
    counts = table.groupby(["segmentation_split", "grading_split"]).size().to_dict()
    assert counts == {("train", "train"): 42, ("test", "train"): 15, ("train", "test"): 3}
    crossing = table[(table.segmentation_split == "train") & (table.grading_split == "test")]
    assert dict(zip(crossing.segmentation, crossing.grading, strict=True)) == {
        "IDRiD_09": "IDRiD_091",
        "IDRiD_22": "IDRiD_088",
        "IDRiD_31": "IDRiD_089",
    }
    assert not table.duplicated(["segmentation_split", "segmentation"]).any()


def test_published_leaks():
    train = splits.grading_leaks(split="train")
    assert list(train.columns) == ["name", "reason"]
    assert len(train) == 23  # 15 of the segmentation test set, 10 of five pairs (two of them counted already), 118
    assert train.name.is_unique
    assert train.name.is_monotonic_increasing
    reasons = dict(zip(train.name, train.reason, strict=True))
    assert "IDRiD_064 of the grading test set" in reasons["IDRiD_118"]
    assert "IDRiD_69 of the segmentation test set" in reasons["IDRiD_028"]
    assert "contradictory labels (DR 1 and 2)" in reasons["IDRiD_021"]
    assert "contradictory labels (DR 1 and 2)" in reasons["IDRiD_391"]
    assert "same labels" in reasons["IDRiD_279"]
    assert "IDRiD_079" not in reasons
    test = splits.grading_leaks(split="test")
    assert set(test.name) == {"IDRiD_091", "IDRiD_088", "IDRiD_089"}
    assert set(splits.segmentation_leaks(split="train").name) == {"IDRiD_09", "IDRiD_22", "IDRiD_31"}
    assert len(splits.segmentation_leaks(split="test")) == 15


def test_drawn_copy_answers_for_itself(tmp_path):
    silent = small.write(tmp_path / "silent")
    assert len(splits.overlap(silent)) == len(splits.duplicates(silent)) == len(splits.grading_leaks(silent)) == 0
    root = small.write(tmp_path / "IDRiD", overlap=OVERLAP, duplicates=[pair("IDRiD_001", "IDRiD_004")])
    assert splits.overlap(root).to_dict("records") == OVERLAP
    assert splits.grading_leaks(root).name.tolist() == ["IDRiD_003", "IDRiD_004"]
    assert splits.grading_leaks(root, "test").name.tolist() == ["IDRiD_002"]
    assert splits.segmentation_leaks(root).name.tolist() == ["IDRiD_01"]
    assert splits.segmentation_leaks(root, "test").name.tolist() == ["IDRiD_04"]


@pytest.mark.parametrize(
    ("duplicate", "dropped"),
    [
        (pair("IDRiD_001", "IDRiD_004"), ["IDRiD_004"]),
        (pair("IDRiD_001", "IDRiD_004", "DR 0 and 4"), ["IDRiD_001", "IDRiD_004"]),
        (pair("IDRiD_001", "IDRiD_003"), ["IDRiD_001"]),  # 003 is in the segmentation test set: so is its twin
        (pair("IDRiD_004", "IDRiD_001", splits=("train", "test")), ["IDRiD_004"]),
        (pair("IDRiD_001", "IDRiD_004", splits=("test", "train")), ["IDRiD_004"]),
        (pair("IDRiD_001", "IDRiD_003", splits=("test", "test")), []),
    ],
)
def test_twins_are_left_out(tmp_path, duplicate, dropped):
    root = small.write(tmp_path / "IDRiD", overlap=OVERLAP, duplicates=[duplicate])
    assert splits.grading_leaks(root).name.tolist() == sorted({"IDRiD_003", *dropped})


def test_a_root_that_is_no_copy_is_not_answered_with_published_facts(tmp_path):
    for helper in (splits.overlap, splits.duplicates, splits.grading_leaks, splits.segmentation_leaks):
        with pytest.raises(DatasetNotFoundError, match="no copy of IDRiD"):
            helper(tmp_path / "mistyped")


def test_split_that_does_not_exist():
    for helper in (splits.grading_leaks, splits.segmentation_leaks):
        with pytest.raises(UnknownNameError):
            helper(split="val")


def test_validation_set_is_a_share_and_the_same_every_time():
    names = [f"IDRiD_{i:02d}" for i in range(1, 55)]
    train, val = splits.train_val_split(names, 0.2, seed=3)
    assert len(val) == 11
    assert sorted(train + val) == list(range(54))
    assert splits.train_val_split(names, 0.2, seed=3) == (train, val)
    assert splits.train_val_split(names, 0.2, seed=4)[1] != val
    chosen = {names[i] for i in val}
    assert {names[::-1][i] for i in splits.train_val_split(names[::-1], 0.2, seed=3)[1]} == chosen


@pytest.mark.parametrize(("names", "val"), [("abc", 0), ("abc", 1), ("abc", 0.1), ("aabc", 0.5), ("", 0.5)])
def test_validation_set_that_cannot_be(names, val):
    with pytest.raises(ArgumentError):
        splits.train_val_split(list(names), val)


def test_validation_images_of_recorded_runs_stay_the_same():
    names = [f"IDRiD_{i:03d}" for i in range(1, 414)]
    validation = splits.train_val_split(names, 0.15)[1]
    assert len(validation) == 62 and validation[:8] == [2, 5, 18, 19, 27, 36, 38, 39]


@pytest.mark.parametrize("n", [2, 5])
def test_each_image_validates_in_one_fold_and_grades_are_spread_evenly(n):
    grades = np.repeat([-1, 0, 1, 2, 3, 4], [7, 134, 20, 136, 74, 49])  # DR of IDRiD's training set, and unknown ones
    folds = splits.stratified_folds(grades, n, seed=1)
    assert sorted(i for _, validation in folds for i in validation) == list(range(len(grades)))
    for train, validation in folds:
        assert sorted(train + validation) == list(range(len(grades)))
        for grade in np.unique(grades):
            count = (grades == grade).sum() / n
            assert abs((grades[validation] == grade).sum() - count) < 1
    assert splits.stratified_folds(grades.tolist(), n, seed=1) == folds != splits.stratified_folds(grades, n, seed=2)


def test_folds_are_the_same_on_every_machine():
    assert [v for _, v in splits.stratified_folds([0, 0, 0, 1, 1, 1], 3)] == [[2, 4], [1, 5], [0, 3]]


@pytest.mark.parametrize(("grades", "n"), [([0, 0, 0], 1), ([0, 0, 1, 1, 2, 2], 3), ([], 2)])
def test_folds_that_cannot_be(grades, n):
    with pytest.raises(ArgumentError, match=f"n={n}, {len(grades)} images"):
        splits.stratified_folds(grades, n)
