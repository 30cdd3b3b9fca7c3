"""The square around the field of view: what is cut, filled up, and moved along."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import tv_tensors

from fundus_lib.data import DDRGrading, IDRiDSegmentation
from fundus_lib.data.field_square import FieldSquare
from fundus_lib.data.points import point
from fundus_lib.errors import ArgumentError
from helpers import small_idrid as small

RETINA, SPOT = 100, 250


def photograph(size, centre, radius, spots=()):
    """A sample: a bright disc on black, with brighter spots, which are the lesion; `centre` and spots are (y, x)."""
    y, x = np.mgrid[: size[0], : size[1]]
    field = np.hypot(y - centre[0], x - centre[1]) < radius + 0.5  # 2 · radius + 1 wide
    mask = np.zeros(size, np.uint8)
    for row, column in spots:
        mask[row : row + 6, column : column + 6] = 1
    image = torch.from_numpy(np.where(mask, SPOT, RETINA * field).astype(np.uint8)).expand(3, -1, -1).clone()
    return {
        "image": tv_tensors.Image(image),
        "mask": tv_tensors.Mask(torch.from_numpy(mask)[None]),
        "fovea": point((centre[1] + 0.5, centre[0] + 0.5), size),  # of the pixel's middle
        "dr": 3,
        "name": "x",
    }


def box(bright):
    rows, columns = np.flatnonzero(bright.any(1)), np.flatnonzero(bright.any(0))
    return rows[0], rows[-1] + 1, columns[0], columns[-1] + 1


@pytest.mark.parametrize("centre", [(60, 90), (52, 60), (70, 130)])
def test_the_field_fills_the_square_wherever_it_lies(centre):
    made = FieldSquare(64)(photograph((120, 180), centre, 40))
    image = made["image"]
    assert image.shape == (3, 64, 64) and image.dtype == torch.uint8 and made["mask"].shape == (1, 64, 64)
    assert box(image[0].numpy() > 40) == (0, 64, 0, 64)
    assert (image[:, [0, 0, -1, -1], [0, -1, 0, -1]] == 0).all(), "the corners lie outside"
    share = (image[0] > 40).float().mean().item()
    assert share == pytest.approx(np.pi / 4, abs=0.02)
    assert (made["dr"], made["name"]) == (3, "x")


def test_points_and_masks_go_along():
    if not hasattr(tv_tensors, "KeyPoints"):
        pytest.skip("torchvision before 0.23 moves no points")
    sample = photograph((120, 180), (52, 70), 40, spots=[(30, 60), (60, 90)])
    made = FieldSquare(162)(sample)  # the field is 81 wide: twice the size
    np.testing.assert_allclose(made["fovea"].numpy(), [[81.0, 81.0]], atol=0.6)
    lit = made["image"][0].numpy() > (RETINA + SPOT) / 2
    assert (lit != made["mask"][0].numpy()).mean() < 0.001
    first = box(made["mask"][0].numpy()[:81])
    assert first == ((30 - 12) * 2, (36 - 12) * 2, (60 - 30) * 2, (66 - 30) * 2)


def test_of_the_fields_own_size_pixels_stay_as_they_are():
    sample = photograph((120, 180), (60, 90), 40, spots=[(50, 80)])
    made = FieldSquare(81)(sample)
    for part in ("image", "mask"):
        assert torch.equal(
            made[part].as_subclass(torch.Tensor), sample[part][:, 20:101, 50:131].as_subclass(torch.Tensor)
        )


def test_a_field_that_the_frame_cuts_off_is_filled_up_and_not_stretched():
    sample = photograph((80, 180), (40, 90), 60, spots=[(2, 88), (70, 60)])  # 121 wide, cut to 80
    made = FieldSquare(121)(sample)
    rows = slice(20, 100)
    assert torch.equal(made["image"][:, rows].as_subclass(torch.Tensor), sample["image"][..., 30:151])
    assert torch.equal(made["mask"][:, rows].as_subclass(torch.Tensor), sample["mask"][..., 30:151])
    for part in ("image", "mask"):
        outside = torch.cat([made[part][:, :20], made[part][:, 100:]], dim=1)
        assert outside.shape[1] == 41 and not outside.any()
    if hasattr(tv_tensors, "KeyPoints"):
        np.testing.assert_allclose(made["fovea"].numpy(), [[60.5, 60.5]], atol=0.6)


def test_idrids_photographs_are_read_a_little_finer_than_the_square():
    height, width = FieldSquare(512).source_size
    assert height == 512 and width / height == pytest.approx(4288 / 2848, rel=0.005)
    assert 1 <= 3450 / 4288 * width / 512 < 1.3, "IDRiD's fields are about 3450 of 4288 pixels wide"


@pytest.mark.parametrize("cache", [False, True])
def test_circles_of_ddr_stay_round_whatever_the_shape_of_their_image(tmp_path, monkeypatch, cache):
    monkeypatch.setenv("FUNDUS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "DR_grading" / "test"
    folder.mkdir(parents=True)
    sizes = {"4-to-3": (480, 640), "3-to-2": (480, 720), "1-to-1": (500, 500), "3-to-4": (640, 480)}
    for name, (height, width) in sizes.items():  # a field, and a brighter disc of half its width
        y, x = np.mgrid[:height, :width]
        distance = np.hypot(y - height / 2, x - width / 2)
        image = np.where(distance < 200, 100, 0) + np.where(distance < 100, 150, 0)
        Image.fromarray(np.repeat(image[..., None], 3, -1).astype(np.uint8)).save(folder / f"{name}.jpg", quality=100)
    folder.with_suffix(".txt").write_text("".join(f"{name}.jpg 2\n" for name in sizes))
    square = FieldSquare(128)
    data = DDRGrading(tmp_path, "test", size=square.read_size, transform=square, cache=cache)
    for sample in data:
        image = sample["image"][0].numpy()
        assert image.shape == (128, 128)
        for level, wide in ((50, 128), (175, 64)):
            top, bottom, left, right = box(image > level)
            assert bottom - top == pytest.approx(wide, abs=1), (sample["name"], level)
            assert right - left == pytest.approx(wide, abs=1), (sample["name"], level)


@pytest.mark.parametrize(
    ("on_disk", "read"),
    [
        ((2848, 4288), (512, 768)),  # IDRiD: what its records were trained on
        ((960, 1440), (512, 768)),
        ((1536, 2048), (512, 683)),
        ((700, 700), (512, 512)),
        ((2000, 1500), (683, 512)),
    ],
)
def test_images_are_read_with_their_own_aspect_ratio(on_disk, read):
    assert FieldSquare(512).read_size(on_disk) == read


def test_what_is_read_is_all_of_an_image_like_idrids_and_else_the_box_around_the_field():
    square, field = FieldSquare(64), np.zeros((284, 428), np.uint8)
    field[:, 42:386] = 1
    assert square.frame(field) == (slice(0, 284), slice(0, 428))
    for above, beside in ((40, 0), (72, 108), (0, 20)):  # the second keeps 3:2
        on_canvas = np.pad(field, ((above, above), (beside, beside)))
        rows, columns = square.frame(on_canvas)
        assert (rows, columns) == (slice(above, above + 284), slice(beside + 42, beside + 386))


def test_idrid_read_by_the_rule_is_what_it_is_at_one_size(tmp_path, monkeypatch):
    monkeypatch.setenv("FUNDUS_CACHE", str(tmp_path / "cache"))
    root, square = small.write(tmp_path / "IDRiD", size=(284, 428)), FieldSquare(64)  # of IDRiD's shape
    one, rule = (IDRiDSegmentation(root, "test", size=size) for size in (square.source_size, square.read_size))
    assert len(one) == 2
    for a, b in zip(one, rule, strict=True):
        assert torch.equal(a["image"], b["image"]) and torch.equal(a["mask"], b["mask"])
    assert len(list((tmp_path / "cache" / "arrays").glob("*image*.npy"))) == 1, "and it is kept once"


def test_what_it_refuses():
    with pytest.raises(ArgumentError, match="side=31"):
        FieldSquare(31)
    with pytest.raises(ArgumentError, match="no retina"):
        FieldSquare(64)({"image": tv_tensors.Image(torch.zeros(3, 40, 60, dtype=torch.uint8))})
