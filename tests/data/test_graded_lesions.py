"""Grades by rule from masks, on masks whose distances and quadrants are known."""

import numpy as np
import pytest

from fundus_lib.data.graded_lesions import find_grades, graded_lesions, measure_lesions
from fundus_lib.errors import ArgumentError
from helpers import small_idrid as small

FOVEA = (60.0, 50.0)
OVERLAP = [
    {"segmentation_split": "test", "segmentation": "IDRiD_04", "grading_split": "train", "grading": "IDRiD_003"},
    {"segmentation_split": "train", "segmentation": "IDRiD_02", "grading_split": "train", "grading": "IDRiD_004"},
]


@pytest.fixture
def mask():
    """Four empty lesions, and a disc of 20 × 20 pixels, which is a circle 22.6 pixels wide."""
    planes = np.zeros((5, 100, 200), np.uint8)
    planes[4, 40:60, 120:140] = 1
    return planes


def speckle(plane, count, left, top):
    """So many single pixels, in rows of ten, that do not touch."""
    for k in range(count):
        plane[top + 2 * (k // 10), left + 2 * (k % 10)] = 1


def test_nothing_is_grade_zero(mask):
    row = measure_lesions(mask, FOVEA)
    assert (row["dr_by_rule"], row["dme_by_rule"], row["MA"], row["EX_area"]) == (0, 0, 0, 0)
    assert np.isnan(row["exudate_distance"])
    assert row["disc_diameter"] == pytest.approx(2 * np.sqrt(400 / np.pi) / 100)


@pytest.mark.parametrize(("kind", "grade"), [(0, 1), (1, 2), (2, 2), (3, 2)])
def test_anything_but_microaneurysms_is_grade_two(mask, kind, grade):
    mask[0, 5, 5] = 1
    mask[kind, 10, 180] = 1
    assert measure_lesions(mask, FOVEA)["dr_by_rule"] == grade


@pytest.mark.parametrize(("column", "row", "risk"), [(60, 50, 2), (82, 50, 2), (83, 50, 1), (60, 72, 2), (60, 73, 1)])
def test_edema_is_judged_by_the_nearest_pixel_of_an_exudate(mask, column, row, risk):
    """One disc diameter is 22.57 pixels; x is the column."""
    mask[2, 5:8, 190:195] = 1  # far away
    mask[2, row, column] = 1
    found = measure_lesions(mask, FOVEA)
    assert found["dme_by_rule"] == risk
    assert found["exudate_distance"] == pytest.approx(np.hypot(column - 60, row - 50) / (2 * np.sqrt(400 / np.pi)))
    assert (found["EX"], found["EX_area"]) == (2, pytest.approx(16 / 20000))


@pytest.mark.parametrize(("counts", "grade"), [((21, 21, 21, 21), 3), ((21, 21, 21, 20), 2), ((60, 60, 60, 0), 2)])
def test_haemorrhages_are_counted_in_each_quadrant(mask, counts, grade):
    for count, (left, top) in zip(counts, [(10, 5), (100, 5), (10, 60), (100, 60)], strict=True):
        speckle(mask[1], count, left, top)
    row = measure_lesions(mask, FOVEA)
    assert tuple(row[f"HE_quadrant_{k}"] for k in range(4)) == counts
    assert (row["HE"], row["dr_by_rule"]) == (sum(counts), grade)


@pytest.mark.parametrize("planes", [np.zeros((5, 9, 9), np.uint8), np.ones((4, 9, 9), np.uint8)])
def test_mask_without_a_disc(planes):
    with pytest.raises(ArgumentError, match="no disc"):
        measure_lesions(planes, FOVEA)


def test_one_row_for_each_photograph_with_masks_and_grades(tmp_path):
    root = small.write(tmp_path / "IDRiD", overlap=OVERLAP)
    table = graded_lesions(root, size=(24, 36))
    assert table.segmentation.tolist() == ["IDRiD_04", "IDRiD_02"]
    assert table[["dr", "dme"]].to_numpy().tolist() == [[2, 1], [4, 2]]  # of IDRiD_003 and IDRiD_004
    assert find_grades(root) == {"IDRiD_04": 2, "IDRiD_02": 4}
    assert table.HE.tolist() == [1, 0]  # IDRiD_02 has no haemorrhage
    assert table.SE.tolist() == [1, 1]
    assert table.EX_area.tolist() == pytest.approx([48 / (48 * 72)] * 2)
    # half size: the exudate covers columns 15-18 and rows 10-12; the label's fovea is at (1494, 1970) of 4288×2848
    fovea = 1494 * 36 / 4288, 1970 * 24 / 2848
    nearest = np.hypot(15 - fovea[0], 12 - fovea[1])
    assert table.exudate_distance.tolist() == pytest.approx([nearest / (2 * np.sqrt(12 / np.pi))] * 2)
