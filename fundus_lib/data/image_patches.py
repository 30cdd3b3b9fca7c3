"""Several patches of an image at a time, for networks that see patches and the whole image they are from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from fundus_lib.data.augment import turn, turn_boxes
from fundus_lib.errors import ArgumentError


class ImagePatches(Dataset[dict[str, Tensor]]):
    """Square patches at random places of an image, all turned and mirrored as the image itself.

    Item number i is a function of (seed, epoch, i) alone, as in :class:`~fundus_lib.data.patches.Crops`; each image has
    its turn equally often. Only the pixels of the patches are read, so that images may lie on disk.

    Items: ``{"number": int64 (), the image; "turn": int64 (2,), quarters to the left and whether mirrored then;
    "image": uint8 (K, 3, S, S); "mask": uint8 {0, 1} (K, L, S, S); "boxes": float32 (K, 4)}``, top, left, height and
    width of each patch as fractions of the turned image's sides.

    Args:
        images: uint8 (3, H, W) each, all of one size.
        masks: uint8 {0, 1} (L, H, W) each.
        side: Of a patch in pixels, at most H and W.
        count: Patches of an image, K.
        length: How many items an epoch has.
        lesion_fraction: Fraction of the patches that contain a lesion pixel for certain, if the image has any: a random
            pixel of a random lesion, at a random place of the patch as far as the image's edge permits.
        window: Side S of what is cut around the middle of each patch, `side` by default; black beyond the image.
        turned: Turn the images by quarters and mirror them.
        seed: Seed of the experiment.
        epoch: Number of the epoch.
    """

    def __init__(
        self,
        images: Sequence[Tensor],
        masks: Sequence[Tensor | None],
        *,
        side: int,
        count: int,
        length: int,
        lesion_fraction: float = 0.5,
        window: int | None = None,
        turned: bool = True,
        seed: int = 0,
        epoch: int = 0,
    ):
        sizes = {tuple(part.shape[-2:]) for part in (*images, *masks) if part is not None}
        if len(images) != len(masks) or len(sizes) != 1 or any(m is None for m in masks) or side > min(min(sizes)):
            raise ArgumentError(
                "ImagePatches",
                "images, masks and patches do not fit together",
                found=f"{len(images)} images, {sum(m is not None for m in masks)} masks, of sizes {sizes}, side {side}",
                expected="as many masks as images, all of one size, at least that of a patch",
                remedy="read images and masks at the same size, at least that of a patch",
            )
        self.images, self.masks = images, masks
        self.side, self.count, self.length, self.lesion_fraction = side, count, length, lesion_fraction
        self.window, self.turned, self.seed, self.epoch = window or side, turned, seed, epoch
        self._lesion_pixels: dict[int, list[Tensor]] = {}

    def lesion_pixels(self, number: int) -> list[Tensor]:
        """Flat indices of the pixels of each lesion that an image has, int32 on the CPU; found when first asked for."""
        if number not in self._lesion_pixels:
            mask = self.masks[number]
            assert mask is not None
            found = [torch.nonzero(lesion.flatten())[:, 0].int().cpu() for lesion in mask]
            self._lesion_pixels[number] = [pixels for pixels in found if len(pixels)]
        return self._lesion_pixels[number]

    def draw_number(self, index: int) -> int:
        """The number of the image that an item is of."""
        if not 0 <= index < self.length:
            raise IndexError(index)
        again, place = divmod(index, len(self.images))
        order = np.random.default_rng((self.seed, self.epoch, again, 0))
        return int(order.permutation(len(self.images))[place])

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        number = self.draw_number(index)
        rng = np.random.default_rng((self.seed, self.epoch, index, 1))
        image, mask = self.images[number], self.masks[number]
        assert mask is not None
        height, width = image.shape[-2:]
        quarters, mirror = (int(rng.integers(4)), bool(rng.integers(2))) if self.turned else (0, False)
        corners = [self._draw_corner(number, height, width, rng) for _ in range(self.count)]
        boxes = torch.tensor([[t / height, le / width, self.side / height, self.side / width] for t, le in corners])

        def cut(whole: Tensor) -> Tensor:  # (C, H, W) -> (K, C, S, S)
            pieces = [_cut_window(whole, top, left, self.side, self.window) for top, left in corners]
            return turn(torch.stack(pieces), quarters, mirror)

        return {
            "number": torch.tensor(number),
            "turn": torch.tensor([quarters, int(mirror)]),
            "image": cut(image),
            "mask": cut(mask),
            "boxes": turn_boxes(boxes, quarters, mirror),
        }

    def _draw_corner(self, number: int, height: int, width: int, rng: np.random.Generator) -> tuple[int, int]:
        """First row and column of a patch."""
        side = self.side
        if rng.random() < self.lesion_fraction and (lesions := self.lesion_pixels(number)):
            pixels = lesions[rng.integers(len(lesions))]
            row, column = divmod(int(pixels[rng.integers(len(pixels))]), width)
            top = min(max(row - int(rng.integers(side)), 0), height - side)
            return top, min(max(column - int(rng.integers(side)), 0), width - side)
        return int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))


def _cut_window(whole: Tensor, top: int, left: int, side: int, window: int) -> Tensor:
    """The square (C, window, window) around the middle of a patch, black beyond the image."""
    first = [corner - (window - side) // 2 for corner in (top, left)]
    inside = [
        (max(start, 0), min(start + window, length)) for start, length in zip(first, whole.shape[-2:], strict=True)
    ]
    (upper, lower), (west, east) = inside
    part = whole[:, upper:lower, west:east]
    if part.shape[-2:] == (window, window):
        return part
    before = [start - begin for (start, _), begin in zip(inside, first, strict=True)]
    after = [window - b - length for b, length in zip(before, part.shape[-2:], strict=True)]
    return F.pad(part, (before[1], after[1], before[0], after[0]))
