import numpy as np
import pytest

from fundus_lib.errors import ArgumentError
from fundus_lib.viz import Window, windows_of_disagreement


def maps(*places: tuple[int, int, int, int]) -> list[np.ndarray]:
    """Two predictions of 40×60 that agree but for rectangles (top, left, height, width), each found by one of them."""
    first, second = np.zeros((2, 40, 60), bool)
    first[30:34, 50:54] = second[30:34, 50:54] = True  # both right: no reason to look
    for k, (top, left, height, width) in enumerate(places):
        (first, second)[k % 2][top : top + height, left : left + width] = True
    return [first, second]


def test_windows_hold_the_disagreements_in_order():
    found = windows_of_disagreement(maps((5, 10, 2, 2), (20, 30, 4, 5)), (8, 9), count=3)
    assert len(found) == 2, "where methods agree there is nothing to see"
    assert all((window.height, window.width) == (8, 9) for window in found)
    larger, smaller = found
    assert larger.top <= 20 and larger.bottom >= 24 and larger.left <= 30 and larger.right >= 35
    assert smaller.top <= 5 and smaller.bottom >= 7 and smaller.left <= 10 and smaller.right >= 12


@pytest.mark.parametrize("seed", range(5))
def test_windows_of_disagreement_against_trying_all(seed):
    rng = np.random.default_rng(seed)
    scores = rng.random((3, 14, 17))
    spread = np.ptp(scores, axis=0)
    size, tried = (4, 5), {}
    for top in range(14 - 4 + 1):
        for left in range(17 - 5 + 1):
            tried[Window(top, left, *size)] = spread[top : top + 4, left : left + 5].sum()
    expected: list[Window] = []
    while len(expected) < 3:
        free = {w: total for w, total in tried.items() if not any(w.overlaps(e) for e in expected)}
        expected.append(max(free, key=free.__getitem__))
    assert windows_of_disagreement(list(scores), size, count=3) == expected


def test_a_window_at_the_edge_of_the_image_is_found():
    assert windows_of_disagreement(maps((39, 59, 1, 1)), (10, 10)) == [Window(30, 50, 10, 10)]
    assert windows_of_disagreement(maps((0, 0, 1, 1)), (40, 60)) == [Window(0, 0, 40, 60)]


def test_windows_may_touch():
    first, second = np.zeros((8, 4), bool), np.ones((8, 4), bool)
    upper, lower = Window(0, 0, 4, 4), Window(4, 0, 4, 4)
    assert windows_of_disagreement([first, second], (4, 4)) == [upper, lower]
    second[0, 0] = False
    assert windows_of_disagreement([first, second], (4, 4)) == [Window(1, 0, 4, 4)]
    second[:4, 0] = False
    assert windows_of_disagreement([first, second], (4, 4)) == [lower, upper]


def test_identical_predictions_have_no_window():
    assert windows_of_disagreement(maps(), (5, 5)) == []


def test_overlap_is_a_pixel_in_common():
    window = Window(10, 20, 5, 6)
    assert window.overlaps(window) and window.overlaps(Window(14, 25, 1, 1)) and window.overlaps(Window(0, 0, 40, 40))
    for other in (Window(15, 20, 5, 6), Window(5, 20, 5, 6), Window(10, 26, 5, 6), Window(10, 14, 5, 6)):
        assert not window.overlaps(other) and not other.overlaps(window)


def test_what_cannot_be_compared_is_refused():
    one = np.zeros((20, 30))
    for predictions in ([], [one], [one, np.zeros((20, 31))], [one[None], one[None]]):
        with pytest.raises(ArgumentError, match="pixel by pixel"):
            windows_of_disagreement(predictions, (5, 5))
    for size in ((21, 5), (5, 31), (0, 5)):
        with pytest.raises(ArgumentError, match="does not fit"):
            windows_of_disagreement([one, one], size)
