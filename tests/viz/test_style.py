import itertools

import numpy as np
import pytest

from fundus_lib.data.sample import LESIONS
from fundus_lib.errors import ArgumentError
from fundus_lib.viz import (
    BASELINE,
    BRANCH_COLORS,
    ERROR_PALETTES,
    GRADE_COLORS,
    LESION_COLORS,
    METHOD,
    PUBLISHED,
    gallery,
    use_style,
)
from fundus_lib.viz.style import as_rgb

BACKGROUNDS = {"paper": "#FFFFFF", "retina": "#BE5F28", "dark retina": "#6E280F"}

# Machado, Oliveira and Fernandes (2009), severity 1; they act on linear RGB.
VISION = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def lab(color: str, vision: str) -> np.ndarray:
    rgb = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.array(VISION[vision]) @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ linear
    f = np.cbrt(xyz / [0.9505, 1, 1.089])
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def closest(colors: dict[str, str], backgrounds: dict[str, str], vision: str) -> tuple[float, str, str]:
    every = {**colors, **backgrounds}
    pairs = [pair for pair in itertools.combinations(every, 2) if not set(pair) <= set(backgrounds)]
    return min((float(np.linalg.norm(lab(every[a], vision) - lab(every[b], vision))), a, b) for a, b in pairs)


@pytest.mark.parametrize(("vision", "least"), [(v, 12 if v == "tritanopia" else 20) for v in VISION])
def test_lesion_colors_differ_for_every_eye(vision, least):
    """A difference of 2 is just seen side by side; tritanopia is one person in ten thousand."""
    assert tuple(LESION_COLORS) == LESIONS
    distance, one, other = closest(LESION_COLORS, BACKGROUNDS, vision)
    assert distance > least, f"{one} and {other} look alike with {vision}"


@pytest.mark.parametrize("vision", VISION)
def test_colorblind_error_map_differs_for_every_eye(vision):
    assert closest(ERROR_PALETTES["colorblind"], {"grey": "#404040"}, vision)[0] > 30


def test_the_papers_error_colors_do_not():
    """Why there is a second palette."""
    colors = {name: ERROR_PALETTES["dual_branch"][name] for name in ("hit", "miss")}
    assert closest(colors, {}, "deuteranopia")[0] < 20


def test_as_rgb_takes_every_form_of_an_image():
    image = np.arange(2 * 5 * 3, dtype=np.uint8).reshape(2, 5, 3)
    assert (as_rgb(image) == image).all()
    assert (as_rgb(np.moveaxis(image, -1, 0)) == image).all()
    assert (as_rgb(image / 255) == image).all()
    assert (as_rgb(image[..., 0])[..., 2] == image[..., 0]).all()


def test_as_rgb_takes_the_image_of_a_sample():
    torch = pytest.importorskip("torch")
    assert as_rgb(torch.zeros(3, 4, 6, dtype=torch.uint8)).shape == (4, 6, 3)


@pytest.mark.parametrize(
    "image", [np.zeros((2, 3, 4, 4)), np.zeros(4), np.full((4, 4, 3), -1.0), np.full((4, 4, 3), 2.0)]
)
def test_as_rgb_refuses_what_is_not_an_image(image):
    with pytest.raises(ArgumentError):
        as_rgb(image)


def test_gallery_shows_each_image_with_its_title():
    import matplotlib.pyplot as plt

    use_style()
    figure = gallery([np.full((4, 6, 3), i, np.uint8) for i in range(5)], titles=list("abcde"), ncols=3)
    shown = [axis for axis in figure.axes if axis.images]
    assert [axis.get_title() for axis in shown] == list("abcde")
    assert [int(axis.images[0].get_array()[0, 0, 0]) for axis in shown] == [0, 1, 2, 3, 4]
    assert figure.number not in plt.get_fignums(), "an open figure is shown twice in a notebook"


def test_gallery_wants_a_title_for_each_image():
    with pytest.raises(ArgumentError, match="2 images and 1 titles"):
        gallery([np.zeros((4, 4, 3), np.uint8)] * 2, titles=["one"])


@pytest.mark.parametrize("vision", VISION)
def test_colors_of_results_differ_for_every_eye(vision):
    roles = {"method": METHOD, "baseline": BASELINE, "published": PUBLISHED}
    roles |= {name: color for name, color in BRANCH_COLORS.items() if name != "both"}
    assert closest(roles, {"paper": "#FFFFFF"}, vision)[0] > 15
    lightness = [lab(color, vision)[0] for color in GRADE_COLORS]
    assert (np.diff(lightness) < -10).all()  # the darker, the more severe
