"""Thresholds of a curve as the smallest scores that pass, and the number of scores that pass each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from fundus_lib.errors import ArgumentError
from fundus_lib.metrics._inputs import chunks

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def count_reaching(scores: Tensor, edges: Tensor) -> NDArray[np.int64]:
    """Count the scores that are at least each edge.

    The scores are sorted chunk by chunk, without those below all edges, and the edges looked up in each: several times
    faster than looking up the scores among the edges, and without a copy of all scores.

    Args:
        scores: (N,), any real type.
        edges: (K,), ascending, of the scores' `working_type` or wider.

    Returns:
        (K,) int64.
    """
    counts = np.zeros(len(edges), np.int64)
    if not len(edges):
        return counts
    for part in chunks(scores):
        part = part.to(edges.dtype)
        counts += _count_with_numpy(part, edges) if part.is_cpu else _count_with_torch(part, edges)
    return counts


def _count_with_numpy(scores: Tensor, edges: Tensor) -> NDArray[np.int64]:
    """Count on a CPU, where numpy selects and sorts many times faster than torch."""
    values, bounds = scores.numpy(), edges.numpy()
    values = values[values >= bounds[0]]
    values.sort()
    return np.asarray(values.size - np.searchsorted(values, bounds))


def _count_with_torch(scores: Tensor, edges: Tensor) -> NDArray[np.int64]:
    """Count on any device."""
    values = scores[scores >= edges[0]].sort().values
    return np.asarray((values.numel() - torch.searchsorted(values, edges)).cpu())


def distinct(scores: Tensor) -> Tensor:
    """The distinct scores, ascending, in their `working_type`."""
    scores = scores.to(working_type(scores.dtype))
    return torch.from_numpy(np.unique(scores.numpy())) if scores.is_cpu else torch.unique(scores)


def turning_points(lesion_scores: Tensor) -> Tensor:
    """The edges at which a curve changes: each distinct score of a lesion pixel and the next number; (K,)."""
    scores = distinct(lesion_scores)
    if scores.is_floating_point():
        above = torch.nextafter(scores, torch.full_like(scores, torch.inf))
    else:
        above = scores.clamp(max=torch.iinfo(torch.int64).max - 1) + 1
    return distinct(torch.cat([scores, above]))


def as_levels(thresholds: int | ArrayLike) -> NDArray[np.float64]:
    """The given thresholds as numbers, ascending.

    Args:
        thresholds: Number of thresholds from 0 to 1, equally spaced, or the thresholds themselves.

    Returns:
        (K,) float64.

    Raises:
        ArgumentError: Fewer than two from 0 to 1, none at all, NaN, or not one-dimensional.
    """
    if isinstance(thresholds, int | np.integer):
        if thresholds < 2:
            raise ArgumentError(
                "thresholds",
                "too few between 0 and 1",
                found=thresholds,
                expected="2 or more, or None for all",
                remedy="give a sequence for a single threshold: [0.5]",
            )
        return np.linspace(0, 1, int(thresholds))
    levels = np.sort(np.atleast_1d(np.asarray(thresholds, np.float64)))
    if levels.ndim != 1 or not levels.size or np.isnan(levels).any():
        raise ArgumentError(
            "thresholds",
            "not a sequence of numbers",
            found=f"{thresholds!r:.80}",
            expected="numbers, a count from 0 to 1, or None for all",
            remedy="give None for all distinct scores, whatever their range",
        )
    return levels


def check_range(thresholds: int | ArrayLike, scores: Tensor) -> None:
    """Refuse a number of thresholds, which divide the range from 0 to 1, if scores lie outside it."""
    if isinstance(thresholds, int | np.integer) and scores.numel() and (scores.min() < 0 or scores.max() > 1):
        raise ArgumentError(
            "thresholds",
            "a number of thresholds divides the range from 0 to 1, and scores lie outside it",
            found=f"scores from {scores.min().item():g} to {scores.max().item():g}",
            expected="scores from 0 to 1",
            remedy="apply the sigmoid to logits, divide grey levels by 255, or give the thresholds themselves",
        )


def as_edges(levels: NDArray[np.float64], scores: Tensor, strict: bool) -> Tensor:
    """The smallest scores that pass each level, ascending: at least the level, or above it if strict.

    Args:
        levels: (K,), ascending.
        scores: Scores of the type and on the device to compare with.
        strict: "Above 0.5" is "at least the number next to 0.5".

    Returns:
        (K,) of the scores' `working_type`, on their device.
    """
    kind = working_type(scores.dtype)
    if kind == torch.int64:
        whole = np.floor(levels) + 1 if strict else np.ceil(levels)
        edges = torch.from_numpy(whole.clip(-(2.0**62), 2.0**62)).long()
    else:
        edges = torch.from_numpy(levels).to(scores.dtype).to(kind)
        if strict:
            edges = torch.nextafter(edges, torch.full_like(edges, torch.inf))
    return edges.to(scores.device)


def working_type(dtype: torch.dtype) -> torch.dtype:
    """The type in which scores of a type are compared, exactly."""
    if dtype == torch.float64:
        return dtype
    return torch.float32 if dtype.is_floating_point else torch.int64
