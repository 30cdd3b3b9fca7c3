"""Augmentation: of image and mask together, for each sample by itself, on the device where they are."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

DIHEDRAL = ("identity", "90°", "180°", "270°", "horizontal flip", "vertical flip")
"""The six augmentations of a training image in dual_branch, in order."""


GREY = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in the brightness of a pixel (ITU-R BT.601)."""


def augment_dihedral(image: Tensor, number: int) -> Tensor:
    """One of the six :data:`DIHEDRAL` augmentations of an image or a mask, (…, H, W) to (…, H, W) or (…, W, H)."""
    if number < 4:
        return torch.rot90(image, number, (-2, -1))
    return image.flip(-1 if number == 4 else -2)


def rotate_and_mirror(images: Tensor, masks: Tensor | None, rotate: bool = True) -> tuple[Tensor, Tensor | None]:
    """Mirror half of the images and rotate each by an angle of its own, masks alike.

    Args:
        images: Normalised, float (B, 3, S, S); what comes into view from outside is as the darkest pixel of the image.
        masks: 0 and 1, (B, L, S, S), or None.
        rotate: Rotate by any angle; otherwise only mirror.
    """
    count = len(images)
    angle = 2 * math.pi * torch.rand(count, device=images.device) * rotate
    mirror = torch.where(torch.rand(count, device=images.device) < 0.5, -1.0, 1.0)
    sine, cosine, zero = angle.sin(), angle.cos(), torch.zeros_like(angle)
    rows = torch.stack([cosine * mirror, -sine, zero, sine * mirror, cosine, zero], dim=1)
    grid = F.affine_grid(rows.view(count, 2, 3), list(images.shape), align_corners=False)  # (B, S, S, 2)
    return _look_up(images, grid), None if masks is None else _look_up_nearest(masks, grid)


