"""Grids of patches: that they cover an image, and that what is cut comes together again."""

from itertools import pairwise

import pytest
import torch

from fundus_lib.errors import ArgumentError
from fundus_lib.models.patch_grid import PatchGrid

GRIDS = [
    ((2816, 3328), 256, 0),
    ((50, 41), 16, 0),
    ((50, 41), 16, 5),
    ((48, 32), 16, 15),
    ((7, 100), 16, 8),
    ((3, 2), 16, 0),
    ((17, 16), 16, 0),
]


def test_the_papers_grid_is_143_patches_without_overlap():
    grid = PatchGrid((2816, 3328), 256)
    assert len(grid) == 143 and [len(starts) for starts in grid.starts] == [11, 13]
    image, top, left, height, width = grid.places(3)[-1].tolist()
    assert (image, top * 2816, left * 3328) == (3, pytest.approx(2560), pytest.approx(3072))
    assert (height * 640, width * 640) == (pytest.approx(58.18, abs=0.005), pytest.approx(49.23, abs=0.005))
    assert all((grid.weights(patch) == 1).all() for patch in (0, 70, 142))


@pytest.mark.parametrize(("size", "patch", "overlap"), GRIDS)
def test_patches_cover_the_image_and_their_weights_sum_to_one(size, patch, overlap):
    grid = PatchGrid(size, patch, overlap)
    total, (height, width) = torch.zeros(size), grid.shape
    for k, (top, left) in enumerate(grid.corners):
        assert 0 <= top <= size[0] - height and 0 <= left <= size[1] - width
        assert grid.weights(k).min() > 0
        total[top : top + height, left : left + width] += grid.weights(k)
    torch.testing.assert_close(total, torch.ones(size))
    for starts, side, length in zip(grid.starts, grid.shape, size, strict=True):
        assert starts[0] == 0 and starts[-1] == length - side
        assert all(after - before <= patch - overlap for before, after in pairwise(starts))
    boxes = grid.places() * torch.tensor([1, *size, *size])
    torch.testing.assert_close(boxes[:, 1:3], torch.tensor(grid.corners).float(), atol=1e-3, rtol=0)


def test_weights_fall_linearly_where_two_overlap():
    grid = PatchGrid((16, 12 + 16), 16, 4)
    assert grid.corners == [(0, 0), (0, 12)]
    expected = torch.tensor([0.8, 0.6, 0.4, 0.2])
    torch.testing.assert_close(grid.weights(0)[0], torch.cat([torch.ones(12), expected]))
    torch.testing.assert_close(grid.weights(1)[5], torch.cat([expected.flip(0), torch.ones(12)]))


def test_what_is_cut_is_the_image():
    image = torch.rand(3, 50, 41)
    grid = PatchGrid((50, 41), 16, 3)
    for patch, (top, left) in zip(grid.cut(image), grid.corners, strict=True):
        assert torch.equal(patch, image[:, top : top + 16, left : left + 16])


@pytest.mark.parametrize(
    ("size", "patch", "overlap"), [((0, 5), 4, 0), ((5, 5), 0, 0), ((5, 5), 4, 4), ((5, 5), 4, -1)]
)
def test_impossible_grids_are_refused(size, patch, overlap):
    with pytest.raises(ArgumentError, match=f"patch={patch}, overlap={overlap}"):
        PatchGrid(size, patch, overlap)
