"""Patches of an image: where they lie, that they turn with it, and that they depend on seed, epoch and number alone."""

import numpy as np
import pytest
import torch

from fundus_lib.data.augment import add_noise, rotate_and_zoom, turn, turn_boxes
from fundus_lib.data.image_patches import ImagePatches
from fundus_lib.errors import ArgumentError
from helpers.images import squares

IMAGES = squares(5, (48, 64), empty=1)


def patches(**settings) -> ImagePatches:
    return ImagePatches(IMAGES.images, IMAGES.masks, **{"side": 8, "count": 6, "length": 10, **settings})


def cut(whole, box):
    top, left, tall, wide = (box * torch.tensor(whole.shape[-2:]).repeat(2)).round().int().tolist()
    return whole[:, top : top + tall, left : left + wide]


def test_patches_are_where_their_boxes_say_in_the_turned_image():
    seen = set()
    for item in (patches()[n] for n in range(10)):
        quarters, mirror = item["turn"].tolist()
        seen.add((quarters, mirror))
        for k in range(6):
            for name, parts in (("image", IMAGES.images), ("mask", IMAGES.masks)):
                whole = turn(parts[int(item["number"])], quarters, bool(mirror))
                assert torch.equal(item[name][k], cut(whole, item["boxes"][k]))
    assert len(seen) > 4


def test_boxes_turn_with_the_image():
    image = torch.arange(24 * 36).reshape(1, 24, 36)
    box = torch.tensor([[6 / 24, 12 / 36, 8 / 24, 4 / 36]])
    piece = cut(image, box[0])
    for quarters in range(4):
        for mirror in (False, True):
            moved = turn_boxes(box, quarters, mirror)[0]
            assert torch.equal(cut(turn(image, quarters, mirror), moved), turn(piece, quarters, mirror))


def test_each_image_has_its_turn_in_an_order_of_seed_and_epoch():
    numbers = [patches().draw_number(n) for n in range(10)]
    assert sorted(numbers[:5]) == sorted(numbers[5:]) == [*range(5)]
    assert numbers == [int(patches()[n]["number"]) for n in range(10)]
    for other in ({"seed": 1}, {"epoch": 1}):
        assert numbers != [patches(**other).draw_number(n) for n in range(10)]
        assert not torch.equal(patches(**other)[0]["boxes"], patches()[0]["boxes"])
    assert torch.equal(patches()[7]["image"], patches()[7]["image"])
    with pytest.raises(IndexError):
        patches()[10]


def test_patches_are_placed_around_lesions_where_the_image_has_any():
    for fraction, least in ((1.0, 1.0), (0.0, 0.0)):
        items = [patches(lesion_fraction=fraction, length=20)[n] for n in range(20)]
        hit = [item["mask"].flatten(1).any(1) for item in items if item["number"] != 4]
        assert torch.cat(hit).float().mean() >= least
        if not fraction:
            assert torch.cat(hit).float().mean() < 0.9
    assert patches().lesion_pixels(4) == []


def test_a_window_reaches_beyond_the_patch_and_is_black_beyond_the_image():
    plain, wide = patches(turned=False), patches(turned=False, window=20)
    for n in range(10):
        small, large = plain[n], wide[n]
        assert small["turn"].tolist() == [0, 0] and large["image"].shape == (6, 3, 20, 20)
        assert torch.equal(small["boxes"], large["boxes"])
        for name in ("image", "mask"):
            assert torch.equal(large[name][..., 6:14, 6:14], small[name])
    framed = torch.nn.functional.pad(IMAGES.images[int(wide[0]["number"])], (6, 6, 6, 6))
    top, left = (wide[0]["boxes"][0, :2] * torch.tensor([48, 64])).round().int().tolist()
    assert torch.equal(wide[0]["image"][0], framed[:, top : top + 20, left : left + 20])


def test_rotated_and_zoomed_patches_are_of_the_window_and_masks_go_along():
    torch.manual_seed(0)
    images = torch.full((64, 3, 40, 40), 200, dtype=torch.uint8)
    masks = torch.zeros(64, 1, 40, 40, dtype=torch.uint8)
    masks[:, :, 16:24, 16:24] = 1
    images = images - 100 * masks
    turned, moved = rotate_and_zoom(images, masks, 20, 1.25)
    assert turned.shape == (64, 3, 20, 20) and turned.dtype == torch.float32 and moved.dtype == torch.uint8
    assert turned.min() >= 99.9, "a window of √2 · 1.25 times the side fills the patch at every angle"
    assert ((turned < 150) == (moved > 0)).float().mean() > 0.99
    areas = moved.flatten(1).sum(1).float()
    assert 64 / 1.25**2 - 12 < areas.min() < 55 < 75 < areas.max() < 64 * 1.25**2 + 12
    same, _ = rotate_and_zoom(images[:, :, :20, :20], masks[:, :, :20, :20], 20, 1.0)
    assert (same == 0).any(), "beyond the image it is black"


def test_noise_has_a_deviation_of_its_own_for_each_image():
    torch.manual_seed(0)
    images = torch.zeros(16, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    noisy = add_noise(images, 0.5)
    spread = noisy.flatten(1).std(1)
    assert 0 < spread.min() < 0.15 < 0.35 < spread.max() < 0.52 and abs(noisy.mean()) < 0.01
    assert noisy.is_contiguous(memory_format=torch.channels_last) and add_noise(images, 0.0) is images


def test_what_does_not_fit_together_is_refused():
    for images, masks, side in (
        (IMAGES.images, IMAGES.masks, 49),
        (IMAGES.images[:2], IMAGES.masks, 8),
        (IMAGES.images, (*IMAGES.masks[:4], None), 8),
    ):
        with pytest.raises(ArgumentError, match="ImagePatches"):
            ImagePatches(images, masks, side=side, count=1, length=1)


def test_images_on_disk_are_read_as_those_in_memory(tmp_path):
    path = tmp_path / "images.npy"
    np.save(path, np.stack([image.numpy() for image in IMAGES.images]))
    mapped = [torch.from_numpy(part) for part in np.load(path, mmap_mode="c")]
    other = ImagePatches(mapped, IMAGES.masks, side=8, count=6, length=10)
    assert all(torch.equal(other[n]["image"], patches()[n]["image"]) for n in range(10))
