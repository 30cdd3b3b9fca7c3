"""Distractors, which resemble lesions but are in no mask: drusen, reflexes, pale crescents, dust, laser scars."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fundus_lib.data.synthetic.anatomy import Eye
from fundus_lib.data.synthetic.canvas import Points, round_off, sample_outline
from fundus_lib.data.synthetic.lesions import sample_lognormal, sample_position
from fundus_lib.data.synthetic.vessels import Vessel


@dataclass(frozen=True)
class Distractor:
    """Distractors of one kind.

    Attributes:
        kind: Their name.
        outlines: Closed outlines, each (N, 2) in frame units.
        values: Strength of each, 1-255.
        rgb: Colour, 0-255.
        opacity: 0-1.
        blur: Softness of the edge in frame units.
        above: Above the vessels or beneath them.
    """

    kind: str
    outlines: list[Points]
    values: list[int]
    rgb: tuple[float, float, float]
    opacity: float
    blur: float
    above: bool


def sample_distractors(rng: np.random.Generator, eye: Eye, vessels: list[Vessel], dr: int) -> list[Distractor]:
    """Sample the distractors of an eye.

    Args:
        rng: Source of randomness.
        eye: The eye.
        vessels: Its vessels.
        dr: Grade of retinopathy: laser scars come with severe disease only.
    """
    red, green, blue = (float(v) for v in eye.rgb)
    pale = (min(250.0, red * 1.15), min(235.0, green * 1.5), blue * 1.4 + 14)
    distractors = []
    if rng.random() < 0.4:
        distractors.append(_sample_drusen(rng, eye, (min(250.0, red * 1.14), min(230.0, green * 1.5), blue * 1.2 + 8)))
    if rng.random() < 0.45:
        distractors.append(_sample_crescent(rng, eye, pale))
    if rng.random() < 0.5:
        distractors.append(_sample_reflexes(rng, eye, vessels, pale))
    if rng.random() < 0.35:
        distractors.append(_sample_pigment(rng, eye, (red * 0.62, green * 0.58, blue * 0.7)))
    if rng.random() < 0.3:
        distractors.append(_sample_dust(rng, eye, (red * 0.85 + 18, green * 0.9 + 22, blue + 30)))
    if rng.random() < 0.12:
        distractors.append(_sample_ghost(rng, eye, (min(255.0, red * 1.1 + 30), green + 70, blue + 80)))
    if dr >= 3 and rng.random() < 0.25:
        distractors += _sample_laser_scars(rng, eye, pale)
    return distractors


def _sample_drusen(rng: np.random.Generator, eye: Eye, rgb: tuple[float, float, float]) -> Distractor:
    count = int(rng.integers(8, 70))
    centre = sample_position(rng, eye, 0.5, 0.9)
    spots = [centre + rng.normal(0, 0.5 * eye.diameter, 2) for _ in range(count)]
    outlines = [sample_outline(rng, p, sample_lognormal(rng, 22, 0.7, 6, 160), aspect=1.15, rough=0.06) for p in spots]
    return Distractor(
        "drusen", outlines, rng.integers(90, 230, count).tolist(), rgb, float(rng.uniform(0.25, 0.6)), 2.2, False
    )


def _sample_crescent(rng: np.random.Generator, eye: Eye, rgb: tuple[float, float, float]) -> Distractor:
    """Sample atrophy beside the disc: a pale crescent on its temporal side, most often."""
    turns = float(rng.normal(0, 0.5)) + np.linspace(-1.0, 1.0, 15) * float(rng.uniform(0.6, 1.3))
    rays = np.stack([round_off(np.cos(turns)), round_off(np.sin(turns))], axis=1)
    thick = float(rng.uniform(0.04, 0.16)) * round_off(np.cos(np.linspace(-1.5, 1.5, 15)))[:, None]
    outline = eye.to_frame(np.concatenate([rays * 0.49, (rays * (0.51 + thick))[::-1]]))
    return Distractor("crescent", [outline], [255], rgb, float(rng.uniform(0.35, 0.8)), 2.5, False)


def _sample_reflexes(
    rng: np.random.Generator, eye: Eye, vessels: list[Vessel], rgb: tuple[float, float, float]
) -> Distractor:
    """Sample reflexes of the inner surface: pale streaks beside large vessels, sometimes a ring about the fovea."""
    large = [v for v in vessels if v.widths[0] > 5 and len(v.points) > 24]
    outlines: list[Points] = []
    for _ in range(int(rng.integers(3, 18))):
        if not large:
            break
        vessel = large[int(rng.integers(len(large)))]
        k = int(rng.integers(8, len(vessel.points) - 4))
        along = vessel.points[k + 2] - vessel.points[k - 2]
        angle = float(round_off(np.arctan2(along[1], along[0])))
        across = np.array([-along[1], along[0]]) / max(1e-6, float((along * along).sum()) ** 0.5)
        at = vessel.points[k] + across * float(vessel.widths[k] * rng.choice([-1.0, 1.0]) * rng.uniform(0.7, 2.2))
        area = sample_lognormal(rng, 90, 0.8, 20, 700)
        outlines.append(sample_outline(rng, at, area, aspect=float(rng.uniform(3, 8)), angle=angle, rough=0.2))
    if rng.random() < 0.3:
        turns = np.arange(40) * (2 * np.pi / 40)
        radius = float(rng.uniform(0.28, 0.5)) * eye.diameter
        ring = np.stack([1.2 * round_off(np.cos(turns)), round_off(np.sin(turns))], axis=1) * radius
        outlines += [
            eye.fovea + np.concatenate([ring[k : k + 3], ring[k : k + 3][::-1] * 0.95])
            for k in range(0, 40, 3)
            if rng.random() < 0.7
        ]
    values = rng.integers(80, 256, len(outlines)).tolist()
    return Distractor("reflex", outlines, values, rgb, float(rng.uniform(0.25, 0.7)), 1.6, True)


def _sample_pigment(rng: np.random.Generator, eye: Eye, rgb: tuple[float, float, float]) -> Distractor:
    count = int(rng.integers(2, 16))
    outlines = [
        sample_outline(rng, sample_position(rng, eye, 1.8), sample_lognormal(rng, 30, 0.8, 8, 300), rough=0.15)
        for _ in range(count)
    ]
    return Distractor("pigment", outlines, rng.integers(90, 256, count).tolist(), rgb, 0.6, 1.8, False)


def _sample_dust(rng: np.random.Generator, eye: Eye, rgb: tuple[float, float, float]) -> Distractor:
    """Sample dust on the lens: round grey spots out of focus."""
    count = int(rng.integers(1, 7))
    spots = [eye.view_centre + rng.uniform(-1, 1, 2) * np.array([480, 430]) for _ in range(count)]
    outlines = [sample_outline(rng, p, sample_lognormal(rng, 160, 0.7, 40, 900), rough=0.03) for p in spots]
    return Distractor(
        "dust", outlines, rng.integers(110, 256, count).tolist(), rgb, float(rng.uniform(0.15, 0.4)), 3.0, True
    )


def _sample_ghost(rng: np.random.Generator, eye: Eye, rgb: tuple[float, float, float]) -> Distractor:
    """Sample a ghost image of the flash: one large bright spot."""
    at = eye.view_centre + rng.normal(0, 160, 2)
    return Distractor(
        "ghost",
        [sample_outline(rng, at, float(rng.uniform(300, 3500)), rough=0.04)],
        [255],
        rgb,
        float(rng.uniform(0.2, 0.5)),
        7,
        True,
    )


def _sample_laser_scars(rng: np.random.Generator, eye: Eye, pale: tuple[float, float, float]) -> list[Distractor]:
    """Sample burns of photocoagulation in a loose grid outside the arcades: pale, with dark pigment in many."""
    spots = []
    for _ in range(int(rng.integers(30, 120))):
        p = eye.view_centre + rng.uniform(-1, 1, 2) * 560
        away = p - eye.fovea
        if bool(eye.is_in_view(p, 10)) and float((away * away).sum()) > (2.0 * eye.diameter) ** 2:
            local = eye.from_frame(p)
            if float((local * local).sum()) > 1:
                spots.append(np.round(p / 34) * 34 + rng.normal(0, 6, 2))
    scars = [sample_outline(rng, p, sample_lognormal(rng, 260, 0.4, 90, 700), rough=0.08) for p in spots]
    cores = [sample_outline(rng, p, sample_lognormal(rng, 60, 0.6, 10, 200), rough=0.25) for p in spots]
    values = rng.integers(60, 230, len(scars)).tolist()
    dark = tuple(v * 0.38 for v in pale)
    return [
        Distractor("laser scar", scars, values, pale, float(rng.uniform(0.25, 0.65)), 2.5, False),
        Distractor(
            "laser pigment", cores, values, (dark[0], dark[1], dark[2]), float(rng.uniform(0.2, 0.7)), 1.5, False
        ),
    ]
