"""Masks to count on, and slow ways to count, pixel by pixel, that share nothing with the library's."""

from fractions import Fraction

import numpy as np

Pixels = set[tuple[int, int]]


def pixels(mask: np.ndarray) -> Pixels:
    """Where a mask is not 0."""
    return set(zip(*(axis.tolist() for axis in np.nonzero(mask)), strict=True))


def flood_fill(mask: np.ndarray) -> list[Pixels]:
    """The components of a mask, 8-connected."""
    left = pixels(mask)
    components = []
    while left:
        component, border = set(), [left.pop()]
        while border:
            y, x = border.pop()
            component.add((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            border += near
        components.append(component)
    return components


def region_counts(pred: np.ndarray, target: np.ndarray, sigmas: list[str]) -> list[tuple[int, int, int, int]]:
    """The region metric as it is defined: (tp, fp, fn, tn) for each sigma, a decimal in letters so as to be exact."""
    called, lesion = pixels(pred), pixels(target)
    called_parts, lesion_parts = flood_fill(pred), flood_fill(target)
    counts = []
    for sigma in map(Fraction, sigmas):
        hit = called & lesion
        hit = hit.union(*(part for part in called_parts if Fraction(len(part & lesion), len(part)) > sigma))
        hit = hit.union(*(part for part in lesion_parts if Fraction(len(part & called), len(part)) > sigma))
        counts.append((len(hit), len(called - hit), len(lesion - hit), pred.size - len(called | lesion)))
    return counts


def random_masks(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A prediction and a target: empty, full, one pixel, sparse or blotchy, independent or one the other's shift."""
    shape = tuple(rng.integers(1, 14, size=2))

    def mask() -> np.ndarray:
        drawn = rng.random(shape) < rng.choice([0, 0.05, 0.2, 0.5, 1], p=[0.05, 0.3, 0.4, 0.2, 0.05])
        return np.repeat(np.repeat(drawn, 2, axis=0), 2, axis=1) if shape[0] % 2 else drawn

    target = mask()
    return (np.roll(target, 1, axis=rng.integers(2)) if rng.random() < 0.3 else mask()), target
