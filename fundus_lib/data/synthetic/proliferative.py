"""Signs of severe and proliferative disease without a mask: new vessels, shunt vessels, beaded veins."""

from __future__ import annotations

import numpy as np

from fundus_lib.data.synthetic.anatomy import Eye
from fundus_lib.data.synthetic.canvas import Points, round_off
from fundus_lib.data.synthetic.grades import Lesion, quadrant
from fundus_lib.data.synthetic.lesions import sample_position
from fundus_lib.data.synthetic.vessels import Vessel


def _sample_random_walk(rng: np.random.Generator, start: Points, steps: int, length: float, curl: float) -> Points:
    headings = np.cumsum(rng.normal(0, curl, steps)) + float(rng.uniform(0, 2 * np.pi))
    moves = np.stack([round_off(np.cos(headings)), round_off(np.sin(headings))], axis=1) * length
    return np.asarray(np.round(start + np.concatenate([np.zeros((1, 2)), np.cumsum(moves, axis=0)]), 6))


def sample_new_vessels(rng: np.random.Generator, eye: Eye, *, on_disc: bool) -> Lesion:
    """Sample a tuft of fine looping vessels, on the disc or at an arcade."""
    centre = eye.disc + rng.normal(0, 0.2 * eye.diameter, 2) if on_disc else sample_position(rng, eye, 1.7, 0.9)
    spread = float(rng.uniform(12, 26))
    loops = [
        _sample_random_walk(
            rng, centre + rng.normal(0, spread, 2), int(rng.integers(10, 24)), float(rng.uniform(3, 5)), 0.55
        )
        for _ in range(int(rng.integers(9, 22)))
    ]
    form = "disc" if on_disc else "elsewhere"
    return Lesion("NV", form, np.round(centre, 6), tuple(loops), float(rng.uniform(0.6, 1)))


def sample_shunt_vessels(rng: np.random.Generator, eye: Eye) -> Lesion:
    """Sample an intraretinal microvascular abnormality: a few fine, kinked vessels."""
    centre = sample_position(rng, eye, 1.6, 0.9)
    lines = [
        _sample_random_walk(rng, centre + rng.normal(0, 10, 2), int(rng.integers(8, 16)), float(rng.uniform(3, 5)), 0.7)
        for _ in range(int(rng.integers(3, 7)))
    ]
    return Lesion("IRMA", "shunt", np.round(centre, 6), tuple(lines), float(rng.uniform(0.5, 1)))


def sample_vitreous_hemorrhage(rng: np.random.Generator, eye: Eye) -> Lesion:
    """Sample blood in the vitreous: a large dim cloud, most often low in the eye, without an outline or a mask."""
    centre = eye.view_centre + np.array([rng.normal(0, 200), abs(rng.normal(220, 120))])
    return Lesion("VH", "cloud", np.round(centre, 6), (), float(rng.uniform(0.5, 1)))


def bead_veins(rng: np.random.Generator, eye: Eye, vessels: list[Vessel]) -> tuple[list[Vessel], list[Lesion]]:
    """Bead large veins in at least two quadrants, if the eye has as many.

    Args:
        rng: Source of randomness.
        eye: The eye.
        vessels: Its vessels.

    Returns:
        The vessels, some of them beaded, and one lesion per beaded stretch.
    """
    changed, lesions = list(vessels), []
    for number, vessel in enumerate(vessels):
        if not vessel.vein or vessel.widths[0] < 6 or len(vessel.points) < 30:
            continue
        begin = int(rng.integers(12, len(vessel.points) - 14))
        end = min(len(vessel.points), begin + int(rng.integers(14, 30)))
        middle = vessel.points[(begin + end) // 2]
        if not bool(eye.is_in_view(middle)):
            continue
        wave = round_off(np.sin(np.arange(end - begin) * float(rng.uniform(1.1, 1.6))))
        widths = vessel.widths.copy()
        widths[begin:end] *= 1.05 + 0.38 * wave
        changed[number] = Vessel(vessel.points, np.round(widths, 6), True, vessel.order)
        lesions.append(Lesion("VB", "beading", middle, (), 1.0))
        if len({quadrant(lesion.centre, eye.fovea) for lesion in lesions}) >= 3:
            break
    return changed, lesions
