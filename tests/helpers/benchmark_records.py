"""Records of the benchmark that are made up: of each image and lesion, scores in bins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fundus_lib import records
from fundus_lib.data.sample import LESIONS
from fundus_lib.metrics.score_bins import BIN_EDGES, BINS, average_precision_from_bins, read_counts, write_counts
from fundus_lib.protocols.benchmark import FUSED, IMAGE_MEANS, MIDDLE, SQUARE
from fundus_lib.protocols.image_counts import POOLED
from fundus_lib.protocols.lesions import LESION_SIZES
from helpers.records import RECORD


def bin_scores(scores: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Pixels of background and of lesion in each bin, (2, BINS)."""
    where = np.searchsorted(BIN_EDGES, scores, side="right")
    return np.stack([np.bincount(where[mask == part], minlength=BINS) for part in (0, 1)])


def make_record(
    row: str, seed: int, skill: float, *, table: str = "ideas", images: int = 6, pixels: int = 3000, **changes: Any
) -> dict[str, Any]:
    """A record of a network whose lesion pixels score higher by `skill`."""
    rng = np.random.default_rng([seed, int(100 * skill)])
    layout = np.random.default_rng(0)  # the same images for all
    predictions: dict[str, Sequence[Any]] = {"names": [f"image {n}" for n in range(images)]}
    scores = {}
    for lesion in LESIONS:
        texts = []
        for _ in range(images):
            mask = layout.random(pixels) < layout.uniform(0.01, 0.1)
            texts.append(write_counts(bin_scores(rng.normal(-4, 2, pixels) + skill * mask, mask)))
        predictions[f"{lesion}_counts"] = texts
        aupr = float(average_precision_from_bins(read_counts(texts).sum(0)))
        scores |= {f"{lesion}_{name}": aupr for name in (*POOLED, "region_f1_0.2", "region_f1_0.35")}
        scores |= {f"{lesion}_region_f1_0.65": aupr, f"{lesion}_region_f1_0.8": aupr}
        scores |= {f"{lesion}_breakeven_recall_{size}": aupr for size in LESION_SIZES}
    aupr = float(np.mean([scores[f"{lesion}_aupr"] for lesion in LESIONS]))
    means = {f"mean_{name}": aupr for name in POOLED}
    variants = {
        MIDDLE: {f"{one}_aupr": 0.9 * scores.get(f"{one}_aupr", aupr) for one in (*LESIONS, "mean")},
        IMAGE_MEANS: {f"mean_iou_mean{end}": 1 - aupr for end in ("", "_empty_1")},
        SQUARE: {"mean_aupr": aupr},
        FUSED: {"mdice_macro": 0.5 + aupr / 2, "mdice_micro": 0.99},
    }
    curve = [{"epoch": e, "step": e, "loss": 1.0, "seconds": 1.0} for e in (1, 2)]
    if table == "search":
        curve[-1] |= {f"validation_{lesion}_aupr": scores[f"{lesion}_aupr"] for lesion in LESIONS}
    made = {"paper": "benchmark", "table": table, "row": row, "seed": seed, "recipe": {"row": row}, "images": images}
    seconds = {"train": 700.0, "train_cpu": 600.0 + 100 * skill, "evaluate": 60.0}
    scored = {"metrics": scores | means, "variants": variants, "predictions": predictions}
    return {**RECORD, **made, **scored, "curve": curve, "seconds": seconds, "peak_memory_mb": 900, **changes}


def write_records(folder: Path, skills: Mapping[tuple[str, str], float], seeds: int = 2, **settings: Any) -> None:
    """Records of rows, by table and name, of so many seeds."""
    for (table, row), skill in skills.items():
        for seed in range(seeds):
            record = make_record(row, seed, skill, table=table, **settings)
            records.save(record, folder / f"benchmark-{table}-{row}-seed{seed}-made.json")
