"""The region metric against sets of pixels, on random masks and on real ones."""

import math

import cv2
import numpy as np
import pytest
import torch

from fundus_lib.data import IDRiDSegmentation
from fundus_lib.errors import ArgumentError
from fundus_lib.metrics import PixelCounts, pixel_counts, region_counts
from helpers import slow_components as slow

SIGMAS = ["0.2", "0.35", "0.5", "0.65", "0.8"]


def fast(pred, target, sigmas):
    return [(c.tp, c.fp, c.fn, c.tn) for c in region_counts(pred, target, [float(sigma) for sigma in sigmas])]


def test_counts_are_those_of_the_definition_on_random_cases():
    rng = np.random.default_rng(0)
    seen = {"empty": 0, "full": 0, "one pixel": 0, "differ": 0}
    for _ in range(2500):
        pred, target = slow.random_masks(rng)
        sigmas = [*rng.permutation(SIGMAS), "0", "1", f"0.{rng.integers(1000):03}"]
        expected = slow.region_counts(pred, target, sigmas)
        assert fast(pred, target, sigmas) == expected
        seen["empty"] += not (pred.any() or target.any())
        seen["full"] += pred.all() or target.all()
        seen["one pixel"] += pred.sum() == 1 or target.sum() == 1
        seen["differ"] += len(set(expected)) > 2
    assert min(seen.values()) >= 10


def test_shares_equal_to_sigma_do_not_exceed_it():
    """Although neither 0.07 nor 7/100 has an exact binary form, and 0.07 * 100 comes to more than 7."""
    sigmas = [*SIGMAS, "0.07", "0.29", "0.57"]
    for n in (5, 20, 40, 100):
        target = np.ones((1, n), bool)
        for k in range(1, n):
            pred = np.arange(n)[None] < k
            assert fast(pred, target, sigmas) == slow.region_counts(pred, target, sigmas)


def test_a_known_case():
    target = np.zeros((8, 12), bool)
    target[1:3, 1:6] = True  # 10 pixels, 4 of them found
    target[6, 8] = True  # 1 pixel, missed
    pred = np.zeros_like(target)
    pred[1:3, 4:9] = True  # 10 pixels, 4 of them right
    pred[5, 1:4] = True  # 3 pixels, all wrong
    loose, strict = region_counts(pred, target, (0.35, 0.5))
    assert loose == PixelCounts(tp=16, fp=3, fn=1, tn=76)
    assert strict == PixelCounts(tp=4, fp=9, fn=7, tn=76)
    assert region_counts(pred, target, [0.4])[0] == strict  # 4 of 10 is not more than 0.4
    assert loose.f1 == 32 / 36


def test_a_component_can_be_accepted_on_one_side_only():
    target = np.zeros((3, 30), bool)
    target[1, :20] = True
    pred = np.zeros_like(target)
    pred[1, 18:21] = True  # 2 of its 3 pixels are right, but it finds 2 of 20
    assert region_counts(pred, target, [0.5]) == [PixelCounts(tp=3, fp=0, fn=18, tn=69)]


def test_limits_of_sigma():
    rng = np.random.default_rng(1)
    pred, target = rng.random((2, 30, 30)) < 0.1
    touched, never = region_counts(pred, target, (0, 1))
    assert never == pixel_counts(pred, target)
    assert touched.tp > never.tp
    scores = [counts.f1 for counts in region_counts(pred, target, np.linspace(0, 1, 21))]
    assert scores == sorted(scores, reverse=True)


def test_empty_and_perfect_predictions():
    target = np.eye(5, dtype=np.uint8)
    empty = np.zeros_like(target)
    assert region_counts(empty, target, [0.2]) == [PixelCounts(fn=5, tn=20)]
    assert region_counts(target, empty, [0.2]) == [PixelCounts(fp=5, tn=20)]
    assert region_counts(target, target, [0.2, 1]) == [PixelCounts(tp=5, tn=20)] * 2
    (nothing,) = region_counts(empty, empty, [0.2])
    assert nothing == PixelCounts(tn=25)
    assert math.isnan(nothing.f1)
    assert region_counts(np.zeros((0, 5)), np.zeros((0, 5)), [0.2]) == [PixelCounts()]
    assert region_counts(empty, target, []) == []


def test_tensors_and_views_count_alike():
    rng = np.random.default_rng(2)
    pred, target = rng.random((2, 20, 30)) < 0.3
    expected = region_counts(pred, target, [0.3])
    assert region_counts(torch.from_numpy(pred), torch.from_numpy(target).float(), np.array([0.3])) == expected
    assert region_counts(pred[::-1].T, target[::-1].T, (0.3,)) == expected


@pytest.mark.parametrize(
    ("pred", "target", "sigmas", "says"),
    [
        (np.zeros((1, 4, 4)), np.zeros((1, 4, 4)), [0.2], "stack"),
        (np.zeros((4, 4)), np.zeros((4, 5)), [0.2], "shape"),
        (np.full((4, 4), 0.3), np.zeros((4, 4)), [0.2], "threshold"),
        (np.full((4, 4), math.nan), np.zeros((4, 4)), [0.2], "0 and 1"),
        (np.zeros((4, 4)), np.full((4, 4), 255, np.uint8), [0.2], "value 255"),
        (np.zeros((4, 4)), np.zeros((4, 4)), [20], "share"),
        (np.zeros((4, 4)), np.zeros((4, 4)), [0.2, -0.1], "share"),
        (np.zeros((4, 4)), np.zeros((4, 4)), [math.nan], "share"),
    ],
)
def test_region_counts_refuses(pred, target, sigmas, says):
    with pytest.raises(ArgumentError, match=says):
        region_counts(pred, target, sigmas)


@pytest.mark.real_data
@pytest.mark.parametrize("number", [56, 57, 60])
def test_counts_on_real_exudates_are_those_of_the_definition(idrid_root, number):
    """At full resolution, with predictions made of the ground truth: too small, too large, and in the wrong place."""
    data = IDRiDSegmentation(idrid_root, "test", lesions=("EX",))
    target = data[data.names.index(f"IDRiD_{number}")]["mask"][0].numpy()
    assert target.shape == (2848, 4288)
    square = np.ones((5, 5), np.uint8)
    for pred in (cv2.erode(target, square), cv2.dilate(target, square), np.roll(target, (6, -9), (0, 1))):
        expected = slow.region_counts(pred, target, SIGMAS)
        assert len(set(expected)) > 1
        assert fast(pred, target, SIGMAS) == expected
