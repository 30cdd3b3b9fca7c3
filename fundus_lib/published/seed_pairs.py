"""How often an interval over images tells two trainings apart that differ in the seed alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from fundus_lib.metrics.bootstrap import bootstrap
from fundus_lib.recipes import recipes
from fundus_lib.records.image_gains import image_scores

TABLES = (("hecl", "small"), ("hecl", "small_16"), ("local_global", "half"))
"""Tables whose rows were run with several seeds, and whose records hold the AUPR of each image."""


@dataclass(frozen=True)
class SeedPairs:
    """Pairs of runs of one recipe.

    Attributes:
        pairs: How many.
        clear: Of how many the 95 % interval over images of the difference excludes zero; one in twenty if the seed
            changed nothing.
        median: Median of the absolute differences of the AUPR, mean over images.
    """

    pairs: int
    clear: int
    median: float


def count_seed_pairs(tables: Iterable[tuple[str, str]] = TABLES) -> SeedPairs:
    """All pairs of seeds of each row of some tables, by the AUPR of its lesion.

    Args:
        tables: Paper and table.
    """
    clear, sizes = 0, []
    for paper, table in tables:
        for recipe in recipes(paper, table):
            scores = image_scores(paper, (table, recipe.row), f"{recipe.lesions[0]}_aupr")
            for one, other in combinations(range(len(scores)), 2):
                differences = (scores.iloc[one] - scores.iloc[other]).dropna().to_numpy()
                found = bootstrap(differences, lambda drawn: float(drawn.mean()))
                clear += found.low > 0 or found.high < 0
                sizes.append(abs(found.value))
    return SeedPairs(len(sizes), int(clear), float(np.median(sizes)) if sizes else float("nan"))
