"""`region_counts` and `lesion_recall` as metrics of torchmetrics: pooled over images, merged across processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torchmetrics import Metric

from fundus_lib.errors import ArgumentError
from fundus_lib.metrics import lesion_size, regions
from fundus_lib.metrics._settings import count_apart
from fundus_lib.metrics.pixel_counts import SCORES, PixelCounts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


_AMOUNTS = ("lesions", "found", "pixels", "found_pixels")


class RegionCounts(Metric):
    """`region_counts`, pooled over images.

    Args:
        sigmas: As in `region_counts`.
        **kwargs: Passed to `torchmetrics.Metric`.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    counts: Tensor

    def __init__(self, sigmas: Sequence[float], **kwargs: Any):
        super().__init__(**kwargs)
        self.sigmas = tuple(sigmas)
        count_apart(self, self.sigmas)
        self.add_state("counts", torch.zeros(len(self.sigmas), 4, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, pred: Tensor, target: Tensor) -> None:
        """Add images.

        Args:
            pred: 0 and 1, or bool; (H, W), or (B, H, W) for several images of one lesion.
            target: 0 and 1, or bool; the same shape.
        """
        for called, lesion in _images(pred, target):
            found = regions.region_counts(called, lesion, self.sigmas)
            self.counts += torch.tensor([[c.tp, c.fp, c.fn, c.tn] for c in found]).to(self.device)

    def compute(self) -> dict[str, Tensor]:
        """The pooled ``tp``, ``fp``, ``fn``, ``tn`` (int64) and the scores of `PixelCounts` (float64); (S,) each."""
        counts = [PixelCounts(*row) for row in self.counts.tolist()]
        scores = {score: torch.tensor([getattr(c, score) for c in counts], dtype=torch.float64) for score in SCORES}
        return dict(zip(("tp", "fp", "fn", "tn"), self.counts.unbind(1), strict=True)) | scores


class LesionRecall(Metric):
    """`lesion_recall`, pooled over images.

    Args:
        edges: As in `lesion_recall`.
        overlap: As in `lesion_recall`.
        **kwargs: Passed to `torchmetrics.Metric`.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    counts: Tensor

    def __init__(self, edges: Sequence[int], *, overlap: float = 0.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.edges, self.overlap = tuple(edges), overlap
        count_apart(self, self.edges, overlap)
        self.add_state("counts", torch.zeros(4, len(self.edges) + 1, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, pred: Tensor, target: Tensor) -> None:
        """Add images.

        Args:
            pred: 0 and 1, or bool; (H, W), or (B, H, W) for several images of one lesion.
            target: 0 and 1, or bool; the same shape.
        """
        for called, lesion in _images(pred, target):
            found = lesion_size.lesion_recall(called, lesion, self.edges, overlap=self.overlap)
            self.counts += torch.tensor([getattr(found, name) for name in _AMOUNTS]).to(self.device)

    def compute(self) -> dict[str, Tensor]:
        """The pooled numbers of `fundus_lib.metrics.LesionRecall` (int64) and their shares (float64); (K + 1,) each."""
        pooled = lesion_size.LesionRecall(self.edges, *(tuple(row) for row in self.counts.tolist()))
        shares = {
            share: torch.tensor(getattr(pooled, share), dtype=torch.float64) for share in ("recall", "pixel_recall")
        }
        return dict(zip(_AMOUNTS, self.counts, strict=True)) | shares


def _images(pred: Tensor, target: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """One pair (H, W) after the other."""
    if pred.shape != target.shape or pred.ndim not in (2, 3):
        raise ArgumentError(
            "update",
            "not masks of one lesion",
            found=f"shapes {tuple(pred.shape)} and {tuple(target.shape)}",
            expected="(H, W) or (B, H, W), prediction and target alike",
            remedy="one metric per lesion: update(pred[:, channel], target[:, channel])",
        )
    size = pred.shape[-2:]
    yield from zip(pred.reshape(-1, *size), target.reshape(-1, *size), strict=True)
