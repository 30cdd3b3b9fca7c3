"""Drawing surface: shapes in units of a 1440×960 frame as layers of an image of any size, exact to the bit.

Floating-point results of vectorised code differ in the last bit between processors. Everything here is integer
arithmetic (polygons with fixed-point corners, 8- and 16-bit filters that OpenCV computes exactly) or elementwise
``+ − × ÷ √``, which IEEE 754 fixes to the bit. The few transcendental functions are rounded before they are used.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from fundus_lib.data.sample import Size

FRAME: Size = (960, 1440)
"""Height and width of the frame in the units that all anatomy is described in."""

Layer = npt.NDArray[Any]
Field = npt.NDArray[np.float32]
Points = npt.NDArray[np.float64]

_SHIFT = 4  # fixed-point bits of a polygon's corners


def round_off(values: npt.ArrayLike) -> Points:
    """Round away the last bits, in which processors may differ.

    Args:
        values: Results of transcendental functions.

    Returns:
        float64, rounded to nine decimals.
    """
    return np.asarray(np.round(np.asarray(values, dtype=np.float64), 9), np.float64)


class Canvas:
    """Turns shapes in frame units into anti-aliased layers of one image size.

    Shapes are drawn on a surface ``factor`` times as large and averaged down, as an image of 4288×2848 pixels
    would be: lesions keep their area at every size.

    Args:
        size: (height, width) of the image in pixels.
    """

    def __init__(self, size: Size):
        self.size = size
        self.factor = max(1, round(1600 / size[0]))
        self.pixels_per_unit = size[0] / FRAME[0]
        self._scale = np.array([size[1] / FRAME[1], size[0] / FRAME[0]]) * self.factor

    def create_surface(self) -> Layer:
        """An empty surface to draw on: uint8 (factor·height, factor·width)."""
        return np.zeros((self.size[0] * self.factor, self.size[1] * self.factor), np.uint8)

    def fill_polygon(self, surface: Layer, outline: Points, value: int = 255) -> None:
        """Fill a polygon, keeping its area: OpenCV also fills the border, so the outline is shrunk by half a pixel.

        Args:
            surface: From :meth:`blank`; changed in place.
            outline: (N, 2) corners (x, y) in frame units.
            value: Value to fill with, 1-255.
        """
        corners = outline * self._scale
        middle = (corners.min(axis=0) + corners.max(axis=0)) / 2
        radius = float((corners.max(axis=0) - corners.min(axis=0)).min()) / 2
        corners = middle + (corners - middle) * max(0.15, 1 - 0.5 / max(radius, 0.5)) - 0.5
        fixed = np.rint(corners * (1 << _SHIFT)).astype(np.int32)
        cv2.fillPoly(surface, [fixed], value, lineType=cv2.LINE_8, shift=_SHIFT)

    def draw_line(self, surface: Layer, points: Points, widths: Sequence[float] | Points, value: int = 255) -> None:
        """Draw a line whose width changes on the way.

        Args:
            surface: From :meth:`blank`; changed in place.
            points: (N, 2) points (x, y) in frame units.
            widths: N widths in frame units.
            value: Value to fill with, 1-255.
        """
        fixed = np.rint((points * self._scale - 0.5) * (1 << _SHIFT)).astype(np.int32).tolist()
        thick = np.maximum(1, np.rint(np.asarray(widths) * self._scale[1])).astype(np.int32).tolist()
        for begin, end, thickness in zip(fixed, fixed[1:], thick, strict=False):
            cv2.line(surface, begin, end, value, thickness, cv2.LINE_8, _SHIFT)

    def downsample(self, surface: Layer) -> Layer:
        """Average a surface down to the image: uint8 (height, width), 0-255."""
        if self.factor == 1:
            return surface
        return np.asarray(cv2.resize(surface, self.size[::-1], interpolation=cv2.INTER_AREA), np.uint8)

    def to_mask(self, surface: Layer) -> Layer:
        """Where at least half of a pixel is covered: uint8 {0, 1} (height, width)."""
        covered = cv2.threshold(surface, 0, 255, cv2.THRESH_BINARY)[1]
        return (self.downsample(np.asarray(covered, np.uint8)) > 127).astype(np.uint8)

    def draw_coverage(self, outlines: Iterable[Points]) -> Layer:
        """Draw polygons at full value: uint8 (height, width), 255 where fully covered."""
        surface = self.create_surface()
        for outline in outlines:
            self.fill_polygon(surface, outline)
        return self.downsample(surface)

    def blur(self, layer: Layer, sigma: float) -> Layer:
        """Gaussian blur of a layer of the image's size.

        Args:
            layer: uint8 or uint16 (height, width) or (height, width, 3).
            sigma: Standard deviation in frame units. Wide blurs are computed on a smaller copy.
        """
        pixels = round(sigma * self.pixels_per_unit, 2)
        if pixels < 0.25:
            return layer
        reduction = max(1, int(pixels // 4))
        if reduction > 1:
            small = (max(1, self.size[1] // reduction), max(1, self.size[0] // reduction))
            layer = np.asarray(cv2.resize(layer, small, interpolation=cv2.INTER_LINEAR_EXACT))
        blurred = np.asarray(cv2.GaussianBlur(layer, (0, 0), pixels / reduction, borderType=cv2.BORDER_REPLICATE))
        return self._upsample(blurred) if reduction > 1 else blurred

    def sample_texture(self, rng: np.random.Generator, cell: float) -> Field:
        """Sample smooth noise.

        Args:
            rng: Source of randomness; the same state gives the same texture at every size.
            cell: Size of its structures in frame units.

        Returns:
            float32 (height, width), in −1 to 1, standard deviation about 0.35.
        """
        rows, columns = (max(2, round(length / cell)) + 1 for length in FRAME)
        grid: npt.NDArray[Any] = rng.integers(0, 65536, (rows, columns), dtype=np.uint16)
        if cell > 20:  # few cells: round off the diamonds of linear interpolation
            grid = np.asarray(cv2.resize(grid, (columns * 4, rows * 4), interpolation=cv2.INTER_LINEAR_EXACT))
            grid = np.asarray(cv2.GaussianBlur(grid, (0, 0), 2, borderType=cv2.BORDER_REPLICATE))
        values: Field = self._upsample(grid).astype(np.float32)
        return (values - np.float32(32768)) * np.float32(1 / 32768)

    def get_coordinates(self) -> tuple[Field, Field]:
        """Coordinates of the pixels' centres in frame units: x (1, width) and y (height, 1), float32."""
        height, width = self.size
        x = ((np.arange(width) + 0.5) * (FRAME[1] / width)).astype(np.float32)
        y = ((np.arange(height) + 0.5) * (FRAME[0] / height)).astype(np.float32)
        return x[None, :], y[:, None]

    def compute_bump(self, centre: npt.ArrayLike, radius: float, aspect: float = 1.0) -> Field:
        """Compute a smooth bump of height 1, like a Gaussian but in exact arithmetic.

        Args:
            centre: (x, y) in frame units.
            radius: Where it has fallen to a quarter, in frame units.
            aspect: Height over width.
        """
        x, y = self.get_coordinates()
        cx, cy = (float(v) for v in np.asarray(centre))
        dx, dy = (x - np.float32(cx)) / np.float32(radius), (y - np.float32(cy)) / np.float32(radius * aspect)
        falloff = np.float32(1) + (dx * dx + dy * dy)
        return np.asarray(1 / (falloff * falloff), np.float32)

    def to_pixels(self, point: npt.ArrayLike) -> tuple[float, float]:
        """Convert a point (x, y) in frame units to pixels of the image."""
        x, y = (float(v) for v in np.asarray(point))
        return x * self.size[1] / FRAME[1], y * self.size[0] / FRAME[0]

    def _upsample(self, layer: Layer) -> Layer:
        return np.asarray(cv2.resize(layer, self.size[::-1], interpolation=cv2.INTER_LINEAR_EXACT))


