"""Scores in bins: written and read, and how near the average precision of the bins is to that of the scores."""

import numpy as np
import pytest

from fundus_lib.errors import ArgumentError
from fundus_lib.metrics import average_precision
from fundus_lib.metrics.score_bins import BIN_EDGES, BINS, average_precision_from_bins, read_counts, write_counts


def bin_scores(scores, mask):
    where = np.searchsorted(BIN_EDGES, scores, side="right")
    return np.stack([np.bincount(where[mask == part], minlength=BINS) for part in (0, 1)])


def test_a_bin_adds_its_integral_of_the_precision():
    counts = np.random.default_rng(0).integers(0, 50, (2, 7))
    counts[:, 2] = counts[:, 6] = 0
    t = (np.arange(20000) + 0.5) / 20000
    area, hits, above = 0.0, 0, 0
    for background, lesion in counts.T[::-1]:
        if lesion:
            false = above ** (1 - t) * (above + background) ** t if above else t * background
            area += lesion * np.mean((hits + t * lesion) / (hits + t * lesion + false))
        hits, above = hits + lesion, above + background
    assert average_precision_from_bins(counts) == pytest.approx(area / counts[1].sum(), abs=1e-3)


@pytest.mark.parametrize("scale, shift", [(1, 0), (3, 0), (10, 40), (0.4, 0), (1, 4), (0.5, -3)])
def test_bins_tell_the_average_precision_to_a_thousandth(scale, shift):
    """Of logits as cross-entropy, Dice, focal and weighted losses give them."""
    rng = np.random.default_rng(1)
    mask = (rng.random(400_000) < 0.01).astype(np.uint8)
    scores = scale * (rng.normal(-6, 1.5, mask.size) + mask * rng.normal(5.5, 2.5, mask.size)) + shift
    found = average_precision_from_bins(bin_scores(scores, mask))
    assert found == pytest.approx(average_precision(scores, mask), abs=1e-3)


def test_images_are_pooled_by_adding_their_counts():
    counts = np.random.default_rng(2).integers(0, 9, (4, 3, 2, BINS))
    pooled = average_precision_from_bins(counts.sum(1))
    assert pooled.shape == (4,)
    assert pooled[2] == average_precision_from_bins(counts[2, 0] + counts[2, 1] + counts[2, 2])
    assert np.isnan(average_precision_from_bins(np.zeros((2, BINS))))
    assert average_precision_from_bins([[0, 5], [3, 0]]) < 0.3 and average_precision_from_bins([[5, 0], [0, 3]]) == 1


def test_counts_are_read_as_they_were_written():
    counts = np.random.default_rng(3).integers(0, 12_000_000, (3, 2, BINS))
    texts = [write_counts(one) for one in counts]
    assert (read_counts(texts) == counts).all() and all(isinstance(text, str) for text in texts)
    for wrong in (["1 2/3"], ["1 2/3 !"], [texts[0], "1/2"]):
        with pytest.raises(ArgumentError, match="read_counts"):
            read_counts(wrong)


@pytest.mark.parametrize("texts", [["1 2 3"], ["1 2/3 4/5 6"], "12", [], ["-1 2/3 4"], ["1/2", "1 2/3 4"]])
def test_what_was_not_written_is_not_read(texts):
    with pytest.raises(ArgumentError):
        read_counts(texts)
