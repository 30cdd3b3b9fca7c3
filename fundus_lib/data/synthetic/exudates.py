"""Hard exudates: sharp yellow deposits in clouds, rings, macular stars and plaques."""

from __future__ import annotations

import numpy as np

from fundus_lib.data.synthetic.anatomy import Eye
from fundus_lib.data.synthetic.canvas import Points, round_off, sample_outline
from fundus_lib.data.synthetic.grades import Lesion, measure_distance
from fundus_lib.data.synthetic.lesions import is_clear_of_disc, sample_lognormal, sample_position


def sample_hard_exudates(
    rng: np.random.Generator, eye: Eye, count: int, risk: int, *, richness: float = 1.0
) -> list[Lesion]:
    """Sample hard exudates that give a certain risk of macular edema.

    Args:
        rng: Source of randomness.
        eye: The eye.
        count: Approximate number of deposits.
        risk: 1: all farther than one disc diameter from the fovea; 2: at least one within.
        richness: Multiplies the areas of the largest ones.

    Returns:
        The deposits, at least one.
    """
    lesions: list[Lesion] = []
    brightness = float(rng.uniform(0.35, 1.0))
    while len(lesions) < count:
        size = int(min(count - len(lesions), 4 + rng.poisson(count * float(rng.uniform(0.08, 0.4)))))
        centre = _sample_cluster_center(rng, eye, risk)
        form = str(rng.choice(["cloud", "ring", "star", "plaque", "dust"], p=[0.40, 0.18, 0.10, 0.12, 0.20]))
        lesions += _sample_cluster(rng, eye, centre, form, size, brightness, richness)
        if not lesions and rng.random() < 0.05:
            break
    limit = eye.diameter
    if risk == 1:
        lesions = [lesion for lesion in lesions if measure_distance(lesion, eye.fovea) > limit * 1.05]
    near = any(measure_distance(lesion, eye.fovea) <= limit for lesion in lesions)
    if (risk == 2 and not near) or not lesions:
        distance = (0.35 if risk == 2 else 1.35) * limit
        centre = np.round(eye.fovea + distance * np.array([eye.temporal * 0.8, 0.6]), 6)
        lesions.append(_sample_deposit(rng, centre, sample_lognormal(rng, 40, 0.5, 15, 120), "cloud", brightness))
    return lesions


def _sample_cluster_center(rng: np.random.Generator, eye: Eye, risk: int) -> Points:
    for _ in range(30):
        centre = sample_position(rng, eye, 1.05 if risk == 2 else 1.6, 0.9)
        away = centre - eye.fovea
        if risk == 2 or (away * away).sum() > (1.5 * eye.diameter) ** 2:
            return centre
    return centre


def _sample_cluster(
    rng: np.random.Generator, eye: Eye, centre: Points, form: str, size: int, brightness: float, richness: float
) -> list[Lesion]:
    d = eye.diameter
    deposits: list[Lesion] = []
    spread = float(rng.uniform(0.12, 0.42)) * d
    radius, gap = float(rng.uniform(0.25, 0.6)) * d, float(rng.uniform(0, 2 * np.pi))
    arc = float(rng.uniform(2.0, 5.6))
    tilt, aspect = float(rng.uniform(0, np.pi)), float(rng.uniform(1, 2.6))
    rays = rng.uniform(0, 2 * np.pi, int(rng.integers(3, 9)))
    if form == "plaque":
        deposits.append(
            _sample_plaque(rng, centre, sample_lognormal(rng, 2600 * richness, 1.2, 220, 36000), brightness)
        )
    for _ in range(size):
        angle, lengthwise = None, 1.0 + float(rng.uniform(0, 1.0))
        area = sample_lognormal(rng, 27, 1.15, 6, 900)
        if form == "ring":
            turn = gap + float(rng.uniform(0, arc))
            far = radius * (1 + float(rng.normal(0, 0.13)))
            at = centre + far * np.array([round_off(np.cos(turn)), round_off(np.sin(turn))])
        elif form == "star":
            turn = float(rays[int(rng.integers(len(rays)))]) + float(rng.normal(0, 0.05))
            far = float(rng.uniform(0.2, 0.95)) * d
            at = eye.fovea + far * np.array([round_off(np.cos(turn)), round_off(np.sin(turn))])
            angle, lengthwise = turn, float(rng.uniform(1.5, 3.5))
        else:
            along, across = rng.normal(0, spread * aspect**0.5), rng.normal(0, spread / aspect**0.5)
            cos, sin = float(round_off(np.cos(tilt))), float(round_off(np.sin(tilt)))
            at = centre + np.array([along * cos - across * sin, along * sin + across * cos])
            if form == "dust":
                area = sample_lognormal(rng, 9.5, 0.5, 4, 40)
            elif form == "plaque":
                area *= 1.5
        if is_clear_of_disc(eye, at, 0.75):
            deposits.append(_sample_deposit(rng, np.round(at, 6), area, form, brightness, lengthwise, angle))
    return deposits


def _sample_deposit(
    rng: np.random.Generator,
    centre: Points,
    area: float,
    form: str,
    brightness: float,
    aspect: float = 1.3,
    angle: float | None = None,
) -> Lesion:
    outlines = [sample_outline(rng, centre, area * (1.0 if area < 45 else 0.7), aspect=aspect, angle=angle, rough=0.24)]
    if area >= 45:
        radius = (area / np.pi) ** 0.5
        for _ in range(int(rng.integers(2, 6))):
            at = centre + rng.normal(0, radius * 0.8, 2)
            outlines.append(sample_outline(rng, at, area * float(rng.uniform(0.08, 0.3)), aspect=1.5, rough=0.3))
    strength = float(
        np.clip(brightness * rng.uniform(0.55, 1.25) * (0.75 if area < 14 else 1.0 if area < 90 else 1.25), 0.25, 1.0)
    )
    return Lesion("EX", form, centre, tuple(outlines), strength)


def _sample_plaque(rng: np.random.Generator, centre: Points, area: float, brightness: float) -> Lesion:
    radius = (area / np.pi) ** 0.5
    outlines = [sample_outline(rng, centre, area * 0.55, aspect=float(rng.uniform(1, 1.8)), rough=0.25)]
    for _ in range(int(rng.integers(4, 10))):
        at = centre + rng.normal(0, radius * 0.6, 2)
        outlines.append(sample_outline(rng, at, area * float(rng.uniform(0.04, 0.2)), aspect=1.4, rough=0.3))
    return Lesion("EX", "plaque", centre, tuple(outlines), float(min(1.0, brightness * 1.3)))
