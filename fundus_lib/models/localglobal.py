"""The local-global U-nets: one sees the whole image shrunk, one a patch at full resolution; their last maps are fused.

Source: Z. Yan et al., "Learning Mutually Local-Global U-nets for High-Resolution Retinal Lesion Segmentation in Fundus
Images", ISBI 2019. The paper has no code.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import roi_align

from fundus_lib.checks import check_counts, check_images
from fundus_lib.errors import ArgumentError
from fundus_lib.models.patch_grid import PatchGrid
from fundus_lib.models.unet import Head, UNet, build_double_convolution, check_unet

MAPS = ("features", "local_features", "global_features")
"""The feature maps that can be kept."""

ROUNDING = 1e-4
"""By which a place may lie outside its image: what turning it in float32 adds, and more."""


class LocalGlobal(nn.Module):
    r"""A global U-Net on the shrunk image and a local one on its patches, fused at their last feature maps.

    The global network sees the image (a crop of the photographed field) resized to `global_size`² without keeping its
    aspect, the local one a patch of it at full resolution. The last map of the global decoder is sampled at the pixels
    of the patch (:func:`sample_boxes`), joined to the last map of the local decoder, and two 3×3 and a 1×1 convolution
    compute the fused logits (Section 2.1, "Feature Fusion"). The paper has 2, 3 or 6 poolings for each lesion and does
    not give the width; the defaults are its depths for hard exudates at widths that fit one GPU. With
    ``width=64, depth=6`` a U-Net has 498 million parameters.

    ============  ======  =====
    lesion        global  local
    ============  ======  =====
    EX            6       3
    MA            3       3
    HE            6       6
    SE            4       6
    ============  ======  =====

    Our choices: the two 3×3 convolutions of the fusion have the local network's width, and batch normalisation and
    ReLU follow each, as in the U-Nets. The image is shrunk with antialiasing.

    Attributes:
        global_net: The U-Net on shrunk images.
        local_net: The U-Net on patches.
        fusion: The three convolutions.

    Args:
        lesions: Number of output channels L. The paper trains one network for each lesion.
        global_width: Channels of the global network at full resolution; each level down has twice as many.
        global_depth: Its poolings.
        local_width: Channels of the local network.
        local_depth: Its poolings.
        global_size: Side in pixels of the square to which images are shrunk, at least 2.
        patch: Side in pixels of the patches into which :meth:`forward` cuts.
        prior: Probability that the newly initialised networks predict.

    Raises:
        ArgumentError: A setting is out of range.
    """

    def __init__(
        self,
        lesions: int = 1,
        global_width: int = 16,
        global_depth: int = 6,
        local_width: int = 64,
        local_depth: int = 3,
        global_size: int = 640,
        patch: int = 256,
        prior: float = 0.01,
    ):
        where = type(self).__name__
        for name, width, depth in (("global", global_width, global_depth), ("local", local_width, local_depth)):
            check_unet(f"{where}, {name} network", lesions, width, depth)
        check_counts(where, patch=patch)
        if not isinstance(global_size, int) or global_size < 2:
            raise ArgumentError(
                where,
                "a setting is out of range",
                found=f"global_size={global_size!r}",
                expected="an integer of at least 2",
                remedy="the paper's is 640",
            )
        super().__init__()
        self.global_size, self.patch = global_size, patch
        self.global_net = UNet(lesions, global_width, global_depth, prior)
        self.local_net = UNet(lesions, local_width, local_depth, prior)
        self.fusion = Fusion(local_width + global_width, local_width, lesions, prior)

    def forward(
        self,
        images: Tensor,
        keep: Collection[str] = (),
        overlap: int = 0,
        chunk: int = 16,
        shift: tuple[int, int] = (0, 0),
        zero: bool = False,
    ) -> dict[str, Tensor]:
        """Logits of whole images at full resolution, patch by patch; the global network runs once for each image.

        Patches are those of :class:`~fundus_lib.models.patch_grid.PatchGrid`. Where they overlap, logits are blended
        with weights that fall linearly towards a patch's border. In memory are, besides the results, the maps of
        the global network and of one chunk of patches.

        Args:
            images: float (B, 3, H, W), normalised; any height and width.
            keep: Further maps to return: ``"global_features"`` (B, C, global_size, global_size), the last of the global
                decoder; ``"local_features"`` (B, C, H, W), the last of the local one; ``"features"`` (B, C, H, W), from
                which the fused logits are computed. At full resolution the latter two take gigabytes.
            overlap: By how many pixels neighbouring patches overlap at least; 0 places them side by side.
            chunk: How many patches are computed at a time.
            shift: As of :meth:`forward_patches`.
            zero: As of :meth:`forward_patches`.

        Returns:
            Logits, float (B, L, H, W) each, as ``"logits"``, fused, ``"global_logits"``, those of the global network,
            upsampled bilinearly, and ``"local_logits"``, those of the local network; and what is kept.

        Raises:
            ArgumentError: A name in ``keep`` does not exist, a number is out of range, or these are no such images.
        """
        where = f"{type(self).__name__}.forward"
        check_images(self, images)
        check_counts(where, chunk=chunk)
        if unknown := sorted(set(keep) - {*MAPS}):
            raise ArgumentError(
                where,
                "this network has no such features to keep",
                found=f"keep={tuple(keep)!r}, of which {', '.join(map(repr, unknown))} do not exist",
                expected=f"names among {', '.join(map(repr, MAPS))}",
                remedy="correct the name, or choose a network that has it",
            )
        size: tuple[int, int] = (images.shape[-2], images.shape[-1])
        grid = PatchGrid(size, self.patch, overlap)
        whole = self.global_net(self.shrink(images), keep=("features",))
        names = ("logits", "local_logits", *(name for name in MAPS[:2] if name in keep))

        def stitch(number: int) -> dict[str, Tensor]:
            places = grid.places(number).to(images.device)

            def compute(patches: Tensor, some: slice) -> dict[str, Tensor]:
                found = self._fuse(whole["features"], patches, places[some], shift, zero)
                return {name: found[name] for name in names}

            return grid.stitch(images[number], compute, chunk)

        each = [stitch(number) for number in range(len(images))]
        stitched = {name: torch.stack([one[name] for one in each]) for name in names}
        upsampled = F.interpolate(whole["logits"], size, mode="bilinear", align_corners=False)
        maps = {"global_features": whole["features"]} if "global_features" in keep else {}
        return {"logits": stitched.pop("logits"), "global_logits": upsampled} | stitched | maps

    def forward_patches(
        self, whole: Tensor, patches: Tensor, places: Tensor, shift: tuple[int, int] = (0, 0), zero: bool = False
    ) -> dict[str, Tensor]:
        """Logits of some patches and of the shrunk images that they are from, for training.

        Args:
            whole: float (B, 3, g, g): shrunk images, see :meth:`shrink`.
            patches: float (N, 3, p, p): patches at full resolution, of any size.
            places: float (N, 5): number of the image in `whole`; top, left, height and width of the patch as fractions
                of the image's sides.
            shift: By how many global pixels (down, right) the global map is moved before it is sampled; what leaves on
                one side comes in on the other. An ablation: the same values at wrong places.
            zero: Zeros in place of the global map. Another ablation.

        Returns:
            ``"logits"`` (N, L, p, p), fused; ``"local_logits"`` (N, L, p, p); ``"global_logits"`` (B, L, g, g). The
            fused ones are differentiable also through the sampled global map.

        Raises:
            ArgumentError: The shapes do not fit, these are no such images, or, on the CPU, a place is not in its image.
        """
        for images in (whole, patches):
            check_images(self, images, "forward_patches")
        if places.shape != (len(patches), 5):
            raise ArgumentError(
                f"{type(self).__name__}.forward_patches",
                "each patch needs a place",
                found=f"{len(patches)} patches, places {tuple(places.shape)}",
                expected=f"places ({len(patches)}, 5): number of the image; top, left, height, width as fractions",
                remedy="PatchGrid(size, patch).places() makes those of a grid",
            )
        outside = (places[:, 1:] < -ROUNDING) | (places[:, 1:] > 1 + ROUNDING)
        wrong = outside.any() | (places[:, 0] < 0).any() | (places[:, 0] >= len(whole)).any()
        if places.is_cpu and bool(wrong):  # on an accelerator the step would have to wait for that
            raise ArgumentError(
                f"{type(self).__name__}.forward_patches",
                "a place lies outside its image, or names none of the images",
                found=f"from {places.amin(0).tolist()} to {places.amax(0).tolist()}",
                expected=f"number of the image below {len(whole)}; top, left, height, width from 0 to 1",
                remedy="divide pixels by the image's sides; PatchGrid(size, patch).places() makes those of a grid",
            )
        image = self.global_net(whole, keep=("features",))
        found = self._fuse(image["features"], patches, places, shift, zero)
        return {"logits": found["logits"], "local_logits": found["local_logits"], "global_logits": image["logits"]}

    def shrink(self, images: Tensor) -> Tensor:
        """What the global network sees: float (B, 3, H, W) to (B, 3, global_size, global_size), antialiased.

        Raises:
            ArgumentError: These are no such images.
        """
        check_images(self, images, "shrink")
        square = (self.global_size, self.global_size)
        return F.interpolate(images, square, mode="bilinear", align_corners=False, antialias=True)

    def _fuse(
        self, features: Tensor, patches: Tensor, places: Tensor, shift: tuple[int, int], zero: bool
    ) -> dict[str, Tensor]:
        """All about some patches, from the last global map (B, C, g, g)."""
        local = self.local_net(patches, keep=("features",))
        size: tuple[int, int] = (patches.shape[-2], patches.shape[-1])
        if any(shift):
            features = features.roll(shift, dims=(2, 3))
        context = sample_boxes(features, places, size)
        if zero:
            context = torch.zeros_like(context)
        fused: dict[str, Tensor] = self.fusion(local["features"], context)
        return fused | {"local_logits": local["logits"], "local_features": local["features"]}


class Fusion(nn.Module):
    """Two 3×3 convolutions and a 1×1 convolution on the joined maps of both networks.

    Args:
        channels_in: Channels of both maps together.
        width: Channels of the 3×3 convolutions.
        lesions: Number of output channels L.
        prior: Probability that it predicts when newly initialised.
    """

    def __init__(self, channels_in: int, width: int, lesions: int, prior: float):
        super().__init__()
        self.layers = build_double_convolution(channels_in, width)
        self.head = Head(width, lesions, prior)

    def forward(self, local: Tensor, context: Tensor) -> dict[str, Tensor]:
        """Logits (N, L, p, p) and the features (N, C, p, p) that they are computed from, of both maps (N, …, p, p)."""
        x = self.layers(torch.cat([local, context.to(local.dtype)], dim=1))
        return {"logits": self.head.layer(x), "features": x}


def sample_boxes(maps: Tensor, places: Tensor, size: tuple[int, int]) -> Tensor:
    """Regions of feature maps, resized bilinearly: cropping with sub-pixel precision that gradients flow through.

    A pixel is a square with its value in the middle, so that a map of g pixels and an image of H pixels have the same
    borders: the middle of row y of the image is at (y + ½)·g/H − ½ on the map. Within half a pixel of the map's border,
    beyond the middles of its outermost pixels, the map is continued linearly; a linear ramp is thus reproduced
    everywhere.

    Args:
        maps: float (B, C, g, g'), each side at least 2.
        places: float (N, 5): number of the map; top, left, height and width of the box as fractions of the map's sides,
            between 0 and 1. What lies beyond is 0.
        size: (height, width) of the result in pixels, not below those of the box on the map: nothing is averaged.

    Returns:
        float (N, C, height, width), in float32 if the maps are float16 or bfloat16.
    """
    maps = maps.float() if maps.dtype in (torch.float16, torch.bfloat16) else maps
    maps = continue_border(continue_border(maps, 2), 3)
    image, top, left, tall, wide = places.double().unbind(1)  # float32 would lose 1e-4 of a pixel
    rows, columns = (side - 2 for side in maps.shape[-2:])
    boxes = [image, 1 + left * columns, 1 + top * rows, 1 + (left + wide) * columns, 1 + (top + tall) * rows]
    found: Tensor = roi_align(maps, torch.stack(boxes, dim=1).to(maps.dtype), size, sampling_ratio=1, aligned=True)
    return found


def continue_border(maps: Tensor, axis: int) -> Tensor:
    """Maps with one more row (or column) at both ends, which continues the last two linearly."""
    first, second = maps.narrow(axis, 0, 1), maps.narrow(axis, 1, 1)
    last, before = (maps.narrow(axis, maps.shape[axis] - k, 1) for k in (1, 2))
    return torch.cat([2 * first - second, maps, 2 * last - before], dim=axis)
