"""Where a network looks: class activation maps, Grad-CAM, and how much of such a map lies on the lesions.

Sources: B. Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016 (the class activation map);
R. R. Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", ICCV 2017.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor
from torch.nn import functional as F

from fundus_lib.errors import ArgumentError
from fundus_lib.metrics._inputs import as_binary, as_scores, check_shapes

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def mass_inside(cam: ArrayLike | Tensor, mask: ArrayLike | Tensor, field: ArrayLike | Tensor | None = None) -> float:
    """Share of a map's positive part that lies inside a mask.

    It makes a number of what sunet's Fig. 3 shows: whether a network looks at lesions. By itself it says little: compare
    it with that of a flat map, ``mass_inside(ones, mask, field)``, which is the share of the field of view that the
    mask covers.

    Args:
        cam: Map of real numbers (H, W), at the size of the mask; see :func:`upsample`. Values below zero count as zero:
            they speak against the class.
        mask: Lesions, bool or 0/1 (H, W); of several kinds, their union.
        field: Field of view, bool or 0/1 (H, W). What the map has outside it is left out of both sums.

    Returns:
        Between 0 and 1. An empty mask has 0. A map that is nowhere positive (inside the field) looks nowhere: NaN.

    Raises:
        ArgumentError: The sizes differ, a value of the map is not finite, or one of a mask is neither 0 nor 1.
    """
    check_shapes(cam, mask, "mass_inside")
    scores = as_scores(cam, "mass_inside, cam").cpu().double()
    if not bool(scores.isfinite().all()):
        raise ArgumentError(
            "mass_inside, cam",
            "the map has values without end",
            found=f"{int((~scores.isfinite()).sum())} infinite among {scores.numel()} values",
            expected="finite numbers",
            remedy="look for an overflow before the map, of 16-bit numbers say",
        )
    positive = scores.clamp(min=0)
    if field is not None:
        check_shapes(cam, field, "mass_inside, field")
        positive = positive * as_binary(field, "mass_inside, field").cpu()
    total = float(positive.sum())
    inside = float((positive * as_binary(mask, "mass_inside, mask").cpu()).sum())
    return inside / total if total else float("nan")


def upsample(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring maps to the size of the images by bilinear interpolation.

    Args:
        maps: float (..., h, w).
        size: (height, width) of the images.

    Returns:
        float32 (..., height, width).
    """
    flat = maps.detach().float().reshape(1, -1, *maps.shape[-2:])
    return F.interpolate(flat, size=size, mode="bilinear", align_corners=False).reshape(*maps.shape[:-2], *size)
