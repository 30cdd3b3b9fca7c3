"""Pairs of seeds, from made-up scores of images."""

import numpy as np
import pandas as pd
import pytest

from fundus_lib.published import seed_pairs


def test_pairs_that_differ_in_the_seed_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    images = rng.random(40)
    made = {
        "unet": pd.DataFrame([images, images + 0.05, images + rng.normal(0, 0.2, 40)]),  # 0-1 clear, the others not
        "unet_hecl": pd.DataFrame([images]),
    }
    monkeypatch.setattr(seed_pairs, "image_scores", lambda paper, row, score: made.get(row[1], pd.DataFrame()))
    found = seed_pairs.count_seed_pairs([("hecl", "small")])
    assert found.pairs == 3 and 1 <= found.clear <= 2 and 0 < found.median <= 0.06
    monkeypatch.setattr(seed_pairs, "image_scores", lambda *args: pd.DataFrame())
    assert seed_pairs.count_seed_pairs([("hecl", "small")]).pairs == 0


def test_the_books_own_runs_differ_more_than_their_images_explain() -> None:
    found = seed_pairs.count_seed_pairs()
    assert found.pairs >= 54 and found.clear > 0.2 * found.pairs, "what the leaderboard says of one seed"
