"""Recall of lesions by their size, which scores over pixels hide, since large lesions have most of them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from operator import index
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from fundus_lib.errors import ArgumentError
from fundus_lib.metrics._components import as_mask_pair, measure_components

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike


@dataclass(frozen=True)
class LesionRecall:
    """Lesions of each size class: their number and the number detected.

    A lesion is a connected component of the ground truth. Results of several images add up with ``+`` (and
    ``sum(results, LesionRecall())``): their fractions are then *pooled* over all lesions. The fraction of a class
    without lesions is NaN. ``LesionRecall()`` is the result of no image at all.

    Attributes:
        edges: Areas at which a size class ends and the next begins, in pixels, ascending; (K,).
        lesions: Lesions of each class, smallest class first; (K + 1,).
        found: Those of them of which a pixel was predicted as lesion; (K + 1,).
        pixels: Pixels of the lesions of each class; (K + 1,).
        found_pixels: Those of the pixels that were predicted as lesion, in detected lesions or not; (K + 1,).
    """

    edges: tuple[int, ...] = ()
    lesions: tuple[int, ...] = ()
    found: tuple[int, ...] = ()
    pixels: tuple[int, ...] = ()
    found_pixels: tuple[int, ...] = ()

    def __add__(self, other: LesionRecall) -> LesionRecall:
        if not (self.lesions and other.lesions):
            return self if self.lesions else other
        if self.edges != other.edges:
            raise ArgumentError(
                "LesionRecall",
                "two results have different size classes",
                found=f"the edges {self.edges} and {other.edges}",
                expected="the same edges",
                remedy="call lesion_recall with the same edges for every image",
            )
        return LesionRecall(
            self.edges,
            _add(self.lesions, other.lesions),
            _add(self.found, other.found),
            _add(self.pixels, other.pixels),
            _add(self.found_pixels, other.found_pixels),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes: ``"< 50"``, ``"50 to 499"``, ``"≥ 500"`` for the edges 50 and 500."""
        if not self.edges:
            return ("all",)
        between = (f"{low} to {high - 1}" for low, high in pairwise(self.edges))
        return (f"< {self.edges[0]}", *between, f"≥ {self.edges[-1]}")

    @property
    def recall(self) -> tuple[float, ...]:
        """Fraction of the lesions that were detected, per class."""
        return _divide(self.found, self.lesions)

    @property
    def pixel_recall(self) -> tuple[float, ...]:
        """Fraction of the lesions' pixels that were predicted as lesion, per class: the sensitivity within a class."""
        return _divide(self.found_pixels, self.pixels)


def lesion_recall(pred: ArrayLike | Tensor, target: ArrayLike | Tensor, edges: Sequence[int]) -> LesionRecall:
    """Count the lesions of the ground truth that a prediction detects, by their size.

    A lesion is detected if one pixel of it was predicted as lesion. A prediction of lesion everywhere then detects all,
    so report false positives too.

    Args:
        pred: 0 and 1, or bool; (H, W), one image and one lesion.
        target: 0 and 1, or bool; the same shape.
        edges: Ascending areas in pixels. ``(50, 500)`` makes three classes: under 50, 50 to 499, and 500 or more. Areas
            change with the image's size: give them for the masks' size.

    Raises:
        ArgumentError: Shapes differ, a mask is not (H, W), a value is neither 0 nor 1, or edges are not ascending.
        TypeError: An edge is no integer.
    """
    edges = tuple(index(edge) for edge in edges)
    if any(low >= high for low, high in pairwise((0, *edges))):
        raise ArgumentError(
            "lesion_recall",
            "edges of size classes are not ascending",
            found=edges,
            expected="areas of 1 pixel or more, each larger than the one before",
            remedy="sort them and leave out duplicates",
        )
    mask, lesions = as_mask_pair(pred, target, "lesion_recall")
    areas, shared = measure_components(lesions, mask)
    size_class = np.searchsorted(np.asarray(edges), areas, side="right")  # edges belong to the class above

    def total(amounts: ArrayLike) -> tuple[int, ...]:
        sums = np.zeros(len(edges) + 1, np.int64)
        np.add.at(sums, size_class, amounts)
        return tuple(sums.tolist())

    return LesionRecall(edges, total(1), total(shared > 0), total(areas), total(shared))


def _add(first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(a + b for a, b in zip(first, second, strict=True))


def _divide(parts: tuple[int, ...], wholes: tuple[int, ...]) -> tuple[float, ...]:
    return tuple(part / whole if whole else float("nan") for part, whole in zip(parts, wholes, strict=True))
