"""The criterion of `hecl`: cross-entropy, and two contrastive terms on a feature map, of patches and of contours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fundus_lib.checks import check_choice, check_counts, check_setting
from fundus_lib.errors import ArgumentError
from fundus_lib.losses._dilation import dilate
from fundus_lib.losses._precision import wide, without_autocast
from fundus_lib.losses.registry import create_loss

TERMS = ("density", "edge")
BORDERS = ("seamless", "inside", "edge")
STRIPS = ("covered", "left out")


class HECLCriterion(nn.Module):
    r"""A loss on masks plus :math:`\alpha` times the contrast of patches and that of contours (Eq. 1 of `hecl`).

    **Density term** (Eqs. 2 to 4): the image is divided into n×n patches, and a patch is dense from a fraction of
    lesion pixels on. The mean features of dense patches are positives of each other and negatives of the others'.

    **Edge term** (Eqs. 5 and 6): the inner contour is the mask without the eroded mask, the outer one the dilated mask
    without the mask; patches that are dense have other widths than the others. The mean features of the inner contours
    of the images of a batch are positives of each other and negatives of those of the outer contours.

    Lesions of several channels, or of those that are chosen, count as one. What is contrasted is the batch that one
    process has.

    ===================  =======================  ========================  =======================
    setting              the paper                its code                  ours, the default
    ===================  =======================  ========================  =======================
    ``contrast``         ``"supcon"`` (Eq. 4)     ``"ntxent"``              ``"supcon"``
    ``extremes``         None, all patches        3                         None
    ``borders``          open                     ``"edge"``                ``"seamless"``
    ``strip``            open                     memory that nobody set    ``"covered"``
    ``undefined``        open                     ``"nan"``, or a crash     ``"skip"``
    ===================  =======================  ========================  =======================

    In all others the three agree.

    Args:
        loss: Name of a loss on masks, see :func:`~fundus_lib.losses.create_loss`.
        loss_args: Its settings.
        terms: Which of ``"density"`` and ``"edge"`` there are; none: the loss on masks alone.
        alpha: Weight of each term.
        contrast: ``"supcon"`` or ``"ntxent"``.
        temperature: Divides the cosine similarities.
        grid: n, patches in each direction.
        dense: Fraction of lesion pixels from which on a patch is dense.
        extremes: How many of the densest (if they are dense) and of the sparsest patches of the batch count, the first
            of equals; None for all.
        dense_contours: How often the mask is eroded for the inner and dilated for the outer contour in dense patches,
            with a cross of 3×3.
        sparse_contours: The same in the other patches.
        borders: ``"seamless"``: contours run on from patch to patch; ``"inside"``: each patch has contours of its own,
            which end at its border; ``"edge"``: besides, a lesion that reaches the border has an inner contour there.
        strip: Where n does not divide the image's side: patches that differ by a pixel cover all (``"covered"``), or
            equal ones leave the last rows and columns out of both terms (``"left out"``).
        undefined: In a batch without a dense patch, or with an image without a contour: ``"skip"`` the term, or
            the image's contour; or make the term ``"nan"``.
        feature: Name of the feature map that is contrasted, for the model's ``keep``.
        channels: Of the mask, whose lesions are contrasted; None for all.

    Raises:
        UnknownNameError: There is no such loss.
        ArgumentError: A setting is not possible.
    """

    def __init__(
        self,
        loss: str = "crossentropy",
        loss_args: Mapping[str, Any] | None = None,
        terms: Sequence[str] = TERMS,
        alpha: float = 0.01,
        contrast: str = "supcon",
        temperature: float = 0.05,
        grid: int = 5,
        dense: float = 0.3,
        extremes: int | None = None,
        dense_contours: Sequence[int] = (2, 2),
        sparse_contours: Sequence[int] = (1, 5),
        borders: str = "seamless",
        strip: str = "covered",
        undefined: str = "skip",
        feature: str = "features",
        channels: Sequence[int] | None = None,
    ):
        super().__init__()
        where = type(self).__name__
        self.loss = create_loss(loss, **loss_args or {})
        self.terms = tuple(check_choice(where, "terms", term, TERMS) for term in terms)
        self.alpha = check_setting(where, "alpha", alpha, 0)
        self.contrast = create_loss(
            check_choice(where, "contrast", contrast, ("supcon", "ntxent")), temperature=temperature
        )
        check_counts(where, grid=grid, **({} if extremes is None else {"extremes": extremes}))
        self.grid = grid
        self.dense = check_setting(where, "dense", dense, 0, 1)
        self.extremes = extremes
        self.contours = tuple(dense_contours), tuple(sparse_contours)
        for name, counts in zip(("dense_contours", "sparse_contours"), self.contours, strict=True):
            check_counts(where, **{f"{name}[{place}]": count for place, count in enumerate(counts)})
        if {len(counts) for counts in self.contours} != {2}:
            raise ArgumentError(
                where,
                "contours need two widths, of the inner and of the outer one",
                found=f"dense_contours={dense_contours}, sparse_contours={sparse_contours}",
                expected="two numbers of pixels each",
                remedy="the paper's are (2, 2) and (1, 5)",
            )
        self.borders = check_choice(where, "borders", borders, BORDERS)
        self.strip = check_choice(where, "strip", strip, STRIPS)
        self.undefined = check_choice(where, "undefined", undefined, ("skip", "nan"))
        self.keep: tuple[str, ...] = (feature,) if self.terms else ()
        self.channels = None if channels is None else list(channels)

    def forward(
        self, output: Mapping[str, Tensor], batch: Mapping[str, Tensor], progress: float = 0.0
    ) -> dict[str, Tensor]:
        """The loss of a batch.

        Args:
            output: ``"logits"`` (B, L, H, W), and with terms the feature map (B, C, h, w), computed from with no
                smaller precision than float32.
            batch: ``"mask"`` (B, L, H, W), 0 and 1.
            progress: Not used; all criteria have the same arguments.

        Returns:
            ``"total"``, ``"logits"`` (the loss on masks), and of ``"density"`` and ``"edge"`` what there is: scalars.

        Raises:
            ArgumentError: Something is missing, or a loss raises it.
        """
        for given, names in ((output, ("logits", *self.keep)), (batch, ("mask",))):
            if not given.keys() >= {*names}:
                raise ArgumentError(
                    type(self).__name__,
                    "an output or a target is missing",
                    found=", ".join(map(repr, given)) or "nothing",
                    expected=" and ".join(map(repr, names)),
                    remedy=f"call the model with keep={self.keep}",
                )
        parts = {"logits": self.loss(output["logits"], batch["mask"])}
        total = parts["logits"]
        if self.terms:
            parts |= self.compute_terms(output[self.keep[0]], batch["mask"])
            total = total + self.alpha * torch.stack([parts[term] for term in self.terms]).sum()
        return {"total": total} | parts

    def compute_terms(self, features: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """The terms before they are weighted.

        Args:
            features: float (B, C, h, w), of the mask's size or another.
            mask: 0 and 1, (B, L, H, W).

        Raises:
            ArgumentError: There are fewer rows or columns than patches.
        """
        if min(*features.shape[-2:], *mask.shape[-2:]) < self.grid:
            raise ArgumentError(
                type(self).__name__,
                "the map or the mask has fewer rows or columns than patches",
                found=f"features {tuple(features.shape)}, mask {tuple(mask.shape)}",
                expected=f"{self.grid} or more each way",
                remedy="a smaller grid, or another feature map",
            )
        mask = mask if self.channels is None else self.choose_channels(mask)
        lesion = mask.amax(1) > 0  # (B, H, W)
        density = self.measure_density(lesion)
        dense = density >= self.dense
        contours = self.find_contours(lesion, dense) if "edge" in self.terms else None
        patches, edges, lines = self.pool(features, contours)
        terms: dict[str, Tensor] = {}
        if "density" in self.terms:
            found = self.contrast(patches.flatten(0, 2), dense.flatten(), self.choose_patches(density.flatten()))
            terms["density"] = self.unless(found, ~dense.any())
        if contours is not None:
            there = lines > 0  # (B, 2)
            inner = torch.arange(2, device=there.device).expand_as(there)
            found = self.contrast(edges.flatten(0, 1), inner.flatten(), there.flatten())
            terms["edge"] = self.unless(found, ~there.all())
        return terms

    def choose_channels(self, mask: Tensor) -> Tensor:
        """The channels whose lesions are contrasted, (B, L, H, W) to (B, l, H, W)."""
        chosen, there = self.channels or [], range(mask.shape[1])
        if not chosen or not {*chosen} <= {*there}:
            raise ArgumentError(
                type(self).__name__,
                "these are not channels of the mask",
                found=f"channels={chosen}, mask {tuple(mask.shape)}",
                expected=f"some of {', '.join(map(str, there))}",
                remedy="count the mask's channels from 0; None is all of them",
            )
        return mask[:, chosen]

    def unless(self, term: Tensor, undefined: Tensor) -> Tensor:
        """A term, or NaN where it is undefined and that counts."""
        return term if self.undefined == "skip" else torch.where(undefined, torch.nan, term)

    def measure_density(self, lesion: Tensor) -> Tensor:
        """Fraction of lesion pixels of each patch: bool (B, H, W) to float32 (B, n, n)."""
        rows, columns = (self.assign(side, lesion).float() for side in lesion.shape[1:])
        with without_autocast(lesion):  # counts are exact
            return rows @ lesion.float() @ columns.T / (rows.sum(1)[:, None] * columns.sum(1))

    def choose_patches(self, density: Tensor) -> Tensor | None:
        """Whether each patch of the batch counts, bool (B·n·n,); None if all do."""
        if self.extremes is None:
            return None
        sparsest, densest = (order.argsort(stable=True).argsort() < self.extremes for order in (density, -density))
        return torch.where(density >= self.dense, densest, sparsest)

    def find_contours(self, lesion: Tensor, dense: Tensor) -> Tensor:
        """Inner and outer contours.

        Args:
            lesion: bool (B, H, W).
            dense: Which patches are dense, bool (B, n, n).

        Returns:
            bool (B, 2, H, W).
        """
        rows, columns = (self.number(side, lesion.device) for side in lesion.shape[1:])
        erosions, dilations = (max(counts) for counts in zip(*self.contours, strict=True))
        walls = None
        if self.borders != "seamless":
            walls = tuple(self.find_walls(side, lesion.device) for side in lesion.shape[1:])
        eroded = dilate(~lesion, erosions, walls, outside=self.borders == "edge")  # the background grows
        dilated = dilate(lesion, dilations, walls)
        own = F.pad(dense, (0, 1, 0, 1)).index_select(2, columns).index_select(1, rows)  # (B, H, W)
        of_dense, of_sparse = self.contours
        inner = ((eroded[of_dense[0]] & own) | (eroded[of_sparse[0]] & ~own)) & lesion  # much faster than `where`
        outer = ((dilated[of_dense[1]] & own) | (dilated[of_sparse[1]] & ~own)) & ~lesion
        if self.strip == "left out":
            covered = (rows < self.grid)[:, None] & (columns < self.grid)
            inner, outer = inner & covered, outer & covered
        return torch.stack([inner, outer], dim=2).transpose(1, 2)  # as `pool` reads them

    def pool(self, features: Tensor, contours: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Mean features of patches and of contours, in one pass over the feature map.

        Args:
            features: float (B, C, h, w); fastest with channels last.
            contours: bool (B, 2, H, W), or None.

        Returns:
            (B, n, n, C); (B, 2, C), zero for a contour without pixels; and their pixels (B, 2).
        """
        values = wide(features).permute(0, 2, 3, 1)  # (B, h, w, C)
        images, height, width, channels = values.shape
        rows, columns = (self.assign(side, features).to(values.dtype) for side in (height, width))
        weights = values.new_empty(images, height, self.grid + 2, width)
        weights[:, :, : self.grid] = columns
        if contours is None:
            weights = weights[:, :, : self.grid]
        elif contours.shape[-2:] == (height, width):
            weights[:, :, self.grid :] = contours.transpose(1, 2)
        else:  # the share of the contour in each feature's place
            share = F.adaptive_avg_pool2d(contours.to(values.dtype), (height, width))
            weights[:, :, self.grid :] = share.transpose(1, 2)
        with without_autocast(values):
            sums = weights.reshape(images * height, -1, width) @ values.reshape(images * height, width, channels)
            sums = sums.view(images, height, -1, channels)
            patches = torch.einsum("ny,bykc->bnkc", rows, sums[:, :, : self.grid])
        lines = weights[:, :, self.grid :].sum((1, 3))  # (B, 2)
        edges = sums[:, :, self.grid :].sum(1) / lines[..., None].clamp(min=torch.finfo(values.dtype).tiny)
        return patches / (rows.sum(1)[:, None] * columns.sum(1))[..., None], edges, lines

    def number(self, side: int, device: torch.device) -> Tensor:
        """The patch of each row or column, int64 (side,); n for those outside any."""
        place = torch.arange(side, device=device)
        if self.strip == "covered":
            return ((place + 1) * self.grid - 1) // side
        return (place // (side // self.grid)).clamp(max=self.grid)

    def find_walls(self, side: int, device: torch.device) -> Tensor:
        """First rows or columns of all patches but the first, and of what is outside any."""
        if self.strip == "covered":
            return torch.arange(1, self.grid, device=device) * side // self.grid
        size = side // self.grid
        return torch.arange(size, min(side, self.grid * size + 1), size, device=device)

    def assign(self, side: int, like: Tensor) -> Tensor:
        """Which rows or columns belong to each patch, bool (n, side)."""
        return self.number(side, like.device) == torch.arange(self.grid, device=like.device)[:, None]

    def extra_repr(self) -> str:
        """The settings, for ``print(criterion)``."""
        names = ("terms", "alpha", "grid", "dense", "extremes", "contours", "borders", "strip", "undefined", "keep")
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in (*names, "channels"))
