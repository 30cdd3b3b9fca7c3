"""The field of view, and the channel mean and standard deviation in it."""

import numpy as np
import pytest

from fundus_lib.data.field_of_view import bounding_box, check_field, count_fields, field_of_view, statistics
from fundus_lib.data.synthetic import SyntheticFundus
from fundus_lib.errors import ArgumentError


def test_field_of_view_statistics_do_not_see_the_border():
    image = np.full((60, 90, 3), 3, np.uint8)
    rows, columns = np.ogrid[:60, :90]
    disc = (rows - 30) ** 2 + (columns - 40) ** 2 < 25**2
    image[disc] = (180, 90, 30)
    image[28:32, 38:42] = 5  # something dark within is still retina
    image[2:4, 85:88] = 200  # a label in the corner is not
    field = field_of_view(image)
    assert bounding_box(field) == (slice(6, 55), slice(16, 65))
    assert abs(int(field.sum()) - int(disc.sum())) < 0.02 * disc.sum()
    mean, deviation = statistics(image)
    assert mean.tolist() == pytest.approx([180, 90, 30], rel=0.05)
    assert deviation.min() >= 1


def test_a_black_photograph_has_no_field_of_view():
    with pytest.raises(ArgumentError, match="no retina"):
        field_of_view(np.zeros((20, 30, 3), np.uint8))


def eye(border: int = 0) -> np.ndarray:
    """A disc that is shaded, with a bright spot and a border of one grey value, RGB (120, 160, 3)."""
    rows, columns = np.mgrid[:120, :160] + 0.5
    image = np.stack([120 + columns / 2, 60 + rows / 4, 30 + columns / 9], axis=-1).astype(np.uint8)
    image[(rows - 60) ** 2 + (columns - 40) ** 2 < 80] = (230, 200, 120)
    image[(rows - 60) ** 2 + (columns - 80) ** 2 > 58**2] = border
    return image


def normal(mean, deviation, size=(120, 160, 3)):
    return np.random.default_rng(0).normal(mean, deviation, size).clip(0, 255).astype(np.uint8)


def page():
    image = np.full((120, 160, 3), 255, np.uint8)
    image[20:100:8, 10:150:3] = 0
    return image


def line():
    image = np.zeros((120, 160, 3), np.uint8)
    image[:, 80:84] = 200
    return image


def checked(image):
    check_field(image, field_of_view(image))


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (normal(128, 100), "noise"),
        (normal(120, 20), "noise"),
        (normal(128, 60) * (eye() > 0), "noise"),
        (normal(128, 100, (900, 1300, 3)), "noise"),
        (np.full((120, 160, 3), 255, np.uint8), "flat"),
        (normal(128, 1), "flat|noise"),
        (np.full((120, 160, 3), 90, np.uint8) * (eye() > 0), "flat"),
        (page(), "noise or text|border is bright"),
        (line(), "shape of a field"),
        (eye(255), "border is bright"),
        (eye(128), "border is bright"),
        (eye(60), "border is bright"),
        (np.pad(eye(), ((30, 30), (40, 40), (0, 0)), constant_values=255), "border is bright"),
    ],
)
def test_what_has_no_field_of_view_is_refused(image, says):
    with pytest.raises(ArgumentError, match=says):
        checked(np.asarray(image, np.uint8))


@pytest.mark.parametrize(
    "image", [eye(), eye()[20:], eye()[20:100, 30:130], np.pad(eye(), ((200, 90), (300, 0), (0, 0)))]
)
def test_eyes_are_not_refused_on_whatever_canvas(image):
    checked(image)
    checked(np.repeat(image.max(-1, keepdims=True), 3, axis=-1))  # grey


def test_no_synthetic_eye_is_refused():
    data = SyntheticFundus(12, size=(96, 144), seed=3)
    for index in range(len(data)):
        checked(data[index]["image"].permute(1, 2, 0).numpy())


def test_eyes_are_counted_and_a_label_is_none():
    one = eye()
    assert count_fields(one) == count_fields(eye(40)) == 1
    assert count_fields(np.concatenate([np.pad(one, ((0, 0), (8, 8), (0, 0)))] * 2, axis=1)) == 2
    labelled = np.pad(one, ((0, 30), (0, 0), (0, 0)))
    labelled[-20:-5, 5:60] = 255
    assert count_fields(labelled) == 1
