"""Augmentation: of image and mask alike."""

import math

import pytest
import torch
from torch.nn import functional as F

from fundus_lib.data.augment import (
    DIHEDRAL,
    augment_dihedral,
    jitter_colour,
    normalise,
    rotate_and_crop,
    rotate_and_mirror,
    scale_brightness_and_contrast,
)
from helpers.images import graded


def test_the_six_dihedral_augmentations_differ_and_rotate_image_and_mask_alike():
    image = torch.arange(12).reshape(1, 3, 4)
    made = [augment_dihedral(image, number) for number in range(len(DIHEDRAL))]
    assert torch.equal(made[0], image)
    assert [tuple(m.shape[1:]) for m in made] == [(3, 4), (4, 3), (3, 4), (4, 3), (3, 4), (3, 4)]
    assert torch.equal(augment_dihedral(made[1], 3), image) and torch.equal(augment_dihedral(made[2], 2), image)
    assert made[1][0, -1, 0] == 0  # 90° to the left bring the upper left corner down
    assert made[4][0, 0].tolist() == [3, 2, 1, 0] and made[5][0, :, 0].tolist() == [8, 4, 0]
    assert len({tuple(m.flatten().tolist()) + tuple(m.shape) for m in made}) == 6
    batch = torch.stack([image, image])
    for number in range(6):
        assert torch.equal(augment_dihedral(batch, number)[1], made[number])


def test_normalise_and_jitter():
    images = torch.full((2, 3, 4, 4), 120, dtype=torch.uint8)
    own = torch.tensor([[[100.0, 120, 140], [10, 10, 20]]]).expand(2, 2, 3)
    normal = normalise(images, own)
    assert normal[0, :, 0, 0].tolist() == [2.0, 0.0, -1.0] and int(images.sum()) == 120 * images.numel()
    assert jitter_colour(normal, 0.0) is normal
    torch.manual_seed(0)
    varied = jitter_colour(normal, 0.3)
    assert not torch.equal(varied[0], varied[1])
    assert (varied - normal).abs().max() <= 0.3 * 2 + 0.3


def blob(side=64, row=20.0, column=40.0):
    """A soft spot and its mask, on a ground of −1: (1, 3, S, S) and (1, 1, S, S)."""
    y, x = torch.meshgrid(torch.arange(side) + 0.5, torch.arange(side) + 0.5, indexing="ij")
    spot = torch.exp(-((y - row) ** 2 + (x - column) ** 2) / 40)
    return (spot - 1).expand(1, 3, -1, -1), (spot > 0.5).to(torch.uint8)[None, None]


def middle(weights):
    """Centre of mass (y, x) of a map, in pixels from the map's middle."""
    side = weights.shape[-1]
    places = torch.arange(side) + 0.5 - side / 2
    whole = weights.sum()
    return (weights.sum(1) @ places / whole).item(), (weights.sum(0) @ places / whole).item()


