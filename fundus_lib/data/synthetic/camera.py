"""The fundus camera: illumination, field of view, haze, focus, sensor noise, JPEG."""

from __future__ import annotations

import cv2
import numpy as np

from fundus_lib.data.synthetic.anatomy import Eye
from fundus_lib.data.synthetic.canvas import Canvas, Layer, round_off, smooth_corners
from fundus_lib.data.synthetic.retina import Painting

f32 = np.float32
JPEG_QUALITY = 92


def illuminate(rng: np.random.Generator, painting: Painting, eye: Eye) -> None:
    """Apply uneven light: brightest off the middle, dimmer towards the edge, sometimes hazy or glaring there."""
    canvas = painting.canvas
    x, y = canvas.get_coordinates()
    cx, cy = (eye.view_centre + rng.normal(0, 70, 2)).tolist()
    dx, dy = (x - f32(cx)) / f32(eye.view_radius), (y - f32(cy)) / f32(eye.view_radius)
    square = dx * dx + dy * dy
    fall = float(np.clip(rng.normal(0.29, 0.13), 0, 0.6))
    shade = f32(1) - f32(fall) * square
    slope = rng.normal(0, 0.09, 2).tolist()
    shade = shade + f32(slope[0]) * dx + f32(slope[1]) * dy
    shade = np.clip(shade, f32(0.25), f32(1.5)) * f32(1 + 0.42 * fall)
    weights = (0.95, 1.0, 0.6)
    for plane, weight in zip(painting.planes, weights, strict=True):
        plane *= f32(1) + f32(weight) * (shade - f32(1))
    red, green, blue = (float(v) for v in eye.rgb)
    if rng.random() < 0.35:  # glare: a pale or bluish crescent at one edge
        turn = float(rng.uniform(0, 2 * np.pi))
        reach = eye.view_radius * float(rng.uniform(1.0, 1.15))
        at = eye.view_centre + reach * np.array([round_off(np.cos(turn)), round_off(np.sin(turn))])
        glare = (red * 0.9 + 15, green * 1.2 + 15, blue + float(rng.uniform(10, 90)))
        painting.cover(canvas.compute_bump(at, float(rng.uniform(110, 280))), glare, float(rng.uniform(0.2, 0.7)), 1.0)
    if rng.random() < 0.3:  # cataract and other haze: less contrast everywhere
        for plane, tone in zip(painting.planes, (red, green, blue), strict=True):
            plane += (f32(tone) - plane) * f32(rng.uniform(0.1, 0.4))


def draw_field_of_view(rng: np.random.Generator, canvas: Canvas, eye: Eye) -> Layer:
    """Draw the round field with the two teeth at its upper right: uint8 (height, width), 255 inside."""
    turns = np.arange(256) * (2 * np.pi / 256)
    circle = eye.view_centre + eye.view_radius * np.stack([round_off(np.cos(turns)), round_off(np.sin(turns))], axis=1)
    outlines = [circle]
    if rng.random() < 0.9:
        r = eye.view_radius / 568
        teeth = [(440, -345), (470, -322), (503, -319), (498, -290), (524, -280), (518, -252), (500, -230), (400, -250)]
        outlines.append(eye.view_centre + r * smooth_corners(np.array(teeth, np.float64)))
    return canvas.draw_coverage(np.round(o, 6) for o in outlines)


def expose(rng: np.random.Generator, painting: Painting, view: Layer, eye: Eye, noise_seed: list[int]) -> Layer:
    """Convert the painted retina to an image.

    Args:
        rng: Source of randomness for the settings.
        painting: The lit retina.
        view: From :func:`field_of_view`.
        eye: The eye.
        noise_seed: Seed of the sensor's noise, which is sampled per pixel and so differs between sizes.

    Returns:
        uint8 (height, width, 3), RGB.
    """
    canvas = painting.canvas
    height, width = canvas.size
    knee = f32(232)
    planes = []
    for plane in painting.planes:  # a soft shoulder before white
        over = np.maximum(plane - knee, f32(0))
        planes.append(np.minimum(plane, knee) + over / (f32(1) + over * f32(1 / 40)))
    image = np.stack([np.clip(np.rint(p), 0, 255) for p in planes], axis=-1).astype(np.uint8)
    image = canvas.blur(image, float(np.clip(rng.normal(0.9, 0.45), 0.3, 2.6)))
    grain_rng = np.random.default_rng(noise_seed)
    amount = float(rng.uniform(1.0, 3.2)) * min(1.0, 0.55 + 0.45 * canvas.pixels_per_unit)
    grain = grain_rng.integers(-128, 128, (height, width, 4), dtype=np.int8).astype(f32) * f32(amount / 74)
    lit = view.astype(f32) * f32(1 / 255)
    black = grain_rng.integers(0, 4, (height, width), dtype=np.uint8).astype(f32)
    out = np.empty_like(image)
    for c in range(3):
        plane = (image[..., c].astype(f32) + grain[..., 3] * f32(0.75) + grain[..., c] * f32(0.7)) * lit + black * (
            f32(1) - lit
        )
        out[..., c] = np.clip(np.rint(plane), 0, 255).astype(np.uint8)
    return out


def encode_jpeg(image: Layer) -> bytes:
    """Encode an RGB image, uint8 (height, width, 3), as JPEG."""
    sampling = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422)
    flags = (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY, *sampling)
    return cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), flags)[1].tobytes()


def decode_jpeg(data: bytes) -> Layer:
    """Decode a JPEG to uint8 (height, width, 3), RGB."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)
