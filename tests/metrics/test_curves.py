"""Curves and the areas under them against scikit-learn, torchmetrics, loops, and the rules of the papers' code."""

import math

import numpy as np
import pytest
import torch
from sklearn import metrics as sk
from torchmetrics.functional.classification import binary_auroc, binary_average_precision

from fundus_lib.errors import ArgumentError
from fundus_lib.metrics import (
    ThresholdCounts,
    _edges,
    _inputs,
    auprc,
    average_precision,
    pixel_counts,
    precision_recall_curve,
    roc_auc,
    roc_curve,
    threshold_counts,
)
from helpers.random_cases import probabilities, random_case


def test_exact_areas_are_scikit_learns_on_random_cases():
    rng = np.random.default_rng(0)
    compared = 0
    for _ in range(4000):
        scores, target = random_case(rng)
        actual, flat = target.ravel(), scores.ravel()
        steps, lines, roc = (
            auprc(scores, target, thresholds=None, interpolation="step"),
            auprc(scores, target, thresholds=None, interpolation="trapezoid"),
            roc_auc(scores, target),
        )
        if not target.any():
            assert math.isnan(steps)
            assert math.isnan(lines)
            assert math.isnan(roc)
            continue
        compared += 1
        precision, recall, _ = sk.precision_recall_curve(actual, flat)
        assert steps == pytest.approx(average_precision(scores, target), abs=1e-14)
        assert lines == pytest.approx(sk.auc(recall, precision), abs=1e-12)
        if target.all():
            assert math.isnan(roc)
        else:
            assert roc == pytest.approx(sk.roc_auc_score(actual, flat), abs=1e-12)
    assert compared > 2000


def test_counts_at_given_thresholds_are_a_loops_on_random_cases():
    rng = np.random.default_rng(1)
    for case in range(2000):
        scores, target = random_case(rng)
        scores = probabilities(scores) if case % 2 else np.round(255 * probabilities(scores)).astype(np.uint8)
        thresholds, strict = np.round(rng.uniform(-0.2, 1.2, rng.integers(1, 6)), 1), bool(rng.integers(2))
        if not case % 2:
            thresholds = np.round(255 * thresholds, rng.integers(2))
        if case % 6 == 1:
            scores = scores.astype(np.float16)  # 0.7 is another number in half precision
        table = threshold_counts(scores, target, thresholds=thresholds, strict=strict)
        assert table.thresholds.tolist() == sorted(thresholds.tolist(), reverse=True)
        for k, threshold in enumerate(table.thresholds.tolist()):
            counts = pixel_counts(scores > threshold if strict else scores >= threshold, target)
            assert table[k] == counts
            for name in ("sensitivity", "ppv", "f1", "iou"):
                assert getattr(table, name)[k] == pytest.approx(getattr(counts, name), abs=1e-15, nan_ok=True)
            assert table.false_positive_rate[k] == pytest.approx(1 - counts.specificity, abs=1e-15, nan_ok=True)


@pytest.mark.parametrize("number", [11, 33, 255])
def test_areas_over_equal_thresholds_are_torchmetrics(number):
    rng = np.random.default_rng(2)
    compared = 0
    for _ in range(6000):
        scores, target = random_case(rng)
        if not target.any() or target.all():
            continue
        compared += 1
        scores = torch.from_numpy(probabilities(scores)).double()
        target, grid = torch.from_numpy(target).long(), torch.linspace(0, 1, number, dtype=torch.float64)
        theirs = binary_average_precision(scores, target, thresholds=grid, validate_args=False)
        ours = auprc(scores, target, thresholds=grid.tolist(), interpolation="step")
        assert ours == pytest.approx(theirs.item(), abs=1e-6)  # theirs sums in float32
        theirs = binary_auroc(scores, target, thresholds=grid, validate_args=False)
        assert roc_auc(scores, target, thresholds=grid.tolist(), ends=False) == pytest.approx(theirs.item(), abs=1e-6)
    assert compared > 2000


def test_trapezoids_over_33_thresholds_are_a_loops_and_scikit_learns_area():
    rng = np.random.default_rng(11)
    compared = 0
    for case in range(4000):
        scores, target = random_case(rng)
        scores = probabilities(scores)
        if case % 2:
            scores = np.round(32 * scores) / 32  # as large as a threshold
        recall, precision = [], []
        for k in range(33):
            predicted = scores >= k / 32
            hits = int(target[predicted].sum())
            recall.append(hits / max(target.sum(), 1))
            precision.append(hits / predicted.sum() if predicted.any() else 1)
        ours = auprc(scores, target, thresholds=33, interpolation="trapezoid")
        if not target.any():
            assert math.isnan(ours)
            continue
        compared += 1
        assert ours == pytest.approx(sk.auc([*recall, 0], [*precision, 1]), abs=1e-12, rel=0)
    assert compared > 2000


