"""IDRiD's middle columns and the square around them: by hand, and there and back."""

import numpy as np
import pytest
import torch

from fundus_lib.data.padded_square import cut_columns, make_square, put_back
from fundus_lib.errors import ArgumentError


def test_the_papers_sizes():
    image = torch.zeros(3, 580, 873)
    assert cut_columns(image).shape == (3, 580, 733)
    assert make_square(torch.zeros(1, 2848, 4288)).shape == (1, 3600, 3600)
    full = torch.arange(4288).expand(1, 20, -1)
    assert cut_columns(full)[0, 0, [0, -1]].tolist() == [200, 3799]


def test_the_square_holds_the_middle_and_black_around_it():
    image = torch.arange(1, 1 + 20 * 30, dtype=torch.int64).view(1, 20, 30)
    square = make_square(image)
    assert square.shape == (1, 25, 25)
    with pytest.raises(ArgumentError, match="higher than wide"):
        make_square(image.transpose(1, 2))
    assert torch.equal(square[:, 2:22], image[..., 1:26]) and not square[:, :2].any() and not square[:, 22:].any()


def test_there_and_back_nothing_moves():
    rng = np.random.default_rng(0)
    image = rng.random((40, 60)).astype(np.float32)
    square = make_square(torch.from_numpy(image)).numpy()
    back = put_back(square, image.shape)
    inside = slice(3, 53)
    np.testing.assert_array_equal(back[:, inside], image[:, inside])
    assert not back[:, :3].any() and not back[:, 53:].any()
    for dtype in (np.float32, np.uint16):  # a step at half of the size lies where it was
        step = np.zeros((80, 120), dtype)
        step[:, 60:] = 1000
        half = make_square(torch.from_numpy(step[::2, ::2].astype(np.float32))).numpy().astype(dtype)
        large = put_back(half, (80, 120))
        assert large.dtype == dtype and (large[:, :58] == 0).all() and (large[4:-4, 62:104] == 1000).all()
