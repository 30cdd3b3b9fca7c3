"""Recall by lesion size against a flood fill that looks at one lesion after the other."""

import math

import numpy as np
import pytest
import torch

from fundus_lib.errors import ArgumentError
from fundus_lib.metrics import LesionRecall, lesion_recall
from helpers import slow_components as slow


def test_counts_are_a_flood_fills_on_random_cases():
    rng = np.random.default_rng(0)
    seen = {"found": 0, "missed": 0, "empty": 0}
    for _ in range(2000):
        pred, target = slow.random_masks(rng)
        edges = sorted({int(edge) for edge in rng.integers(1, 30, size=rng.integers(0, 4))})
        expected = np.zeros((4, len(edges) + 1), int)
        for component in slow.flood_fill(target):
            covered = sum(bool(pred[place]) for place in component)
            size_class = sum(len(component) >= edge for edge in edges)
            found = covered > 0
            seen["found" if found else "missed"] += 1
            expected[:, size_class] += [1, found, len(component), covered]
        seen["empty"] += not target.any()
        counted = lesion_recall(pred, target, edges)
        assert (counted.lesions, counted.found, counted.pixels, counted.found_pixels) == tuple(
            tuple(row) for row in expected.tolist()
        )
    assert min(seen.values()) > 50


def test_fractions_of_a_known_case():
    target = np.zeros((10, 10), np.uint8)
    target[0, 0] = 1  # 1 pixel, missed
    target[2, 2] = target[3, 3] = 1  # 2 pixels that touch at a corner, half found
    target[5:8, 5:9] = 1  # 12 pixels, 4 found
    pred = np.zeros_like(target)
    pred[3, 3] = pred[5, 5:9] = pred[9, 0] = 1
    counted = lesion_recall(pred, target, (2, 10, 100))
    assert counted.names == ("< 2", "2 to 9", "10 to 99", "≥ 100")
    assert counted.lesions == (1, 1, 1, 0)
    assert counted.found == (0, 1, 1, 0)
    assert counted.recall[:3] == (0, 1, 1)
    assert counted.pixel_recall[:3] == (0, 1 / 2, 1 / 3)
    assert math.isnan(counted.recall[3])
    assert math.isnan(counted.pixel_recall[3])
    everything = lesion_recall(pred, target, ())
    assert (everything.names, everything.lesions, everything.found) == (("all",), (3,), (2,))


def test_sums_are_pooled():
    rng = np.random.default_rng(1)
    pred, target = rng.random((2, 6, 12, 12)) < 0.2
    edges = (2, 5)
    one_by_one = sum((lesion_recall(p, t, edges) for p, t in zip(pred, target, strict=True)), LesionRecall())
    apart = (
        np.pad(pred, ((0, 0), (0, 0), (0, 1))),
        np.pad(target, ((0, 0), (0, 0), (0, 1))),
    )  # no image touches the next
    side_by_side = [np.concatenate(list(masks), axis=1) for masks in apart]
    assert one_by_one == lesion_recall(*side_by_side, edges)


def test_tensors_and_other_types_count_alike():
    rng = np.random.default_rng(2)
    pred, target = rng.random((2, 20, 30)) < 0.3
    expected = lesion_recall(pred, target, (3,))
    assert lesion_recall(torch.from_numpy(pred), torch.from_numpy(target), [3]) == expected
    assert lesion_recall(pred.T.astype(np.int64).T, target.astype(np.float32), (3,)) == expected
    flipped = lesion_recall(pred[::-1, ::-1], target[::-1, ::-1], (3,))
    assert flipped == expected


@pytest.mark.parametrize(
    ("pred", "target", "options", "says"),
    [
        (np.zeros((1, 4, 4)), np.zeros((1, 4, 4)), {}, "stack"),
        (np.zeros(4), np.zeros(4), {}, "stack"),
        (np.zeros((4, 4)), np.zeros((4, 5)), {}, "shape"),
        (np.full((4, 4), 0.3), np.zeros((4, 4)), {}, "threshold"),
        (np.zeros((4, 4)), np.full((4, 4), math.nan), {}, "0 and 1"),
        (np.zeros((4, 4)), np.zeros((4, 4)), {"edges": (5, 5)}, "ascending"),
        (np.zeros((4, 4)), np.zeros((4, 4)), {"edges": (0, 5)}, "1 pixel or more"),
    ],
)
def test_lesion_recall_refuses(pred, target, options, says):
    with pytest.raises(ArgumentError, match=says):
        lesion_recall(pred, target, **{"edges": (5,), **options})


def test_results_with_other_edges_do_not_add():
    empty = np.zeros((4, 4))
    with pytest.raises(ArgumentError, match="same edges"):
        _ = lesion_recall(empty, empty, (5,)) + lesion_recall(empty, empty, (6,))


def test_no_image_adds_nothing():
    result = lesion_recall(np.eye(4), np.eye(4), (5,))
    assert LesionRecall() + result == result + LesionRecall() == result
    assert sum([], LesionRecall()).recall == ()


def test_nothing_in_an_empty_array():
    assert lesion_recall(np.zeros((0, 5)), np.zeros((0, 5)), (5,)) == LesionRecall((5,), (0, 0), (0, 0), (0, 0), (0, 0))
