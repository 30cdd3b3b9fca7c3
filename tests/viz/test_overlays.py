import numpy as np
import pytest

from fundus_lib.errors import ArgumentError, UnknownNameError
from fundus_lib.viz import ERROR_PALETTES, LESION_COLORS, add_legend, error_map, legend, overlay


def rgb(color: str) -> tuple[int, ...]:
    return tuple(int(color[i : i + 2], 16) for i in (1, 3, 5))


def colors_in(picture: np.ndarray) -> set[tuple[int, ...]]:
    return {tuple(int(v) for v in pixel) for pixel in picture.reshape(-1, 3)}


@pytest.fixture
def image():
    return np.full((40, 60, 3), (190, 95, 40), np.uint8)


@pytest.fixture
def mask():
    """One lesion of each kind; the first is a single pixel."""
    mask = np.zeros((4, 40, 60), np.uint8)
    mask[0, 5, 5] = mask[1, 10:16, 10:20] = mask[2, 20:26, 30:40] = mask[3, 30:36, 45:55] = 1
    return mask


def test_contours_surround_the_lesions_and_leave_them_visible(image, mask):
    before = image.copy()
    drawn = overlay(image, mask)
    assert (image == before).all()
    assert colors_in(drawn) == {(190, 95, 40)} | {rgb(color) for color in LESION_COLORS.values()}
    assert (drawn[mask.any(0)] == (190, 95, 40)).all(), "what is inside a contour stays to be seen"
    assert tuple(drawn[5, 6]) == rgb(LESION_COLORS["MA"]), "a lesion of one pixel has a contour"


def test_fill_tints_exactly_the_lesion(image, mask):
    drawn = overlay(image, mask, style="fill", opacity=1.0)
    for lesion, channel in zip(LESION_COLORS, mask, strict=True):
        assert ((drawn == rgb(LESION_COLORS[lesion])).all(-1) == (channel > 0)).all()


def test_one_lesion_takes_its_own_color(image, mask):
    assert rgb(LESION_COLORS["EX"]) in colors_in(overlay(image, mask[2], ["EX"]))
    assert rgb(LESION_COLORS["MA"]) not in colors_in(overlay(image, mask[2], ["EX"]))


def test_overlay_takes_a_sample(image, mask):
    torch = pytest.importorskip("torch")
    drawn = overlay(torch.from_numpy(image).permute(2, 0, 1), torch.from_numpy(mask))
    assert (drawn == overlay(image, mask)).all()


def test_overlay_refuses_what_does_not_fit(image, mask):
    with pytest.raises(ArgumentError, match=r"\(4, 40, 60\)"):
        overlay(image, mask[:, :, :-1])
    with pytest.raises(ArgumentError):
        overlay(image, mask, ["EX"])
    with pytest.raises(UnknownNameError, match="OD"):
        overlay(image, mask[:1], ["OD"])


@pytest.mark.parametrize("palette", ERROR_PALETTES)
def test_error_map_tells_hit_false_alarm_and_miss(image, palette):
    pred, target = np.zeros((2, 40, 60), bool)
    pred[5:15, 5:15], target[10:20, 5:15] = True, True
    drawn = error_map(image, pred, target, palette=palette)
    colors = ERROR_PALETTES[palette]
    for name, where in (("hit", pred & target), ("false alarm", pred & ~target), ("miss", ~pred & target)):
        assert ((drawn == rgb(colors[name])).all(-1) == where).all(), name
    rest = drawn[~pred & ~target]
    assert (rest == rest[0, 0]).all(), "the image behind is grey"
    assert (error_map(None, pred, target)[~pred & ~target] == 0).all()


def test_error_map_refuses_scores_sizes_and_palettes(image):
    target = np.zeros((40, 60))
    with pytest.raises(ArgumentError, match="binary predictions, not scores"):
        error_map(image, np.full((40, 60), 0.3), target)
    with pytest.raises(ArgumentError):
        error_map(image, np.zeros((40, 61)), target)
    with pytest.raises(ArgumentError):
        error_map(image[:-1], np.zeros((40, 60)), target)
    with pytest.raises(UnknownNameError, match="colorblind"):
        error_map(image, target, target, palette="rainbow")


def test_legend_names_the_colors():
    from matplotlib.colors import to_hex
    from matplotlib.figure import Figure

    axis = Figure().subplots()
    legend(axis, ["EX", "SE"])
    entries = axis.get_legend()
    assert [text.get_text() for text in entries.get_texts()] == ["EX", "SE"]
    assert to_hex(entries.get_patches()[0].get_facecolor()) == LESION_COLORS["EX"].lower()
    legend(axis, ERROR_PALETTES["dual_branch"])
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["hit", "false alarm", "miss"]


@pytest.mark.parametrize("width", [60, 700, 4288])
def test_a_legend_below_covers_no_pixel_and_shows_the_colors(width):
    picture = np.full((40, width, 3), (190, 95, 40), np.uint8)
    drawn = add_legend(picture, {"EX": "EX: likely", "MA": "MA: unclear"}, ("Auge ä.jpg",))
    assert drawn.shape[1:] == (width, 3) and (drawn[:40] == picture).all()
    below = colors_in(drawn[40:])
    assert {rgb(LESION_COLORS["EX"]), rgb(LESION_COLORS["MA"]), (255, 255, 255)} <= below
    assert rgb(LESION_COLORS["HE"]) not in below
    assert (add_legend(picture, {}) == picture).all()


@pytest.mark.parametrize("width", [60, 268, 1072, 2144, 4288])
def test_a_long_line_below_is_wrapped_and_not_cut_off(width):
    picture = np.zeros((4, width, 3), np.uint8)
    text = "model 0123456789ab: first_segmenter unet seed 0, trained on 54 images of IDRiD at commit a3d2f00d, " * 3
    short, long = (add_legend(picture, {"EX": "EX"}, (words,)) for words in ("model", text))
    ink = np.flatnonzero((long[4:] < 128).all(2).any(0))
    assert ink.max() < width - 1 and len(long) > len(short)
    line = max(14, width // 60)
    assert len(long) - len(short) >= line and (len(long) - 4) % line == 0
