import numpy as np
import pytest

from fundus_lib.errors import ArgumentError
from fundus_lib.viz import Window, windows_at_lesions, windows_of_disagreement


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


def test_windows_at_the_smallest_and_the_largest_lesions():
    mask = np.zeros((60, 80), np.uint8)
    mask[10, 10] = mask[40:50, 20:30] = mask[20:23, 60:63] = 1
    mask[12, 12] = 1  # a second lesion of one pixel, in the window of the first
    small = windows_at_lesions(mask, (8, 8), count=2)
    assert [window.crop(mask).sum() for window in small] == [2, 9]
    large = windows_at_lesions(mask, (12, 12), count=1, largest=True)
    assert large == [Window(39, 19, 12, 12)], "the lesion of 10×10 is in the middle"


def test_lesions_touching_by_a_corner_are_one():
    mask = np.zeros((30, 30), np.uint8)
    mask[5, 5] = mask[6, 6] = mask[20, 20] = 1
    assert windows_at_lesions(mask, (3, 3), count=1)[0].crop(mask)[1, 1] == 1
    assert windows_at_lesions(mask, (3, 3), count=1)[0].overlaps(Window(20, 20, 1, 1))


def test_a_window_at_a_lesion_stays_inside_and_windows_do_not_overlap():
    mask = np.zeros((30, 30), np.uint8)
    mask[0, 0] = mask[29, 29] = mask[28, 26] = 1
    found = windows_at_lesions(mask, (7, 5), count=5)
    assert found == [Window(0, 0, 7, 5), Window(23, 24, 7, 5)]
    mask[28, 26] = 0
    assert windows_at_lesions(mask, (7, 5)) == [Window(0, 0, 7, 5), Window(23, 25, 7, 5)]
    assert windows_at_lesions(np.zeros((30, 30)), (7, 5)) == []


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
        with pytest.raises(ArgumentError, match="does not fit"):
            windows_at_lesions(one, size)
    with pytest.raises(ArgumentError):
        windows_at_lesions(one[None], (5, 5))