def test_dual_branch_code_pools_eleven_grey_levels_and_adds_a_point():
    rng = np.random.default_rng(3)
    for _ in range(2000):
        scores, target = random_case(rng)
        grey = np.round(255 * probabilities(scores))
        recall, precision = [], []
        for tenth in range(11):
            predicted = grey > 25.6 * tenth
            hits = int(target[predicted].sum())
            found = target.any() and predicted.any()
            recall.append(hits / target.sum() if found else 0)
            precision.append(hits / predicted.sum() if found else 1)
        ours = auprc(grey, target, thresholds=25.6 * np.arange(11), strict=True, interpolation="trapezoid")
        expected = sk.auc([*recall, 0], [*precision, 1]) if target.any() else math.nan
        assert ours == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_hecl_code_ends_the_roc_curve_at_grey_level_254():
    rng = np.random.default_rng(4)
    compared = 0
    for _ in range(100):
        scores, target = random_case(rng)
        scores = probabilities(scores).astype(np.float64)
        predicted = [scores >= level / 255 for level in range(255)]
        x = [(c & (target == 0)).sum() / max((target == 0).sum(), 1) for c in predicted]
        y = [(c & (target == 1)).sum() / max(target.sum(), 1) for c in predicted]
        ours = roc_auc(scores, target, thresholds=np.arange(255) / 255, ends=False)
        if target.any() and not target.all():
            compared += 1
            assert ours == pytest.approx(sum((y[k] + y[k + 1]) / 2 * (x[k] - x[k + 1]) for k in range(254)), abs=1e-12)
    assert compared > 30


def test_curves_go_through_scikit_learns_points():
    rng = np.random.default_rng(5)
    target = rng.random(500) < 0.1
    scores = np.round(rng.normal(size=500) + target, 1)
    ours = precision_recall_curve(scores, target)
    assert (ours.recall[0], ours.precision[0], ours.thresholds[0]) == (0, 1, math.inf)
    assert len(ours.recall) == len(ours.precision) == len(ours.thresholds)
    precision, recall, thresholds = sk.precision_recall_curve(target, scores)
    theirs = dict(zip(thresholds.tolist(), zip(recall, precision, strict=True), strict=False))
    for score in set(scores[target].tolist()):
        k = ours.thresholds.tolist().index(score)
        assert (ours.recall[k], ours.precision[k]) == pytest.approx(theirs[score], abs=1e-15)
    roc = roc_curve(scores, target)
    assert (roc.false_positive_rate[0], roc.sensitivity[0]) == (0, 0)
    assert (roc.false_positive_rate[-1], roc.sensitivity[-1]) == (1, 1)
    x, y, _ = sk.roc_curve(target, scores)
    for rate, sensitivity in zip(x, y, strict=True):  # theirs turns at scores of background pixels as well
        level = roc.false_positive_rate[np.isclose(roc.sensitivity, sensitivity)]
        assert level.min() - 1e-12 <= rate <= level.max() + 1e-12


def test_two_images_pool_by_adding_at_the_same_thresholds():
    rng = np.random.default_rng(6)
    scores, target = rng.random((2, 30, 30)), rng.random((2, 30, 30)) < 0.2
    one, two = (threshold_counts(s, t, thresholds=11) for s, t in zip(scores, target, strict=True))
    both = threshold_counts(scores, target, thresholds=11)
    assert [(one + two)[k] for k in range(11)] == [both[k] for k in range(11)]
    with pytest.raises(ArgumentError, match="11 and 5 thresholds"):
        one + threshold_counts(scores[1], target[1], thresholds=5)
    with pytest.raises(ArgumentError, match="strict"):
        one + threshold_counts(scores[1], target[1], thresholds=11, strict=True)


def test_pixels_without_a_score_come_last():
    rng = np.random.default_rng(7)
    scores, target = rng.random(40), rng.random(40) < 0.3
    more = np.array([1, 1, 0, 0, 0])
    counts = threshold_counts(scores, target, thresholds=None).with_last(2, 3)
    assert (counts.positives, counts.negatives) == (target.sum() + 2, (~target).sum() + 3)
    everything = np.concatenate([scores, np.full(5, -1.0)]), np.concatenate([target, more])
    assert counts.auprc(interpolation="step") == pytest.approx(average_precision(*everything), abs=1e-15)
    assert counts[-1] == pixel_counts(np.ones(45), everything[1])


