"""Average precision and pixel counts against scikit-learn and against loops."""

import math
import warnings
from fractions import Fraction

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score, jaccard_score

from fundus_lib.errors import ArgumentError
from fundus_lib.metrics import PixelCounts, _inputs, average_precision, image_mean, pixel_counts
from helpers.random_cases import random_case


def slow_average_precision(scores, target):
    """The sum over falling distinct scores, in exact fractions."""
    lesions, before, area = int(target.sum()), Fraction(0), Fraction(0)
    for score in sorted(set(scores.ravel().tolist()), reverse=True):
        called = scores >= score
        recall = Fraction(int(target[called].sum()), lesions)
        area += (recall - before) * Fraction(int(target[called].sum()), int(called.sum()))
        before = recall
    return float(area)


def test_average_precision_is_scikit_learns_and_a_loops_on_random_cases():
    rng = np.random.default_rng(0)
    compared = 0
    for case in range(4000):
        scores, target = random_case(rng)
        ours = average_precision(scores, target)
        tensors = torch.from_numpy(scores), torch.from_numpy(target).bool()
        assert average_precision(*tensors) == pytest.approx(ours, abs=0, nan_ok=True)
        if target.any():
            assert ours == pytest.approx(average_precision_score(target.ravel(), scores.ravel()), abs=1e-12)
            if case % 10 == 0:
                assert ours == pytest.approx(slow_average_precision(scores, target), abs=1e-12)
            compared += 1
        else:
            assert math.isnan(ours)
        scores.ravel()[rng.integers(scores.size)] = math.nan
        with pytest.raises(ArgumentError, match=f"1 NaN among {scores.size} scores"):
            average_precision(scores, target)
    assert compared > 2000


def test_average_precision_is_scikit_learns_on_many_pixels():
    rng = np.random.default_rng(7)
    target = rng.random(200_000) < 0.009
    for digits in (2, 16):
        scores = np.round(rng.normal(size=200_000) + 2 * target, digits)
        assert average_precision(scores, target) == pytest.approx(average_precision_score(target, scores), abs=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.uint8, np.uint16, np.int64, ">f4"])
def test_average_precision_of_other_types(dtype):
    rng = np.random.default_rng(1)
    target = rng.random((50, 60)) < 0.1
    scores = (rng.random((50, 60)) * 100 + 50 * target).astype(dtype)
    expected = average_precision_score(target.ravel(), scores.ravel())
    assert average_precision(scores, target) == pytest.approx(expected, abs=1e-12)


def test_average_precision_over_more_pixels_than_are_looked_up_at_once(monkeypatch):
    rng = np.random.default_rng(2)
    target = rng.random(10_000) < 0.02
    scores = np.round(rng.normal(size=10_000) + target, 2)
    whole = average_precision(scores, target)
    monkeypatch.setattr(_inputs, "CHUNK", 333)
    assert average_precision(scores, target) == whole


