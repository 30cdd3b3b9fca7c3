"""The images of an experiment: what it trains, chooses and tests on. The only collection that is held in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fundus_lib.data.base import FundusDataset
from fundus_lib.data.field_of_view import bounding_box, field_of_view, statistics
from fundus_lib.data.sample import FIRST_TRAINING_SEED
from fundus_lib.data.splits import choose_held_out
from fundus_lib.errors import ArgumentError

MaskReader = Callable[[], NDArray[np.uint8]]


@dataclass(frozen=True)
class ImageSet:
    """Images with what is known of each; a part of it copies nothing.

    Attributes:
        names: Of the images, N.
        images: uint8 (3, H, W) each; on disk, mapped into memory, where nothing has changed them.
        masks: uint8 {0, 1} (L, H, W) each; None for an image without masks.
        dr: int64 (N,), grades of retinopathy; −1 where unknown.
        dme: int64 (N,), risks of macular edema; −1 where unknown.
        statistics: float32 (N, 2, 3), channel mean and standard deviation of each image in its field of view.
        field_widths: float32 (N,), width of each field of view in pixels.
        full_masks: Reads the masks of an image at their size on disk, uint8 {0, 1} (L, H', W'); or None.
        title: The data set, as written into records.
        fingerprint: Hash of the content of the whole data set that this is a part of.
    """

    names: tuple[str, ...]
    images: tuple[Tensor, ...]
    masks: tuple[Tensor | None, ...]
    dr: Tensor
    dme: Tensor
    statistics: Tensor
    field_widths: Tensor
    full_masks: tuple[MaskReader | None, ...]
    title: str
    fingerprint: str

    @classmethod
    def read(
        cls,
        data: Any,
        title: str,
        fingerprint: str = "",
        *,
        full: Any = None,
        masks: bool = True,
        count: int | None = None,
    ) -> ImageSet:
        """The samples of a data set.

        Args:
            data: A sized data set of samples (`fundus_lib.data.Sample`).
            title: Of the data set.
            fingerprint: Hash of its content; computed from the samples if it is empty.
            full: Gives the masks of image n at their size on disk as `full(n)`; by default they are those of `data`.
            masks: Whether the masks count.
            count: Only the first so many; the fingerprint is still that of all.

        Raises:
            FundusError: A file cannot be read, see the data set.
        """
        kept = data.first(count) if isinstance(data, FundusDataset) else data  # so that no other image is decoded
        samples = [kept[index] for index in range(len(kept))[:count]]
        images = [sample["image"].as_subclass(Tensor) for sample in samples]
        own = [sample["mask"].as_subclass(Tensor) if masks else None for sample in samples]
        fields = [_find_field(image.permute(1, 2, 0).numpy()) for image in images]  # (H, W) each
        widths = [columns.stop - columns.start for _, columns in map(bounding_box, fields)]
        readers = [partial(full, n) if full else mask.numpy if mask is not None else None for n, mask in enumerate(own)]
        made = cls(
            tuple(str(sample["name"]) for sample in samples),
            tuple(images),
            tuple(own),
            torch.tensor([sample["dr"] for sample in samples], dtype=torch.long),
            torch.tensor([sample["dme"] for sample in samples], dtype=torch.long),
            torch.stack([statistics(i.permute(1, 2, 0).numpy(), f) for i, f in zip(images, fields, strict=True)])
            if samples
            else torch.zeros(0, 2, 3),
            torch.tensor(widths, dtype=torch.float32),
            tuple(readers),  # type: ignore[arg-type]
            title,
            fingerprint,
        )
        return made if fingerprint else replace(made, fingerprint=made._content())

    @classmethod
    def synthetic(
        cls,
        count: int,
        size: tuple[int, int],
        seed: int,
        *,
        population: str = "segmentation",
        lesions: Sequence[str],
        transform: Callable[[Any], Any] | None = None,
    ) -> ImageSet:
        """Synthetic images to train on, with masks and grades; no seed gives those of a synthetic data set on disk.

        (The runs recorded before used the seed itself for segmentation; all of them were tested on real images.)
        """
        from fundus_lib.data.synthetic import SyntheticFundus

        data = SyntheticFundus(
            count,
            size=size,
            seed=FIRST_TRAINING_SEED + seed,
            population=population,  # type: ignore[arg-type]
            lesions=lesions,
            transform=transform,
        )
        return cls.read(data, "SyntheticFundus")

    def __len__(self) -> int:
        return len(self.names)

    @property
    def with_masks(self) -> list[int]:
        """Indices of the images that have masks."""
        return [index for index, mask in enumerate(self.masks) if mask is not None]

    @property
    def without_masks(self) -> list[int]:
        """Indices of the images that have none."""
        return [index for index, mask in enumerate(self.masks) if mask is None]

    @property
    def field_width(self) -> float:
        """Median width of the field of view in pixels."""
        return float(np.median(self.field_widths.cpu().numpy()))

    def part(self, indices: Sequence[int]) -> ImageSet:
        """Some of the images."""

        def some(values: Sequence[Any]) -> tuple[Any, ...]:
            return tuple(values[index] for index in indices)

        rows = torch.tensor(indices, dtype=torch.long, device=self.dr.device)
        return replace(
            self,
            names=some(self.names),
            images=some(self.images),
            masks=some(self.masks),
            dr=self.dr[rows],
            dme=self.dme[rows],
            statistics=self.statistics[rows],
            field_widths=self.field_widths[rows],
            full_masks=some(self.full_masks),
        )

    def first(self, count: int | None) -> ImageSet:
        """The first images; all for None."""
        return self if count is None or count >= len(self) else self.part(range(count))

    def join(self, other: ImageSet) -> ImageSet:
        """Both, under the title of this one; the fingerprint is made of those of both."""
        return replace(
            self,
            names=self.names + other.names,
            images=self.images + other.images,
            masks=self.masks + other.masks,
            dr=torch.cat([self.dr, other.dr]),
            dme=torch.cat([self.dme, other.dme]),
            statistics=torch.cat([self.statistics, other.statistics]),
            field_widths=torch.cat([self.field_widths, other.field_widths]),
            full_masks=self.full_masks + other.full_masks,
            fingerprint=combine_fingerprints(f"{self.fingerprint} {other.fingerprint}"),
        )

    def hold_out(
        self,
        count: float | None = None,
        *,
        fraction: float | None = None,
        fold: tuple[int, int] | None = None,
        never: Collection[str] = (),
    ) -> tuple[ImageSet, ImageSet]:
        """Divide at random, alike for every seed of a run.

        Args:
            count: How many images are held out, or, below 1, which fraction of them.
            fraction: Which fraction of them is, of those not named in `never`.
            fold: `(k, n)`: the k-th of n parts is, stratified by the grade of retinopathy where grades are known.
            never: Names of images that are not held out by a fraction.

        Returns:
            The others, and those held out, each in the order of this set.

        Raises:
            ArgumentError: Not exactly one way is given, or none would be left on one side.
        """
        if count is not None and 0 < count < 1:
            count, fraction = None, count
        number = None if count is None else int(count)
        chosen = choose_held_out(self.names, self.dr.tolist(), number, fraction, fold, never)
        if len(chosen) >= len(self):
            raise ArgumentError(
                "hold_out",
                "no image is left to train on",
                found=f"{len(chosen)} of {len(self)} images of {self.title} held out",
                expected=f"fewer than {len(self)}",
                remedy="use a larger copy, or recipe.replace(validation=…)",
            )
        rest = [index for index in range(len(self)) if index not in chosen]
        return self.part(rest), self.part(sorted(chosen))

    def to(self, device: torch.device) -> ImageSet:
        """The same on a device. On a GPU, images of one size become one tensor, moved once."""
        if device == self.dr.device:
            return self
        return replace(
            self,
            images=_move(self.images, device),
            masks=_move(self.masks, device),
            dr=self.dr.to(device),
            dme=self.dme.to(device),
            statistics=self.statistics.to(device),
            field_widths=self.field_widths.to(device),
        )

    def batch(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """Some images of one size, with what is known of each.

        Returns:
            ``"image"`` uint8 (B, 3, H, W), ``"statistics"`` (B, 2, 3), ``"dr"`` and ``"dme"`` (B,). If any has masks,
            ``"mask"`` uint8 (B, L, H, W), empty for the others, and ``"masked"`` int64, the places in the batch of
            those that have.
        """
        device = self.dr.device
        rows = torch.tensor(indices, dtype=torch.long, device=device)
        batch = {
            "image": torch.stack([self.images[index] for index in indices]),
            "statistics": self.statistics[rows],
            "dr": self.dr[rows],
            "dme": self.dme[rows],
        }
        masks = [self.masks[index] for index in indices]
        known = [mask for mask in masks if mask is not None]
        if known:
            empty = torch.zeros_like(known[0])
            batch["mask"] = torch.stack([empty if mask is None else mask for mask in masks])
            places = [place for place, mask in enumerate(masks) if mask is not None]
            batch["masked"] = torch.tensor(places, dtype=torch.long, device=device)
        return batch

    @cached_property
    def hashes(self) -> dict[str, str]:
        """Hash of an image's pixels → its name."""
        return {
            hashlib.blake2b(i.cpu().numpy().tobytes()).hexdigest(): n
            for i, n in zip(self.images, self.names, strict=True)
        }

    def _content(self) -> str:
        parts = (*self.images, *(mask for mask in self.masks if mask is not None), self.dr, self.dme)
        return hashlib.sha256(b"".join(part.numpy().tobytes() for part in parts)).hexdigest()[:12]


def _find_field(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The field of view; of a black image, as DDR has, the whole of it."""
    try:
        return field_of_view(image)
    except ArgumentError:
        return np.ones(image.shape[:2], np.uint8)


def combine_fingerprints(content: str) -> str:
    """Twelve hexadecimal digits of fingerprints, written one after the other with spaces between."""
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def _move(parts: Sequence[Tensor | None], device: torch.device) -> tuple[Any, ...]:
    there = [part for part in parts if part is not None]
    if len({part.shape for part in there}) == 1:
        together = torch.empty((len(there), *there[0].shape), dtype=there[0].dtype, device=device)
        for place, part in zip(together, there, strict=True):
            place.copy_(part)  # one by one: mapped images are never in memory together
        moved = iter(together.unbind())
    else:
        moved = iter([part.to(device) for part in there])
    return tuple(None if part is None else next(moved) for part in parts)
