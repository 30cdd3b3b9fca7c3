"""DDR (Li et al., Information Sciences 501, 2019): 757 images with masks of four lesions, 13 673 with a grade.

The layout is that of the archive `DDR-dataset`, where the masks of the validation set lie in `segmentation label` and
all others in `label`. Unlike in IDRiD every image has a file for each lesion, black where the lesion is absent.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Literal

from fundus_lib.checks import check_choice
from fundus_lib.data.base import FundusDataset, Item, Transform, check_lesions
from fundus_lib.data.inventory import files_in
from fundus_lib.data.layout import check_split, describe_folder
from fundus_lib.data.recognise import advise
from fundus_lib.data.sample import DR_GRADES, LESIONS, UNKNOWN, Size, SizeRule
from fundus_lib.data.text import read_text
from fundus_lib.errors import (
    DatasetNotFoundError,
    GradeRangeError,
    LabelFormatError,
    MissingFileError,
    UnexpectedFileError,
)

FOLDERS = {"train": "train", "val": "valid", "test": "test"}
"""Our names of the splits, and theirs."""

UNGRADABLE = 5
"""The label of an image that is too poor to be graded."""

PUBLISHED_COUNTS = {
    "lesion_segmentation": {"train": 383, "val": 149, "test": 225},
    "DR_grading": {"train": 6835, "val": 2733, "test": 4105},
}
"""Images in each part and split as published."""


class DDRSegmentation(FundusDataset):
    """Images of DDR with masks of lesions. They differ in size: give `size` to make batches of them.

    Args:
        root: The folder that holds `lesion_segmentation`.
        split: `"train"` (383 images), `"val"` (149) or `"test"` (225).
        lesions: The channels of the mask, in this order.
        size: (height, width) to resize to, by area averaging, whatever the aspect ratio; a function that gives it from
            the size on disk, such as `FieldSquare.read_size`, which keeps the aspect ratio; None for the size on disk.
        transform: Applied to each sample.
        cache: Keep decoded arrays of that size on disk.

    Raises:
        DatasetNotFoundError: The root holds no `lesion_segmentation`, or not this split.
        UnknownNameError: There is no such split or lesion.
        MissingFileError: An image has no mask file of a lesion.
        UnexpectedFileError: A mask belongs to no image.

    Reading an item may raise UnreadableImageError, MaskSizeError or MaskValueError, each with the file's name.
    """

    title = "DDR segmentation"

    def __init__(
        self,
        root: str | PathLike[str],
        split: str,
        *,
        lesions: Sequence[str] = LESIONS,
        size: Size | SizeRule | None = None,
        transform: Transform | None = None,
        cache: bool = True,
    ):
        check_split(split, tuple(FOLDERS))
        lesions = check_lesions(lesions)
        base = Path(root)
        folder = base / "lesion_segmentation" / FOLDERS[split]
        masks = folder / ("segmentation label" if split == "val" else "label")
        names = _photographs(base, f"lesion_segmentation/{FOLDERS[split]}/image")
        for lesion in lesions:
            _check_masks(masks / lesion, names)
        items = [Item(n, folder / "image" / f"{n}.jpg", {le: masks / le / f"{n}.tif" for le in lesions}) for n in names]
        super().__init__(base, split, items, lesions=lesions, size=size, transform=transform, cache=cache)


class DDRGrading(FundusDataset):
    """Images of DDR with the grade of retinopathy; the risk of macular edema is not known (−1).

    Args:
        root: The folder that holds `DR_grading`.
        split: `"train"` (6835 images), `"val"` (2733) or `"test"` (4105), ungradable ones included.
        ungradable: What to do with images that are too poor to be graded (label 5): `"drop"` them, or `"keep"`
            them with grade −1.
        size: (height, width) to resize to, by area averaging, whatever the aspect ratio; a function that gives it from
            the size on disk, such as `FieldSquare.read_size`, which keeps the aspect ratio; None for the size on disk.
        transform: Applied to each sample.
        cache: Keep decoded arrays of that size on disk.

    Attributes:
        ungradable: Names of the ungradable images of this split, dropped or kept.

    Raises:
        DatasetNotFoundError: The root holds no `DR_grading`, or not this split.
        UnknownNameError: There is no such split.
        ArgumentError: `ungradable` is neither of the two.
        MissingFileError: The label file, or an image that it names, is missing.
        FileAccessError: The system refuses to read the label file.
        UnexpectedFileError: An image has no label.
        LabelFormatError: The label file is not in UTF-8 (or in UTF-16 with its mark), or a line of it is not
            `name grade`, or names an image twice.
        GradeRangeError: A grade is not 0-5.
    """

    title = "DDR grading"

    def __init__(
        self,
        root: str | PathLike[str],
        split: str,
        *,
        ungradable: Literal["drop", "keep"] = "drop",
        size: Size | SizeRule | None = None,
        transform: Transform | None = None,
        cache: bool = True,
    ):
        check_split(split, tuple(FOLDERS))
        check_choice("DDRGrading", "ungradable", ungradable, ("drop", "keep"))
        base = Path(root)
        folder = base / "DR_grading" / FOLDERS[split]
        there = _photographs(base, f"DR_grading/{FOLDERS[split]}")
        self._labels = folder.with_suffix(".txt")
        grades = _read_grades(self._labels)
        absent, extra = sorted(set(grades) - set(there)), sorted(set(there) - set(grades))
        if absent:
            raise MissingFileError(
                folder / f"{absent[0]}.jpg",
                f"this image is missing; {self._labels.name} names it",
                found=f"{len(absent)} of {len(grades)} images are missing",
                expected="every image that the label file names",
                remedy="unpack the archive again, all ten of its volumes",
            )
        if extra:
            raise UnexpectedFileError(
                folder / f"{extra[0]}.jpg",
                f"{self._labels.name} does not name this image",
                found=f"{len(extra)} images without a label",
                expected="a line for each image",
                remedy="restore the published label file, or move the image elsewhere",
            )
        self.ungradable = [n for n, g in grades.items() if g == UNGRADABLE]
        items = [
            Item(n, folder / f"{n}.jpg", {}, dr=UNKNOWN if g == UNGRADABLE else g) for n, g in sorted(grades.items())
        ]
        super().__init__(base, split, items, size=size, transform=transform, cache=cache)
        if ungradable == "drop":
            self.items = tuple(item for item in self.items if item.dr != UNKNOWN)

    def _files(self) -> list[Path]:
        return [*super()._files(), self._labels]


def _photographs(root: Path, folder: str) -> list[str]:
    """Names of the images in a folder (relative to the root), without suffix."""
    names = files_in(root / folder)
    stray = [n for n in names if not n.endswith(".jpg")]
    if stray:
        misspelt = stray[0].lower().endswith(".jpg")
        raise UnexpectedFileError(
            root / folder / stray[0],
            "this file does not belong here",
            found=f"{len(stray)} file(s) that are no .jpg",
            expected=f"images {folder}/*.jpg",
            remedy=f"rename it to {stray[0][:-4]}.jpg" if misspelt else "move it elsewhere, or correct its name",
        )
    if names:
        return [n.removesuffix(".jpg") for n in names]
    raise DatasetNotFoundError(
        root,
        "this is not DDR, or this split was not unpacked here",
        found=describe_folder(root),
        expected=f"images {folder}/*.jpg",
        remedy=advise(root, folder) or "name the folder that holds lesion_segmentation and DR_grading",
    )


def _check_masks(folder: Path, names: Sequence[str]) -> None:
    """Check that a folder holds one mask for each image and nothing else."""
    listed, there = {f"{n}.tif" for n in names}, set(files_in(folder))
    if listed - there:
        missing = sorted(listed - there)
        raise MissingFileError(
            folder / missing[0],
            "this mask is missing",
            found=f"{len(missing)} of {len(listed)} masks are missing here; {describe_folder(folder)}",
            expected="a mask for each image (of an absent lesion, DDR has a black one)",
            remedy=advise(folder.parent, folder.name)
            or _other_name(folder.parent)
            or "unpack the archive again, all ten of its volumes",
        )
    if there - listed:
        raise UnexpectedFileError(
            folder / min(there - listed),
            "this mask belongs to no image",
            found=f"{len(there - listed)} file(s) without an image",
            expected="an image of the same name in the folder image",
            remedy="move it elsewhere, or correct its name",
        )


def _other_name(folder: Path) -> str:
    """What to rename if the masks of a split lie where the other splits have theirs."""
    other = folder.with_name("label" if folder.name == "segmentation label" else "segmentation label")
    return f"rename {other} to {folder.name!r}" if other.is_dir() and not folder.is_dir() else ""


def _read_grades(path: Path) -> dict[str, int]:
    """From name (without suffix) to grade 0-5."""
    grades: dict[str, int] = {}
    for number, line in enumerate(read_text(path, "lines 'name grade'").splitlines(), start=1):
        if not line.strip():
            continue
        name, grade = [*line.rsplit(maxsplit=1), ""][:2]
        name = re.sub(r"\.jpg$", "", name.strip(), flags=re.IGNORECASE)
        if not name or not re.fullmatch(r"[0-9]{1,9}", grade) or name in grades:
            raise LabelFormatError(
                path,
                f"line {number} is not as it should be",
                found=repr(line) + (", a second line for this image" if name in grades else ""),
                expected="'name grade', once for each image",
                remedy="restore the published file",
            )
        if int(grade) not in DR_GRADES and int(grade) != UNGRADABLE:
            raise GradeRangeError(
                path,
                f"line {number}: the grade lies outside its scale",
                found=grade,
                expected=f"0 to {DR_GRADES[-1]}, or {UNGRADABLE} for ungradable",
                remedy="restore the published file",
            )
        grades[name] = int(grade)
    return grades
