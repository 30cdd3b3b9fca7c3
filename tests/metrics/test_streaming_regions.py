"""Region counts, lesion recall and grading report as metrics: one process, two processes, and the functions agree."""

import pickle

import numpy as np
import pytest
import torch
from torchmetrics import MetricCollection

from fundus_lib.errors import ArgumentError
from fundus_lib.metrics import (
    LesionRecall,
    PixelCounts,
    grading_report,
    lesion_recall,
    region_counts,
    streaming,
)
from helpers.two_processes import in_two_processes

SIGMAS, EDGES = (0.2, 0.5, 0.8), (3, 10)


def images(count=7):
    """Masks (N, H, W) and grades (N, 4) of as many images."""
    rng = np.random.default_rng(0)
    masks = torch.from_numpy(rng.random((2, count, 20, 30)) < 0.3)
    return (*masks, torch.from_numpy(rng.integers(3, size=(count, 4))))


def updated(start, step):
    """Metrics that saw every `step`-th image from the `start`-th, one by one."""
    metrics = (
        streaming.RegionCounts(SIGMAS),
        streaming.LesionRecall(EDGES, overlap=0.1),
        streaming.GradingReport(dme=True, resamples=100),
    )
    for pred, target, grades in list(zip(*images(), strict=True))[start::step]:
        metrics[0].update(pred, target)
        metrics[1].update(pred, target)
        metrics[2].update(*grades[:, None])
    return metrics


def flat(metrics):
    """What they compute, as one list of numbers."""
    return [number for metric in metrics for tensor in metric.compute().values() for number in tensor.ravel().tolist()]


def test_computed_is_what_the_functions_pool():
    pred, target, grades = images()
    regions, recall, report = (metric.compute() for metric in updated(0, 1))
    pairs = list(zip(pred, target, strict=True))
    for place, counts in enumerate(zip(*(region_counts(*pair, SIGMAS) for pair in pairs), strict=True)):
        pooled = sum(counts, PixelCounts())
        for name in ("tp", "fp", "fn", "tn", "f1", "iou", "sensitivity", "ppv", "accuracy"):
            assert regions[name][place] == getattr(pooled, name)
    pooled = sum((lesion_recall(*pair, EDGES, overlap=0.1) for pair in pairs), LesionRecall())
    for name in ("lesions", "found", "pixels", "found_pixels", "recall", "pixel_recall"):
        assert recall[name].tolist() == list(getattr(pooled, name))
    in_order = grades[np.lexsort(grades.T.numpy()[::-1])]
    expected = grading_report(*in_order.T, resamples=100)
    assert {name: report[name].item() for name in expected.metrics()} == expected.metrics()
    assert torch.equal(report["dr_confusion"], torch.from_numpy(expected.dr.confusion.value))
    assert report["dme_confusion"].shape == (3, 3)


def test_a_batch_is_its_images_and_a_call_scores_the_batch_alone():
    pred, target, grades = images()
    singly, batched = updated(0, 1), (streaming.RegionCounts(SIGMAS), streaming.LesionRecall(EDGES, overlap=0.1))
    report = streaming.GradingReport(dme=True, resamples=100)
    for part in (slice(0, 4), slice(4, 7)):
        batch = batched[0](pred[part], target[part])
        assert batch["tp"].sum() < singly[0].compute()["tp"].sum()
        batched[1].update(pred[part], target[part])
        report.update(*grades[part].T)
    assert flat((*batched, report)) == flat(singly)


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_state_survives_pickling_and_reset_empties_it():
    metrics = updated(0, 1)
    assert flat(pickle.loads(pickle.dumps(metrics))) == flat(metrics)
    for metric in metrics:
        metric.reset()
        assert not metric.counts.any()
    assert torch.isnan(metrics[0].compute()["f1"]).all()
    assert torch.isnan(metrics[1].compute()["recall"]).all()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (streaming.RegionCounts([0.2]), streaming.RegionCounts([0.8])),
        (streaming.LesionRecall(EDGES), streaming.LesionRecall((4, 12))),
        (streaming.LesionRecall(EDGES), streaming.LesionRecall(EDGES, overlap=0.9)),
        (streaming.ImageMean("iou", empty=0), streaming.ImageMean("f1", empty=0)),
    ],
)
def test_a_collection_does_not_take_two_metrics_for_one(first, second):
    """Although they agree on the first image, in which there is nothing and nothing is called lesion."""
    pred, target, _ = images()
    pred[0] = target[0] = False

    def computed(compute_groups):
        metrics = MetricCollection({"a": first.clone(), "b": second.clone()}, compute_groups=compute_groups)
        for image in range(len(pred)):
            metrics.update(pred[image, None], target[image, None])
        return metrics.compute()

    torch.testing.assert_close(computed(True), computed(False), rtol=0, atol=0, equal_nan=True)


def every_second(rank):
    return flat(updated(rank, 2))


def test_two_processes_compute_what_one_does():
    expected = flat(updated(0, 1))
    assert in_two_processes(every_second) == [expected, expected]


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_metrics_refuse_what_is_not_one_lesion_or_one_scale():
    pred, target, grades = images()
    with pytest.raises(ArgumentError, match="one metric per lesion"):
        streaming.RegionCounts(SIGMAS).update(pred[None], target[None])
    with pytest.raises(ArgumentError, match=r"\(7, 20, 30\) and \(20, 30\)"):
        streaming.LesionRecall(EDGES).update(pred, target[0])
    with pytest.raises(ArgumentError, match="retinopathy alone"):
        streaming.GradingReport(dme=True).update(grades[:, 0], grades[:, 1])
    with pytest.raises(ArgumentError, match="retinopathy alone"):
        streaming.GradingReport(dme=False).update(*grades.T)
    with pytest.raises(ArgumentError, match="same images"):
        streaming.GradingReport(dme=True).update(*grades.T[:3], grades[:1, 3])
    with pytest.raises(ArgumentError, match=" 0 images"):
        streaming.GradingReport(dme=False).compute()
