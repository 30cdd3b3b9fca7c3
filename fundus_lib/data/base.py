"""What all data sets of this library have in common: items, sizes, the cache, and the sample that they yield."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset
from torchvision import tv_tensors

from fundus_lib.checks import check_index
from fundus_lib.data.cache import cached_array
from fundus_lib.data.images import Pixels, check_size, image_size, read_image, read_mask
from fundus_lib.data.inventory import fingerprint_files
from fundus_lib.data.sample import LESIONS, UNKNOWN, Sample, Size, SizeRule
from fundus_lib.errors import ArgumentError, UnknownNameError

Transform = Callable[[Any], Any]
"""A transform of `torchvision.transforms.v2`, or anything that takes a sample and gives one."""


@dataclass(frozen=True)
class Item:
    """One image and where its parts are.

    Attributes:
        name: Name of the image, without suffix.
        image: Its file.
        masks: From lesion to the file of its mask; a lesion that is absent from the image is absent here.
        dr: Grade of retinopathy, or −1.
        dme: Risk of macular edema, or −1.
    """

    name: str
    image: Path
    masks: dict[str, Path]
    dr: int = UNKNOWN
    dme: int = UNKNOWN


class FundusDataset(Dataset[Sample]):
    """A map-style data set of images with masks and grades; the base of every data set on disk.

    `data[i]` gives one sample, with negative `i` counted from the end; `part` and `first` take some of the images.
    With a `size`, the first sample decodes all images once into a cache on disk, with a progress bar, which takes about
    a minute for IDRiD; `prepare` does so at another time.

    Attributes:
        root: The folder that was opened.
        split: The split that was opened.
        lesions: The channels of the mask, in order.
        size: (height, width) of what it yields before `transform`, a function that gives it from the (height, width)
            on disk, or None for the size on disk.
        transform: Applied to each sample; may be replaced at any time.
        items: The images; `part` and `first` give a data set of some of them.
        title: What it is, for progress bars and records.
    """

    title = "images"

    def __init__(
        self,
        root: Path,
        split: str,
        items: Sequence[Item],
        *,
        lesions: Sequence[str] = (),
        size: Size | SizeRule | None = None,
        transform: Transform | None = None,
        cache: bool = True,
    ):
        self.root, self.split, self.items = root, split, tuple(items)
        self._stored = self.items  # whatever of them is read, the cached arrays have a row for each of these
        self._row = {item.name: row for row, item in enumerate(items)}
        self.lesions = tuple(lesions)
        self.size = check_size(size)
        self.transform = transform
        self.cache = cache and self.size is not None
        self._sizes: dict[str, Size] = {}
        self._arrays: dict[str, tuple[tuple[Item, ...], NDArray[np.uint8]]] = {}

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Sample:
        item = self._item(index)
        image = torch.from_numpy(self._image(item))
        mask = torch.from_numpy(self.mask(index, image_size=(image.shape[1], image.shape[2])))
        sample: Sample = {
            "image": tv_tensors.Image(image),
            "mask": tv_tensors.Mask(mask),
            "dr": item.dr,
            "dme": item.dme,
            "name": item.name,
        }
        return self._finish(sample, index)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the mapped arrays behind: a worker process opens them again instead of receiving a copy."""
        return {**self.__dict__, "_arrays": {}}

    def __repr__(self) -> str:
        size = f"{self.size[0]}×{self.size[1]}" if isinstance(self.size, tuple) else "size on disk"
        size = "sizes of its own" if callable(self.size) else size
        lesions = f", lesions {' '.join(self.lesions)}" if self.lesions else ""
        return f"{type(self).__name__}({self.split}, {len(self)} images, {size}{lesions})"

    @property
    def names(self) -> list[str]:
        """Names of the images, in order."""
        return [item.name for item in self.items]

    @property
    def dr(self) -> NDArray[np.int64]:
        """Grades of retinopathy (N,), −1 where unknown; read without decoding an image."""
        return np.array([item.dr for item in self.items], dtype=np.int64)

    @property
    def dme(self) -> NDArray[np.int64]:
        """Risks of macular edema (N,), −1 where unknown; read without decoding an image."""
        return np.array([item.dme for item in self.items], dtype=np.int64)

    @property
    def annotated(self) -> NDArray[np.bool_]:
        """Whether image n has a mask file of lesion l, (N, L)."""
        return np.array([[le in item.masks for le in self.lesions] for item in self.items], dtype=np.bool_)

    def part(self, indices: Iterable[int]) -> Self:
        """Some of the images, in that order, as a data set that shares the cached arrays.

        Nothing is decoded that has been decoded before, and no image outside the part.

        Args:
            indices: Which images, counted as here.

        Raises:
            ArgumentError: An index is no integer.
            ImageIndexError: There is no such image.
        """
        other = copy.copy(self)
        other.items = tuple(self._item(index) for index in indices)
        return other

    def first(self, count: int | None) -> Self:
        """The first images, at most `count`; all of them if it is None. See `part`.

        Raises:
            ArgumentError: `count` is below 0.
        """
        if count is not None and count < 0:
            raise ArgumentError(
                f"{type(self).__name__}.first",
                "there is no such number of images",
                found=count,
                expected="0 or more, or None for all",
                remedy="part(range(…)) takes any of them",
            )
        return self.part(range(len(self))[:count])

    def mask(self, index: int, *, image_size: Size | None = None) -> NDArray[np.uint8]:
        """The masks of one image, uint8 {0, 1} (L, H, W), without decoding the image itself.

        Args:
            index: Which image.
            image_size: (height, width) of the image, if it is known; read from its header otherwise.
        """
        item = self._item(index)
        if not self.lesions:
            height, width = image_size or self._size_of(item)
            return np.zeros((0, height, width), np.uint8)
        if self.cache:
            return np.stack([self._stored_pixels(lesion, item) for lesion in self.lesions])
        return np.stack([self._decode_mask(item, lesion) for lesion in self.lesions])

    def prepare(self) -> None:
        """Fill the cache now, not at the first sample: a progress bar for the images and one for each lesion."""
        if self.cache:
            for kind in ("image", *self.lesions):
                self._cached(kind)

    def fingerprint(self) -> str:
        """Hash of the content of all files that this data set reads, 12 hexadecimal digits; alike on all machines.

        That of a part is the part's own. Every file is read for it: some tenths of a second for IDRiD.
        """
        return fingerprint_files(self.root, self._files())

    def _item(self, index: int) -> Item:
        return self.items[check_index(type(self).__name__, index, len(self.items))]

    def _image(self, item: Item) -> NDArray[np.uint8]:
        """The image, uint8 (3, H, W), the caller's own copy."""
        if self.cache:
            return self._stored_pixels("image", item).copy()
        return self._decode_image(item)

    def _stored_pixels(self, kind: str, item: Item) -> NDArray[np.uint8]:
        """The part of a row of a cached array, (…, Hmax, Wmax), that one image fills, (…, H, W)."""
        height, width = self._size_of(item)
        return self._cached(kind)[self._row[item.name], ..., :height, :width]

    def _cached(self, kind: str) -> NDArray[np.uint8]:
        """The images (`kind` "image") or the masks of one lesion, of the whole split; those of `items` are filled.

        A row is as large as the largest image; smaller ones lie in its upper left corner. Subclasses that keep
        something else override `_layout`.
        """
        items, array = self._arrays.get(kind, ((), None))
        if array is None or items is not self.items:
            sources, channels, decode = self._layout(kind)
            sizes = [self._size_of(item) for item in self._stored]
            largest = *channels, *map(max, zip(*sizes, strict=True))
            label = f"{self.title} {self.split} {kind}"
            if len(set(sizes)) > 1:  # the shape of the array does not tell how the images lie in it
                label += f" {hashlib.sha256(repr(sizes).encode()).hexdigest()[:8]}"

            def row(index: int) -> Pixels:
                pixels = decode(self._stored[index])
                padded = np.zeros(largest, np.uint8)
                padded[..., : pixels.shape[-2], : pixels.shape[-1]] = pixels
                return padded

            rows = [self._row[item.name] for item in self.items]
            array = cached_array(label, self.root, sources, (len(sizes), *largest), row, rows)
            self._arrays[kind] = self.items, array
        return array

    def _layout(self, kind: str) -> tuple[Sequence[Path | None], tuple[int, ...], Callable[[Item], Pixels]]:
        """Of a cached array: its files, its channels, and what decodes an image to (*channels, H, W)."""
        if kind == "image":
            return [item.image for item in self._stored], (3,), self._decode_image
        return self._mask_sources(kind), (), lambda item: self._decode_mask(item, kind)

    def _mask_sources(self, lesion: str) -> Sequence[Path | None]:
        return [item.masks.get(lesion) for item in self._stored]

    def _files(self) -> list[Path]:
        return [
            f for item in self.items for f in (item.image, *(item.masks[le] for le in self.lesions if le in item.masks))
        ]

    def _size_of(self, item: Item) -> Size:
        """(height, width) of an image as it is yielded, before `transform`."""
        if not callable(self.size):
            return self.size or image_size(item.image)
        if item.name not in self._sizes:
            self._sizes[item.name] = self.size(image_size(item.image))
        return self._sizes[item.name]

    def _decode_image(self, item: Item) -> Pixels:
        pixels = read_image(item.image, self.size and self._size_of(item))  # (H, W, 3)
        return np.ascontiguousarray(pixels.transpose(2, 0, 1))  # (3, H, W)

    def _decode_mask(self, item: Item, lesion: str) -> Pixels:
        if lesion not in item.masks:
            return np.zeros(self._size_of(item), np.uint8)
        return read_mask(
            item.masks[lesion],
            self._size_of(item),
            image_size=image_size(item.image),
            may_be_empty=self._may_be_empty(item.masks[lesion]),
        )

    def _may_be_empty(self, path: Path) -> bool:
        """Whether a mask file may be black."""
        return True

    def _finish(self, sample: Sample, index: int) -> Sample:
        """Apply the transform; data sets with further keys add them first."""
        return self.transform(sample) if self.transform is not None else sample


def check_lesions(lesions: Sequence[str], known: Sequence[str] = LESIONS) -> tuple[str, ...]:
    """The lesions as a tuple, if all are known and none comes twice.

    Raises:
        UnknownNameError: One is not known, or comes twice, or a single string was given.
    """
    names = (lesions,) if isinstance(lesions, str) else tuple(lesions)
    unordered = isinstance(lesions, str | set | frozenset)  # masks have their channels in the order of the lesions
    if unordered or len(set(names)) < len(names) or not set(names) <= set(known):
        raise UnknownNameError(
            "lesions",
            "these are not lesions of this data set",
            found=repr(lesions),
            expected=f"a tuple of names among {', '.join(known)}, each at most once",
            remedy='write for instance lesions=("EX",)',
        )
    return names
