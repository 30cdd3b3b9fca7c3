"""The field of view, and the channel mean and standard deviation in it."""

import numpy as np
import pytest

from fundus_lib.data.field_of_view import bounding_box, field_of_view, statistics
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
