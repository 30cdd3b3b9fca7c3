"""Painting the retina: pigment, choroid, nerve fibres, disc and fovea, vessels, lesions, in the order of depth."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fundus_lib.data.synthetic.anatomy import Eye, compute_fiber_direction
from fundus_lib.data.synthetic.canvas import Canvas, Layer, Points, round_off, sample_outline, smooth_corners
from fundus_lib.data.synthetic.distractors import Distractor
from fundus_lib.data.synthetic.grades import Lesion

Rgb = tuple[float, float, float]
f32 = np.float32


class Painting:
    """Three planes of reflected light, red, green, blue, each float32 (height, width), 0-255."""

    def __init__(self, canvas: Canvas, rgb: Points):
        self.canvas = canvas
        self.planes = [np.full(canvas.size, value, f32) for value in rgb.tolist()]

    def absorb(self, layer: npt.NDArray[np.generic], colour: Rgb, full: float = 255.0) -> None:
        """Absorb light by a layer.

        Args:
            layer: (height, width), `full` where it absorbs most.
            colour: Fraction of red, green and blue light that it absorbs there; negative brightens.
            full: The layer's greatest value.
        """
        values = layer.astype(f32, copy=False)
        for plane, fraction in zip(self.planes, colour, strict=True):
            if fraction:
                plane *= f32(1) - values * f32(fraction / full)

    def cover(self, layer: npt.NDArray[np.generic], rgb: Rgb, opacity: float = 1.0, full: float = 255.0) -> None:
        """Cover with a colour.

        Args:
            layer: (height, width), `full` where it covers most.
            rgb: The colour, 0-255.
            opacity: How much it covers there, 0-1.
            full: The layer's greatest value.
        """
        alpha = layer.astype(f32, copy=False) * f32(opacity / full)
        for plane, value in zip(self.planes, rgb, strict=True):
            plane += alpha * (f32(value) - plane)


def paint_background(rng: np.random.Generator, painting: Painting, eye: Eye) -> None:
    """Paint pigment epithelium, choroid, the dark macula and the sheen of the nerve fibres."""
    canvas = painting.canvas
    mottle = canvas.sample_texture(rng, 160) * f32(rng.uniform(0.04, 0.13)) + canvas.sample_texture(rng, 45) * f32(
        rng.uniform(0.03, 0.07)
    )
    grain = canvas.sample_texture(rng, 2.5) * f32(rng.uniform(0.02, 0.05))
    grain += canvas.sample_texture(rng, 9) * f32(rng.uniform(0.02, 0.05)) + canvas.sample_texture(rng, 4) * f32(
        rng.uniform(0.02, 0.06)
    )
    painting.absorb(mottle + grain, (0.55, 1.0, 1.0), 1.0)
    hue = canvas.sample_texture(rng, 230)
    painting.absorb(hue, (float(rng.uniform(0, 0.08)), float(rng.uniform(0.05, 0.2)), float(rng.uniform(0, 0.3))), 1.0)
    far = f32(1) - canvas.compute_bump(eye.fovea, 1.9 * eye.diameter)
    tessellation = float(rng.uniform(0, 1)) ** 2
    choroid = canvas.blur(_draw_choroid(rng, canvas, eye), 4.5)
    painting.absorb(choroid * far, (-0.24 * tessellation, -0.26 * tessellation, 0.25 * tessellation))
    painting.absorb(far, (0.14 * tessellation, 0.14 * tessellation, 0.0), 1.0)
    depth = float(rng.uniform(0.6, 1.3))
    painting.absorb(canvas.compute_bump(eye.fovea, 0.85 * eye.diameter), (0.06 * depth, 0.09 * depth, 0.06), 1.0)
    painting.absorb(canvas.compute_bump(eye.fovea, 0.33 * eye.diameter), (0.07 * depth, 0.17 * depth, 0.12), 1.0)
    sheen = float(rng.uniform(0, 1)) ** 1.5
    fibres = canvas.blur(_draw_fibers(rng, canvas, eye), 0.7)
    painting.absorb(fibres, (-0.05 * sheen, -0.13 * sheen, -0.12 * sheen))
    red, green, blue = (float(v) for v in eye.rgb)
    for side in (-1, 1):  # the thick fibre bundles above and below the disc shine pale
        at = eye.to_frame((0.45, side * 0.95))
        pale = canvas.compute_bump(at, 0.75 * eye.diameter, 1.2)
        painting.cover(pale, (red * 1.04, green * 1.28, blue * 1.35 + 6), 0.55 * sheen + 0.12, 1.0)


def _draw_choroid(rng: np.random.Generator, canvas: Canvas, eye: Eye) -> Layer:
    """Draw broad vessels of the choroid, running outwards and winding."""
    surface = canvas.create_surface()
    count = 200
    start = np.stack([rng.uniform(40, 1300, count), rng.uniform(-40, 1000, count)], axis=1)
    away = start - (eye.fovea + eye.disc) / 2
    heading = round_off(np.arctan2(away[:, 1], away[:, 0])) + rng.normal(0, 0.6, count)
    paths = [start]
    for _ in range(14):
        heading = heading + rng.normal(0, 0.35, count)
        paths.append(
            np.round(paths[-1] + 15 * np.stack([round_off(np.cos(heading)), round_off(np.sin(heading))], axis=1), 6)
        )
    lines = np.stack(paths, axis=1)
    widths = rng.uniform(5, 13, count)
    for line, width, value in zip(lines, widths.tolist(), rng.integers(90, 256, count).tolist(), strict=True):
        canvas.draw_line(surface, line, [width] * 15, value)
    return canvas.downsample(surface)


def _draw_fibers(rng: np.random.Generator, canvas: Canvas, eye: Eye) -> Layer:
    """Draw fine striae of the nerve-fibre layer, strongest near the disc."""
    surface = canvas.create_surface()
    count = 260
    turns, far = rng.uniform(0, 2 * np.pi, count), rng.uniform(0.55, 2.2, count)
    points = np.stack([round_off(np.cos(turns)), round_off(np.sin(turns))], axis=1) * far[:, None]
    paths = [points]
    for _ in range(9):
        paths.append(np.round(paths[-1] + 0.085 * compute_fiber_direction(paths[-1]), 9))
    lines = eye.to_frame(np.stack(paths, axis=1))
    values = (rng.uniform(60, 230, count) / np.maximum(far, 1.0)).astype(int).tolist()
    for line, value in zip(lines, values, strict=True):
        canvas.draw_line(surface, line, [1.0] * 9, int(value))
    return canvas.downsample(surface)


def paint_disc(rng: np.random.Generator, painting: Painting, eye: Eye) -> Layer:
    """Paint the optic disc with rim and cup.

    Returns:
        The disc's mask, uint8 {0, 1} (height, width).
    """
    canvas, d = painting.canvas, eye.diameter
    red, green, blue = (float(v) for v in eye.rgb)
    area = np.pi / 4 * d * d
    outline = sample_outline(
        rng, eye.disc, area, aspect=float(rng.uniform(1.02, 1.2)), angle=1.57 + float(rng.normal(0, 0.2)), rough=0.02
    )
    smooth = smooth_corners(outline)
    around = canvas.blur(canvas.draw_coverage([eye.disc + (smooth - eye.disc) * 1.12]), 7)
    ring = float(rng.uniform(-0.12, 0.22))  # a dark pigment ring, or a pale halo
    painting.absorb(around, (ring * 0.5, ring, ring * 0.4))
    painting.absorb(canvas.compute_bump(eye.disc, 1.15 * d), (-0.13, -0.2, -0.3), 1.0)
    surface = canvas.create_surface()
    canvas.fill_polygon(surface, smooth)
    whole = canvas.downsample(surface)
    bright = float(rng.uniform(0.85, 1.15))
    rim = (min(255.0, red * 1.42 * bright), green * 1.62 * bright, blue * 1.5 * bright + 8)
    cup = (255.0, min(240.0, green * 2.25 * bright + 10), min(215.0, blue * 2.2 * bright + 25))
    edge = canvas.blur(whole, float(rng.uniform(2.0, 6.0)))
    painting.cover(edge, rim, 0.93)
    size = float(rng.uniform(0.3, 0.62)) * d
    middle = eye.to_frame((float(rng.uniform(0.02, 0.16)), float(rng.normal(0, 0.03))))
    inner = smooth_corners(sample_outline(rng, middle, np.pi / 4 * size * size, aspect=1.15, angle=1.57, rough=0.05))
    painting.cover(
        canvas.blur(canvas.draw_coverage([inner]), float(rng.uniform(6, 16))), cup, float(rng.uniform(0.5, 0.95))
    )
    temporal = canvas.compute_bump(eye.to_frame((0.3, 0.0)), 0.3 * d) * edge.astype(f32)
    painting.cover(temporal, cup, 0.35)
    return canvas.to_mask(surface)


def compute_blue_fraction(eye: Eye) -> float:
    """Compute the fraction of blue light that blood can absorb: 0-1, less in orange eyes."""
    return min(1.0, float(eye.rgb[2]) / 45)


def paint_vessels(painting: Painting, eye: Eye, arteries: Layer, veins: Layer, contrast: float) -> None:
    """Paint columns of blood: arteries brighter, veins darker; where they cross, the artery lies on top."""
    bluish = compute_blue_fraction(eye)
    arterial = arteries.astype(f32)
    venous = veins.astype(f32) * (f32(1) - arterial * f32(0.7 / 255))
    painting.absorb(arterial, (0.03 * contrast, 0.33 * contrast, 0.30 * contrast * bluish))
    painting.absorb(venous, (0.15 * contrast, 0.48 * contrast, 0.42 * contrast * bluish))


def paint_exudates(rng: np.random.Generator, painting: Painting, eye: Eye, lesions: list[Lesion]) -> Layer | None:
    """Paint hard exudates, from pale to saturated yellow.

    Returns:
        Their surface, on which every painted pixel belongs to one; None without any.
    """
    if not lesions:
        return None
    canvas = painting.canvas
    surface = canvas.create_surface()
    for lesion in lesions:
        for outline in lesion.outlines:
            canvas.fill_polygon(surface, outline, int(255 * lesion.strength))
    sharp = canvas.downsample(surface)
    alpha = canvas.blur(sharp, float(rng.uniform(0.6, 1.3))).astype(f32) * f32(0.68)
    alpha += canvas.blur(sharp, 3.5).astype(f32) * f32(0.5)  # large deposits are brightest in the middle
    alpha *= f32(0.95) + f32(0.22) * canvas.sample_texture(rng, 3) + f32(0.2) * canvas.sample_texture(rng, 12)
    alpha = np.minimum(alpha, f32(255))
    red, green, blue = (float(v) for v in eye.rgb)
    pale = float(rng.uniform(0, 1)) ** 3
    bright = min(255.0, red * 1.3)
    yellow = min(0.93 * bright, max(green * float(rng.uniform(1.65, 2.5)), 0.62 * red))
    colour = (bright, yellow, min(blue * 1.55 + 6 + 80 * pale, 0.85 * yellow))
    painting.cover(np.maximum(alpha, 0), colour, float(rng.uniform(0.7, 1.0)))
    return surface


def paint_soft(rng: np.random.Generator, painting: Painting, eye: Eye, lesions: list[Lesion]) -> Layer | None:
    """Paint soft exudates, pale greyish patches that hide the vessels in part; returns their surface."""
    if not lesions:
        return None
    canvas = painting.canvas
    surface = canvas.create_surface()
    for lesion in lesions:
        for outline in lesion.outlines:
            canvas.fill_polygon(surface, outline, int(255 * lesion.strength))
    alpha = canvas.blur(canvas.downsample(surface), 4.0).astype(f32) * (
        f32(0.85) + f32(0.4) * canvas.sample_texture(rng, 6)
    )
    red, green, blue = (float(v) for v in eye.rgb)
    painting.cover(np.maximum(alpha, 0), (min(250.0, red * 1.12), min(red, green * 1.65 + 6), blue * 1.3 + 12), 0.8)
    return surface


def paint_blood(
    rng: np.random.Generator, painting: Painting, lesions: list[Lesion], blur: float, absorbed: Rgb
) -> Layer | None:
    """Paint microaneurysms or haemorrhages as absorbed light; returns their surface."""
    if not lesions:
        return None
    canvas = painting.canvas
    surface = canvas.create_surface()
    for lesion in lesions:
        for outline in lesion.outlines:
            canvas.fill_polygon(surface, outline, int(255 * min(1.0, lesion.strength)))
    alpha = canvas.blur(canvas.downsample(surface), blur).astype(f32) * (
        f32(0.85) + f32(0.35) * canvas.sample_texture(rng, 7)
    )
    painting.absorb(np.maximum(alpha, 0), absorbed)
    return surface


def paint_proliferation(painting: Painting, lesions: list[Lesion]) -> None:
    """Paint new vessels, shunt vessels and blood in the vitreous."""
    canvas = painting.canvas
    surface = canvas.create_surface()
    for lesion in lesions:
        if lesion.kind in ("NV", "IRMA"):
            for line in lesion.outlines:
                canvas.draw_line(surface, line, [2.0] * len(line), int(230 * lesion.strength))
    painting.absorb(canvas.blur(canvas.downsample(surface), 0.7), (0.08, 0.42, 0.15))
    for lesion in lesions:
        if lesion.kind == "VH":
            cloud = canvas.compute_bump(lesion.centre, 230, 0.7)
            painting.cover(cloud, (95.0, 22.0, 6.0), 0.85 * lesion.strength, 1.0)


def paint_distractors(painting: Painting, distractors: list[Distractor]) -> Layer:
    """Paint distractors; returns their mask, uint8 {0, 1} (height, width)."""
    canvas = painting.canvas
    everything = canvas.create_surface()
    for mark in distractors:
        surface = canvas.create_surface()
        for outline, value in zip(mark.outlines, mark.values, strict=True):
            canvas.fill_polygon(surface, outline, value)
        np.maximum(everything, surface, out=everything)
        painting.cover(canvas.blur(canvas.downsample(surface), mark.blur), mark.rgb, mark.opacity)
    return canvas.to_mask(everything)
