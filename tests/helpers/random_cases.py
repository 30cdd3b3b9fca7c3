"""Scores and masks to score: few or many pixels, few or many ties, none to all of them lesion."""

import numpy as np


def random_case(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Scores (float32 or float64) and target (uint8): also a single pixel, empty, full, and constant scores."""
    shape = tuple(rng.integers(1, 12, size=rng.integers(1, 4)))
    if rng.random() < 0.05:
        shape = (1,)
    target = (rng.random(shape) < rng.choice([0, 0.01, 0.1, 0.5, 1])).astype(np.uint8)
    scores = rng.normal(size=shape) + target * rng.choice([0, 1, 3])
    match rng.integers(5):
        case 0:
            scores = np.round(scores)
        case 1:
            scores = np.full(shape, 0.3)
        case 2:
            scores = np.round(scores, 1)
        case 3:
            scores = scores.astype(np.float32)
    return scores, target


def probabilities(scores: np.ndarray) -> np.ndarray:
    """The scores between 0 and 1, many of them on tenths, of the same type."""
    values = 1 / (1 + np.exp(-scores))
    return np.where(np.abs(scores) > 1, np.round(values, 1), values).astype(scores.dtype)
