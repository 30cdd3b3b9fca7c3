"""Image sets that are made up, in which an image can be told by its first pixel."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from fundus_lib.data.image_set import ImageSet


def image_set(
    images: Sequence[Tensor],
    masks: Sequence[Tensor | None] | None = None,
    *,
    full: Sequence[np.ndarray] | None = None,
    dr: Sequence[int] | None = None,
    dme: Sequence[int] | None = None,
    statistics: Tensor | None = None,
) -> ImageSet:
    """Images uint8 (3, H, W) with what is known of them; `full` are their masks at another size."""
    count = len(images)
    masks = [None] * count if masks is None else masks
    small = [None if mask is None else mask.numpy() for mask in masks]
    return ImageSet(
        tuple(f"image {number}" for number in range(count)),
        tuple(images),
        tuple(masks),
        torch.tensor([-1] * count if dr is None else dr, dtype=torch.long),
        torch.tensor([-1] * count if dme is None else dme, dtype=torch.long),
        torch.tensor([[[120.0] * 3, [40.0] * 3]]).repeat(count, 1, 1) if statistics is None else statistics,
        torch.tensor([float(image.shape[-1]) for image in images]),
        tuple(None if mask is None else (lambda mask=mask: mask) for mask in (small if full is None else full)),
        "made up",
        "0",
    )


def squares(count: int = 5, size: tuple[int, int] = (16, 24), empty: int = 0) -> ImageSet:
    """Dark noise with bright squares, which are the lesions; the last `empty` images have none."""
    rng = np.random.default_rng(0)
    images, masks = [], []
    for number in range(count):
        mask = torch.zeros(1, *size, dtype=torch.uint8)
        for _ in range(3 * (number < count - empty)):
            top, left = rng.integers(1, size[0] - 4), rng.integers(size[1] - 4)
            mask[0, top : top + 4, left : left + 4] = 1
        image = torch.from_numpy(rng.integers(40, 90, (3, *size), dtype=np.uint8)) + 100 * mask
        image[:, 0, 0] = number
        images.append(image)
        masks.append(mask)
    return image_set(images, masks, statistics=torch.tensor([[[70.0] * 3, [20.0] * 3]]).repeat(count, 1, 1))


def graded(plain: int = 7, masked: int = 3, side: int = 32) -> ImageSet:
    """Noise with grades; the images with masks come last, and the last of them has no grade."""
    count, rng = plain + masked, np.random.default_rng(0)
    images = torch.from_numpy(rng.integers(60, 200, (count, 3, side, side), dtype=np.uint8))
    images[:, :, 0, 0] = torch.arange(count)[:, None]
    dr, dme = torch.arange(count) % 5, torch.arange(count) % 3
    if masked:
        dr[-1] = dme[-1] = -1
    masks = torch.from_numpy(rng.random((masked, 4, side, side)) < 0.1).to(torch.uint8)
    return image_set(list(images), [None] * plain + list(masks), dr=dr.tolist(), dme=dme.tolist())


def numbers(batches: Sequence[Sequence[int]], images: ImageSet) -> list[list[int]]:
    """The images that the batches show, told by their first pixel."""
    return [images.batch(batch)["image"][:, 0, 0, 0].tolist() for batch in batches]
