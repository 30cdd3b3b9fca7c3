"""Optic disc and fovea of a sample: points that geometric transforms move together with the image."""

from __future__ import annotations

import torch
from torchvision import tv_tensors

from fundus_lib.data.sample import Sample, Size


class GradingSample(Sample):
    """A sample with two anatomical points.

    Attributes:
        optic_disc: float32 (1, 2), the centre (x, y) of the optic disc in pixels of the image.
        fovea: float32 (1, 2), the centre (x, y) of the fovea in pixels of the image.
    """

    optic_disc: torch.Tensor
    fovea: torch.Tensor


def point(xy: tuple[float, float], canvas: Size) -> torch.Tensor:
    """One point (x, y) as float32 (1, 2) that the transforms of torchvision move with the image.

    Args:
        xy: The point in pixels.
        canvas: (height, width) of the image that it lies on.

    Returns:
        `tv_tensors.KeyPoints`; before torchvision 0.23 a plain tensor, which transforms leave alone.
    """
    point = torch.tensor([xy], dtype=torch.float32)
    if hasattr(tv_tensors, "KeyPoints"):
        return tv_tensors.KeyPoints(point, canvas_size=canvas)  # type: ignore[no-any-return]
    return point
