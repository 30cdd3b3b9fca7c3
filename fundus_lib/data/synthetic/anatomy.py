"""One eye before any vessel or lesion: positions of disc and fovea, course of the nerve fibres, colour.

Positions are (x, y) in units of the 1440×960 frame to which an IDRiD image of 4288×2848 pixels is downsampled.
Numbers are measured on IDRiD (localisation labels of 413 images, colours of 81 images) unless stated otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fundus_lib.data.synthetic.canvas import FRAME, Points, round_off

_MEAN_LOG_RGB = np.array([5.127, 4.401, 2.797])
_CHOLESKY_LOG_RGB = np.array([[0.130, 0.0, 0.0], [0.144, 0.132, 0.0], [0.221, 0.770, 0.452]])
_SINKS = np.array([2.6, 3.4, 4.4, 5.6, 7.0])  # on the temporal raphe, in disc diameters
_SINK_STRENGTH = 0.17


@dataclass(frozen=True)
class Eye:
    """Geometry and colour of one eye in one image.

    Attributes:
        temporal: +1 if the temporal side is to the right in the image (a left eye), −1 for a right eye.
        disc: Centre of the optic disc.
        diameter: Diameter of the optic disc, mean of width and height.
        fovea: Centre of the fovea.
        tilt: Angle in radians from the horizontal of the line disc-fovea, positive downwards.
        view_centre: Centre of the round field of view.
        view_radius: Its radius; truncated by the frame at the top and at the bottom.
        rgb: Mean colour inside the field of view, 0-255.
    """

    temporal: int
    disc: Points
    diameter: float
    fovea: Points
    tilt: float
    view_centre: Points
    view_radius: float
    rgb: Points

    def to_frame(self, points: npt.ArrayLike) -> Points:
        """From disc diameters about the disc, x temporal and y downwards, to the frame.

        Args:
            points: (..., 2).
        """
        p = np.asarray(points, np.float64)
        cos, sin = float(round_off(np.cos(self.tilt))), float(round_off(np.sin(self.tilt)))
        x, y = p[..., 0] * cos - p[..., 1] * sin, p[..., 0] * sin + p[..., 1] * cos
        return np.asarray(np.round(self.disc + self.diameter * np.stack([self.temporal * x, y], axis=-1), 6))

    def from_frame(self, points: npt.ArrayLike) -> Points:
        """Inverse of :meth:`to_frame`."""
        p = (np.asarray(points, np.float64) - self.disc) / self.diameter
        cos, sin = float(round_off(np.cos(self.tilt))), float(round_off(np.sin(self.tilt)))
        x, y = p[..., 0] * self.temporal, p[..., 1]
        return np.asarray(np.round(np.stack([x * cos + y * sin, -x * sin + y * cos], axis=-1), 6))

    def is_in_view(self, points: Points, margin: float = 12.0) -> npt.NDArray[np.bool_]:
        """Which points (..., 2) lie in the field of view, at least `margin` units from its edge."""
        d = points - self.view_centre
        inside = (d * d)[..., 0] + (d * d)[..., 1] < (self.view_radius - margin) ** 2
        return inside & (points[..., 1] > margin) & (points[..., 1] < FRAME[0] - margin)


def sample_eye(rng: np.random.Generator) -> Eye:
    """Sample an eye.

    Args:
        rng: Source of randomness.
    """
    temporal = 1 if rng.random() < 0.5 else -1
    wide = rng.random() < 0.06  # a few images show a wider field
    view_centre = np.array([666.0 + rng.normal(0, 2.5), 480.0])
    view_radius = float(rng.uniform(600, 634)) if wide else float(568 + rng.normal(0, 1.5))
    diameter = float(np.clip(rng.normal(176, 15), 135, 222))
    if rng.random() < 0.07:  # centred on the disc instead of the macula
        disc = np.array([view_centre[0] - temporal * rng.uniform(-20, 150), rng.normal(440, 70)])
    else:
        disc = np.array([view_centre[0] - temporal * np.clip(rng.normal(345, 62), 190, 470), rng.normal(468, 50)])
    distance = float(np.clip(rng.normal(2.5, 0.14), 2.1, 2.9)) * 176
    drop = float(np.clip(rng.normal(0.29, 0.17), -0.1, 0.75)) * 176
    disc[1] = np.clip(disc[1], 240, 700)
    fovea = disc + np.array([temporal * (distance**2 - drop**2) ** 0.5, drop])
    tilt = float(round_off(np.arctan2(drop, (distance**2 - drop**2) ** 0.5)))
    z = np.clip(rng.normal(0, 1.1, 3), -2.2, 2.2).tolist()
    logs = [
        m + sum(c * v for c, v in zip(row, z, strict=True))
        for m, row in zip(_MEAN_LOG_RGB, _CHOLESKY_LOG_RGB, strict=True)
    ]
    rgb = np.clip(round_off(np.exp(logs)), [105, 36, 2], [225, 122, 82])
    return Eye(
        temporal,
        np.round(disc, 6),
        round(diameter, 6),
        np.round(fovea, 6),
        tilt,
        np.round(view_centre, 6),
        round(view_radius, 6),
        np.round(rgb, 6),
    )


def compute_fiber_direction(points: npt.ArrayLike) -> Points:
    """Compute the direction in which the nerve fibres leave the disc.

    The fibres are modelled as the flow from a source, the disc, into sinks along the temporal raphe beyond the fovea:
    they run radially on the nasal side and arch around the macula on the temporal side.

    Args:
        points: (..., 2) in disc diameters about the disc, x temporal.

    Returns:
        (..., 2) unit vectors.
    """
    p = np.asarray(points, np.float64)
    x, y = p[..., 0], p[..., 1]
    square = np.maximum(x * x + y * y, 1e-4)
    u, v = x / square, y / square
    for sink in _SINKS.tolist():
        dx = x - sink
        square = np.maximum(dx * dx + y * y, 0.04)
        u, v = u - _SINK_STRENGTH * dx / square, v - _SINK_STRENGTH * y / square
    length = np.sqrt(np.maximum(u * u + v * v, 1e-12))
    return round_off(np.stack([u / length, v / length], axis=-1))
