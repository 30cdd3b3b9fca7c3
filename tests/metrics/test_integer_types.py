"""Integers of every type, and bool, give the same scores; what cannot be counted is refused."""

import numpy as np
import pytest
import torch

from fundus_lib import metrics
from fundus_lib.errors import ArgumentError

PRED, TRUE = np.array([[1, 0], [1, 1]]), np.array([[1, 0], [0, 1]])
KINDS = ["?", "u1", "i1", "u2", ">u2", "i2", "u4", ">u4", "i4", "i8"]

SCORES = {
    "confusion_matrix": lambda p, t: metrics.confusion_matrix(p, t, 2).tolist(),
    "class_counts": lambda p, t: metrics.class_counts(p, t, 2),
    "pixel_counts": metrics.pixel_counts,
    "region_counts": lambda p, t: metrics.region_counts(p, t, [0.2]),
    "lesion_recall": lambda p, t: metrics.lesion_recall(p, t, (2,)),
    "average_precision": metrics.average_precision,
    "auprc of all": lambda p, t: metrics.auprc(p, t, thresholds=None, interpolation="step"),
    "auprc of 33": lambda p, t: metrics.auprc(p, t, thresholds=33, interpolation="trapezoid"),
    "auprc of some": lambda p, t: metrics.auprc(p, t, thresholds=[0.5, 1], interpolation="step", strict=True),
    "roc_auc": metrics.roc_auc,
}


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_type_has_one_score(name, kind):
    expected = SCORES[name](PRED, TRUE)
    assert SCORES[name](PRED.astype(kind), TRUE.astype(kind)) == expected
    native = [torch.from_numpy(values.astype(kind.lstrip(">"))) for values in (PRED, TRUE)]
    assert SCORES[name](*native) == expected


def test_labels_of_64_bits_without_sign():
    assert metrics.confusion_matrix(PRED.astype("u8"), TRUE.astype("u8"), 2).tolist() == [[1, 1], [0, 2]]
    with pytest.raises(ArgumentError, match="not a class"):
        metrics.confusion_matrix(np.array([2**64 - 1], "u8"), np.array([0], "u8"), 2)


def test_large_scores_of_32_bits_keep_their_order():
    scores = np.array([2**32 - 1, 2**31, 1], "u4")
    assert metrics.average_precision(scores, [1, 0, 1]) == pytest.approx((1 + 2 / 3) / 2)
    assert metrics.average_precision(scores.astype("u4") // 2**16, [1, 1, 0]) == 1


@pytest.mark.parametrize("kind", ["u1", "u2", "u4", "i4"])
def test_a_value_that_is_no_class_is_refused_in_every_type(kind):
    with pytest.raises(ArgumentError, match=r"(?s)not a class.*from 0 to 7"):
        metrics.confusion_matrix(np.array([7, 0], kind), np.array([0, 0], kind), 2)


@pytest.mark.parametrize("values", [np.array(["a"]), np.array([None]), np.array([0.5], np.longdouble)])
def test_what_cannot_be_counted_is_refused(values):
    with pytest.raises(ArgumentError, match="cannot be counted"):
        metrics.average_precision(values, [1])


def test_no_threshold_is_not_an_area_of_zero():
    for area in (metrics.roc_auc, lambda p, t, **more: metrics.auprc(p, t, interpolation="step", **more)):
        with pytest.raises(ArgumentError, match="not a sequence"):
            area([0.1, 0.9], [0, 1], thresholds=[])


def test_a_baseline_of_other_grades_or_of_no_image_is_refused():
    with pytest.raises(ArgumentError, match="shape"):
        metrics.majority_accuracy(np.ones((5, 3)), np.ones((3, 5)))
    with pytest.raises(ArgumentError, match="0 test images"):
        metrics.majority_accuracy(np.ones((5, 3), int), np.zeros((5, 3), int))
