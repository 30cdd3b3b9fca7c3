"""Training crops: cut from images held in memory, in an order that depends on the seed alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from fundus_lib.data.augment import turn
from fundus_lib.errors import ArgumentError


class Crops(Dataset[dict[str, Tensor]]):
    """Square crops at random places, rotated and mirrored at random.

    Crop number i is a function of (seed, epoch, i) alone: a run that was killed goes on with the crops that it would
    have seen, and several processes share out the crops that one would have had. Lesions cover about 1 % of the pixels,
    so that most crops placed anywhere hold none; `lesion_fraction` says how many are placed around a lesion instead.

    Items: ``{"image": uint8 (3, crop, crop), "mask": uint8 {0, 1} (L, crop, crop), "statistics": float32 (2, 3)}``.
    With `places` also ``"number"``, that of the image, ``"box"`` float32 (4,), top, left, height and width of the crop
    as fractions of the image's sides before both are turned, and ``"turn"``, quarters and mirroring, see
    :func:`fundus_lib.data.augment.turn`.

    Args:
        images: uint8 (N, 3, H, W), or N of (3, H, W).
        masks: uint8 {0, 1} (N, L, H, W), or N of (L, H, W).
        statistics: float32 (N, 2, 3): mean and standard deviation of each image's colours (`field_of_view.statistics`);
            handed on with each crop.
        crop: Side in pixels, not above H and W.
        length: How many crops an epoch has.
        lesion_fraction: Fraction of the crops that contain a lesion pixel for certain: a random pixel of a
            random lesion of a random image, at a random place of the crop as far as the image's edge permits.
        each_lesion: Draw such a pixel so that each kind of lesion is drawn equally often: a random kind, a random
            image with it, a random pixel of it.
        zoom: By how much crops are enlarged or shrunk at most: a side from `crop` / zoom to `crop` · zoom, uniform in
            its logarithm, is brought to `crop` bilinearly; a pixel of the mask is lesion from one half on.
        places: Whether items say where they are from.
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
        each_lesion: bool = False,
        zoom: float = 1.0,
        places: bool = False,
        seed: int = 0,
        epoch: int = 0,
    ):
        sizes = {tuple(image.shape[-2:]) for image in images} | {tuple(m.shape[-2:]) for m in masks if m is not None}
        if (
            len(images) != len(masks)
            or len(sizes) != 1
            or any(m is None for m in masks)
            or (round(crop * zoom) > min(min(sizes)))
        ):
            raise ArgumentError(
                "Crops",
                "images, masks and crop do not fit together",
                found=f"{len(images)} images, {sum(m is not None for m in masks)} masks, of sizes {sizes}, "
                f"crop {crop}, zoom {zoom:g}",
                expected="images (N, 3, H, W), masks (N, L, H, W), crop · zoom ≤ min(H, W)",
                remedy="read images and masks at the same size, at least that of the crop",
            )
        self.images, self.masks, self.statistics = images, masks, statistics
        self.crop, self.length, self.lesion_fraction = crop, length, lesion_fraction
        self.each_lesion, self.zoom, self.places = each_lesion, zoom, places
        self.seed, self.epoch = seed, epoch

    @cached_property
    def lesion_pixels(self) -> list[tuple[int, list[Tensor]]]:
        """Number of each image with lesions, with flat indices of the pixels of each of its lesions, on the CPU."""
        found = [[pixels for pixels in kinds if len(pixels)] for kinds in self._pixels]
        return [(number, lesions) for number, lesions in enumerate(found) if lesions]

    @cached_property
    def pixels_by_kind(self) -> list[list[tuple[int, Tensor]]]:
        """For each kind of lesion that there is, number of each image that has it, with flat indices of its pixels."""
        images = [list(enumerate(kind)) for kind in zip(*self._pixels, strict=True)]
        found = [[(number, pixels) for number, pixels in kind if len(pixels)] for kind in images]
        return [kind for kind in found if kind]

    @cached_property
    def _pixels(self) -> list[list[Tensor]]:
        masks = (mask.cpu() for mask in self.masks if mask is not None)
        return [[torch.nonzero(lesion.flatten())[:, 0] for lesion in mask] for mask in masks]

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if not 0 <= index < self.length:
            raise IndexError(index)
        rng = np.random.default_rng((self.seed, self.epoch, index))
        crop, (height, width) = self.crop, self.images[0].shape[-2:]
        if self.zoom > 1:
            crop = round(crop * math.exp(math.log(self.zoom) * rng.uniform(-1, 1)))
        if self.lesion_pixels and rng.random() < self.lesion_fraction:
            number, pixels = self._draw_lesion(rng)
            row, column = divmod(int(pixels[rng.integers(len(pixels))]), width)
            top = min(max(row - int(rng.integers(crop)), 0), height - crop)
            left = min(max(column - int(rng.integers(crop)), 0), width - crop)
        else:
            number = int(rng.integers(len(self.images)))
            top, left = int(rng.integers(height - crop + 1)), int(rng.integers(width - crop + 1))
        quarters, mirror = int(rng.integers(4)), bool(rng.integers(2))

        def cut(maps: Tensor) -> Tensor:  # (C, H, W) -> (C, crop, crop)
            return turn(maps[:, top : top + crop, left : left + crop], quarters, mirror).contiguous()

        image, mask = cut(self.images[number]), cut(self.masks[number])  # type: ignore[arg-type]
        if crop != self.crop:
            image, mask = self._resize(image).round().to(torch.uint8), (self._resize(mask) >= 0.5).to(torch.uint8)
        item = {"image": image, "mask": mask, "statistics": self.statistics[number]}
        if self.places:
            box = torch.tensor([top / height, left / width, crop / height, crop / width], device=image.device)
            item |= {"number": torch.tensor(number), "box": box, "turn": torch.tensor([quarters, int(mirror)])}
        return item

    def _draw_lesion(self, rng: np.random.Generator) -> tuple[int, Tensor]:
        """Number of an image, and the pixels of one of its lesions."""
        if self.each_lesion:
            kind = self.pixels_by_kind[rng.integers(len(self.pixels_by_kind))]
            return kind[rng.integers(len(kind))]
        number, lesions = self.lesion_pixels[rng.integers(len(self.lesion_pixels))]
        return number, lesions[rng.integers(len(lesions))]

    def _resize(self, piece: Tensor) -> Tensor:
        """A square of another side at that of the crop: float32 (C, crop, crop)."""
        side = (self.crop, self.crop)
        found: Tensor = F.interpolate(piece[None].float(), side, mode="bilinear", align_corners=False, antialias=True)
        return found[0]
