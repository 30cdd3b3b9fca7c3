"""A grid of patches over an image: where each lies, and how their predictions are put together again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from fundus_lib.errors import ArgumentError


@dataclass(frozen=True)
class PatchGrid:
    """Patches of one size that cover an image, in rows from the top left.

    Where their side does not divide the image's, the last ones are moved inwards, so that none leaves the image and
    neighbours overlap there. An image smaller than a patch is one smaller patch. The 2816×3328 pixels of `local_global`
    are 11×13 patches of 256² without any overlap.

    Args:
        size: (height, width) of the image in pixels.
        patch: Side of a patch in pixels.
        overlap: By how many pixels neighbours overlap at least, from 0 to below `patch`.

    Raises:
        ArgumentError: A number is out of range.
    """

    size: tuple[int, int]
    patch: int
    overlap: int = 0

    def __post_init__(self) -> None:
        if min(self.size) < 1 or self.patch < 1 or not 0 <= self.overlap < self.patch:
            raise ArgumentError(
                type(self).__name__,
                "there is no such grid of patches",
                found=f"size={tuple(self.size)}, patch={self.patch}, overlap={self.overlap}",
                expected="height, width and patch ≥ 1, 0 ≤ overlap < patch",
                remedy="overlap=0 is the paper's; an eighth to a half of the patch hides its seams",
            )

    @cached_property
    def shape(self) -> tuple[int, int]:
        """(height, width) of each patch."""
        return min(self.patch, self.size[0]), min(self.patch, self.size[1])

    @cached_property
    def starts(self) -> tuple[list[int], list[int]]:
        """First rows, and first columns."""
        step = self.patch - self.overlap
        ends = [side - patch for side, patch in zip(self.size, self.shape, strict=True)]
        rows, columns = ([*range(0, end, step), end] for end in ends)
        return rows, columns

    @cached_property
    def corners(self) -> list[tuple[int, int]]:
        """First row and first column of each patch."""
        return [(top, left) for top in self.starts[0] for left in self.starts[1]]

    def __len__(self) -> int:
        return len(self.corners)

    def places(self, image: int = 0) -> Tensor:
        """Each patch as a box for :meth:`~fundus_lib.models.localglobal.LocalGlobal.forward_patches`.

        Args:
            image: Number of the image in its batch.

        Returns:
            Number of the image, then top, left, height and width as fractions of the image, float32 (N, 5).
        """
        (height, width), (tall, wide) = self.size, self.shape
        boxes = [[image, top / height, left / width, tall / height, wide / width] for top, left in self.corners]
        return torch.tensor(boxes, device="cpu")

    def cut(self, images: Tensor) -> Iterator[Tensor]:
        """The patches (C, h, w) of an image (C, H, W), as views."""
        tall, wide = self.shape
        return (images[..., top : top + tall, left : left + wide] for top, left in self.corners)

    def stitch(
        self, image: Tensor, compute: Callable[[Tensor, slice], dict[str, Tensor]], chunk: int = 16
    ) -> dict[str, Tensor]:
        """Maps of a whole image from those of its patches, blended by :meth:`weights` where patches overlap.

        Args:
            image: (C, H, W).
            compute: Gives named maps (N, K, h, w) of some patches (N, C, h, w) and the slice of their numbers.
            chunk: How many patches are computed at a time.

        Returns:
            (K, H, W) by name, float32 where the maps are narrower.
        """
        patches, whole = list(self.cut(image)), dict[str, Tensor]()
        for start in range(0, len(self), chunk):
            some = slice(start, start + chunk)
            for name, maps in compute(torch.stack(patches[some]), some).items():
                for number, piece in enumerate(maps, start):
                    weighted = self.weights(number).to(piece.device) * piece
                    if name not in whole:
                        whole[name] = weighted.new_zeros(len(piece), *self.size)
                    top, left = self.corners[number]
                    whole[name][:, top : top + self.shape[0], left : left + self.shape[1]] += weighted
        return whole

    def weights(self, patch: int) -> Tensor:
        """How much a patch counts at each of its pixels when all are added up: at every pixel of the image 1 in total.

        Where no other patch lies it is 1; where patches overlap, the weight of each falls linearly towards its border.

        Args:
            patch: Its number.

        Returns:
            float32 (h, w).
        """
        row, column = divmod(patch, len(self.starts[1]))
        return self._ramps[0][row][:, None] * self._ramps[1][column]

    @cached_property
    def _ramps(self) -> tuple[Tensor, Tensor]:
        """Weights of the rows of patches at each of their rows, (n, h); and of columns, (n, w)."""
        found = []
        for starts, side, length in zip(self.starts, self.shape, self.size, strict=True):
            place = torch.arange(side, dtype=torch.float64, device="cpu")
            ramp = torch.minimum(place + 1, side - place).clamp(max=self.overlap + 1)
            total = torch.zeros(length, dtype=torch.float64, device="cpu")
            for start in starts:
                total[start : start + side] += ramp
            found.append(torch.stack([ramp / total[start : start + side] for start in starts]).float())
        return found[0], found[1]
