"""Where a network looks: maps of a known network, and their share inside a mask."""

import math

import numpy as np
import pytest
import torch

from fundus_lib.errors import ArgumentError
from fundus_lib.explain import mass_inside, upsample


def slow_share(cam, mask, field):
    inside = total = 0.0
    for row in range(cam.shape[0]):
        for column in range(cam.shape[1]):
            if field[row, column] and cam[row, column] > 0:
                total += cam[row, column]
                if mask[row, column]:
                    inside += cam[row, column]
    return inside / total


@pytest.mark.parametrize("seed", range(20))
def test_share_inside_equals_a_naive_loop(seed):
    rng = np.random.default_rng(seed)
    cam, mask, field = rng.normal(size=(7, 9)), rng.random((7, 9)) < 0.3, rng.random((7, 9)) < 0.7
    assert mass_inside(cam, mask, field) == pytest.approx(slow_share(cam, mask, field))
    assert mass_inside(cam, mask) == pytest.approx(slow_share(cam, mask, np.ones_like(mask)))
    assert mass_inside(100 * cam, mask.astype(np.uint8)) == pytest.approx(mass_inside(cam, mask))
    assert mass_inside(torch.tensor(cam), torch.tensor(mask)) == pytest.approx(mass_inside(cam, mask))


def test_a_flat_map_has_the_mask_s_share_of_the_field():
    mask, field = np.zeros((4, 5), bool), np.zeros((4, 5), bool)
    mask[1, 1:3], field[1:3] = True, True
    mask[0, 0] = True  # outside the field
    assert mass_inside(np.ones((4, 5)), mask, field) == 2 / 10
    assert mass_inside(np.full((4, 5), 3), mask) == pytest.approx(3 / 20), "whole numbers too"


def test_a_map_that_looks_nowhere_has_no_share_and_an_empty_mask_has_none_of_it():
    mask = np.eye(3)
    assert math.isnan(mass_inside(np.zeros((3, 3)), mask))
    assert math.isnan(mass_inside(-np.ones((3, 3)), mask))
    assert math.isnan(mass_inside(np.eye(3), mask, field=1 - mask)), "positive only outside the field"
    assert mass_inside(np.ones((3, 3)), np.zeros((3, 3))) == 0


def test_sixteen_bits_do_not_overflow_in_the_sum():
    cam = torch.full((200, 200), 1000.0, dtype=torch.float16, requires_grad=True)
    mask = torch.zeros(200, 200)
    mask[:50] = 1
    assert mass_inside(cam, mask) == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cam": np.ones((2, 2)), "mask": np.ones((4, 4))}, "shape"),
        ({"cam": np.ones((2, 2)), "mask": np.ones((2, 2)), "field": np.ones((1, 2))}, "shape"),
        ({"cam": np.full((2, 2), np.nan), "mask": np.ones((2, 2))}, "not a number"),
        ({"cam": np.full((2, 2), np.inf), "mask": np.ones((2, 2))}, "infinite"),
        ({"cam": np.ones((2, 2)), "mask": np.full((2, 2), 255)}, "255"),
        ({"cam": np.ones((2, 2)), "mask": np.ones((2, 2)), "field": np.full((2, 2), 0.5)}, "0.5"),
    ],
)
def test_what_has_no_share_is_refused(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        mass_inside(**arguments)


def test_upsampled_maps_keep_their_axes_and_their_level():
    maps = torch.arange(24.0).reshape(2, 3, 2, 2)
    large = upsample(maps, (8, 6))
    assert large.shape == (2, 3, 8, 6)
    torch.testing.assert_close(large.mean((2, 3)), maps.mean((2, 3)))
    torch.testing.assert_close(upsample(maps[1, 2], (8, 6)), large[1, 2])
    assert torch.equal(upsample(maps, (2, 2)), maps)
    assert torch.equal(large[..., 0, 0], maps[..., 0, 0]), "corners keep the value of their place"
    half = maps.bfloat16().requires_grad_()
    assert upsample(half, (4, 4)).dtype == torch.float32 and not upsample(half, (4, 4)).requires_grad
