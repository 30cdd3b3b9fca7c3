import numpy as np
import pytest
from matplotlib.colors import to_hex

from fundus_lib.errors import ArgumentError, UnknownNameError
from fundus_lib.viz import ERROR_PALETTES, Window, compare, error_map, slider, zoom
from fundus_lib.viz.zoom import GAP


@pytest.fixture
def picture():
    """A picture of 60×90 whose every pixel has its own colour, none of them black or white."""
    picture = np.full((60, 90, 3), 128, np.uint8)
    picture[..., 0], picture[..., 1] = np.arange(10, 70)[:, None], np.arange(10, 100)
    return picture


def test_details_show_every_pixel_of_their_window(picture):
    windows = [Window(5, 10, 20, 30), Window(40, 60, 20, 30)]
    page = zoom(picture, windows, width=304)
    assert page.dtype == np.uint8 and page.shape[1] == 304
    across, down, top = 150, 100, round(60 * 304 / 90) + GAP
    assert page.shape[0] == top + down
    for window, left in zip(windows, (0, across + GAP), strict=True):
        detail = page[top:, left : left + across]
        sampled = detail[2::5, 2::5]  # five times enlarged: the middle of every pixel
        hidden = (sampled != window.crop(picture)).any(-1)
        assert hidden[10:].sum() == 0 and hidden[:, 10:].sum() == 0, "only the number covers pixels, at the corner"
        assert hidden[0, 0]


def test_a_frame_is_where_the_window_is(picture):
    window = Window(20, 30, 10, 15)
    whole = zoom(picture, [window], width=900)[:600]
    for row, column in ((200, 375), (300, 375), (250, 300), (250, 450)):
        assert (whole[row, column] == 255).all(), "white on the window's edge"
    assert (whole[205:295, 305:445] < 255).all(), "inside a window nothing is covered"


def test_numbers_tell_windows_apart(picture):
    windows = [Window(20, 10, 20, 20), Window(20, 60, 20, 20)]
    page = zoom(picture, windows, width=604)
    first, second = page[-300:, :300], page[-300:, 304:]
    assert (first[:30, :25] != second[:30, :25]).any()
    swapped = zoom(picture, windows[::-1], width=604)[:-304]  # frames stay, numbers change places
    changed = np.argwhere((swapped != page[:-304]).any(-1))
    assert len(changed) and (changed[:, 0] < round(20 * 604 / 90)).all(), "a number stands above its window"


def test_a_photograph_is_shrunk_and_its_lesion_of_one_pixel_stays_in_the_detail(picture):
    large = np.zeros((900, 1200, 3), np.uint8)
    large[450, 600] = (255, 255, 0)
    page = zoom(large, [Window(440, 590, 21, 21)], width=300)
    detail = page[225 + GAP :]
    assert ((detail == (255, 255, 0)).all(-1)).sum() >= 150, "one pixel of 441 fills its share of 300×300"


def test_the_picture_is_left_as_it_was(picture):
    before = picture.copy()
    zoom(picture, [Window(5, 10, 20, 30)])
    assert (picture == before).all()


def test_windows_that_do_not_fit_are_refused(picture):
    good = Window(5, 10, 20, 30)
    for windows in (
        [good, Window(5, 10, 20, 31)],
        [Window(41, 0, 20, 30)],
        [Window(0, 61, 20, 30)],
        [Window(-1, 0, 2, 2)],
    ):
        with pytest.raises(ArgumentError, match="cannot be shown"):
            zoom(picture, windows)


def test_compare_shows_the_truth_then_every_method(picture):
    target = np.zeros((60, 90), bool)
    target[10:20, 10:20] = True
    predictions = {"all": np.ones_like(target), "none": np.zeros_like(target)}
    figure = compare(picture, predictions, target, [Window(5, 5, 20, 30)], palette="colorblind")
    shown = [axis for axis in figure.axes if axis.images]
    assert [axis.get_title() for axis in shown] == ["ground truth, outlined", "all", "none"]
    for axis, (name, prediction) in zip(shown[1:], predictions.items(), strict=True):
        expected = zoom(error_map(picture, prediction, target, palette="colorblind"), [Window(5, 5, 20, 30)])
        assert (np.asarray(axis.images[0].get_array()) == expected).all(), name
    (key,) = figure.legends
    shown_key = {
        text.get_text(): to_hex(patch.get_facecolor()).upper()
        for text, patch in zip(key.get_texts(), key.get_patches(), strict=True)
    }
    assert shown_key == ERROR_PALETTES["colorblind"]


def test_without_windows_the_picture_alone_is_shown(picture):
    target = np.zeros((60, 90), bool)
    alone = zoom(picture, [], width=180)
    assert (alone[::2, ::2] == picture).all() and alone.shape == (120, 180, 3)
    figure = compare(picture, {"none": target}, target)
    assert np.asarray(figure.axes[1].images[0].get_array()).shape == (400, 600, 3)


def test_comparisons_are_frames_of_a_slider(picture):
    target = np.zeros((60, 90), bool)
    target[10:20, 10:20] = True
    frames = [compare(picture, {"a": target, "b": ~target}, target, [Window(0, 0, 9, 9)]) for _ in range(2)]
    assert len(slider(frames, ["1", "2"], "Two thresholds.").labels) == 2


def test_compare_refuses_scores_and_unknown_names(picture):
    target = np.zeros((60, 90), bool)
    with pytest.raises(ArgumentError, match="binary predictions, not scores"):
        compare(picture, {"scores": np.full((60, 90), 0.3)}, target)
    with pytest.raises(UnknownNameError):
        compare(picture, {"none": target}, target, palette="rainbow")
    with pytest.raises(UnknownNameError):
        compare(picture, {"none": target}, target, lesion="drusen")
