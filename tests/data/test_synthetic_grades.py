"""The clinical rules, each boundary by itself, and the drawn populations' grades beside IDRiD's."""

from collections import Counter

import numpy as np
import pytest

from fundus_lib.data.synthetic import Lesion, edema_risk, retinopathy_grade
from fundus_lib.data.synthetic.fundus import create_patient
from fundus_lib.data.synthetic.patient import JOINT_GRADES, choose_grades

FOVEA = np.array([700.0, 480.0])
CORNERS = np.array([[-1, -1], [1, -1], [-1, 1], [1, 1]]) * 150.0


def lesion(kind, at=(100.0, 100.0), form="dot", radius=2.0):
    centre = FOVEA + np.array(at)
    square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * radius
    return Lesion(kind, form, centre, (centre + square,))


def haemorrhages(counts):
    return [lesion("HE", corner) for corner, count in zip(CORNERS, counts, strict=True) for _ in range(count)]


@pytest.mark.parametrize(
    ("lesions", "grade"),
    [
        ([], 0),
        ([lesion("MA")], 1),
        ([lesion("MA")] * 90, 1),
        ([lesion("MA"), lesion("HE")], 2),
        ([lesion("EX")], 2),
        ([lesion("SE")], 2),
        (haemorrhages([20, 21, 21, 21]), 2),
        (haemorrhages([21, 21, 21, 21]), 3),
        (haemorrhages([0, 90, 90, 90]), 2),
        ([lesion("VB", CORNERS[0])] * 2, 2),
        ([lesion("VB", CORNERS[0]), lesion("VB", CORNERS[3])], 3),
        ([lesion("IRMA")], 3),
        ([lesion("IRMA"), lesion("NV")], 4),
        ([lesion("NV")], 4),
        ([lesion("VH")], 4),
        ([lesion("HE", form="preretinal")], 4),
    ],
)
def test_retinopathy(lesions, grade):
    assert retinopathy_grade(lesions, FOVEA) == grade


@pytest.mark.parametrize(
    ("lesions", "risk"),
    [
        ([], 0),
        ([lesion("MA", (0, 0)), lesion("HE", (0, 0)), lesion("SE", (0, 0))], 0),
        ([lesion("EX", (300.0, 0.0))], 1),
        ([lesion("EX", (181.0, 0.0))], 2),  # its nearest edge is 179 away
        ([lesion("EX", (183.0, 0.0))], 1),  # 181
        ([lesion("EX", (300.0, 0.0)), lesion("EX", (0.0, 50.0))], 2),
        ([lesion("EX", (0.0, 0.0), radius=200.0)], 2),  # the fovea lies inside
    ],
)
def test_edema(lesions, risk):
    assert edema_risk(lesions, FOVEA, 180.0) == risk


@pytest.mark.parametrize("population", ["segmentation", "grading"])
def test_what_is_drawn_has_the_grades_that_were_wanted(population):
    for index in range(40):
        subject = create_patient(3, index, population)
        assert (subject.dr, subject.dme) == choose_grades(3, index, population), index


@pytest.mark.parametrize("population", ["segmentation", "grading"])
def test_grades_are_distributed_as_in_idrid(population):
    real = JOINT_GRADES[population]
    total = sum(real.values())
    drawn = Counter(choose_grades(0, index, population) for index in range(total))
    print(f"\n{population}: DR, DME   IDRiD   drawn")
    for grades, count in real.items():
        print(f"      {grades}   {count:5d}   {drawn[grades]:5d}")
        assert abs(drawn[grades] - count) <= max(2, 0.05 * count)
    assert sum(drawn.values()) == total


def test_counts_of_retinopathy_are_those_of_the_label_files():
    table = JOINT_GRADES["grading"]
    assert [sum(n for (dr, _), n in table.items() if dr == grade) for grade in range(5)] == [168, 25, 168, 93, 62]
    assert [sum(n for (_, dme), n in table.items() if dme == risk) for risk in range(3)] == [222, 51, 243]


@pytest.mark.real_data
def test_the_joint_distribution_is_that_of_the_label_files(idrid_root):
    from fundus_lib.data import IDRiDGrading

    counts: Counter[tuple[int, int]] = Counter()
    for split in ("train", "test"):
        counts.update((item.dr, item.dme) for item in IDRiDGrading(idrid_root, split).items)
    assert dict(counts) == JOINT_GRADES["grading"]


def test_segmentation_patients_always_have_microaneurysms_and_exudates():
    kinds = [{le.kind for le in create_patient(1, index, "segmentation").lesions} for index in range(40)]
    assert all({"MA", "EX"} <= k for k in kinds)
    assert 0.3 < np.mean(["SE" in k for k in kinds]) < 0.7


def test_lesions_stay_clear_of_the_disc_and_healthy_eyes_have_none():
    for index in range(30):
        subject = create_patient(2, index, "grading")
        assert (subject.dr > 0) == bool(subject.lesions)
        for le in subject.lesions:
            if le.kind in ("MA", "EX", "SE"):
                away = le.centre - subject.eye.disc
                assert np.hypot(*away) > 0.5 * subject.eye.diameter
