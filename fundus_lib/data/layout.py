"""Where IDRiD keeps its files: the folder and file names, as published, misspellings included."""

from __future__ import annotations

from pathlib import Path

from fundus_lib.environment import SOURCES
from fundus_lib.errors import ArgumentError, DatasetNotFoundError, UnknownNameError

PARTS: dict[str, str] = {
    "segmentation": "A. Segmentation",
    "grading": "B. Disease Grading",
    "localization": "C. Localization",
}
"""The three parts of IDRiD, each published as an archive of its own."""

SPLITS: dict[str, str] = {"train": "a. Training Set", "test": "b. Testing Set"}

MASKS: dict[str, str] = {
    "MA": "1. Microaneurysms",
    "HE": "2. Haemorrhages",
    "EX": "3. Hard Exudates",
    "SE": "4. Soft Exudates",
    "OD": "5. Optic Disc",
}
"""Folders of the masks: the four lesions, and the optic disc."""

PUBLISHED_SIZE = (2848, 4288)
"""(height, width) in pixels of every image and mask as published."""


def image_folder(part: str, split: str) -> str:
    """Folder of the images of `part`, relative to the root."""
    return f"{PARTS[part]}/1. Original Images/{SPLITS[split]}"


def mask_folder(lesion: str, split: str) -> str:
    """Folder of the masks of `lesion` (one of `MASKS`), relative to the root."""
    return f"{PARTS['segmentation']}/2. All Segmentation Groundtruths/{SPLITS[split]}/{MASKS[lesion]}"


def grades_file(split: str) -> str:
    """Label file of the grades, relative to the root."""
    letter, word = ("a", "Training") if split == "train" else ("b", "Testing")
    return f"{PARTS['grading']}/2. Groundtruths/{letter}. IDRiD_Disease Grading_{word} Labels.csv"


def optic_disc_file(split: str) -> str:
    """Label file of the optic disc centres, relative to the root."""
    letter, word = ("a", "Training") if split == "train" else ("b", "Testing")
    folder = f"{PARTS['localization']}/2. Groundtruths/1. Optic Disc Center Location"
    return f"{folder}/{letter}. IDRiD_OD_Center_{word} Set_Markups.csv"


def fovea_file(split: str) -> str:
    """Label file of the fovea centres, relative to the root; its name has no leading letter."""
    word = "Training" if split == "train" else "Testing"
    return f"{PARTS['localization']}/2. Groundtruths/2. Fovea Center Location/IDRiD_Fovea_Center_{word} Set_Markups.csv"


def check_split(split: str, splits: tuple[str, ...] = tuple(SPLITS)) -> str:
    """The split, if it is one of `splits`.

    Raises:
        UnknownNameError: It is not.
    """
    if split in splits:
        return split
    raise UnknownNameError(
        "split",
        "there is no such split",
        found=repr(split),
        expected=" or ".join(map(repr, splits)),
        remedy="name one of these; `splits.train_val_split` cuts a validation set out of a training set",
    )


def describe_folder(folder: Path) -> str:
    """What a folder holds, in a few words, for error messages."""
    if not folder.exists():
        return "nothing: there is no such folder"
    if not folder.is_dir():
        return "a file, not a folder"
    try:
        names = sorted(p.name for p in folder.iterdir())
    except OSError as error:
        return f"a folder that cannot be read: {error.strerror}"
    if not names:
        return "an empty folder"
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def other_data_set(root: Path, found: str, expected: str) -> ArgumentError:
    """The error for a root that holds another data set, `found`, than the one that a recipe is for."""
    return ArgumentError(
        root,
        "this is not the data set that the recipe is for",
        found=found,
        expected=expected,
        remedy=f"name the folder of {expected} with --data, or the folder above it with FUNDUS_DATA",
    )


def find_beside(root: Path, name: str, needed_for: str) -> Path:
    """The root of a data set that lies beside another.

    Args:
        root: Of the one that is there.
        name: Of the other, a key of :data:`~fundus_lib.environment.SOURCES`.
        needed_for: What the other is needed for, for the message.

    Raises:
        DatasetNotFoundError: It is not there.
    """
    path = root.absolute().parent / name
    if path.is_dir():
        return path
    raise DatasetNotFoundError(
        path,
        f"{needed_for} {name}, which is not there",
        found=f"no such folder; beside it: {describe_folder(path.parent)}",
        expected=f"the folder {name} beside {root.name}",
        remedy=f"get {name} from {SOURCES[name]} and unpack it there; the book's page on set-up says more",
    )
