"""A synthetic data set on disk, in IDRiD's exact layout, so that the loaders of the real one read it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
from tqdm import tqdm

from fundus_lib.data import layout
from fundus_lib.data.inventory import write_manifest
from fundus_lib.data.new_folder import new_folder
from fundus_lib.data.sample import FIRST_TRAINING_SEED, Size
from fundus_lib.data.synthetic.files import Row, write_centres, write_grades
from fundus_lib.data.synthetic.patient import Population, choose_grades
from fundus_lib.data.synthetic.workers import Fact, Job, draw_files
from fundus_lib.errors import ArgumentError

_OVERLAP_FRACTION = {("train", "train"): 42 / 54, ("test", "train"): 15 / 27, ("train", "test"): 3 / 54}


@dataclass
class _Slot:
    """One image of the grading part: the synthetic image it shows, and where its label differs from the grades."""

    split: str
    name: str
    population: Population
    index: int
    dr_off: bool = False
    dme_off: bool = False


def make_idrid(
    root: str | PathLike[str],
    *,
    size: Size = (960, 1440),
    seed: int = 0,
    segmentation: tuple[int, int] = (54, 27),
    grading: tuple[int, int] = (413, 103),
    workers: int | None = None,
    progress: bool = True,
) -> Path:
    """Create a synthetic data set in IDRiD's layout, with its quirks, duplicates, contradictory labels and overlaps.

    The folder appears when it is complete; an interrupted run leaves no folder behind.

    Args:
        root: The folder to create; it will hold `A. Segmentation`, `B. Disease Grading`, `C. Localization` and
            `manifest.json`.
        size: (height, width) of the images in pixels.
        seed: Another seed gives other eyes.
        segmentation: Number of training and test images with masks.
        grading: Number of training and test images with grades.
        workers: Number of processes; by default one per core.
        progress: Show a progress bar.

    Returns:
        The root.

    Raises:
        ArgumentError: The folder is not empty, a number or the size is too small, or the seed is out of range.
        FileAccessError: It cannot be written: no permission, no room, a file where a folder is meant.
    """
    if min(*segmentation, *grading) < 1 or min(size) < 32:
        raise ArgumentError(
            "make_idrid",
            "the data set is empty or the images are too small",
            found=f"size={size}, segmentation={segmentation}, grading={grading}",
            expected="at least one image per split, and 32 pixels or more",
            remedy="give larger numbers",
        )
    if not 0 <= seed < FIRST_TRAINING_SEED:
        raise ArgumentError(
            "make_idrid",
            "synthetic training images have such seeds",
            found=f"seed={seed}",
            expected=f"from 0 to below {FIRST_TRAINING_SEED}, so that no run trains on the test images",
            remedy="choose a smaller seed",
        )
    with new_folder(Path(root)) as work:
        _fill(work, size, seed, segmentation, grading, workers, progress)
    return Path(root)


def _fill(
    root: Path,
    size: Size,
    seed: int,
    segmentation: tuple[int, int],
    grading: tuple[int, int],
    workers: int | None,
    progress: bool,
) -> None:
    for split in layout.SPLITS:
        for part in ("segmentation", "grading"):
            (root / layout.image_folder(part, split)).mkdir(parents=True)
        for kind in layout.MASKS:
            (root / layout.mask_folder(kind, split)).mkdir(parents=True)
        for file in (layout.optic_disc_file(split), layout.fovea_file(split)):
            (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / layout.grades_file("train")).parent.mkdir(parents=True)
    masked = [("train" if i < segmentation[0] else "test", f"IDRiD_{i + 1:02d}") for i in range(sum(segmentation))]
    slots, overlap, duplicates = _plan_grading(seed, masked, grading)
    images: dict[tuple[Population, int], list[str]] = {}
    for i, (split, name) in enumerate(masked):
        images.setdefault(("segmentation", i), []).append(f"{layout.image_folder('segmentation', split)}/{name}.jpg")
    for slot in slots:
        path = f"{layout.image_folder('grading', slot.split)}/{slot.name}.jpg"
        images.setdefault((slot.population, slot.index), []).append(path)
    jobs = [
        Job(population, index, paths, *_list_masks(population, masked, index))
        for (population, index), paths in images.items()
    ]
    with tqdm(total=len(jobs), desc="synthetic images", unit="image", disable=not progress) as bar:
        facts = draw_files(root, size, seed, jobs, workers or os.cpu_count() or 1, bar.update)
    _write_labels(root, slots, facts, sum(grading))
    write_manifest(
        root,
        "synthetic",
        size=size,
        seed=seed,
        coordinates_size=list(size),
        segmentation=list(segmentation),
        grading=list(grading),
        overlap=overlap,
        duplicates=duplicates,
    )


def _list_masks(population: Population, masked: Sequence[tuple[str, str]], index: int) -> tuple[dict[str, str], bool]:
    """List the files of an image's masks, and whether its exudates are written as the one RGBA file."""
    if population == "grading":
        return {}, False
    split, name = masked[index]
    files = {kind: f"{layout.mask_folder(kind, split)}/{name}_{kind}.tif" for kind in layout.MASKS}
    return files, index == len(masked) - 1


