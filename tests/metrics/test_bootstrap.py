"""Intervals over images against a direct way to draw them, and how often they hold the truth."""

import math
import warnings

import numpy as np
import pytest

from fundus_lib.errors import ArgumentError
from fundus_lib.metrics import Estimate, PixelCounts, bootstrap


def test_ends_are_percentiles_of_the_resampled_scores():
    scores = np.random.default_rng(0).normal(size=27)
    estimate = bootstrap(scores, np.mean, resamples=500, confidence=0.9, seed=3)
    means = [scores[draw].mean() for draw in np.random.default_rng(3).integers(27, size=(500, 27))]
    assert estimate == Estimate(np.mean(scores), np.quantile(means, 0.05), np.quantile(means, 0.95))
    assert type(estimate.value) is type(estimate.low) is float


def test_interval_of_a_mean_has_the_known_width():
    """Drawn means have the standard deviation of the scores over √n, and nearly the normal shape."""
    right = np.arange(103) < 63
    accuracy = bootstrap(right, np.mean, resamples=20_000)
    half_width = 1.96 * math.sqrt(63 / 103 * 40 / 103 / 103)
    assert accuracy.value == 63 / 103
    assert (accuracy.high - accuracy.low) / 2 == pytest.approx(half_width, abs=0.005)
    assert (accuracy.high + accuracy.low) / 2 == pytest.approx(63 / 103, abs=0.005)


def test_lists_and_arrays_are_drawn_alike():
    counts = [PixelCounts(tp=int(t), fp=int(f), fn=5) for t, f in np.random.default_rng(1).integers(99, size=(27, 2))]
    table = np.array([(count.tp, count.fp, count.fn) for count in counts])
    pooled = bootstrap(counts, lambda some: sum(some, PixelCounts()).f1)

    def f1(some):
        tp, fp, fn = some.sum(0)
        return 2 * tp / (2 * tp + fp + fn)

    assert pooled == bootstrap(table, f1)
    assert pooled.value == sum(counts, PixelCounts()).f1
    assert pooled.low < pooled.value < pooled.high


def test_a_score_may_be_an_array():
    images = np.random.default_rng(2).normal(size=(20, 3))
    every = bootstrap(images, lambda some: some.mean(0))
    for column in range(3):
        single = bootstrap(images[:, column], np.mean)
        for end in ("value", "low", "high"):
            assert getattr(every, end)[column] == pytest.approx(getattr(single, end), abs=1e-12)


def test_equal_seeds_draw_equally_and_others_do_not():
    scores = np.random.default_rng(3).normal(size=50)
    assert bootstrap(scores, np.mean) == bootstrap(scores, np.mean, seed=0)
    assert bootstrap(scores, np.mean) != bootstrap(scores, np.mean, seed=1)


def test_a_difference_is_surer_than_its_parts():
    """Two systems that fail on the same images differ by less than their intervals suggest."""
    rng = np.random.default_rng(4)
    hard = rng.normal(size=103)
    a, b = hard + 0.1 * rng.normal(size=103), hard + 0.1 * rng.normal(size=103)

    def width(estimate):
        return estimate.high - estimate.low

    assert width(bootstrap(a - b, np.mean)) < 0.2 * width(bootstrap(a, np.mean))


def test_pairs_of_counts_are_drawn_together():
    rng = np.random.default_rng(7)
    ours, theirs = (
        [PixelCounts(tp=int(tp), fp=int(fp), fn=9) for tp, fp in rng.integers(99, size=(9, 2))] for _ in "ab"
    )

    def difference(some):
        first, second = zip(*some, strict=True)
        return sum(first, PixelCounts()).f1 - sum(second, PixelCounts()).f1

    assert bootstrap(list(zip(ours, ours, strict=True)), difference) == Estimate(0, 0, 0)
    there = bootstrap(list(zip(ours, theirs, strict=True)), difference)
    back = bootstrap(list(zip(theirs, ours, strict=True)), difference)
    assert (back.value, back.low, back.high) == pytest.approx((-there.value, -there.high, -there.low))


def test_selections_without_a_score_are_left_out():
    counts = [PixelCounts(tp=1, fn=1), PixelCounts(tn=9)]  # half of all selections lack the first image or the second
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert bootstrap(counts, lambda some: sum(some, PixelCounts()).sensitivity) == Estimate(0.5, 0.5, 0.5)
        never = bootstrap(counts[1:], lambda some: sum(some, PixelCounts()).sensitivity)
    assert all(math.isnan(number) for number in (never.value, never.low, never.high))


def test_of_one_image_nothing_varies():
    assert bootstrap([0.7], np.mean) == Estimate(0.7, 0.7, 0.7)


def held(draw, statistic, truth, studies=800):
    """In which share of simulated studies the 95 % interval held the truth."""
    estimates = (bootstrap(draw(), statistic, resamples=300, seed=seed) for seed in range(studies))
    return np.mean([estimate.low <= truth <= estimate.high for estimate in estimates])


@pytest.mark.parametrize(("images", "promised"), [(103, 0.945), (27, 0.93)])
def test_an_accuracy_lies_within_its_interval_nearly_as_often_as_promised(images, promised):
    rng = np.random.default_rng(5)
    share = held(lambda: rng.random(images) < 0.61, np.mean, 0.61)
    assert share == pytest.approx(promised, abs=0.025)  # three standard errors


@pytest.mark.parametrize(("images", "promised"), [(103, 0.925), (27, 0.905)])
def test_a_pooled_f1_lies_within_its_interval_more_rarely(images, promised):
    """Few images hold most of the area, as in IDRiD (the logarithm's mean and deviation are its exudates')."""
    rng = np.random.default_rng(6)

    def draw():
        area = np.exp(rng.normal(11.1, 1.15, images))
        tp = area * rng.beta(8, 3, images)
        fp = area * rng.gamma(1.5, 0.2, images) + rng.gamma(1, 2000, images)
        return np.stack([2 * tp, tp + fp + area], 1)

    area = np.exp(11.1 + 1.15**2 / 2)
    truth = 2 * (8 / 11) * area / ((8 / 11 + 0.3 + 1) * area + 2000)
    assert held(draw, lambda some: np.divide(*some.sum(0)), truth) == pytest.approx(promised, abs=0.035)


def test_prints_as_a_result_is_quoted():
    assert str(Estimate(0.6116, 0.5146, 0.7087)) == "0.612 [0.515, 0.709]"
    assert str(Estimate(-0.01, -0.02, 0.03)) == "−0.010 [−0.020, 0.030]"


@pytest.mark.parametrize(
    ("images", "options", "says"),
    [
        ([], {}, " 0 images"),
        ([1.0], {"resamples": 0}, " 0 resamples"),
        ([1.0], {"confidence": 95}, "fraction"),
        ([1.0], {"confidence": math.nan}, "fraction"),
    ],
)
def test_bootstrap_refuses(images, options, says):
    with pytest.raises(ArgumentError, match=says):
        bootstrap(images, np.mean, **options)
