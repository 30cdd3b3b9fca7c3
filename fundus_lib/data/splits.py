"""What leaks between IDRiD's parts and splits, and helpers that leave it out.

IDRiD's parts were cut from one collection: 60 of the 81 images with masks (A) are also graded (B), 15 of them with
masks in A's *test* set and a grade in B's *training* set. Whoever trains anything on B and tests masks on A (a shared
encoder, pre-training, pseudo labels) has seen 15 of the 27 test images. Besides, six images are in B twice, four
of these with contradictory labels and one on both sides of B's split.

All helpers take the root of a copy: a synthetic copy answers for itself (its manifest lists what it repeats), a
published or shrunk one with the facts about IDRiD, which were found by comparing the files.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from importlib import resources
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fundus_lib.data.inventory import COLUMNS, inventory
from fundus_lib.data.layout import PARTS, check_split, describe_folder
from fundus_lib.errors import ArgumentError, DatasetNotFoundError

OVERLAP_COLUMNS, DUPLICATE_COLUMNS = COLUMNS["overlap"], COLUMNS["duplicates"]

_DUPLICATES = [
    ("train", "IDRiD_021", "train", "IDRiD_391", "DR 1 and 2"),
    ("train", "IDRiD_028", "train", "IDRiD_327", "DR 4 and 3"),
    ("train", "IDRiD_045", "train", "IDRiD_333", "DME 0 and 1"),
    ("train", "IDRiD_073", "train", "IDRiD_375", "the same"),
    ("train", "IDRiD_079", "train", "IDRiD_279", "the same"),
    ("train", "IDRiD_118", "test", "IDRiD_064", "DR 0 and 3"),
]


def overlap(root: str | PathLike[str] | None = None) -> pd.DataFrame:
    """Images that are both in the segmentation part and in the grading part.

    Args:
        root: Root of a copy; None for IDRiD as published.

    Returns:
        One row for each, with the columns `OVERLAP_COLUMNS`; a split is "train" or "test".

    Raises:
        DatasetNotFoundError: The root holds no part of IDRiD.
    """
    own = _manifest_table(root, "overlap", OVERLAP_COLUMNS)
    if own is not None:
        return own
    with resources.files("fundus_lib.data").joinpath("idrid_overlap.csv").open("r", encoding="utf-8") as file:
        return pd.read_csv(file)


def duplicates(root: str | PathLike[str] | None = None) -> pd.DataFrame:
    """Images that are twice in the grading part.

    Args:
        root: Root of a copy; None for IDRiD as published.

    Returns:
        One row for each pair, with the columns `DUPLICATE_COLUMNS`; `labels` is "the same" or says how they differ.

    Raises:
        DatasetNotFoundError: The root holds no part of IDRiD.
    """
    own = _manifest_table(root, "duplicates", DUPLICATE_COLUMNS)
    return pd.DataFrame(_DUPLICATES, columns=DUPLICATE_COLUMNS) if own is None else own


def grading_leaks(root: str | PathLike[str] | None = None, split: str = "train") -> pd.DataFrame:
    """Images of the grading part that a fair experiment leaves out of `split`, each with the reason.

    From the training set: images whose masks are in the segmentation test set (and their twins), the image
    that is also in the grading test set, both of a pair with contradictory labels (nobody knows which is right), and
    one of a pair with the same labels. From the test set: images whose masks are in the segmentation training set,
    which an encoder shared between the tasks has seen, and their twins.

    Args:
        root: Root of a copy; None for IDRiD as published.
        split: `"train"` or `"test"`.

    Returns:
        Columns name and reason, sorted by name, each name once.

    Raises:
        UnknownNameError: There is no such split.
        DatasetNotFoundError: The root holds no part of IDRiD.

    Example:
        >>> leaks = grading_leaks(split="train")
        >>> len(leaks)
        23
    """
    check_split(split)
    other = "train" if split == "test" else "test"
    reasons: dict[str, str] = {}
    both = overlap(root)
    for row in both[(both.grading_split == split) & (both.segmentation_split == other)].itertuples():
        reasons[str(row.grading)] = f"the same image as {row.segmentation} of the segmentation {other} set"
    overlapping = set(reasons)
    for first_split, first, second_split, second, labels in duplicates(root).astype(str).itertuples(index=False):
        if first_split == second_split == split:
            agree = labels == "the same"
            why = "with the same labels" if agree else f"with contradictory labels ({labels})"
            both_go = not agree or first in overlapping or second in overlapping
            for name, twin in ((first, second), (second, first)) if both_go else ((second, first),):
                reasons.setdefault(name, f"the same image as {twin} of the same set, {why}")
        elif first_split != second_split and split == "train":
            name, twin = (first, second) if first_split == "train" else (second, first)
            reasons.setdefault(name, f"the same image as {twin} of the grading test set")
    return _table(reasons)


def find_shared(root: str | PathLike[str] | None = None) -> tuple[str, ...]:
    """Training images of the grading part that the segmentation part holds, in whichever split, and their duplicates.

    Args:
        root: Root of a copy; None for IDRiD as published.

    Returns:
        Their names, sorted.

    Example:
        >>> len(find_shared())
        59
    """
    both = overlap(root)
    names = set(both[both.grading_split == "train"].grading)
    for first_split, first, second_split, second, _ in duplicates(root).astype(str).itertuples(index=False):
        pair = {name for own, name in ((first_split, first), (second_split, second)) if own == "train"}
        if pair & names:
            names |= pair
    return tuple(sorted(names))


def segmentation_leaks(root: str | PathLike[str] | None = None, split: str = "train") -> pd.DataFrame:
    """Images of the segmentation part that are in the other split of the grading part: drop them from `split`.

    From the training set: the images that the grading test set holds, when what is trained on masks is tested on
    grades. From the test set: those that the grading training set holds, when what is trained on grades is tested on
    masks.

    Args:
        root: Root of a copy; None for IDRiD as published.
        split: `"train"` or `"test"`.

    Returns:
        Columns name and reason, sorted by name.

    Raises:
        UnknownNameError: There is no such split.
    """
    check_split(split)
    other = "train" if split == "test" else "test"
    both = overlap(root)
    rows = both[(both.segmentation_split == split) & (both.grading_split == other)].itertuples()
    return _table({str(r.segmentation): f"the same image as {r.grading} of the grading {other} set" for r in rows})


def train_val_split(names: Sequence[str], val: float = 0.2, seed: int = 0) -> tuple[list[int], list[int]]:
    """Cut a validation set out of a training set, by image, at random but the same on every machine.

    Drop the leaks first: the twin of a training image must not validate.

    Args:
        names: Names of the images; the result depends on the set of names, not on their order.
        val: Fraction of the images to validate on, in (0, 1).
        seed: Of the choice.

    Returns:
        Indices into `names` for training and for validation, ascending; use them with `torch.utils.data.Subset`.

    Raises:
        ArgumentError: The fraction leaves one of the two empty, or a name comes twice.
    """
    count = round(len(names) * val)
    if not 0 < count < len(names) or len(set(names)) < len(names):
        raise ArgumentError(
            "train_val_split",
            "these images cannot be split so",
            found=f"{len(names)} images, {len(set(names))} different, of which a fraction of {val}",
            expected="different names, and at least one image on each side",
            remedy="choose a fraction in (0, 1) that gives at least one image to each side",
        )
    ordered = sorted(range(len(names)), key=lambda i: names[i])
    chosen = np.random.default_rng(seed).permutation(len(names))[:count]
    validation = {ordered[i] for i in chosen}
    return [i for i in range(len(names)) if i not in validation], sorted(validation)


def stratified_folds(
    grades: Sequence[int] | NDArray[np.int64], n: int, seed: int = 0
) -> list[tuple[list[int], list[int]]]:
    """Folds of a cross-validation in which every grade is as frequent as in the whole, to within one image.

    Drop the leaks first, as for `train_val_split`. A grade of fewer than `n` images is missing from some folds, of
    which scikit-learn warns.

    Args:
        grades: Of the images, in an order that does not change between runs; −1, not known, is a grade of its own here.
        n: Number of folds, 2 or more.
        seed: Of the shuffling within each grade.

    Returns:
        For each fold the indices to train on and to validate on, ascending; each image validates in one fold.

    Raises:
        ArgumentError: No grade has `n` images, or `n` is below 2.

    Example:
        >>> [validation for _, validation in stratified_folds([0, 0, 0, 1, 1, 1], 3)]
        [[2, 4], [1, 5], [0, 3]]
    """
    from sklearn.model_selection import StratifiedKFold  # type: ignore[import-untyped]  # loads slowly

    found = np.asarray(grades)
    most = int(np.unique(found, return_counts=True)[1].max(initial=0))
    if not 2 <= n <= most:
        raise ArgumentError(
            "stratified_folds",
            "these images cannot be divided into so many folds",
            found=f"n={n}, {found.size} images, at most {most} of one grade",
            expected="2 folds or more, and a grade with an image for each",
            remedy="choose fewer folds",
        )
    folds = StratifiedKFold(n, shuffle=True, random_state=seed).split(np.zeros(found.size), found)
    return [(train.tolist(), validation.tolist()) for train, validation in folds]


def _manifest_table(root: str | PathLike[str] | None, key: str, columns: list[str]) -> pd.DataFrame | None:
    """What the manifest says about itself; None where the facts about IDRiD hold (published, or shrunk from it)."""
    if root is None:
        return None
    if not any((Path(root) / folder).is_dir() for folder in PARTS.values()):
        raise DatasetNotFoundError(
            root,
            "this is no copy of IDRiD",
            found=describe_folder(Path(root)),
            expected=f"a folder that holds {' or '.join(PARTS.values())}",
            remedy="name the folder that holds them; without a root, the facts are those of IDRiD as published",
        )
    files = inventory(Path(root))
    if key not in files.facts:
        return None if files.kind != "synthetic" else pd.DataFrame(columns=columns)
    return pd.DataFrame(files.facts[key], columns=columns)


def _table(reasons: dict[str, str]) -> pd.DataFrame:
    return pd.DataFrame(sorted(reasons.items()), columns=["name", "reason"])


def choose_held_out(
    names: Sequence[str],
    grades: Sequence[int],
    count: int | None,
    fraction: float | None,
    fold: tuple[int, int] | None,
    never: Collection[str] = (),
) -> set[int]:
    """Which images are held out, see :meth:`fundus_lib.data.image_set.ImageSet.hold_out`.

    Raises:
        ArgumentError: Not exactly one way is given.
    """
    if sum(way is not None for way in (count, fraction, fold)) != 1:
        raise ArgumentError(
            "hold_out",
            "not one way to divide",
            found=f"count={count}, fraction={fraction}, fold={fold}",
            expected="exactly one of them",
            remedy="leave out the others",
        )
    if fold is not None:
        return set(stratified_folds(list(grades), fold[1])[fold[0] - 1][1])
    if fraction is not None:
        eligible = [index for index, name in enumerate(names) if name not in never]
        own = [names[index] for index in eligible]
        return {eligible[place] for place in train_val_split(own, fraction)[1]} if fraction else set()
    return set(np.random.default_rng(0).permutation(len(names))[:count].tolist())
