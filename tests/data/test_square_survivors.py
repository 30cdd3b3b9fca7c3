"""Which lesions are left in the square that a grader sees, on masks where one can count."""

import numpy as np
import torch
from torchvision import tv_tensors

from fundus_lib.data.summary import square_survivors

FULL = (256, 384)


def left(mask: np.ndarray, side: int) -> list[tuple[int, int]]:
    """Lesions left and all, in a bright disc on black, 300 pixels wide and cut off above and below."""
    y, x = np.mgrid[: FULL[0], : FULL[1]]
    image = np.repeat((np.hypot(x - 192, y - 128) < 150)[None] * np.uint8(200), 3, axis=0)
    sample = {"image": tv_tensors.Image(torch.from_numpy(image)), "mask": tv_tensors.Mask(torch.from_numpy(mask))}
    return [found for (found,) in square_survivors(sample, (side,))]


def test_a_lesion_is_left_if_a_pixel_of_the_square_meets_it():
    mask = np.zeros((2, *FULL), np.uint8)
    mask[0, 100:116, 100:116] = 1  # large
    mask[0, 200:202, 200:202] = 1  # a quarter of a pixel at a side of 64, gone already by averaging
    mask[1, 60:63, 250:253] = mask[1, 200:203, 250:253] = mask[1, 120:123, 300:303] = 1
    assert left(mask, 256) == [(2, 2), (3, 3)]
    assert left(mask, 64)[0] == (1, 2)


def test_the_square_itself_drops_lesions_of_one_pixel():
    """The field of view is 300 wide, so a square of 64 takes 64 of 75 columns of an image of 64 rows."""
    mask = np.zeros((1, *FULL), np.uint8)
    for column in range(72, 312, 8):  # a pixel in every other column of the shrunk image
        mask[0, 120:124, column : column + 4] = 1
    kept, total = left(mask, 64)[0]
    assert total == 30
    assert 0.75 < kept / total < 0.95


def test_what_is_outside_the_square_is_lost():
    mask = np.zeros((1, *FULL), np.uint8)
    mask[0, 120:130, 2:12] = mask[0, 120:130, 190:200] = 1
    assert left(mask, 128) == [(1, 2)]
