"""Arteries and veins: trees that grow out of the disc along the arcades, branch, taper and wind."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fundus_lib.data.synthetic.anatomy import _SINK_STRENGTH, _SINKS, Eye
from fundus_lib.data.synthetic.canvas import Canvas, Layer, Points

_STEP = 0.05  # disc diameters
_THINNEST = 0.0095
_FOVEAL_ZONE = 0.32  # radius without vessels
_CELL = 0.07


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
    tree: int
    reach: float  # length that it may still grow


def _flow_heading(x: float, y: float) -> float:
    """Scalar twin of `anatomy.fibre_direction`: growing tips ask one point at a time."""
    square = max(x * x + y * y, 1e-4)
    u, v = x / square, y / square
    for sink in (2.6, 3.4, 4.4, 5.6, 7.0):
        dx = x - sink
        square = max(dx * dx + y * y, 0.04)
        u, v = u - _SINK_STRENGTH * dx / square, v - _SINK_STRENGTH * y / square
    return math.atan2(v, u)


def _turn(heading: float, towards: float, share: float) -> float:
    """Rotate a heading by a share of the way to another one."""
    difference = (towards - heading + math.pi) % (2 * math.pi) - math.pi
    return heading + share * difference


def grow_vessels(rng: np.random.Generator, eye: Eye, fovea: tuple[float, float]) -> list[Vessel]:
    """Grow both trees.

    Args:
        rng: Source of randomness.
        eye: The eye.
        fovea: Its fovea in disc diameters about the disc, x temporal.

    Returns:
        The pieces, trunks first.
    """
    tips = _trunks(rng)
    noise = rng.normal(0, 1, 16384).tolist()
    chance = rng.random(16384).tolist()
    wind = float(rng.uniform(0.06, 0.16))
    taken: dict[tuple[int, int, bool], int] = {}
    pieces, drawn = [], 0
    while tips and drawn < 5200:
        tip = tips.pop(0)
        path, widths, drift = [(tip.x, tip.y)], [tip.width], 0.0
        since, gap = 0.0, 0.12 + 0.5 * chance[drawn % 16384]
        start = drawn
        macular_branch = tip.order > 0 and abs(tip.y) < 2.4 and tip.x > 0.4
        outward = tip.heading
        while tip.width > _THINNEST and tip.reach > 0:
            k = drawn % 16384
            drawn += 1
            drift = 0.8 * drift + wind * (1.25 if tip.vein else 1.0) * noise[k] * (1 + 0.35 * tip.order)
            to_fovea = math.hypot(tip.x - fovea[0], tip.y - fovea[1])
            if tip.order == 0:
                goal, share = _flow_heading(tip.x, tip.y), 0.14
            elif macular_branch and to_fovea < 2.2:
                goal, share = math.atan2(fovea[1] - tip.y, fovea[0] - tip.x), 0.035
            else:
                goal, share = _turn(outward, math.atan2(tip.y, tip.x), 0.4), 0.05
            tip.heading = _turn(tip.heading, goal, share) + drift * 0.55
            tip.x = round(tip.x + _STEP * math.cos(tip.heading), 7)
            tip.y = round(tip.y + _STEP * math.sin(tip.heading), 7)
            tip.width *= 0.993 if tip.order else 0.9955
            tip.reach -= _STEP
            since += _STEP
            cell = (math.floor(tip.x / _CELL), math.floor(tip.y / _CELL), tip.vein)
            if taken.setdefault(cell, tip.tree) != tip.tree and drawn - start > 6 and math.hypot(tip.x, tip.y) > 0.7:
                break
            if math.hypot(tip.x - fovea[0], tip.y - fovea[1]) < _FOVEAL_ZONE:
                break
            path.append((tip.x, tip.y))
            widths.append(tip.width)
            if math.hypot(tip.x, tip.y) > 6.5:
                break
            if since > gap and tip.order < 4 and tip.width > 0.013 and math.hypot(tip.x, tip.y) > 0.45:
                side = 1 if chance[(k + 77) % 16384] < 0.5 else -1
                share = 0.42 + 0.38 * chance[(k + 191) % 16384]
                angle = side * (0.55 + 0.6 * chance[(k + 333) % 16384])
                child = tip.width * share
                reach = (2.6 if tip.order == 0 else 1.5) * (0.35 + chance[(k + 444) % 16384])
                tips.append(_Tip(tip.x, tip.y, tip.heading + angle, child, tip.vein, tip.order + 1, tip.tree, reach))
                tip.width = (tip.width**3 - 0.7 * child**3) ** (1 / 3)
                tip.heading -= angle * 0.22 * share
                since, gap = 0.0, 0.16 + 0.55 * chance[(k + 555) % 16384]
        if len(path) > 3:
            smooth = eye.to_frame(path)
            pieces.append(Vessel(smooth, np.round(np.array(widths) * eye.diameter, 6), tip.vein, tip.order))
    return pieces


def _trunks(rng: np.random.Generator) -> list[_Tip]:
    """Four trunks each of arteries and veins, and small vessels across the disc's temporal margin."""
    tips = []
    tree = 0
    for vein in (True, False):
        root_x, width = (0.02, 0.082) if vein else (-0.06, 0.06)
        for side in (-1, 1):
            for heading, share, reach in ((1.35, 1.0, 6.5), (2.1, 0.8, 4.0)):
                angle = side * (heading + float(rng.normal(0, 0.14)) + (0.12 if vein else -0.1))
                size = width * share * float(rng.uniform(0.85, 1.15))
                x, y = root_x + float(rng.normal(0, 0.03)) - 0.08, side * float(rng.uniform(0.02, 0.1))
                tips.append(_Tip(round(x, 7), round(y, 7), angle, size, vein, 0, tree, reach))
                tree += 1
        for _ in range(int(rng.integers(1, 4))):  # cilioretinal and small nasal vessels
            angle = float(rng.normal(0, 0.5)) + (0 if rng.random() < 0.55 else math.pi)
            x, y = 0.3 * math.cos(angle), 0.3 * math.sin(angle)
            size = width * float(rng.uniform(0.22, 0.42))
            tips.append(_Tip(round(x, 7), round(y, 7), angle, size, vein, 1, tree, float(rng.uniform(1.2, 2.4))))
            tree += 1
    return tips


def vessel_layers(canvas: Canvas, vessels: list[Vessel]) -> tuple[Layer, Layer, Layer]:
    """Draw both trees.

    Args:
        canvas: Where to draw.
        vessels: What to draw.

    Returns:
        Absorption by arteries and by veins, less along the central light reflex, and the vessels' mask {0, 1}; each
        uint8 (height, width).
    """
    layers = []
    whole = canvas.blank()
    for vein in (False, True):
        surface = canvas.blank()
        for vessel in vessels:
            if vessel.vein == vein:
                value = 255 if vessel.widths[0] > 5 else 205
                canvas.line(surface, vessel.points, vessel.widths, value)
        np.maximum(whole, surface, out=whole)
        for vessel in vessels:
            if vessel.vein == vein and vessel.widths[0] > 4.5:
                wide = vessel.widths > 4.0
                count = int(np.count_nonzero(wide))
                canvas.line(surface, vessel.points[:count], vessel.widths[:count] * 0.26, 175 if vein else 120)
        layers.append(canvas.blur(canvas.shrink(surface), 0.8))
    return layers[0], layers[1], canvas.mask(whole)


assert _SINKS.size == 5
