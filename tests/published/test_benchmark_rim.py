"""False alarms at the optic disc's rim, against loops."""

import numpy as np
import pytest
import torch

from fundus_lib.published import benchmark_rim as rim

ROWS, COLUMNS = np.mgrid[:60, :80]
DISC = ((ROWS - 30) ** 2 + (COLUMNS - 30) ** 2 <= 10**2).astype(np.uint8)


def test_the_ring_is_what_lies_near_the_border():
    places = [(y, x) for y in range(60) for x in range(80)]
    inside = [place for place in places if DISC[place]]
    outside = [place for place in places if not DISC[place]]
    reach = rim.WIDTH * 2 * np.sqrt(len(inside) / np.pi)
    expected = np.zeros((60, 80), bool)
    for y, x in places:
        others = outside if DISC[y, x] else inside
        expected[y, x] = min(np.hypot(y - v, x - u) for v, u in others) <= reach
    assert (rim.find_ring(DISC) ^ expected).sum() <= 4  # ties at the edge


def test_regions_that_touch_a_lesion_are_no_false_alarms():
    called, mask = np.zeros((6, 9), bool), np.zeros((6, 9), bool)
    called[1:4, 1:4], mask[3, 3] = True, True  # touches
    called[4, 4] = True  # touches it at a corner
    called[1, 6:8] = True  # apart
    mask[5, 8] = True  # missed
    expected = np.zeros((6, 9), bool)
    expected[1, 6:8] = True
    assert np.array_equal(rim.find_false_regions(called, mask), expected)
    assert not rim.find_false_regions(called & False, mask).any()


def test_what_is_counted_in_ring_and_rest():
    rng = np.random.default_rng(0)
    logits = torch.from_numpy(rng.normal(-1, 1, (2, 60, 80)).astype(np.float32))
    masks = torch.from_numpy((rng.random((2, 60, 80)) < 0.05).astype(np.uint8))
    field = np.ones((60, 80), np.uint8)
    field[:5] = 0
    found = rim.count_at_rim(logits, masks, DISC, field)
    ring = rim.find_ring(DISC) & (field > 0)
    assert found["area"].tolist() == [ring.sum(), 55 * 80 - ring.sum()]
    for k in range(2):
        truth = masks[k].numpy() > 0
        false = rim.find_false_regions(logits[k].numpy() > 0, truth)
        assert found["false"][k].tolist() == [(false & ring).sum(), (false & ~ring)[5:].sum()]
        assert found["lesion"][k].tolist() == [(truth & ring).sum(), (truth & ~ring)[5:].sum()]


def test_density_is_pooled_over_images():
    counts = np.array([[[10, 100], [3, 10]], [[30, 100], [1, 10]]])
    assert rim.find_density(counts) == pytest.approx((4 / 40) / (20 / 200))
    assert np.isnan(rim.find_density(counts * [[1, 1], [1, 0]]))


def test_what_was_measured():
    found = rim.measured()
    assert tuple(found) == rim.NETWORKS
    for own in found.values():
        assert own["images"] == 27 and 0.03 < own["ring"] < 0.07
        for counts in own["lesions"].values():
            value, low, high = counts["density"]
            assert 0 <= low <= value <= high
            ring, rest = counts["false"]
            assert value == pytest.approx(ring / own["ring"] * (1 - own["ring"]) / rest, rel=5e-3, abs=2e-3)