def sample_outline(
    rng: np.random.Generator,
    centre: npt.ArrayLike,
    area: float,
    *,
    aspect: float = 1.0,
    angle: float | None = None,
    rough: float = 0.2,
) -> Points:
    """Sample an irregular closed outline of a given area.

    Args:
        rng: Source of randomness.
        centre: (x, y) in frame units.
        area: In square frame units.
        aspect: Length over width.
        angle: Direction of the long axis in radians; random if None.
        rough: Size of the irregularities relative to the radius.

    Returns:
        (16, 2) corners in frame units; (64, 2) if it is so large that corners would be visible.
    """
    turns = np.arange(16) * (2 * np.pi / 16)
    waves, phase = rng.uniform(-1, 1, 5), rng.uniform(0, 2 * np.pi, 5)
    radius = np.ones(16)
    for order, (wave, shift) in enumerate(zip(waves, phase, strict=True), start=2):
        radius = radius + rough * wave / order**0.9 * round_off(np.cos(order * turns + shift))
    radius = np.maximum(radius, 0.25)
    x, y = radius * round_off(np.cos(turns)) * aspect**0.5, radius * round_off(np.sin(turns)) / aspect**0.5
    tilt = float(rng.uniform(0, np.pi)) if angle is None else angle
    cos, sin = float(round_off(np.cos(tilt))), float(round_off(np.sin(tilt)))
    points = np.stack([x * cos - y * sin, x * sin + y * cos], axis=1)
    if area > 120:
        points = smooth_corners(points)
    scale = (area / max(measure_area(points), 1e-9)) ** 0.5
    return np.asarray(np.round(np.asarray(centre, np.float64) + points * scale, 6), np.float64)


def smooth_corners(outline: Points) -> Points:
    """Cut the corners of a closed outline twice (Chaikin), so that it is smooth: (N, 2) to (4·N, 2)."""
    for _ in range(2):
        following = np.roll(outline, -1, axis=0)
        pair = [0.75 * outline + 0.25 * following, 0.25 * outline + 0.75 * following]
        outline = np.stack(pair, axis=1).reshape(-1, 2)
    return np.asarray(np.round(outline, 6), np.float64)


def measure_area(outline: Points) -> float:
    """Area of a polygon in square units of its corners' coordinates (shoelace formula)."""
    x, y = outline[:, 0].tolist(), outline[:, 1].tolist()
    twice = sum(x[i - 1] * y[i] - x[i] * y[i - 1] for i in range(len(x)))
    return float(round(abs(twice) / 2, 9))
