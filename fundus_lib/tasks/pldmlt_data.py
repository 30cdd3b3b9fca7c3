"""The images of pldmlt: all lesions fused, true grades where they are known, and the labels that there are at first."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from fundus_lib.data.ddr import DDRGrading
from fundus_lib.data.fused import Fused, FusedDDR, FusedDiaRetDB1, FusedIDRiD
from fundus_lib.data.graded_lesions import find_grades
from fundus_lib.data.image_set import ImageSet, combine_fingerprints
from fundus_lib.data.inventory import title
from fundus_lib.data.layout import find_beside, other_data_set
from fundus_lib.data.pseudo_label_table import read_pseudo_labels
from fundus_lib.errors import ArgumentError
from fundus_lib.pseudo_labels import allow_grades
from fundus_lib.tasks.base import Data

if TYPE_CHECKING:
    from fundus_lib.recipes import PLDMLTRecipe

READERS: dict[str, tuple[type[Fused], tuple[str, ...]]] = {
    "IDRiD": (FusedIDRiD, ("train", "test")),
    "DDR": (FusedDDR, ("train", "val", "test")),
    "DiaRetDB1": (FusedDiaRetDB1, ("train", "test")),
}
"""Data set → what reads it, and its splits, the test split last."""

MARKS = {"DDR": "lesion_segmentation", "DiaRetDB1": "ddb1_v02_01_train_plain.txt"}
"""What the root of a data set holds that IDRiD's does not."""

GRADERS = {False: "none of the images that both parts share", True: "all graded training images"}


@dataclass(frozen=True)
class LabelledData(Data):
    """The images of an experiment with the grades that they have as labels at first.

    Attributes:
        labels: Of all images, training and test, by name; empty where nothing is graded.
        source: Where they come from, in words.
    """

    labels: Mapping[str, int] = field(default_factory=dict)
    source: str = ""


def read_data(recipe: PLDMLTRecipe, root: Path) -> LabelledData:
    """Training, validation (maybe none) and test images of a recipe, with their labels.

    With a fold, a part of the images is tested on and the others are trained on, stratified by the true grade where it
    is known (the others are a class of their own), so that all rows have the same folds. An image's grades are those of
    the grading part of its data set, if it is there too. Data sets that are joined lie beside each other; the synthetic
    stand-in for IDRiD stands for all of them together.

    Raises:
        ArgumentError: The root holds another data set, or there is no pseudo label for an image.
        DatasetNotFoundError: A data set that is joined is not there.
    """
    parts = [
        [_read(name, own, split, recipe, count) for split, count in _splits(recipe, name)]
        for name, own in find_roots(recipe, root)
    ]
    tests = _join(part[-1] for part in parts)
    training = _join(one for part in parts for one in part[:-1])
    if recipe.fold:
        whole = training.join(tests) if recipe.pooled else training
        training, test = whole.hold_out(fold=recipe.fold)
        training, test = training.first(recipe.train_images), test.first(recipe.test_images)
    else:
        training, test = training.first(recipe.train_images), tests.first(recipe.test_images)
    labels, source = read_labels(recipe, root, training.join(test)) if recipe.grades else ({}, "")
    if labels:
        digest = hashlib.sha256(repr(sorted(labels.items())).encode()).hexdigest()[:12]
        training = replace(training, fingerprint=combine_fingerprints(f"{training.fingerprint} {digest}"))
    training, validation = training.hold_out(recipe.validation or 0)
    return LabelledData(training, validation, test, labels=labels, source=source)


def test_fingerprint(recipe: PLDMLTRecipe, root: Path) -> str:
    """Hash of the test data; with a fold, of all images that are divided."""
    own = [
        [_open(name, path, split, recipe).fingerprint() for split, _ in _splits(recipe, name)]
        for name, path in find_roots(recipe, root)
    ]
    tests, training = [part[-1] for part in own], [one for part in own for one in part[:-1]]
    whole = _combine(training)
    if not recipe.fold:
        return _combine(tests)
    return combine_fingerprints(f"{whole} {_combine(tests)}") if recipe.pooled else whole