def rotate_and_crop(images: Tensor, masks: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Rotate each image about its centre by an angle of its own, cut a square at a random place, mirror half of them.

    Args:
        images: float (B, 3, H, W); what comes into view from outside is as the darkest pixel of the image.
        masks: 0 and 1, (B, L, H, W).
        side: That of the square, at most H and W.

    Returns:
        (B, 3, side, side) and (B, L, side, side).
    """
    (count, _, height, width), device = images.shape, images.device
    angle = 2 * math.pi * torch.rand(count, device=device)
    mirror = torch.where(torch.rand(count, device=device) < 0.5, -1.0, 1.0)
    across, down = ((torch.rand(count, device=device) - 0.5) * (whole - side) for whole in (width, height))
    grid = _lay_squares(images, side, angle.sin(), angle.cos(), mirror, across, down)
    return _look_up(images, grid), _look_up_nearest(masks, grid)


def rotate_and_zoom(images: Tensor, masks: Tensor, side: int, zoom: float) -> tuple[Tensor, Tensor]:
    """Rotate each image about its centre by an angle of its own, zoom, cut the middle square, mirror half of them.

    Args:
        images: Before they are normalised, uint8 (B, 3, H, W); what comes into view from outside is black.
        masks: 0 and 1, uint8 (B, L, H, W).
        side: That of the square. From √2 · `zoom` times as much on, an image fills it at every angle.
        zoom: By how much an image is enlarged or shrunk at most, from 1 on.

    Returns:
        float32 (B, 3, side, side), 0 to 255, and uint8 (B, L, side, side), 1 where at least half of the weight of what
        a pixel is interpolated from is lesion.
    """
    count, device = len(images), images.device
    angle = 2 * math.pi * torch.rand(count, device=device)
    mirror = torch.where(torch.rand(count, device=device) < 0.5, -1.0, 1.0)
    scale = torch.exp(math.log(zoom) * (2 * torch.rand(count, device=device) - 1))
    middle = torch.zeros(count, device=device)
    sine, cosine = angle.sin() * scale, angle.cos() * scale
    turned = images.new_empty(count, 3, side, side, dtype=torch.float32)
    turned_masks = masks.new_empty(count, masks.shape[1], side, side)
    # in floating point, more than four do not fit into a processor's cache; their memory is used again
    both = turned.new_empty(min(count, 4), 3 + masks.shape[1], *images.shape[-2:])
    for first in range(0, count, 4):
        part = slice(first, first + 4)
        some = both[: len(images[part])]
        some[:, :3], some[:, 3:] = images[part], masks[part]
        grid = _lay_squares(some, side, sine[part], cosine[part], mirror[part], middle[part], middle[part])
        channels = F.grid_sample(some, grid, mode="bilinear", align_corners=False)
        turned[part], turned_masks[part] = channels[:, :3], channels[:, 3:] >= 0.5
    return turned, turned_masks


def turn(image: Tensor, quarters: int, mirror: bool) -> Tensor:
    """Turn an image or a mask (…, H, W) by so many quarters to the left, and then mirror it or not; maybe no copy."""
    turned = torch.rot90(image, quarters, (-2, -1)) if quarters % 4 else image
    return turned.flip(-1) if mirror else turned


def turn_boxes(boxes: Tensor, quarters: int, mirror: bool) -> Tensor:
    """Where boxes lie after :func:`turn` of the whole image.

    Args:
        boxes: float (N, 4): top, left, height and width as fractions of the image's sides.
        quarters: As of `turn`.
        mirror: As of `turn`.
    """
    top, left, tall, wide = boxes.unbind(1)
    for _ in range(quarters % 4):
        top, left, tall, wide = 1 - left - wide, top, wide, tall
    return torch.stack([top, 1 - left - wide if mirror else left, tall, wide], dim=1)


def add_noise(images: Tensor, amount: float) -> Tensor:
    """Add noise of a Gaussian to normalised images (B, 3, H, W), each with a deviation of its own up to `amount`."""
    if not amount:
        return images
    deviation = amount * torch.rand(len(images), 1, 1, 1, device=images.device)
    noise = torch.randn(images.shape, device=images.device)  # four times as fast as in the order of channels-last
    return images + noise.mul_(deviation)


def jitter_colour(images: Tensor, amount: float) -> Tensor:
    """Vary contrast (all channels alike) and brightness (each channel for itself) of normalised images.

    Args:
        images: float (B, 3, H, W).
        amount: Largest change of the contrast as a fraction, and of the brightness in standard deviations.
    """
    if not amount:
        return images
    contrast = 1 + amount * (2 * torch.rand(len(images), 1, 1, 1, device=images.device) - 1)
    brightness = amount * (2 * torch.rand(len(images), 3, 1, 1, device=images.device) - 1)
    return images * contrast + brightness


def scale_brightness_and_contrast(images: Tensor, amount: float) -> Tensor:
    """Multiply brightness and then contrast by random factors, from 1 − amount to 1 + amount.

    Args:
        images: float (B, 3, H, W), 0 to 1; so is the result.
        amount: 0 to 1. Contrast changes about the image's mean grey.
    """
    if not amount:
        return images
    brightness, contrast = (
        1 + amount * (2 * torch.rand(len(images), 1, 1, 1, device=images.device) - 1) for _ in range(2)
    )
    bright = (images * brightness).clamp(0, 1)
    channels = bright.mean((2, 3), keepdim=True).unbind(1)  # (B, 1, 1) each
    mean = torch.stack([share * channel for share, channel in zip(GREY, channels, strict=True)]).sum(0)[:, None]
    return (mean + contrast * (bright - mean)).clamp(0, 1)


def normalise(images: Tensor, statistics: Tensor, copy: bool = True) -> Tensor:
    """Channels in standard deviations from the mean: uint8 (B, 3, H, W) to float32.

    Args:
        images: uint8 (B, 3, H, W), or float32, in grey levels from 0 to 255.
        statistics: float (B, 2, 3), mean and standard deviation of each channel in grey levels; of all alike (1, 2, 3).
        copy: Leave `images` as they are; otherwise, those that are float32 are normalised in place.
    """
    mean, deviation = statistics.unbind(1)  # (B, 3) each
    normalised = images.to(torch.float32, copy=copy)  # and then in place: a third of the memory
    return normalised.sub_(mean[:, :, None, None]).div_(deviation[:, :, None, None])


def _lay_squares(
    images: Tensor, side: int, sine: Tensor, cosine: Tensor, mirror: Tensor, across: Tensor, down: Tensor
) -> Tensor:
    """Where each pixel of a rotated square lies in its image, whose sides are 2 long: (B, side, side, 2)."""
    count, _, height, width = images.shape
    rows = torch.stack(
        [
            cosine * mirror * side / width,
            -sine * side / width,
            2 * (cosine * across - sine * down) / width,
            sine * mirror * side / height,
            cosine * side / height,
            2 * (sine * across + cosine * down) / height,
        ],
        dim=1,
    )
    return F.affine_grid(rows.view(count, 2, 3), [count, 3, side, side], align_corners=False)


def _look_up(images: Tensor, grid: Tensor) -> Tensor:
    """Images at the places of a grid, bilinearly; outside as their darkest pixel."""
    black = images.amin((2, 3), keepdim=True)
    return F.grid_sample(images - black, grid, mode="bilinear", align_corners=False) + black


def _look_up_nearest(masks: Tensor, grid: Tensor) -> Tensor:
    """Masks at the places of a grid, of their own type."""
    return F.grid_sample(masks.to(grid.dtype), grid, mode="nearest", align_corners=False).to(masks.dtype)
