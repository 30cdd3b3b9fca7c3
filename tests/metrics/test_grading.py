"""Grades against scikit-learn, and the paired test against values computed by hand."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, cohen_kappa_score
from sklearn.metrics import confusion_matrix as sklearn_confusion_matrix

from fundus_lib.errors import ArgumentError, GradeRangeError
from fundus_lib.metrics import (
    bootstrap,
    confusion_matrix,
    grading_report,
    majority_accuracy,
    mcnemar,
    paired_test,
    quadratic_weighted_kappa,
)


def random_grades(rng, grades, images):
    """Given and true grades: unrelated, alike, the same, or only one of the scale."""
    given, true = rng.integers(rng.integers(grades), grades, size=(2, images))
    return np.where(rng.random(images) < rng.choice([0, 0.6, 1]), true, given), true


def test_matrix_and_kappa_are_scikit_learns_on_random_cases():
    rng = np.random.default_rng(0)
    undefined = 0
    for _ in range(2000):
        grades = int(rng.integers(2, 7))
        given, true = random_grades(rng, grades, rng.integers(1, 40))
        matrix = confusion_matrix(given, true, grades)
        assert np.array_equal(matrix, sklearn_confusion_matrix(true, given, labels=range(grades)))
        kappa = quadratic_weighted_kappa(matrix)
        if len({*given, *true}) == 1:
            assert math.isnan(kappa)
            undefined += 1
        else:
            theirs = cohen_kappa_score(true, given, labels=range(grades), weights="quadratic")
            assert kappa == pytest.approx(theirs, abs=1e-12)
        assert quadratic_weighted_kappa(matrix.T) == pytest.approx(kappa, abs=1e-12, nan_ok=True)
    assert 20 < undefined < 1000


def test_kappa_of_known_matrices():
    assert quadratic_weighted_kappa(np.diag([3, 5, 1])) == 1
    assert quadratic_weighted_kappa(np.outer([1, 2, 3], [4, 1, 1])) == pytest.approx(0)
    assert quadratic_weighted_kappa([[0, 5], [5, 0]]) == -1
    assert quadratic_weighted_kappa([[2, 1, 0], [0, 2, 0], [0, 0, 1]]) == pytest.approx(1 - 6 / 38)
    assert math.isnan(quadratic_weighted_kappa(np.zeros((5, 5))))


@pytest.mark.parametrize("matrix", [np.ones((2, 3)), [0, 1, 2, 2], [[1, -1], [0, 2]], [[1, math.nan], [0, 2]]])
def test_kappa_refuses_what_is_no_confusion_matrix(matrix):
    with pytest.raises(ArgumentError, match="not a confusion matrix"):
        quadratic_weighted_kappa(matrix)


def test_grades_that_no_image_has_keep_their_distance():
    """Scikit-learn leaves them out unless told the scale, and then takes 4 for the neighbour of 1."""
    given, true = [0, 0, 4, 1], [0, 4, 4, 1]
    kappa = quadratic_weighted_kappa(confusion_matrix(given, true, 5))
    assert kappa == pytest.approx(cohen_kappa_score(true, given, labels=range(5), weights="quadratic"))
    assert abs(kappa - cohen_kappa_score(true, given, weights="quadratic")) > 0.01


def test_report_of_both_diseases():
    rng = np.random.default_rng(1)
    dr, dme = random_grades(rng, 5, 103), random_grades(rng, 3, 103)
    report = grading_report(*dr, *dme, resamples=200)
    assert report.images == 103
    for scores, (given, true), grades in ((report.dr, dr, 5), (report.dme, dme, 3)):
        assert scores.accuracy.value == accuracy_score(true, given)
        kappa = cohen_kappa_score(true, given, labels=range(grades), weights="quadratic")
        assert scores.kappa.value == pytest.approx(kappa)
        assert np.array_equal(scores.confusion, confusion_matrix(given, true, grades))
    joint = [dr[0][i] == dr[1][i] and dme[0][i] == dme[1][i] for i in range(103)]
    assert report.joint_accuracy == bootstrap(joint, np.mean, resamples=200)


def test_intervals_are_those_of_scores_computed_anew():
    rng = np.random.default_rng(2)
    true = rng.integers(5, size=60)
    given = np.where(rng.random(60) < 0.7, true, rng.integers(5, size=60))
    report = grading_report(given, true, resamples=150, confidence=0.8, seed=9)
    draws = np.random.default_rng(9).integers(60, size=(150, 60))
    kappas = [cohen_kappa_score(true[draw], given[draw], labels=range(5), weights="quadratic") for draw in draws]
    accuracies = [accuracy_score(true[draw], given[draw]) for draw in draws]
    for scores, estimate in ((kappas, report.dr.kappa), (accuracies, report.dr.accuracy)):
        assert np.allclose(estimate.low, np.quantile(scores, 0.1), atol=1e-12)
        assert np.allclose(estimate.high, np.quantile(scores, 0.9), atol=1e-12)


def test_metrics_of_a_report_are_flat():
    flat = grading_report([0, 1, 2, 4], [0, 1, 2, 3], [0, 1, 2, 1], [0, 1, 2, 2], resamples=50).metrics()
    assert list(flat)[:4] == ["dr_accuracy", "dr_accuracy_low", "dr_accuracy_high", "dr_kappa"]
    assert {name for name in flat if not name.endswith(("_low", "_high"))} == {
        "dr_accuracy",
        "dr_kappa",
        "dme_accuracy",
        "dme_kappa",
        "joint_accuracy",
    }
    assert (flat["dr_accuracy"], flat["joint_accuracy"]) == (0.75, 0.75)
    alone = grading_report([0, 1, 2, 4], [0, 1, 2, 3], resamples=50)
    assert alone.dme is None
    assert alone.joint_accuracy is None
    assert set(alone.metrics()) == {name for name in flat if name.startswith("dr_")}


def test_lists_tensors_and_small_types_grade_alike():
    given, true = [0, 4, 3, 1], [0, 4, 2, 2]
    expected = grading_report(given, true, resamples=50).metrics()
    assert grading_report(torch.tensor(given), torch.tensor(true), resamples=50).metrics() == expected
    assert grading_report(np.array(given, np.uint8), np.array(true, np.int8), resamples=50).metrics() == expected


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        (([0, 5], [0, 1]), GradeRangeError, "0 to 4"),
        (([0, 1], [0, -1]), GradeRangeError, "-1, in 1 of 2"),
        (([0, 1], [0, 1], [0, 3], [0, 1]), GradeRangeError, "0 to 2"),
        (([0, 1], [0, 1, 2]), ArgumentError, "same images"),
        (([0.2, 0.8], [0, 1]), ArgumentError, "argmax"),
        ((np.eye(5, dtype=int), np.eye(5, dtype=int)), ArgumentError, "argmax"),
        (([0, math.nan], [0, 1]), ArgumentError, "dr_pred.*\\n.*float"),
        (([0, 1], [0, 1], [0, 1]), ArgumentError, "dme_target is missing"),
        (([0, 1], [0, 1], None, [0, 1]), ArgumentError, "dme_pred is missing"),
        (([0, 1], [0, 1], [0], [1]), ArgumentError, "same images"),
        ((np.zeros(0, int), np.zeros(0, int)), ArgumentError, " 0 images"),
    ],
)
def test_grading_report_refuses(arguments, error, says):
    with pytest.raises(error, match=says):
        grading_report(*arguments)


def test_mcnemar_of_known_tables():
    assert mcnemar(0, 0) == 1
    assert mcnemar(5, 5) == 1
    assert mcnemar(0, 5) == pytest.approx(2 / 32)
    assert mcnemar(1, 9) == mcnemar(9, 1) == pytest.approx(22 / 1024)
    assert mcnemar(3, 10) == pytest.approx(0.09228515625)
    assert 0 < mcnemar(400, 2000) < 1e-200
    assert mcnemar(np.int32(10), np.int32(25)) == mcnemar(10, 25)


def test_mcnemar_refuses_negative_counts():
    with pytest.raises(ArgumentError, match="-1 and 4"):
        mcnemar(-1, 4)


def test_mcnemar_is_the_probability_of_coin_tosses_at_least_as_extreme():
    for n in range(1, 13):
        for only_a in range(n + 1):
            lopsided = sum(abs(2 * sum(throws) - n) >= abs(2 * only_a - n) for throws in product((0, 1), repeat=n))
            assert mcnemar(only_a, n - only_a) == pytest.approx(lopsided / 2**n)


def test_paired_test_counts_and_estimates():
    a, b = np.zeros((2, 103), bool)
    a[:63], b[8:60] = True, True  # A alone: 0 to 7 and 60 to 62
    b[100:] = True
    test = paired_test(a, b)
    assert (test.both, test.only_a, test.only_b, test.neither) == (52, 11, 3, 37)
    assert test.p_value == mcnemar(11, 3)
    assert test.difference.value == pytest.approx(8 / 103)
    assert test.difference == bootstrap(a.astype(int) - b, np.mean)
    assert test.difference.low < 8 / 103 < test.difference.high
    turned = paired_test(torch.from_numpy(b), torch.from_numpy(a))
    assert (turned.only_a, turned.only_b, turned.p_value) == (3, 11, test.p_value)
    assert turned.difference.low == -test.difference.high


def test_equal_systems_are_seldom_significantly_different():
    """The exact test keeps its promise: at most 5 % of comparisons of equals come out below 0.05."""
    rng = np.random.default_rng(3)
    p_values = []
    for _ in range(2000):
        a, b = rng.random((2, 103)) < 0.6
        p_values.append(mcnemar(int((a & ~b).sum()), int((b & ~a).sum())))
    assert 0.02 < np.mean(np.array(p_values) < 0.05) <= 0.05


@pytest.mark.parametrize(
    ("a", "b", "says"),
    [
        ([1, 0], [1, 0, 1], "shape"),
        ([1, 2], [1, 0], "value 2"),
        ([[1, 0]], [[1, 0]], "not one value per image"),
        (np.zeros(0), np.zeros(0), " 0 images"),
    ],
)
def test_paired_test_refuses(a, b, says):
    with pytest.raises(ArgumentError, match=says):
        paired_test(a, b)


def test_the_majority_baseline_is_the_accuracy_of_a_constant_prediction():
    rng = np.random.default_rng(0)
    train, test = (list(zip(rng.integers(0, 5, n), rng.integers(0, 3, n), strict=True)) for n in (40, 25))
    tables = []
    for pairs in (train, test):
        tables.append(np.zeros((5, 3), int))
        for pair in pairs:
            tables[-1][pair] += 1
    found = majority_accuracy(*tables)
    most = {pair: train.count(pair) for pair in sorted(set(train))}
    assert found["joint"] == test.count(max(most, key=most.get)) / 25
    for place, name in enumerate(("dr", "dme")):
        best = np.bincount([pair[place] for pair in train]).argmax()
        assert found[name] == sum(pair[place] == best for pair in test) / 25


def test_kappa_does_not_depend_on_the_scale_of_the_table():
    assert quadratic_weighted_kappa([[0.2, 0.05], [0.05, 0.2]]) == pytest.approx(
        quadratic_weighted_kappa([[20, 5], [5, 20]])
    )
