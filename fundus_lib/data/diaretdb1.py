"""DiaRetDB1 (Kauppi et al., BMVC 2007): 89 images on which four experts marked lesions, each with a confidence.

Version 2.1 gives each expert's regions as XML; version 1.1 gives, for each lesion, one grey image of how sure the
experts were on average. Both become masks in the way of the paper: lesion where the mean confidence of the four experts
is at least 0.75. The regions are coarse: an expert who circles a group of exudates also marks the retina between them.

Every expert looked at every image, so a black mask is a finding here: too few experts saw that lesion.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fundus_lib.checks import check_choice
from fundus_lib.data.base import FundusDataset, Item, Transform, check_lesions
from fundus_lib.data.images import image_size, read_levels, resize_mask
from fundus_lib.data.inventory import files_in
from fundus_lib.data.layout import check_split, describe_folder
from fundus_lib.data.recognise import advise_on_list
from fundus_lib.data.regions import paint, read_markings
from fundus_lib.data.sample import LESIONS, Size, SizeRule
from fundus_lib.data.text import read_text
from fundus_lib.errors import (
    DatasetNotFoundError,
    LabelFormatError,
    MissingFileError,
    UnexpectedFileError,
)

EXPERTS = 4
AGREEMENT = 0.75
"""A pixel is lesion where the mean confidence of the experts is at least this, as in the paper."""

PUBLISHED_COUNTS = {"train": 28, "test": 61}
LEVEL_FOLDERS = {"MA": "redsmalldots", "HE": "hemorrhages", "EX": "hardexudates", "SE": "softexudates"}
"""Folders of version 1.1."""

_LISTS = {
    "2.1": "ddb1_v02_01_{split}_plain.txt",
    "1.1": "resources/{split}datasets/{split}set.txt",
}
_V1_IMAGES = "resources/images/ddb1_fundusimages"
_V1_LEVELS = "resources/images/ddb1_groundtruth"


class DiaRetDB1(FundusDataset):
    """Images with masks on which the experts agree. Grades are not known (−1).

    Version 2.1: for each lesion, a pixel of one expert's map holds the highest confidence (High 1, Medium 0.75, Low
    0.25) of the regions of that lesion that contain it, and 0 outside; the four maps are averaged. Version 1.1 holds
    such an average, scaled to 255. A pixel is lesion where the average is at least 0.75; then masks are shrunk.

    Args:
        root: Of version 2.1, the folder with `images`, `groundtruth` and `ddb1_v02_01_train_plain.txt`; of version 1.1,
            the folder with `resources`.
        split: `"train"` (28 images) or `"test"` (61).
        version: `"2.1"` or `"1.1"`.
        lesions: The channels of the mask, in this order.
        size: (height, width) to resize to, by area averaging, or a function that gives it from the size on disk; None
            for the size on disk, 1152×1500.
        transform: Applied to each sample.
        cache: Keep decoded arrays of that size on disk.

    Raises:
        DatasetNotFoundError: The root does not hold this version.
        UnknownNameError: There is no such split or lesion.
        ArgumentError: There is no such version.
        MissingFileError: An image, or what an expert marked on it, is missing.
        UnexpectedFileError: A file in the folder of images is in no list.
        LabelFormatError: A list or an XML file is not as it should be.

    Reading an item may raise UnreadableImageError or MaskSizeError, each with the file's name.
    """

    title = "DiaRetDB1"

    def __init__(
        self,
        root: str | PathLike[str],
        split: str,
        *,
        version: Literal["2.1", "1.1"] = "2.1",
        lesions: Sequence[str] = LESIONS,
        size: Size | SizeRule | None = None,
        transform: Transform | None = None,
        cache: bool = True,
    ):
        check_split(split)
        lesions = check_lesions(lesions)
        check_choice("DiaRetDB1", "version", version, tuple(_LISTS))
        base = Path(root)
        self.version, self.title = version, f"DiaRetDB1 {version} at {AGREEMENT:g}"
        lists = {s: base / _LISTS[version].format(split=s) for s in ("train", "test")}
        if not lists[split].is_file():
            raise _not_found(base, lists[split], version)
        rows = {s: _read_list(path, version) for s, path in lists.items() if path.is_file()}
        photographs = base / ("images" if version == "2.1" else _V1_IMAGES)
        if len(rows) == 2:
            _check_lists(lists["test"], rows)
            _check_photographs(photographs, {Path(row[0]).name for split_rows in rows.values() for row in split_rows})
        self._marks: dict[str, list[Path]] = {}
        items = []
        for image, *marks in rows[split]:
            name = Path(image).stem
            items.append(Item(name, photographs / Path(image).name, self._levels(base, Path(image).name, lesions)))
            self._marks[name] = [base / m for m in marks]
        needed = [f for i in items for f in (i.image, *i.masks.values(), *self._marks[i.name])]
        missing = [f for f in needed if not f.is_file()]
        if missing:
            raise MissingFileError(
                missing[0],
                f"this file is missing; {lists[split].name} asks for it",
                found=f"{len(missing)} of {len(needed)} files are missing",
                expected="each image of the list with the marks of its experts",
                remedy="unpack the archive again",
            )
        super().__init__(base, split, items, lesions=lesions, size=size, transform=transform, cache=cache)

    @property
    def annotated(self) -> NDArray[np.bool_]:
        """Whether the experts looked for lesion l on image n, (N, L): always."""
        return np.ones((len(self), len(self.lesions)), dtype=np.bool_)

    def _confidence(self, item: Item, lesion: str) -> NDArray[np.float32]:
        """Mean confidence of the experts that a pixel shows a lesion, float32 (H, W) in [0, 1], in the size on disk."""
        size = image_size(item.image)
        if self.version == "1.1":
            return read_levels(item.masks[lesion], size).astype(np.float32) / np.float32(255)
        mean = np.zeros(size, np.float32)
        for path in self._marks[item.name]:
            own = np.zeros(size, np.float32)
            for marking in read_markings(path):
                if marking.lesion == lesion:
                    paint(own, marking.shape, marking.confidence)
            mean += own / EXPERTS
        return mean

    def _decode_mask(self, item: Item, lesion: str) -> NDArray[np.uint8]:
        # Version 1.1 stores 0.75 as 191, which is a little less than 0.75 × 255: half a grey level of grace.
        agreed = self._confidence(item, lesion) >= AGREEMENT - 0.5 / 255
        return resize_mask(agreed.view(np.uint8), self._size_of(item))

    def _levels(self, base: Path, image: str, lesions: Sequence[str]) -> dict[str, Path]:
        """Version 1.1: the grey files of one image."""
        if self.version == "2.1":
            return {}
        return {lesion: base / _V1_LEVELS / LEVEL_FOLDERS[lesion] / image for lesion in lesions}

    def _mask_sources(self, lesion: str) -> Sequence[Path | None]:
        if self.version == "1.1":
            return super()._mask_sources(lesion)
        return [path for marks in self._marks.values() for path in marks]

    def _files(self) -> list[Path]:
        return [*super()._files(), *(path for item in self.items for path in self._marks[item.name])]


def _read_list(path: Path, version: str) -> list[list[str]]:
    """The rows of a list of images: the image, and in version 2.1 the marks of its four experts."""
    length = 1 + EXPERTS if version == "2.1" else 1
    expected = "in each line an image" + (" and four files of marks" if length > 1 else "")
    rows = [line.split() for line in read_text(path, expected).splitlines() if line.strip()]
    bad = next((row for row in rows if len(row) != length or not row[0].endswith(".png") or _leads_out(row)), None)
    names = Counter(Path(row[0]).name for row in rows)
    twice = next((name for name, count in names.items() if count > 1), "")
    if bad is not None or twice or not rows:
        raise LabelFormatError(
            path,
            "the list of images is not as it should be",
            found=" ".join(bad) if bad else f"two lines for {twice}" if twice else "an empty list",
            expected=f"{expected}, each image once",
            remedy="restore the published list",
        )
    return rows


def _leads_out(row: list[str]) -> bool:
    """Whether a path of a row leads out of the root."""
    return any(Path(file).is_absolute() or ".." in Path(file).parts for file in row)


def _check_lists(path: Path, rows: dict[str, list[list[str]]]) -> None:
    train, test = ({Path(row[0]).name for row in rows[split]} for split in ("train", "test"))
    if train & test:
        raise LabelFormatError(
            path,
            "an image is in both splits",
            found=", ".join(sorted(train & test)[:5]),
            expected="each image in one of the two lists",
            remedy="restore the published lists",
        )


def _check_photographs(folder: Path, listed: set[str]) -> None:
    stray = sorted(set(files_in(folder)) - listed)
    if stray:
        raise UnexpectedFileError(
            folder / stray[0],
            "this file does not belong here",
            found=f"{len(stray)} file(s) that neither list names",
            expected=f"the {len(listed)} images of the lists",
            remedy="move it elsewhere, or correct its name",
        )


def _not_found(root: Path, path: Path, version: str) -> DatasetNotFoundError:
    other = next((v for v, f in _LISTS.items() if v != version and (root / f.format(split="train")).is_file()), None)
    file = path.relative_to(root).as_posix()
    remedy = f"this is version {other}: pass version={other!r}" if other else advise_on_list(root, file)
    return DatasetNotFoundError(
        root,
        f"this is not DiaRetDB1, version {version}",
        found=describe_folder(root),
        expected=file,
        remedy=remedy or "name the folder that holds this list",
    )