def find_roots(recipe: PLDMLTRecipe, root: Path) -> list[tuple[str, Path]]:
    """The data sets of a recipe, each with its root: those that are joined beside the first.

    A root of IDRiD's layout that was drawn stands for any of them, alone.

    Raises:
        ArgumentError: The root holds another data set.
        DatasetNotFoundError: A data set that is joined is not there.
    """
    kind = next((name for name, mark in MARKS.items() if (root / mark).exists()), "IDRiD")
    if kind == "IDRiD" and recipe.dataset != kind and not (root / "A. Segmentation").is_dir():
        kind = "no data set that is known here"
    if kind == "IDRiD" and title(root) == "synthetic":
        return [("IDRiD", root)]
    if kind != recipe.dataset:
        raise other_data_set(root, kind, recipe.dataset)
    reason = f"unless further=() is set, the row joins {recipe.dataset} and"
    return [(kind, root), *((name, find_beside(root, name, reason)) for name in recipe.further)]


def read_labels(recipe: PLDMLTRecipe, root: Path, images: ImageSet) -> tuple[dict[str, int], str]:
    """The labels that images have at first, by name, and where they come from in words.

    Args:
        recipe: With `labels` and `label_leaks`.
        root: Of the first data set.
        images: All of them.

    Raises:
        ArgumentError: An image has no pseudo label.
        MissingFileError: There are no pseudo labels.
        LabelFormatError: Their table is not as it should be.
    """
    true = dict(zip(images.names, images.dr.tolist(), strict=True))
    if recipe.labels == "true":
        return true, "true grades, where they are known"
    rule = dict(zip(images.names, apply_rule(images), strict=True))
    if recipe.labels == "rule":
        return rule, "the least grade that the lesions of an image allow"
    if title(root) == "synthetic":
        known = {name: true[name] if true[name] >= 0 else rule[name] for name in images.names}
        return known, "no grader's, since the images are drawn: true grades, or the least that the lesions allow"
    table = read_pseudo_labels(recipe.label_leaks)
    column = table["after" if recipe.labels == "corrected" else "before"]
    missing = [name for name in images.names if name not in column.index]
    if missing:
        raise ArgumentError(
            f"recipe {recipe.row!r}",
            "these images have no pseudo label",
            found=f"{len(missing)} of {len(images)} images, the first of them {missing[0]}",
            expected="images of part A of IDRiD, which the table of pseudo labels holds",
            remedy="recipe.replace(labels='rule'), or further=()",
        )
    kind = ", corrected by heat maps and lesions" if recipe.labels == "corrected" else ""
    source = f"the more confident of two graders, trained on {GRADERS[recipe.label_leaks]}{kind}"
    return {name: int(column[name]) for name in images.names}, source


def apply_rule(images: ImageSet) -> list[int]:
    """The least grade that the medical rule allows each image by its masks, at their size: 0, 1 or 2."""
    there = torch.stack([mask[1:].flatten(1).any(1).bool() for mask in images.masks if mask is not None])
    return allow_grades(there.cpu()).long().argmax(1).tolist()  # type: ignore[no-any-return]


def _splits(recipe: PLDMLTRecipe, name: str) -> list[tuple[str, int | None]]:
    """The splits that are read, each with how many of its images; with a fold, all."""
    *training, test = READERS[name][1]
    counts = (None, None) if recipe.fold else (recipe.train_images, recipe.test_images)
    return [*((split, counts[0]) for split in training), (test, counts[1])]


def _open(name: str, root: Path, split: str, recipe: PLDMLTRecipe) -> Fused:
    return READERS[name][0](root, split, recipe.side)


def _read(name: str, root: Path, split: str, recipe: PLDMLTRecipe, count: int | None) -> ImageSet:
    data = _open(name, root, split, recipe)
    images = ImageSet.read(data, title(root) if name == "IDRiD" else name, data.fingerprint(), count=count)
    grades = _find_grades(name, root)
    return replace(images, dr=torch.tensor([grades.get(one, -1) for one in images.names], dtype=torch.long))


def _find_grades(name: str, root: Path) -> dict[str, int]:
    """Grades of retinopathy of the images with masks that are in the grading part too, by name."""
    if name == "IDRiD":
        return find_grades(root)
    if name == "DDR" and (root / "DR_grading").is_dir():  # both parts call an image by one name
        graded_parts = [DDRGrading(root, part) for part in ("train", "val", "test")]
        return {one: int(grade) for part in graded_parts for one, grade in zip(part.names, part.dr, strict=True)}
    return {}


def _join(parts: Iterable[ImageSet]) -> ImageSet:
    first, *others = parts
    for other in others:
        names = dict.fromkeys([*first.title.split(", "), *other.title.split(", ")])
        first = replace(first.join(other), title=", ".join(names))
    return first


def _combine(fingerprints: list[str]) -> str:
    """The fingerprint of sets that are joined one by one."""
    first, *others = fingerprints
    for other in others:
        first = combine_fingerprints(f"{first} {other}")
    return first