def test_average_precision_of_views_and_of_read_only_arrays():
    scores, target = np.arange(12.0).reshape(3, 4), np.arange(12).reshape(3, 4) % 3 == 0
    expected = average_precision_score(target.ravel(), scores.ravel())
    scores.setflags(write=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert average_precision(scores[::-1].T, target[::-1].T) == pytest.approx(expected, abs=1e-15)


def test_average_precision_orders_infinite_scores():
    assert average_precision([-math.inf, 0.0, math.inf], [0, 0, 1]) == 1.0


@pytest.mark.parametrize(
    ("scores", "target", "says"),
    [
        ([0.1, math.nan], [0, 1], "NaN"),
        ([0.1, 0.2], [0, 2], "value 2"),
        ([0.1, 0.2], [0, -1], "value -1"),
        ([[0.1, 0.2]], [0, 1], "shape"),
    ],
)
def test_average_precision_refuses(scores, target, says):
    with pytest.raises(ArgumentError, match=says):
        average_precision(np.array(scores), np.array(target))


def test_pixel_counts_are_a_loops_on_random_cases():
    rng = np.random.default_rng(3)
    for _ in range(2000):
        scores, target = random_case(rng)
        pred = scores > rng.normal()
        counts = pixel_counts(pred, target)
        pairs = list(zip(pred.ravel(), target.ravel().astype(bool), strict=True))
        assert counts == PixelCounts(
            tp=pairs.count((True, True)),
            fp=pairs.count((True, False)),
            fn=pairs.count((False, True)),
            tn=pairs.count((False, False)),
        )
        found, called, actual = (pred & (target == 1)).sum(), pred.sum(), target.sum()
        for score, part, whole in (
            (counts.iou, found, (pred | (target == 1)).sum()),
            (counts.f1, 2 * found, called + actual),
            (counts.sensitivity, found, actual),
            (counts.ppv, found, called),
            (counts.specificity, (~pred & (target == 0)).sum(), (target == 0).sum()),
            (counts.accuracy, (pred == target).sum(), target.size),
        ):
            assert score == (part / whole if whole else pytest.approx(math.nan, nan_ok=True))


def test_pixel_counts_give_scikit_learns_f1_and_iou():
    rng = np.random.default_rng(8)
    for _ in range(100):
        scores, target = random_case(rng)
        pred = scores > rng.normal()
        if pred.any() or target.any():
            counts, pair = pixel_counts(pred, target), (target.ravel(), pred.ravel())
            assert counts.f1 == pytest.approx(f1_score(*pair, zero_division=0))
            assert counts.iou == pytest.approx(jaccard_score(*pair, zero_division=0))


def test_ratios_of_known_counts():
    counts = PixelCounts(tp=3, fp=1, fn=2, tn=14)
    assert (counts.iou, counts.f1, counts.sensitivity) == (3 / 6, 6 / 9, 3 / 5)
    assert (counts.ppv, counts.specificity, counts.accuracy) == (3 / 4, 14 / 15, 17 / 20)


def test_ratios_without_a_denominator_are_nan():
    empty = pixel_counts(np.zeros((4, 4)), np.zeros((4, 4)))
    assert all(math.isnan(value) for value in (empty.iou, empty.f1, empty.sensitivity, empty.ppv))
    assert (empty.specificity, empty.accuracy) == (1.0, 1.0)
    full = pixel_counts(np.ones((4, 4)), np.ones((4, 4)))
    assert (full.iou, full.f1, full.sensitivity, full.ppv, full.accuracy) == (1, 1, 1, 1, 1)
    assert math.isnan(full.specificity)
    assert math.isnan(PixelCounts().accuracy)


def test_sums_are_pooled():
    rng = np.random.default_rng(4)
    pred, target = rng.random((5, 8, 8)) > 0.5, rng.random((5, 8, 8)) > 0.5
    assert sum((pixel_counts(p, t) for p, t in zip(pred, target, strict=True)), PixelCounts()) == pixel_counts(
        pred, target
    )


def test_pixel_counts_refuses_probabilities_and_other_shapes():
    with pytest.raises(ArgumentError, match="threshold"):
        pixel_counts(np.array([0.2, 1.0]), np.array([0, 1]))
    with pytest.raises(ArgumentError, match="shape"):
        pixel_counts(np.zeros((1, 4, 4)), np.zeros((4, 4)))


def test_image_mean_says_what_an_undefined_score_counts():
    counts = [PixelCounts(tp=1, fp=1, fn=2, tn=6), PixelCounts(tn=10), PixelCounts(fn=2, tn=8)]
    assert image_mean(counts, "f1", empty="skip") == pytest.approx((2 / 5 + 0) / 2)
    assert image_mean(counts, "f1", empty=1) == pytest.approx((2 / 5 + 1 + 0) / 3)
    assert image_mean(counts, "f1", empty=0) == pytest.approx((2 / 5 + 0 + 0) / 3)
    assert image_mean(counts, "ppv", empty="skip") == 1 / 2
    assert math.isnan(image_mean(counts, "f1", empty=math.nan))
    assert math.isnan(image_mean(counts[1:2], "iou", empty="skip"))
    assert image_mean(counts, "accuracy", empty="skip") == pytest.approx((0.7 + 1 + 0.8) / 3)
    assert image_mean(counts, "f1", empty="skip") != sum(counts, PixelCounts()).f1


def test_image_mean_refuses_other_words():
    with pytest.raises(ArgumentError, match="'iou' or 'f1'"):
        image_mean([], "dice", empty="skip")
    with pytest.raises(ArgumentError, match="'skip'"):
        image_mean([], "f1", empty="ignore")
