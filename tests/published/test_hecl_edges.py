"""Distances, steps and changes at edges, against lesions whose numbers are known."""

import numpy as np
import pytest

from fundus_lib.published import hecl_edges

BOX = np.zeros((40, 40), bool)
BOX[10:20, 10:20] = True


def test_distance_to_the_edge() -> None:
    distance = hecl_edges.measure_distance(BOX)
    assert distance[15, 8:12].tolist() == [2, 1, -1, -2]
    assert not (distance == 0).any()
    assert ((distance < 0) == BOX).all()
    assert hecl_edges.measure_distance(np.zeros((9, 9), bool)).min() >= 9
    assert hecl_edges.measure_distance(np.ones((9, 9), bool)).max() <= -9


def test_pixels_by_distance() -> None:
    counts = hecl_edges.count_by_distance(np.ones_like(BOX), hecl_edges.measure_distance(BOX))
    assert counts.shape == (10,)
    assert counts[:5].tolist() == [4, 12, 20, 28, 36]  # rings of the box, the innermost first
    assert counts.sum() == BOX.size
    assert hecl_edges.count_by_distance(BOX & False, hecl_edges.measure_distance(BOX)).sum() == 0


def test_step_area_and_errors_of_each_lesion() -> None:
    mask = BOX.copy()
    mask[28:34, 28:34] = True
    mask[2, 2] = True  # too small to count
    image = np.full((3, 40, 40), 50, np.uint8)
    image[1, 10:20, 10:20] = 90
    image[1, 28:34, 28:34] = 60
    image[0] = np.random.default_rng(0).integers(0, 255, (40, 40))  # other channels do not count
    wrong = np.zeros_like(mask)
    wrong[10, 10:14] = True  # at the edge of the first
    wrong[14:16, 14:16] = True  # deep inside it
    table = hecl_edges.measure_lesions(image, mask, [wrong, ~wrong])
    assert table[:, :4].tolist() == [[14.5, 14.5, 100.0, 40.0], [30.5, 30.5, 36.0, 10.0]]
    assert table[:, 5].tolist() == [4, 0]
    assert (table[:, 5] + table[:, 6] == table[:, 4]).all()
    assert hecl_edges.measure_lesions(image, np.zeros_like(mask), [wrong]).shape == (0, 6)


def test_edges_in_three_parts() -> None:
    rng = np.random.default_rng(0)
    steps = rng.permutation(90).reshape(3, 30)
    tables = [np.column_stack([np.zeros((30, 3)), s, np.full(30, 10), 1 + (s < 30), np.ones(30)]) for s in steps]
    found = hecl_edges.compare_edges(tables)
    assert found["lesions"] == [30, 30, 30]
    np.testing.assert_allclose([found["before"], found["after"]], [[20, 10, 10], [10, 10, 10]])
    np.testing.assert_allclose(found["gain"], [[10, 10, 10], [0, 0, 0], [0, 0, 0]])


def test_corrections_and_new_errors() -> None:
    target = np.stack([BOX, BOX])
    before, after = target.copy(), target.copy()
    before[0, 10, 10:15] = False  # five misses, corrected
    after[1, 0, 0:2] = True  # two new false alarms, far away
    found = hecl_edges.compare(before, after, target)
    assert (found["corrections"], found["errors"], found["lesion"]) == (5, 2, 200)
    assert found["net"] == pytest.approx(1.5)
    assert found["low"] <= found["net"] <= found["high"]
    assert found["distance"] == [0, 0, 0, 0, 5, 0, 0, 0, 0, 2]
