"""Training crops: cut from images held in memory, in an order that depends on the seed alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from fundus_lib.errors import ArgumentError


class Crops(Dataset[dict[str, Tensor]]):
    """Square crops at random places, rotated and mirrored at random.

    Crop number i is a function of (seed, epoch, i) alone: a run that was killed goes on with the crops that it would
    have seen, and several processes share out the crops that one would have had. Lesions cover about 1 % of the pixels,
    so that most crops placed anywhere hold none; `lesion_fraction` says how many are placed around a lesion instead.

    Items: ``{"image": uint8 (3, crop, crop), "mask": uint8 {0, 1} (L, crop, crop), "statistics": float32 (2, 3)}``.

    Args:
        images: uint8 (N, 3, H, W), or N of (3, H, W).
        masks: uint8 {0, 1} (N, L, H, W), or N of (L, H, W).
        statistics: float32 (N, 2, 3): mean and standard deviation of each image's colours (`field_of_view.statistics`);
            handed on with each crop.
        crop: Side in pixels, not above H and W.
        length: How many crops an epoch has.
        lesion_fraction: Fraction of the crops that contain a lesion pixel for certain: a random pixel of a
            random lesion of a random image, at a random place of the crop as far as the image's edge permits.
        seed: Seed of the experiment.
        epoch: Number of the epoch.
    """

    def __init__(
        self,
        images: Tensor | Sequence[Tensor],
        masks: Tensor | Sequence[Tensor | None],
        statistics: Tensor,
        *,
        crop: int,
        length: int,
        lesion_fraction: float = 0.5,
        seed: int = 0,
        epoch: int = 0,
    ):
        sizes = {tuple(image.shape[-2:]) for image in images} | {tuple(m.shape[-2:]) for m in masks if m is not None}
        if len(images) != len(masks) or len(sizes) != 1 or any(m is None for m in masks) or crop > min(min(sizes)):
            raise ArgumentError(
                "Crops",
                "images, masks and crop do not fit together",
                found=f"{len(images)} images, {sum(m is not None for m in masks)} masks, of sizes {sizes}, crop {crop}",
                expected="images (N, 3, H, W), masks (N, L, H, W), crop ≤ min(H, W)",
                remedy="read images and masks at the same size, at least that of the crop",
            )
        self.images, self.masks, self.statistics = images, masks, statistics
        self.crop, self.length, self.lesion_fraction = crop, length, lesion_fraction
        self.seed, self.epoch = seed, epoch

    @cached_property
    def lesion_pixels(self) -> list[tuple[int, list[Tensor]]]:
        """Number of each image with lesions, with flat indices of the pixels of each of its lesions, on the CPU."""
        masks = (mask.cpu() for mask in self.masks if mask is not None)
        found = [[torch.nonzero(lesion.flatten())[:, 0] for lesion in mask if lesion.any()] for mask in masks]
        return [(number, lesions) for number, lesions in enumerate(found) if lesions]

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if not 0 <= index < self.length:
            raise IndexError(index)
        rng = np.random.default_rng((self.seed, self.epoch, index))
        crop, (height, width) = self.crop, self.images[0].shape[-2:]
        if self.lesion_pixels and rng.random() < self.lesion_fraction:
            number, lesions = self.lesion_pixels[rng.integers(len(self.lesion_pixels))]
            pixels = lesions[rng.integers(len(lesions))]
            row, column = divmod(int(pixels[rng.integers(len(pixels))]), width)
            top = min(max(row - int(rng.integers(crop)), 0), height - crop)
            left = min(max(column - int(rng.integers(crop)), 0), width - crop)
        else:
            number = int(rng.integers(len(self.images)))
            top, left = int(rng.integers(height - crop + 1)), int(rng.integers(width - crop + 1))
        turns, mirror = int(rng.integers(4)), bool(rng.integers(2))

        def cut(maps: Tensor) -> Tensor:  # (C, H, W) -> (C, crop, crop)
            piece = torch.rot90(maps[:, top : top + crop, left : left + crop], turns, (1, 2))
            return (piece.flip(2) if mirror else piece).contiguous()

        return {
            "image": cut(self.images[number]),
            "mask": cut(self.masks[number]),  # type: ignore[arg-type]
            "statistics": self.statistics[number],
        }
