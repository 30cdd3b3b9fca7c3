"""Images as the global one of two fused networks sees them."""

from __future__ import annotations

import torch
from torch import Tensor

from fundus_lib.data.image_set import ImageSet
from fundus_lib.data.images import resize_mask
from fundus_lib.models.localglobal import LocalGlobal


class Shrunk:
    """Shrinks the images of a stage, and keeps them until it is asked for others."""

    def __init__(self) -> None:
        self._made: tuple[tuple[Tensor, ...], Tensor, Tensor] | None = None

    def get(self, images: ImageSet, model: LocalGlobal) -> tuple[Tensor, Tensor]:
        """All images and masks at the side of the global network, uint8 (N, 3, g, g) and (N, L, g, g).

        A pixel of a mask is lesion where lesion covers at least half of it.
        """
        if self._made is None or self._made[0] is not images.images:
            side = (model.global_size, model.global_size)
            wholes = [model.shrink(i[None].float()).round_().clamp_(0, 255).to(torch.uint8)[0] for i in images.images]
            known = [mask.cpu().numpy() for mask in images.masks if mask is not None]
            small = [torch.stack([torch.from_numpy(resize_mask(lesion, side)) for lesion in mask]) for mask in known]
            self._made = images.images, torch.stack(wholes), torch.stack(small).to(images.dr.device)
        return self._made[1:]
