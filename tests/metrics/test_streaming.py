"""The metrics as torchmetrics: equal to the functions, in one process and in two, exact or within their bounds."""

import math
import pickle

import numpy as np
import pytest
import torch
from torchmetrics import MetricCollection

from fundus_lib.errors import ArgumentError
from fundus_lib.metrics import (
    auprc,
    average_precision,
    class_counts,
    image_mean,
    mean_score,
    pixel_counts,
    roc_auc,
    streaming,
)
from helpers.random_cases import probabilities, random_case
from helpers.two_processes import in_two_processes


def images(count=5):
    """Scores and masks of as many images, (N, 30, 40); one has no lesion."""
    rng = np.random.default_rng(0)
    target = torch.from_numpy(rng.random((count, 30, 40)) < 0.1)
    target[1] = False
    scores = torch.from_numpy(np.round(rng.normal(size=target.shape), 2)) + target
    return scores, target


def two_sweeps(metric, pairs, **choices):
    """A metric of areas at every threshold at which the curve turns."""
    thresholds = updated(streaming.CurveThresholds(), pairs).compute()
    return updated(metric(thresholds, **choices), pairs)


def updated(metric, pairs):
    for pair in pairs:
        metric.update(*pair)
    return metric


def every_metric(start, step):
    """What all metrics compute from every `step`-th image from the `start`-th."""
    pairs = list(zip(*images(), strict=True))[start::step]
    masks = [(scores > 0.5, target) for scores, target in pairs]
    labels = [(called.long(), target.long()) for called, target in masks]
    between = [(scores.sigmoid(), target) for scores, target in pairs]
    choices = {"background": True, "average": "macro", "empty": "skip"}
    rounded = updated(streaming.AveragePrecision(), pairs), updated(streaming.ROCAUC(), pairs)
    return {
        "exact": two_sweeps(streaming.AveragePrecision, pairs).compute().item(),
        "lines": two_sweeps(streaming.AUPRC, pairs, interpolation="trapezoid").compute().item(),
        "roc": two_sweeps(streaming.ROCAUC, pairs).compute().item(),
        "eleven": updated(streaming.AUPRC(11, interpolation="trapezoid"), between).compute().item(),
        "few": updated(streaming.ROCAUC([0, 1], strict=True, ends=False), pairs).compute().item(),
        "rounded": [metric.compute().item() for metric in rounded] + [metric.bounds() for metric in rounded],
        "counts": {k: v.item() for k, v in updated(streaming.PixelCounts(), masks).compute().items()},
        "mean": updated(streaming.ImageMean("f1", empty="skip"), [(p[None], t[None]) for p, t in masks])
        .compute()
        .item(),
        "dice": updated(streaming.MeanScore(2, "f1", **choices), labels).compute().item(),
    }


def test_metrics_compute_what_the_functions_pool():
    scores, target = images()
    computed = every_metric(0, 1)
    assert computed["exact"] == pytest.approx(average_precision(scores, target), abs=1e-14)
    assert computed["lines"] == auprc(scores, target, thresholds=None, interpolation="trapezoid")
    assert computed["roc"] == roc_auc(scores, target)
    assert computed["eleven"] == auprc(scores.sigmoid(), target, thresholds=11, interpolation="trapezoid")
    assert computed["few"] == roc_auc(scores, target, thresholds=[0, 1], strict=True, ends=False)
    counts = pixel_counts(scores > 0.5, target)
    assert computed["counts"]["tp"] == counts.tp
    for name in ("tp", "fp", "fn", "tn", "iou", "f1", "sensitivity", "ppv", "specificity", "accuracy"):
        assert computed["counts"][name] == getattr(counts, name)
    singly = [pixel_counts(s > 0.5, t) for s, t in zip(scores, target, strict=True)]
    assert computed["mean"] == pytest.approx(image_mean(singly, "f1", empty="skip"), abs=1e-15)
    classes = class_counts((scores > 0.5).long(), target.long(), 2)
    assert computed["dice"] == mean_score(classes, "f1", background=True, average="macro", empty="skip")


def from_its_own_images(rank):
    """What all metrics compute when each process has every second image, and when one of two has no lesion."""
    scores, target = images()
    sparse = two_sweeps(streaming.AveragePrecision, [(scores[rank], target[rank])])
    return every_metric(rank, 2), sparse.compute().item()


def test_two_processes_compute_what_one_does():
    (scores, target), expected = images(), every_metric(0, 1)
    mean = expected.pop("mean")
    for computed, sparse in in_two_processes(from_its_own_images):
        assert computed.pop("mean") == pytest.approx(mean, abs=1e-15)  # a sum in another order
        assert computed == expected
        assert sparse == pytest.approx(average_precision(scores[:2], target[:2]), abs=1e-14)


