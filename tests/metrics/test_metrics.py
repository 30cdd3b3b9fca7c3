"""Average precision and pixel counts against scikit-learn and against loops."""

import math
import warnings

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, confusion_matrix, f1_score, jaccard_score

from fundus_lib.errors import ArgumentError
from fundus_lib.metrics import PixelCounts, _inputs, average_precision, pixel_counts


def random_case(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Scores and target: few or many pixels, few or many ties, none to all of them lesion."""
    shape = tuple(rng.integers(1, 12, size=rng.integers(1, 4)))
    target = (rng.random(shape) < rng.choice([0, 0.01, 0.1, 0.5, 1])).astype(np.uint8)
    scores = rng.normal(size=shape) + target * rng.choice([0, 1, 3])
    match rng.integers(4):
        case 0:
            scores = np.round(scores)
        case 1:
            scores = np.full(shape, 0.3)
        case 2:
            scores = np.round(scores, 1)
    return scores, target


def test_average_precision_is_scikit_learns_on_random_cases():
    rng = np.random.default_rng(0)
    compared = 0
    for _ in range(1000):
        scores, target = random_case(rng)
        ours = average_precision(scores, target)
        assert average_precision(torch.from_numpy(scores), torch.from_numpy(target).bool()) == pytest.approx(
            ours, abs=1e-15, nan_ok=True
        )
        if target.any():
            assert ours == pytest.approx(average_precision_score(target.ravel(), scores.ravel()), abs=1e-12)
            compared += 1
        else:
            assert math.isnan(ours)
    assert compared > 500


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.uint8, np.int64])
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
    for _ in range(300):
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
        tn, fp, fn, tp = confusion_matrix(target.ravel(), pred.ravel(), labels=[0, 1]).ravel()
        assert (counts.tn, counts.fp, counts.fn, counts.tp) == (tn, fp, fn, tp)
        if pred.any() or target.any():
            assert counts.f1 == pytest.approx(f1_score(target.ravel(), pred.ravel(), zero_division=0))
            assert counts.iou == pytest.approx(jaccard_score(target.ravel(), pred.ravel(), zero_division=0))


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
