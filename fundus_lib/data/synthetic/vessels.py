"""Arteries and veins: trees that grow out of the disc along the arcades, branch, taper and wind."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fundus_lib.data.synthetic.anatomy import Eye
from fundus_lib.data.synthetic.canvas import Canvas, Layer, Points

_STEP = 0.05  # disc diameters
_THINNEST = 0.0095
_FOVEAL_ZONE = 0.32  # radius without vessels
_CELL = 0.07
_POOL = 16384  # random numbers sampled at once


@dataclass(frozen=True)
class Vessel:
    """One unbranched piece of a tree.

    Attributes:
        points: (N, 2) in frame units, from the disc outwards.
        widths: (N,) in frame units.
        vein: Vein or artery.
        order: 0 for a trunk, 1 for its branches, and so on.
    """

    points: Points
    widths: Points
    vein: bool
    order: int


@dataclass
class _Tip:
    x: float
    y: float
    heading: float
    width: float
    vein: bool
    order: int
    parent: int  # number of the tip that it branched from
    reach: float  # length that it may still grow
    bow: float = 0.0  # how wide a temporal trunk arches around the macula, 1 on average; 0 for all other vessels


def _compute_arcade_heading(tip: _Tip, fovea: tuple[float, float]) -> float:
    """Compute the next heading of a temporal trunk: along an ellipse about the macula, back to it after a deviation."""
    long, short = 2.75, 1.72 * tip.bow
    dx, dy = (tip.x - fovea[0] - 0.05) / long, (tip.y - 0.6 * fovea[1]) / short
    nx, ny = dx / long, dy / short
    length = max(math.hypot(nx, ny), 1e-9)
    nx, ny = nx / length, ny / length
    sense = 1.0 if tip.y < 0.6 * fovea[1] else -1.0
    deviation = max(-0.8, min(0.8, 1.6 * (math.hypot(dx, dy) - 1)))
    return math.atan2(sense * nx - deviation * ny, -sense * ny - deviation * nx)


def _turn(heading: float, towards: float, fraction: float) -> float:
    """Rotate a heading by a fraction of the angle to another one."""
    difference = (towards - heading + math.pi) % (2 * math.pi) - math.pi
    return heading + fraction * difference


def grow_vessels(rng: np.random.Generator, eye: Eye, fovea: tuple[float, float]) -> list[Vessel]:
    """Grow both trees.

    Args:
        rng: Source of randomness.
        eye: The eye.
        fovea: Its fovea in disc diameters about the disc, x temporal.

    Returns:
        The pieces, trunks first.
    """
    tips = _start_trunks(rng)
    noise = rng.normal(0, 1, _POOL).tolist()
    chance = rng.random(_POOL).tolist()
    wind = float(rng.uniform(0.10, 0.24))
    taken: dict[tuple[int, int, bool], int] = {}
    pieces: list[Vessel] = []
    used = 0
    for number, tip in enumerate(tips):  # grows during the loop: branches are appended
        path, widths, wiggle, since = [(tip.x, tip.y)], [tip.width], 0.0, 0.0
        gap = (0.5 if tip.order == 0 else 0.25) + 0.5 * chance[used % _POOL]
        outward, start = tip.heading, used
        macular = tip.order > 0 and tip.x > 0.5 and _measure_distance_to_fovea(tip, fovea) < 1.75
        while tip.width > _THINNEST and tip.reach > 0:
            k = used % _POOL
            used += 1
            if tip.bow:
                goal, fraction = _compute_arcade_heading(tip, fovea), 0.2
            elif tip.order == 0:
                goal, fraction = math.atan2(tip.y, tip.x), 0.06
            elif macular:
                goal, fraction = math.atan2(fovea[1] - tip.y, fovea[0] - tip.x), 0.03
            else:
                goal, fraction = _turn(outward, math.atan2(tip.y, tip.x), 0.35), 0.05
            tip.heading = _turn(tip.heading, goal, fraction) + 0.02 * noise[(k + 901) % _POOL]
            wiggle = 0.87 * wiggle + 0.49 * wind * (1.2 if tip.vein else 1.0) * (1 + 0.3 * tip.order) * noise[k]
            tip.x = round(tip.x + _STEP * math.cos(tip.heading + wiggle), 7)
            tip.y = round(tip.y + _STEP * math.sin(tip.heading + wiggle), 7)
            tip.width *= 0.994 if tip.order else 0.996
            tip.reach -= _STEP
            since += _STEP
            from_disc = math.hypot(tip.x, tip.y)
            cell = (math.floor(tip.x / _CELL), math.floor(tip.y / _CELL), tip.vein)
            owner = taken.setdefault(cell, number)
            crossing = owner not in (number, tip.parent) and used - start > 5 and from_disc > 0.6
            if crossing and tip.width < 0.03:  # two vessels of one kind do not cross; a large one continues
                break
            if _measure_distance_to_fovea(tip, fovea) < _FOVEAL_ZONE or from_disc > 6.5:
                break
            path.append((tip.x, tip.y))
            widths.append(tip.width)
            if since > gap and tip.order < 4 and tip.width > 0.0125 and from_disc > 0.7 and len(tips) < 170:
                side = 1 if chance[(k + 77) % _POOL] < 0.5 else -1
                fraction = 0.40 + 0.38 * chance[(k + 191) % _POOL]
                angle = side * (0.6 + 0.55 * chance[(k + 333) % _POOL])
                child = tip.width * fraction
                reach = (2.6, 1.5, 0.9, 0.6)[tip.order] * (0.4 + chance[(k + 444) % _POOL])
                tips.append(_Tip(tip.x, tip.y, tip.heading + angle, child, tip.vein, tip.order + 1, number, reach))
                tip.width = (tip.width**3 - 0.7 * child**3) ** (1 / 3)
                tip.heading -= angle * 0.22 * fraction
                since, gap = 0.0, 0.3 + 0.6 * chance[(k + 555) % _POOL]
        if len(path) > 3:
            across = np.array(widths) * eye.diameter
            across[-12:] *= np.linspace(1, 0.45, len(across[-12:]))
            pieces.append(Vessel(eye.to_frame(path), np.round(across, 6), tip.vein, tip.order))
    return pieces


def _measure_distance_to_fovea(tip: _Tip, fovea: tuple[float, float]) -> float:
    """Measure the distance from a tip to the fovea."""
    return math.hypot(tip.x - fovea[0], tip.y - fovea[1])


def _start_trunks(rng: np.random.Generator) -> list[_Tip]:
    """Start four trunks each of arteries and veins, and small vessels across the disc's temporal margin."""
    tips = []
    for vein in (True, False):
        root_x, width = (0.02, 0.082) if vein else (-0.06, 0.06)
        for side in (-1, 1):
            for heading, fraction, reach in ((1.45, 1.0, 7.0), (2.2, 0.75, 4.0)):
                angle = side * (heading + float(rng.normal(0, 0.14)) + (0.12 if vein else -0.1))
                bow = float(rng.uniform(0.86, 1.14)) if heading < 2 else 0.0
                size = width * fraction * float(rng.uniform(0.85, 1.15))
                x, y = root_x + float(rng.normal(0, 0.03)) - 0.08, side * float(rng.uniform(0.02, 0.1))
                tips.append(_Tip(round(x, 7), round(y, 7), angle, size, vein, 0, -1, reach, bow))
        for _ in range(int(rng.integers(1, 4))):  # cilioretinal and small nasal vessels
            angle = float(rng.normal(0, 0.5)) + (0 if rng.random() < 0.55 else math.pi)
            x, y = 0.3 * math.cos(angle), 0.3 * math.sin(angle)
            size = width * float(rng.uniform(0.22, 0.42))
            tips.append(_Tip(round(x, 7), round(y, 7), angle, size, vein, 1, -1, float(rng.uniform(1.2, 2.4))))
    return tips


def draw_vessels(canvas: Canvas, vessels: list[Vessel]) -> tuple[Layer, Layer, Layer]:
    """Draw both trees.

    Args:
        canvas: Canvas of the image's size.
        vessels: Vessels of both kinds.

    Returns:
        Absorption by arteries and by veins, less along the central light reflex, and the vessels' mask {0, 1}; each
        uint8 (height, width).
    """
    layers = []
    whole = canvas.create_surface()
    for vein in (False, True):
        surface = canvas.create_surface()
        for vessel in vessels:
            if vessel.vein == vein:
                value = 110 + int(145 * min(1.0, float(vessel.widths[0]) / 6.5))
                canvas.draw_line(surface, vessel.points, vessel.widths, value)
        np.maximum(whole, surface, out=whole)
        for vessel in vessels:
            if vessel.vein == vein and vessel.widths[0] > 4.5:
                wide = vessel.widths > 4.0
                count = int(np.count_nonzero(wide))
                canvas.draw_line(surface, vessel.points[:count], vessel.widths[:count] * 0.28, 150 if vein else 95)
        layers.append(canvas.blur(canvas.downsample(surface), 0.8))
    return layers[0], layers[1], canvas.to_mask(whole)