def test_one_sweep_stays_within_its_bounds_and_is_exact_in_half_precision_on_random_cases():
    rng = np.random.default_rng(1)
    compared = 0
    for case in range(300):
        scores, target = random_case(rng)
        scores = probabilities(scores) * 1.001 if case % 2 else scores * 0.9999
        if case % 5 == 0:  # many pixels between two numbers of half precision
            scores = 1 + scores * 1e-3
        for metric, function in ((streaming.AveragePrecision(), average_precision), (streaming.ROCAUC(), roc_auc)):
            metric.update(scores, target)
            exact, (low, high) = function(scores, target), metric.bounds()
            if math.isnan(exact):
                assert math.isnan(low)
                assert math.isnan(high)
            else:
                compared += 1
                assert low - 1e-12 <= exact <= high + 1e-12
                assert low - 1e-12 <= metric.compute().item() <= high + 1e-12
            half = function(scores.astype(np.float16), target)
            assert metric.compute().item() == pytest.approx(half, abs=1e-12, nan_ok=True)
    assert compared > 240


def test_bounds_are_close_for_logits_and_tell_when_probabilities_crowd():
    rng = np.random.default_rng(2)
    target = rng.random(200_000) < 0.009
    logits = (rng.normal(size=200_000) + 2 * target).astype(np.float32)
    widths = []
    for scores in (logits, 1 / (1 + np.exp(-6 - logits))):
        low, high = updated(streaming.AveragePrecision(), [(scores, target)]).bounds()
        assert low <= average_precision(scores, target) <= high
        widths.append(high - low)
    assert widths[0] < 0.005 < widths[1]


def test_grey_levels_are_exact_in_one_sweep():
    rng = np.random.default_rng(3)
    scores, target = rng.integers(0, 256, size=(40, 40), dtype=np.uint8), rng.random((40, 40)) < 0.1
    for metric, function in ((streaming.AveragePrecision(), average_precision), (streaming.ROCAUC(), roc_auc)):
        assert updated(metric, [(scores, target)]).compute().item() == pytest.approx(
            function(scores, target), abs=1e-14
        )


def test_a_collection_keeps_areas_over_other_thresholds_apart():
    """Although they agree after the first image, in which no score reaches a threshold."""
    first, second = (streaming.AUPRC(levels, interpolation="step") for levels in ([0.2, 0.6], [0.4, 0.8]))
    both = MetricCollection({"first": first.clone(), "second": second.clone()})
    scores, target = np.random.default_rng(5).random((40, 40)), np.eye(40)
    for metric in (both, first, second):
        metric.update(np.zeros_like(scores), target)
        metric.update(scores, target)
    assert both.compute() == {"first": first.compute(), "second": second.compute()}
    assert first.compute() != second.compute()


def test_metrics_collect_reset_pickle_and_refuse():
    scores, target = images()
    areas = MetricCollection(
        {
            "ap": streaming.AveragePrecision(),
            "auc": streaming.ROCAUC(),
            "pr": streaming.AUPRC(None, interpolation="trapezoid"),
        }
    )
    batch = areas(scores[:2], target[:2])
    areas.update(scores[2:], target[2:])
    alone = updated(streaming.AveragePrecision(), [(scores, target)])
    assert batch["ap"] != areas.compute()["ap"] == alone.compute()
    assert pickle.loads(pickle.dumps(alone)).compute() == alone.compute()
    alone.reset()
    assert not alone.tp.any()
    with pytest.raises(ArgumentError, match="NaN"):
        alone.update(scores * math.nan, target)
    with pytest.raises(ArgumentError, match="sigmoid"):
        streaming.AveragePrecision(11).update(scores, target)
    with pytest.raises(ArgumentError, match="has no bounds"):
        streaming.ROCAUC([0.5]).bounds()
    with pytest.raises(ArgumentError, match="'step' or 'trapezoid'"):
        streaming.AUPRC(11, interpolation="cubic")
    with pytest.raises(ArgumentError, match="'iou' or 'f1'"):
        streaming.ImageMean("dice", empty="skip")
    with pytest.raises(ArgumentError, match="'macro' or 'micro'"):
        streaming.MeanScore(2, "f1", background=True, average="mean", empty="skip")


def test_an_image_mean_says_what_an_undefined_score_counts():
    scores, target = images()
    pred = scores > 9  # nothing is called, so PPV is not defined anywhere, F1 not in the image without lesion
    for empty, expected in (("skip", 0), (1, 0.2), (math.nan, math.nan)):
        mean = streaming.ImageMean("f1", empty=empty)
        mean.update(pred, target)
        assert mean.compute().item() == pytest.approx(expected, nan_ok=True)
    nothing = streaming.ImageMean("ppv", empty="skip")
    nothing.update(pred, target)
    assert math.isnan(nothing.compute())


def test_without_any_lesion_areas_are_nan():
    scores, target = images()
    for metric in (streaming.AveragePrecision, streaming.ROCAUC):
        assert math.isnan(two_sweeps(metric, [(scores[1], target[1])]).compute())
        assert math.isnan(updated(metric(11), [(scores[1].sigmoid(), target[1])]).compute())