def _plan_grading(
    seed: int, masked: Sequence[tuple[str, str]], grading: tuple[int, int]
) -> tuple[list[_Slot], list[dict[str, str]], list[dict[str, str]]]:
    """Assign an image to each slot of the grading part; choose overlaps with the other part and duplicates."""
    rng = np.random.default_rng([seed, 0x706C])
    slots = []
    for split, count, start in (("train", grading[0], 0), ("test", grading[1], grading[0])):
        slots += [_Slot(split, f"IDRiD_{i + 1:03d}", "grading", start + i) for i in range(count)]
    wanted = [choose_grades(seed, slot.index, "grading") for slot in slots]
    free = [int(k) for k in rng.permutation(len(slots))]
    overlap: list[dict[str, str]] = []
    for (split, grading_split), fraction in _OVERLAP_FRACTION.items():
        own = [i for i, (s, _) in enumerate(masked) if s == split]
        used = {row["segmentation"] for row in overlap}
        for i in [i for i in own if masked[i][1] not in used][: max(1, int(fraction * len(own) + 0.5))]:
            grades = choose_grades(seed, i, "segmentation")
            room = [k for k in free if slots[k].split == grading_split]
            if len(room) <= 2:
                break
            k = min(room, key=lambda k: abs(wanted[k][0] - grades[0]) + abs(wanted[k][1] - grades[1]))
            free.remove(k)
            slots[k].population, slots[k].index = "segmentation", i
            names = (masked[i][1], grading_split, slots[k].name)
            overlap.append(
                dict(
                    zip(
                        ("segmentation_split", "segmentation", "grading_split", "grading"), (split, *names), strict=True
                    )
                )
            )
    duplicates = []
    pairs = max(1, round(5 * grading[0] / 413))
    for number in range(pairs + 1):
        across = number == pairs
        here = [k for k in free if slots[k].split == "train"]
        there = [k for k in free if slots[k].split == ("test" if across else "train") and k != (here or [-1])[0]]
        if not here or not there:
            break
        first = here[0]
        second = min(there, key=lambda k: abs(wanted[k][0] - wanted[first][0]) + abs(wanted[k][1] - wanted[first][1]))
        first, second = (first, second) if across else sorted((first, second))
        free = [k for k in free if k not in (first, second)]
        one, two = slots[first], slots[second]
        two.population, two.index = one.population, one.index
        two.dr_off, two.dme_off = across or number in (0, 1), not across and number == 2
        dr, dme = wanted[first]
        labels = "the same"
        if two.dr_off or two.dme_off:
            labels = f"DR {dr} and {_shift_grade(dr, 4)}" if two.dr_off else f"DME {dme} and {_shift_grade(dme, 2)}"
        pair = {"first_split": one.split, "first": one.name, "second_split": two.split, "second": two.name}
        duplicates.append({**pair, "labels": labels})
    return slots, overlap, duplicates


def _shift_grade(grade: int, highest: int) -> int:
    """Shift a grade to the neighbouring one, as of a second reader."""
    return grade + 1 if grade < highest else grade - 1


def _write_labels(root: Path, slots: Sequence[_Slot], facts: dict[tuple[Population, int], Fact], total: int) -> None:
    for split in layout.SPLITS:
        grades: list[Row] = []
        discs: list[Row] = []
        foveas: list[Row] = []
        for slot in slots:
            if slot.split == split:
                fact = facts[slot.population, slot.index]
                dr = _shift_grade(fact.dr, 4) if slot.dr_off else fact.dr
                dme = _shift_grade(fact.dme, 2) if slot.dme_off else fact.dme
                grades.append((slot.name, dr, dme))
                discs.append((slot.name, round(fact.disc[0]), round(fact.disc[1])))
                foveas.append((slot.name, round(fact.fovea[0]), round(fact.fovea[1])))
        blank = total - 1 - len(discs)
        write_grades(root / layout.grades_file(split), grades, empty_columns=9 if split == "train" else 0)
        write_centres(root / layout.optic_disc_file(split), discs, blank_rows=max(1, blank))
        write_centres(root / layout.fovea_file(split), foveas, blank_rows=max(1, blank))
