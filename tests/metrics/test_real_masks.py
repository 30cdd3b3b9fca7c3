"""Scores of real masks at full resolution, against plain sums, scikit-learn and a flood fill.

Predictions are made of the ground truth: too small, too large, and in the wrong place.
"""

import cv2
import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from fundus_lib.data import IDRiDSegmentation
from fundus_lib.metrics import average_precision, lesion_recall, pixel_counts
from helpers import slow_components as slow

pytestmark = pytest.mark.real_data
CASES = [("EX", 57), ("HE", 56), ("SE", 60), ("MA", 55)]
EDGES = (30, 100, 300, 1000, 3000)
SQUARE = np.ones((5, 5), np.uint8)


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case[0]}-{case[1]}")
def target(idrid_root, request):
    """The mask of one lesion of a test photograph, (2848, 4288) uint8."""
    lesion, number = request.param
    data = IDRiDSegmentation(idrid_root, "test", lesions=(lesion,))
    mask = data[data.names.index(f"IDRiD_{number}")]["mask"][0].numpy()
    assert mask.shape == (2848, 4288)
    return mask


def predictions(target):
    return [cv2.erode(target, SQUARE), cv2.dilate(target, SQUARE), np.roll(target, (6, -9), (0, 1))]


def test_pixel_counts_are_plain_sums(target):
    for pred in predictions(target):
        counts = pixel_counts(pred, target)
        predicted, lesion = pred == 1, target == 1
        sums = [
            np.sum(a & b)
            for a, b in ((predicted, lesion), (predicted, ~lesion), (~predicted, lesion), (~predicted, ~lesion))
        ]
        assert [counts.tp, counts.fp, counts.fn, counts.tn] == sums
        assert sum(sums) == target.size
        assert counts.fp or counts.fn


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_average_precision_is_scikit_learns(target, dtype):
    """Grey levels, nearly all of them tied, and the same mask's many values between 0 and 1, tied far from lesions."""
    for pred in predictions(target) if dtype == np.uint8 else predictions(target)[2:]:
        high = 255 if dtype == np.uint8 else 1
        scores = cv2.GaussianBlur((high * pred).astype(dtype), (0, 0), 6)
        assert (scores == 0).any()
        expected = average_precision_score(target.ravel(), scores.ravel())
        assert 0.1 < expected < 1
        assert average_precision(scores, target) == pytest.approx(expected, abs=1e-12, rel=0)


def test_recall_by_size_is_a_flood_fills(target):
    lesions = slow.flood_fill(target)
    found = []
    for pred in predictions(target):
        counted = lesion_recall(pred, target, EDGES)
        expected = np.zeros((4, len(EDGES) + 1), int)
        for lesion in lesions:
            covered = sum(bool(pred[place]) for place in lesion)
            size_class = sum(len(lesion) >= edge for edge in EDGES)
            expected[:, size_class] += [1, covered > 0, len(lesion), covered]
        assert [list(row) for row in (counted.lesions, counted.found, counted.pixels, counted.found_pixels)] == (
            expected.tolist()
        )
        found.append(counted.found_pixels)
    assert len(set(found)) == 3
