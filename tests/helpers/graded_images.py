"""Images with grades, some with masks, without any file."""

import numpy as np
import torch

from fundus_lib.tasks.experiment import Source
from fundus_lib.tasks.graded_images import GradedImages


def photographs(plain: int = 7, masked: int = 3, side: int = 32) -> GradedImages:
    """Noise whose first pixel is the image's number; the masked ones come last, the last of them has no grade."""
    count, rng = plain + masked, np.random.default_rng(0)
    images = torch.from_numpy(rng.integers(60, 200, (count, 3, side, side), dtype=np.uint8))
    images[:, :, 0, 0] = torch.arange(count)[:, None]
    dr, dme = torch.arange(count) % 5, torch.arange(count) % 3
    if masked:
        dr[-1] = dme[-1] = -1
    masks = torch.from_numpy(rng.random((masked, 4, side, side)) < 0.1).to(torch.uint8)
    return GradedImages(
        tuple(f"image {i}" for i in range(count)),
        images,
        torch.tensor([[[120.0] * 3, [40.0] * 3]]).repeat(count, 1, 1),
        dr,
        dme,
        masks,
        torch.tensor([-1] * plain + list(range(masked))),
        Source("noise", "0", count),
    )
