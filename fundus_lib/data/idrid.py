"""IDRiD, the Indian Diabetic Retinopathy Image Dataset (Porwal et al., Data 3(3):25, 2018; CC BY 4.0).

Part A: 54 + 27 images with masks of four lesions and of the optic disc. Part B: 413 + 103 images with the
grade of retinopathy and the risk of macular edema. Part C: the centres of optic disc and fovea on the images of B.
60 images are in A and in B; `fundus_lib.data.splits` lists them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from os import PathLike
from pathlib import Path

from fundus_lib.data.base import FundusDataset, Item, Transform, check_lesions
from fundus_lib.data.inventory import check_folders, inventory
from fundus_lib.data.labels import read_centres, read_grades
from fundus_lib.data.layout import (
    MASKS,
    check_split,
    fovea_file,
    grades_file,
    image_folder,
    mask_folder,
    optic_disc_file,
)
from fundus_lib.data.points import GradingSample, point
from fundus_lib.data.recognise import check_root
from fundus_lib.data.sample import LESIONS, Sample, Size, SizeRule
from fundus_lib.errors import UnknownNameError


class IDRiDSegmentation(FundusDataset):
    """Images with masks of lesions: part A of IDRiD, or of a copy in its layout.

    Which image has which lesion is taken from the copy's list of files, so a lost or misspelt mask is an error, never a
    black mask. A lesion that an image does not have gives a black channel, and `annotated` says so.

    Args:
        root: The folder that holds `A. Segmentation`.
        split: `"train"` (54 images) or `"test"` (27).
        lesions: The channels of the mask, in this order; `"OD"` gives the optic disc.
        size: (height, width) to resize to, by area averaging, or a function that gives it from the size on disk; None
            for the size on disk, which is decoded each time.
        transform: Applied to each sample.
        cache: Keep decoded arrays of that size on disk.

    Raises:
        DatasetNotFoundError: The root holds no part A.
        UnknownNameError: There is no such split or lesion.
        MissingFileError: An image or a mask is missing.
        UnexpectedFileError: A file in one of its folders belongs to no image.
        LabelFormatError: The manifest cannot be understood.

    Reading an item may raise UnreadableImageError, MaskSizeError or MaskValueError, each with the file's name.

    Example:
        >>> data = IDRiDSegmentation("data/IDRiD", "train", lesions=("EX",), size=(640, 960))  # doctest: +SKIP
        >>> data[0]["mask"].shape  # doctest: +SKIP
        torch.Size([1, 640, 960])
    """

    title = "IDRiD segmentation"

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
        check_split(split)
        lesions = check_lesions(lesions, tuple(MASKS))
        base = check_root(Path(root), "segmentation")
        files, photographs = inventory(base), image_folder("segmentation", split)
        folders = {lesion: mask_folder(lesion, split) for lesion in lesions}
        check_folders(base, files, [photographs, *folders.values()])
        masks = {lesion: set(files.names(folder)) for lesion, folder in folders.items()}
        items = []
        for name in (Path(n).stem for n in files.names(photographs)):
            own = {le: base / folders[le] / f"{name}_{le}.tif" for le in lesions if f"{name}_{le}.tif" in masks[le]}
            items.append(Item(name, base / photographs / f"{name}.jpg", own))
        self._empty = files.empty_masks
        super().__init__(base, split, items, lesions=lesions, size=size, transform=transform, cache=cache)

    def _may_be_empty(self, path: Path) -> bool:
        return path.relative_to(self.root).as_posix() in self._empty


class IDRiDGrading(FundusDataset):
    """Images with grades and the centres of optic disc and fovea: parts B and C of IDRiD.

    The grades are those of the label file, contradictions between duplicates included; `splits.grading_leaks` lists
    what a fair experiment leaves out. The mask has no channel (L = 0).

    Args:
        root: The folder that holds `B. Disease Grading` and `C. Localization`.
        split: `"train"` (413 images) or `"test"` (103). Numbering restarts: `IDRiD_001` is in both, and differs.
        size: (height, width) to resize to, by area averaging, or a function that gives it from the size on disk; None
            for the size on disk, which is decoded each time.
        transform: Applied to each sample; the transforms of torchvision move the two points with the image.
        cache: Keep decoded arrays of that size on disk.
        exclude: Names of images to leave out.

    Raises:
        DatasetNotFoundError: The root lacks part B or part C.
        UnknownNameError: There is no such split, or `exclude` names an image that is not there.
        MissingFileError: An image or a label file is missing.
        UnexpectedFileError: A file in the folder of images belongs to no image.
        LabelFormatError: A label file has other columns or rows than it should have.
        GradeRangeError: A grade lies outside its scale.
    """

    title = "IDRiD grading"

    def __init__(
        self,
        root: str | PathLike[str],
        split: str,
        *,
        size: Size | SizeRule | None = None,
        transform: Transform | None = None,
        cache: bool = True,
        exclude: Collection[str] = (),
    ):
        check_split(split)
        base = check_root(check_root(Path(root), "grading"), "localization")
        files, photographs = inventory(base), image_folder("grading", split)
        check_folders(base, files, [photographs])
        names = [Path(n).stem for n in files.names(photographs)]
        unknown = sorted(set(exclude) - set(names))
        if unknown:
            raise UnknownNameError(
                "exclude",
                "these images are not in this split",
                found=", ".join(unknown[:5]),
                expected=f"names among {names[0]} … {names[-1]}",
                remedy=f"take them from splits.grading_leaks(root, {split!r})",
            )
        grades = read_grades(base / grades_file(split), names)
        self._labels = [base / f(split) for f in (grades_file, optic_disc_file, fovea_file)]
        self._full = files.coordinates_size
        self._discs = read_centres(self._labels[1], names, self._full)
        self._foveas = read_centres(self._labels[2], names, self._full)
        items = [Item(n, base / photographs / f"{n}.jpg", {}, *grades[n]) for n in names]
        super().__init__(base, split, items, size=size, transform=transform, cache=cache)
        self.items = tuple(item for item in self.items if item.name not in set(exclude))

    def centres(self, index: int) -> tuple[tuple[float, float], tuple[float, float]]:
        """Centres (x, y) of optic disc and fovea in pixels of the image that is yielded, before `transform`."""
        item = self._item(index)
        (height, width), name = self._size_of(item), item.name
        sy, sx = height / self._full[0], width / self._full[1]
        (dx, dy), (fx, fy) = self._discs[name], self._foveas[name]
        return (dx * sx, dy * sy), (fx * sx, fy * sy)

    def _finish(self, sample: Sample, index: int) -> Sample:
        disc, fovea = self.centres(index)
        height, width = sample["image"].shape[-2:]
        full: GradingSample = {
            **sample,
            "optic_disc": point(disc, (height, width)),
            "fovea": point(fovea, (height, width)),
        }
        return super()._finish(full, index)

    def _files(self) -> list[Path]:
        return super()._files() + self._labels
