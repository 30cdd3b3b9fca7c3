"""AUPR of any selection of images, pooled anew from the counts that a record of the benchmark holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fundus_lib.data.sample import LESIONS
from fundus_lib.errors import RecordError
from fundus_lib.metrics.score_bins import average_precision_from_bins, read_counts

FURTHEST = 0.006
"""How far the AUPR from bins may lie from the exact one."""


def draw_weights(images: int, resamples: int, seed: int = 0) -> NDArray[np.float64]:
    """How often each image is in each selection, (1 + resamples, images); the first is the images themselves."""
    draws = np.random.default_rng(seed).integers(images, size=(resamples, images))
    times = np.stack([np.bincount(draw, minlength=images) for draw in draws])
    return np.concatenate([np.ones((1, images)), times])


def pool(record: Mapping[str, Any], names: Sequence[str], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """AUPR of each selection of images, of each lesion and their mean: (selections, lesions + 1).

    That of all images is the exact one of the record, the others are from its bins.

    Args:
        record: Of a run of the benchmark.
        names: Of the images, in the order of the weights.
        weights: (selections, images).
    """
    predictions = record["predictions"]
    order = [predictions["names"].index(name) for name in names]
    found = []
    for lesion in LESIONS:
        counts = read_counts(predictions[f"{lesion}_counts"])[order]  # (N, 2, K)
        pooled = (weights @ counts.reshape(len(order), -1)).reshape(-1, *counts.shape[1:])
        found.append(average_precision_from_bins(pooled))
    scores = np.stack(found, axis=1)
    exact = np.array([record["metrics"][f"{lesion}_aupr"] for lesion in LESIONS])
    whole = (weights == 1).all(1) & (len(order) == len(predictions["names"]))
    scores[whole] = exact  # the bins give that within some thousandths
    return np.concatenate([scores, scores.mean(1, keepdims=True)], axis=1)


def has_counts(record: Mapping[str, Any]) -> bool:
    """Whether a record holds counts of all lesions."""
    return all(f"{lesion}_counts" in (record.get("predictions") or {}) for lesion in LESIONS)


def check_bins(record: Mapping[str, Any]) -> None:
    """Refuse a record whose bins do not tell the order of its scores, as those of Dice networks did not once."""
    for lesion in LESIONS:
        pooled = float(average_precision_from_bins(read_counts(record["predictions"][f"{lesion}_counts"]).sum(0)))
        exact = record["metrics"][f"{lesion}_aupr"]
        if abs(pooled - exact) > FURTHEST:
            raise RecordError(
                " ".join(str(record[name]) for name in ("paper", "table", "row", "seed")),
                "the bins of this record do not give its score",
                found=f"{lesion}_aupr {pooled:.4f} from the bins, {exact:.4f} in the record",
                expected=f"a difference of {FURTHEST} at most",
                remedy="it is of an older version, whose bins ended at a logit of 16: run it again",
            )
