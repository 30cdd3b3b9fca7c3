"""Red and pale lesions: number, position, shape and size."""

from __future__ import annotations

import numpy as np

from fundus_lib.data.synthetic.anatomy import Eye, compute_fiber_direction
from fundus_lib.data.synthetic.canvas import Points, round_off, sample_outline
from fundus_lib.data.synthetic.grades import Lesion
from fundus_lib.data.synthetic.vessels import Vessel


def sample_lognormal(rng: np.random.Generator, median: float, sigma: float, low: float, high: float) -> float:
    """Sample a log-normal number, clipped to [low, high]."""
    return float(np.clip(round_off(np.exp(rng.normal(0, sigma))) * median, low, high))


def is_clear_of_disc(eye: Eye, point: Points, margin: float = 0.6) -> bool:
    """Whether a point is in view and farther than `margin` disc diameters from the disc's centre."""
    away = point - eye.disc
    return bool((away * away).sum() > (margin * eye.diameter) ** 2) and bool(eye.is_in_view(point))


def sample_position(rng: np.random.Generator, eye: Eye, spread: float, margin: float = 0.6) -> Points:
    """Sample a position around the posterior pole.

    Args:
        rng: Source of randomness.
        eye: The eye.
        spread: Standard deviation of the distance from the fovea, in disc diameters, per axis.
        margin: Least distance from the disc's centre in disc diameters.
    """
    point = eye.fovea
    for _ in range(40):
        point = eye.fovea + np.array([0.0, -0.2]) * eye.diameter + rng.normal(0, spread * eye.diameter, 2)
        if is_clear_of_disc(eye, point, margin):
            break
    else:
        point = eye.fovea + np.array([eye.temporal * 0.8, 0.8]) * eye.diameter
    return np.round(point, 6)


