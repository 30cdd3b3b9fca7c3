"""One patient's eye: its target grades, and lesions that give exactly these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fundus_lib.data.synthetic.anatomy import Eye, sample_eye
from fundus_lib.data.synthetic.exudates import sample_hard_exudates
from fundus_lib.data.synthetic.grades import Lesion, edema_risk, retinopathy_grade
from fundus_lib.data.synthetic.lesions import (
    sample_hemorrhages,
    sample_lognormal,
    sample_microaneurysms,
    sample_preretinal_hemorrhage,
    sample_soft_exudates,
)
from fundus_lib.data.synthetic.proliferative import (
    bead_veins,
    sample_new_vessels,
    sample_shunt_vessels,
    sample_vitreous_hemorrhage,
)
from fundus_lib.data.synthetic.vessels import Vessel, grow_vessels

Population = Literal["segmentation", "grading"]

JOINT_GRADES: dict[str, dict[tuple[int, int], int]] = {
    "grading": {
        (0, 0): 168,
        (1, 0): 25,
        (2, 0): 16,
        (2, 1): 36,
        (2, 2): 116,
        (3, 0): 6,
        (3, 1): 7,
        (3, 2): 80,
        (4, 0): 7,
        (4, 1): 8,
        (4, 2): 47,
    },
    "segmentation": {(2, 1): 4, (2, 2): 33, (3, 2): 14, (4, 2): 9},
}
"""Numbers of images by grades (retinopathy, macular edema): the 516 of IDRiD's grading part, and the 60
of its segmentation part that are in both (one, graded 0 for edema although it has exudates, is counted as 1)."""


@dataclass(frozen=True)
class Patient:
    """An eye with its vessels and lesions; the grades follow from the lesions.

    Attributes:
        eye: Geometry and colour.
        vessels: Both trees.
        lesions: All lesions.
        dr: Grade of retinopathy, 0-4.
        dme: Risk of macular edema, 0-2.
    """

    eye: Eye
    vessels: list[Vessel]
    lesions: list[Lesion]
    dr: int
    dme: int


def choose_grades(seed: int, index: int, population: Population) -> tuple[int, int]:
    """Choose the target grades of an image: any range of indices has nearly the population's distribution.

    Args:
        seed: Seed of the data set.
        index: Index of the image.
        population: Population whose distribution is used.

    Returns:
        (retinopathy, macular edema).
    """
    table = JOINT_GRADES[population]
    start = int(np.random.default_rng([seed, 0x6772]).integers(0, 2**32))
    spot = ((start + index * 2654435769) % 2**32) * sum(table.values()) >> 32  # additive golden-ratio sequence
    for grades, count in table.items():
        spot -= count
        if spot < 0:
            return grades
    raise AssertionError("the counts add up to the total")


def sample_patient(rng: np.random.Generator, grades: tuple[int, int], population: Population) -> Patient:
    """Sample a patient with given grades.

    Args:
        rng: Source of randomness.
        grades: (retinopathy, macular edema), a pair of `JOINT_GRADES`.
        population: `"segmentation"` patients have more lesions, always microaneurysms and hard exudates.

    Returns:
        The patient, whose grades are computed from the lesions.
    """
    dr, dme = grades
    eye = sample_eye(rng)
    fovea = eye.from_frame(eye.fovea)
    vessels = grow_vessels(rng, eye, (float(fovea[0]), float(fovea[1])))
    lesions: list[Lesion] = []
    severe = population == "segmentation" or dr >= 3
    if dr > 0:
        median = 34.0 if severe else (4.0 if dr == 1 else 14.0)
        count = int(sample_lognormal(rng, median, 0.95 if dr > 1 else 0.6, 3 if severe else 1, 150))
        lesions += sample_microaneurysms(rng, eye, vessels, count)
        if not lesions:
            lesions += sample_microaneurysms(rng, eye, vessels, 20)[:1]
    if dme > 0:
        count = int(sample_lognormal(rng, 130.0 if severe else 40.0, 1.15, 6, 800))
        lesions += sample_hard_exudates(rng, eye, count, dme, richness=(count / 105) ** 0.5)
    if dr >= 2:
        if population == "grading" or rng.random() < 0.985:
            hemorrhages: list[Lesion] = []
            while not hemorrhages:
                count = int(sample_lognormal(rng, 20.0 if severe else 7.0, 0.8, 1, 80))
                scale = sample_lognormal(rng, 1.1 if severe else 0.7, 0.75, 0.2, 6)
                hemorrhages = sample_hemorrhages(rng, eye, count, scale=scale)
            lesions += hemorrhages
        if rng.random() < (0.5 if severe else 0.15):
            lesions += sample_soft_exudates(rng, eye, 1 + int(rng.poisson(2.8)))
    if dr == 3:
        vessels, lesions = _add_severe_signs(rng, eye, vessels, lesions)
    if dr == 4:
        lesions += _sample_proliferative_signs(rng, eye)
    return Patient(
        eye, vessels, lesions, retinopathy_grade(lesions, eye.fovea), edema_risk(lesions, eye.fovea, eye.diameter)
    )


def _add_severe_signs(
    rng: np.random.Generator, eye: Eye, vessels: list[Vessel], lesions: list[Lesion]
) -> tuple[list[Vessel], list[Lesion]]:
    """Add one of the three criteria of the 4-2-1 rule, unless the haemorrhages meet it; sometimes also then."""
    if rng.random() < 0.5:
        vessels, beading = bead_veins(rng, eye, vessels)
        lesions = lesions + beading
    if retinopathy_grade(lesions, eye.fovea) < 3 or rng.random() < 0.4:
        lesions = lesions + [sample_shunt_vessels(rng, eye) for _ in range(int(rng.integers(1, 4)))]
    return vessels, lesions


def _sample_proliferative_signs(rng: np.random.Generator, eye: Eye) -> list[Lesion]:
    signs = []
    if rng.random() < 0.4:
        signs.append(sample_new_vessels(rng, eye, on_disc=True))
    if rng.random() < 0.6 or not signs:
        signs += [sample_new_vessels(rng, eye, on_disc=False) for _ in range(int(rng.integers(1, 4)))]
    if rng.random() < 0.12:
        signs.append(sample_preretinal_hemorrhage(rng, eye))
    if rng.random() < 0.15:
        signs.append(sample_vitreous_hemorrhage(rng, eye))
    return signs