def test_rotation_keeps_the_distance_from_the_middle_and_takes_masks_along():
    image, mask = blob()
    torch.manual_seed(0)
    images, masks = rotate_and_mirror(image.repeat(60, 1, 1, 1), mask.repeat(60, 1, 1, 1), True)
    assert images.shape == (60, 3, 64, 64) and masks.shape == (60, 1, 64, 64) and masks.dtype == torch.uint8
    angles = []
    for own, drawn in zip(images, masks, strict=True):
        y, x = middle(own[0] + 1)
        assert math.hypot(y, x) == pytest.approx(math.hypot(20 - 32, 40 - 32), abs=0.3)
        assert middle(drawn[0].float()) == pytest.approx((y, x), abs=0.4)
        assert own.min() == pytest.approx(-1, abs=1e-3), "what comes into view is as dark as the darkest"
        angles.append(math.atan2(y, x))
    assert {int(angle // (math.pi / 4)) for angle in angles} == set(range(-4, 4)), "angles of all eighths"


def test_rotation_by_a_known_angle_and_both_mirror_images(monkeypatch):
    image, mask = blob()
    drawn = iter([torch.tensor([0.25, 0.25]), torch.tensor([0.1, 0.9])])  # angles, mirrors
    monkeypatch.setattr(torch, "rand", lambda *args, **kwargs: next(drawn))
    images, masks = rotate_and_mirror(image.repeat(2, 1, 1, 1), mask.repeat(2, 1, 1, 1), True)
    quarters = {tuple(torch.rot90(m, k).flatten().tolist()) for m in (mask[0, 0], mask[0, 0].flip(1)) for k in (1, 3)}
    found = [tuple(m[0].flatten().tolist()) for m in masks]
    assert set(found) <= quarters and len(set(found)) == 2
    assert torch.equal((images[:, :1] > -0.5).to(torch.uint8), masks)


def test_without_rotation_an_image_is_itself_or_its_mirror_image():
    shown = graded(0, 40, side=32)
    torch.manual_seed(0)
    images = (torch.stack(shown.images).float() - 120) / 40
    new, masks = rotate_and_mirror(images, torch.stack(shown.masks), False)
    mirrored = []
    for own, image, drawn, mask in zip(new, images, masks, shown.masks, strict=True):
        flip = torch.allclose(own, image.flip(-1), atol=1e-4)
        assert flip or torch.allclose(own, image, atol=1e-4)
        assert torch.equal(drawn, mask.flip(-1) if flip else mask)
        mirrored.append(flip)
    assert 10 < sum(mirrored) < 30
    assert rotate_and_mirror(images[:2], None, True)[1] is None


def test_rotated_images_keep_their_colours():
    """Bilinear rotation of a field that is even in its middle leaves the middle as it is."""
    images = torch.full((5, 3, 32, 32), -1.5)
    images[:, :, 8:24, 8:24] = 0.7
    torch.manual_seed(1)
    new, _ = rotate_and_mirror(images, None, True)
    torch.testing.assert_close(new[:, :, 13:19, 13:19], torch.full((5, 3, 6, 6), 0.7))
    torch.testing.assert_close(new[:, :, 0, 0], torch.full((5, 3), -1.5))
    assert F.mse_loss(new, images) > 0


def test_a_rotated_crop_lies_where_its_mask_does_and_shows_what_is_there():
    """Masks go with the image; a constant image stays so but for the corners, and is mirrored half of the time."""
    torch.manual_seed(0)
    spot = torch.zeros(200, 1, 40, 60)
    spot[:, :, 10:30, 20:40] = 1
    images, masks = rotate_and_crop(spot.expand(-1, 3, -1, -1).clone(), spot, 32)
    assert images.shape == (200, 3, 32, 32) and masks.shape == (200, 1, 32, 32)
    assert ((images[:, :1] > 0.5) == (masks > 0)).float().mean() > 0.995
    area = masks.sum((1, 2, 3))
    assert area.max() <= 1.05 * 400 and area.mean() > 300  # nothing is enlarged; some of it is cut off
    assert len({round(float(a)) for a in area}) > 50


def test_a_rotated_crop_is_a_rotation_about_the_centre(monkeypatch):
    """At the corner of what a crop may show, without rotation and turned by 180°."""
    image = torch.arange(6 * 8, dtype=torch.float32).view(1, 1, 6, 8).expand(1, 3, 6, 8)
    mask = torch.ones(1, 1, 6, 8)
    for angle, mirror, wanted in (
        (0.0, 0.9, image[..., 0:4, 0:4]),
        (0.5, 0.9, image[..., 2:6, 4:8].flip(2, 3)),
        (0.0, 0.1, image[..., 0:4, 0:4].flip(3)),
    ):
        draws = iter([angle, mirror, 0.0, 0.0])
        monkeypatch.setattr(torch, "rand", lambda *_, draws=draws, **__: torch.tensor([next(draws)]))
        torch.testing.assert_close(rotate_and_crop(image, mask, 4)[0], wanted, atol=1e-4, rtol=0)


def test_brightness_and_contrast_are_multiplied():
    torch.manual_seed(0)
    grey = torch.full((500, 3, 4, 4), 0.4)
    bright = scale_brightness_and_contrast(grey, 0.5)  # no contrast to change
    assert 0.2 <= bright.min() < 0.25 and 0.55 < bright.max() <= 0.6
    assert bright.flatten(1).std(1).max() < 1e-6 and bright[:, 0, 0, 0].std() > 0.1
    halves = torch.cat([torch.full((500, 3, 4, 2), 0.3), torch.full((500, 3, 4, 2), 0.5)], dim=3)
    jittered = scale_brightness_and_contrast(halves, 0.5)
    ratio = (jittered[:, 0, 0, 3] - jittered[:, 0, 0, 0]) / 0.2
    assert 0.25 <= ratio.min() < 0.4 and 1.7 < ratio.max() <= 2.25
    assert scale_brightness_and_contrast(halves, 0.0) is halves