def sample_microaneurysms(rng: np.random.Generator, eye: Eye, vessels: list[Vessel], count: int) -> list[Lesion]:
    """Sample microaneurysms: tiny round dots, most of them near the ends of small vessels."""
    ends = [v.points[-1] for v in vessels if v.widths[-1] < 3.5 and is_clear_of_disc(eye, v.points[-1])]
    lesions = []
    foci = [sample_position(rng, eye, 1.35) for _ in range(1 + count // 9)]
    for _ in range(count):
        if ends and rng.random() < 0.5:
            base = ends[int(rng.integers(len(ends)))]
            near = base - eye.fovea
            if (near * near).sum() > (2.3 * eye.diameter) ** 2:
                base = ends[int(rng.integers(len(ends)))]
            centre = base + rng.normal(0, 9, 2)
        elif rng.random() < 0.6:
            centre = foci[int(rng.integers(len(foci)))] + rng.normal(0, 45, 2)
        else:
            centre = sample_position(rng, eye, 1.35)
        if not is_clear_of_disc(eye, centre):
            continue
        area = sample_lognormal(rng, 23.5, 0.66, 6, 110)
        shape = sample_outline(rng, centre, area, aspect=float(rng.uniform(1, 1.35)), rough=0.12)
        lesions.append(Lesion("MA", "dot", np.round(centre, 6), (shape,), float(rng.uniform(0.35, 1.0))))
    return lesions


def sample_hemorrhages(rng: np.random.Generator, eye: Eye, count: int, *, scale: float = 1.0) -> list[Lesion]:
    """Sample hemorrhages: dots and blots in the deep retina, flames along the nerve fibres.

    Args:
        rng: Source of randomness.
        eye: The eye.
        count: Number of hemorrhages, less those on the disc.
        scale: Multiplies their areas.
    """
    lesions = []
    foci = [sample_position(rng, eye, 1.5) for _ in range(1 + count // 7)]
    for _ in range(count):
        centre = sample_position(rng, eye, 1.5)
        if rng.random() < 0.5:
            centre = foci[int(rng.integers(len(foci)))] + rng.normal(0, 55, 2)
        if not is_clear_of_disc(eye, centre):
            continue
        area = sample_lognormal(rng, 190 * scale, 1.25, 40, 20000)
        strength = float(rng.uniform(0.4, 1.0))
        chance = rng.random()
        local = eye.from_frame(centre)
        near_disc = float((local * local).sum()) < 9
        if area > 90 and chance < (0.45 if near_disc else 0.2):
            lesions.append(_sample_flame(rng, eye, centre, area, strength))
        elif area > 450:
            lesions.append(_sample_blot(rng, centre, area, strength))
        else:
            shape = sample_outline(rng, centre, area, aspect=float(rng.uniform(1, 1.7)), rough=0.25)
            lesions.append(Lesion("HE", "dot" if area < 160 else "blot", np.round(centre, 6), (shape,), strength))
    return lesions


def _sample_blot(rng: np.random.Generator, centre: Points, area: float, strength: float) -> Lesion:
    parts = int(rng.integers(2, 5))
    radius = (area / np.pi) ** 0.5
    outlines = [sample_outline(rng, centre, area * 0.62, aspect=float(rng.uniform(1, 1.5)), rough=0.28)]
    for _ in range(parts):
        at = centre + rng.normal(0, radius * 0.62, 2)
        outlines.append(sample_outline(rng, at, area * float(rng.uniform(0.1, 0.3)), aspect=1.3, rough=0.3))
    return Lesion("HE", "blot", np.round(centre, 6), tuple(outlines), strength)


def _sample_flame(rng: np.random.Generator, eye: Eye, centre: Points, area: float, strength: float) -> Lesion:
    """Sample a hemorrhage in the nerve-fibre layer: parallel spindles along the fibres, ragged at both ends."""
    direction = compute_fiber_direction(eye.from_frame(centre))
    ahead = eye.to_frame(eye.from_frame(centre) + direction) - eye.to_frame(eye.from_frame(centre))
    angle = float(round_off(np.arctan2(ahead[1], ahead[0])))
    axis = np.array([float(round_off(np.cos(angle))), float(round_off(np.sin(angle)))])
    across = np.array([-axis[1], axis[0]])
    strands = int(np.clip(area / 70, 2, 9))
    width = (area / 3.4) ** 0.5 * 0.8
    outlines = []
    for _ in range(strands):
        at = centre + across * rng.normal(0, width * 0.42) + axis * rng.normal(0, width * 0.55)
        piece = area / strands * float(rng.uniform(0.8, 1.9))
        outlines.append(
            sample_outline(
                rng, at, piece, aspect=float(rng.uniform(2.5, 5)), angle=angle + float(rng.normal(0, 0.12)), rough=0.22
            )
        )
    return Lesion("HE", "flame", np.round(centre, 6), tuple(outlines), strength)


def sample_preretinal_hemorrhage(rng: np.random.Generator, eye: Eye) -> Lesion:
    """Sample a boat-shaped hemorrhage in front of the retina: level on top, round below."""
    centre = sample_position(rng, eye, 1.5, 0.9)
    width, depth = float(rng.uniform(50, 120)), float(rng.uniform(25, 60))
    turns = np.linspace(0, np.pi, 15)
    keel = np.stack([width * round_off(np.cos(turns)), depth * round_off(np.sin(turns))], axis=1)
    keel += rng.normal(0, 1.5, keel.shape)
    return Lesion("HE", "preretinal", centre, (np.round(centre + keel, 6),), 1.0)


def sample_soft_exudates(rng: np.random.Generator, eye: Eye, count: int) -> list[Lesion]:
    """Sample cotton-wool spots: pale, feathery patches in the nerve-fibre layer, along the arcades."""
    lesions = []
    for _ in range(count):
        centre = eye.fovea
        for _ in range(40):
            angle = float(rng.normal(0, 1.2))
            distance = float(rng.uniform(0.8, 2.9))
            side = 1 if rng.random() < 0.5 else -1
            local = np.array([round_off(np.cos(angle)), side * abs(float(round_off(np.sin(angle))))]) * distance
            centre = eye.to_frame(local)
            from_fovea = centre - eye.fovea
            if is_clear_of_disc(eye, centre, 0.75) and (from_fovea * from_fovea).sum() > (0.9 * eye.diameter) ** 2:
                break
        else:
            continue
        area = sample_lognormal(rng, 1200, 0.8, 280, 7500)
        main = sample_outline(rng, centre, area * 0.75, aspect=float(rng.uniform(1, 1.8)), rough=0.16)
        radius = (area / np.pi) ** 0.5
        outlines = [main]
        for _ in range(int(rng.integers(1, 4))):
            at = centre + rng.normal(0, radius * 0.55, 2)
            outlines.append(sample_outline(rng, at, area * float(rng.uniform(0.12, 0.32)), aspect=1.4, rough=0.2))
        lesions.append(Lesion("SE", "cotton wool", np.round(centre, 6), tuple(outlines), float(rng.uniform(0.35, 1))))
    return lesions