def test_infinite_scores_have_their_place():
    scores, target = np.array([-math.inf, -1, math.inf, math.inf, 2]), np.array([1, 0, 1, 0, 1])
    finite = np.array([-9, -1, 9, 9, 2])
    for interpolation in ("step", "trapezoid"):
        areas = [auprc(s, target, thresholds=None, interpolation=interpolation) for s in (scores, finite)]
        assert areas[0] == areas[1]
    assert roc_auc(scores, target) == roc_auc(finite, target)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bfloat16, torch.float16, torch.float64])
def test_extreme_scores_of_a_type_have_their_place(dtype):
    kind = torch.finfo(dtype) if dtype.is_floating_point else torch.iinfo(dtype)
    scores = torch.tensor([0, 1, 2, 3, 3, 0, 3], dtype=dtype)
    target = torch.tensor([1, 0, 1, 0, 1, 0, 0])
    extreme = torch.tensor([kind.min, 7, 8, kind.max, kind.max, kind.min, kind.max], dtype=dtype)
    assert roc_auc(extreme, target) == roc_auc(scores, target) == sk.roc_auc_score(target, scores.double())
    assert average_precision(extreme, target) == average_precision(scores, target)


def test_what_runs_on_other_devices_counts_the_same(monkeypatch):
    rng = np.random.default_rng(8)
    for _ in range(200):
        scores, _ = random_case(rng)
        values = torch.from_numpy(scores).ravel()
        edges = torch.unique(values[::2])
        counts = [count(values, edges).tolist() for count in (_edges._count_with_numpy, _edges._count_with_torch)]
        assert counts[0] == counts[1] == [int((values >= edge).sum()) for edge in edges]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
def test_a_gpu_gives_the_same():
    rng = np.random.default_rng(9)
    for _ in range(200):
        scores, target = (torch.from_numpy(values) for values in random_case(rng))
        for score in (average_precision, roc_auc):
            ours = score(scores.cuda(), target.cuda())
            assert ours == pytest.approx(score(scores, target), abs=1e-15, nan_ok=True)


def test_counting_goes_by_pieces(monkeypatch):
    rng = np.random.default_rng(10)
    target = rng.random(5000) < 0.05
    scores = np.round(rng.normal(size=5000) + target, 2)
    whole = roc_auc(scores, target)
    monkeypatch.setattr(_inputs, "CHUNK", 333)
    assert roc_auc(scores, target) == whole


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"thresholds": 1}, "2 or more"),
        ({"thresholds": 11}, "sigmoid"),
        ({"thresholds": [0.5, math.nan]}, "sequence of numbers"),
        ({"thresholds": [[0.5], [0.6]]}, "sequence of numbers"),
        ({"thresholds": None, "interpolation": "linear"}, "'step' or 'trapezoid'"),
    ],
)
def test_auprc_refuses(arguments, says):
    with pytest.raises(ArgumentError, match=says):
        auprc(np.array([-1.0, 2.0]), np.array([0, 1]), **({"interpolation": "step"} | arguments))


@pytest.mark.parametrize("score", [roc_auc, roc_curve, precision_recall_curve])
def test_all_refuse_nan_and_other_shapes(score):
    with pytest.raises(ArgumentError, match="1 NaN among 2"):
        score(np.array([math.nan, 1]), np.array([0, 1]))
    with pytest.raises(ArgumentError, match="shape"):
        score(np.zeros((1, 4)), np.zeros(4))
    with pytest.raises(ArgumentError, match="complex64"):
        score(np.zeros(4, np.complex64), np.zeros(4))


def test_a_table_without_lesions_or_background():
    empty = threshold_counts(np.array([0.2, 0.8]), np.array([0, 0]), thresholds=3)
    assert np.isnan(empty.sensitivity).all()
    assert empty.ppv.tolist()[1:] == [0, 0]
    assert math.isnan(empty.ppv[0])  # nothing reaches 1
    assert np.isnan(empty.precision_recall().recall).all()
    full = threshold_counts(np.array([0.2, 0.8]), np.array([1, 1]), thresholds=3)
    assert np.isnan(full.false_positive_rate).all()
    assert full.auprc(interpolation="step") == 1
    assert len(threshold_counts(np.zeros(0), np.zeros(0), thresholds=None)) == 0
    assert math.isnan(ThresholdCounts(np.zeros(0), np.zeros(0, int), np.zeros(0, int), 0, 0).roc_auc())
