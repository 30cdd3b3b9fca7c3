"""Scores of label maps against scikit-learn, torchmetrics and loops."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, jaccard_score
from torchmetrics.functional.segmentation import mean_iou

from fundus_lib.errors import ArgumentError
from fundus_lib.metrics import PixelCounts, class_counts, confusion_matrix, entropy, mean_score, pixel_counts


def random_maps(rng):
    """Prediction and target of 1 to 5 classes, of which some may be absent; also single pixels."""
    classes = int(rng.integers(1, 6))
    shape = (1,) if rng.random() < 0.05 else tuple(rng.integers(1, 10, size=rng.integers(1, 4)))
    present = rng.integers(0, classes, size=rng.integers(1, classes + 1))
    target = rng.choice(present, size=shape)
    pred = np.where(rng.random(shape) < rng.random(), target, rng.integers(0, classes, size=shape))
    dtype = rng.choice([np.uint8, np.int32, np.int64])
    return pred.astype(dtype), target.astype(dtype), classes


def test_class_counts_are_a_loops_on_random_cases():
    rng = np.random.default_rng(0)
    for _ in range(2000):
        pred, target, classes = random_maps(rng)
        counts = class_counts(pred, target, classes)
        assert counts == [pixel_counts(pred == one, target == one) for one in range(classes)]
        matrix = confusion_matrix(torch.from_numpy(pred), torch.from_numpy(target), classes)
        pairs = list(zip(target.ravel().tolist(), pred.ravel().tolist(), strict=True))
        assert matrix.tolist() == [[pairs.count((t, p)) for p in range(classes)] for t in range(classes)]


@pytest.mark.parametrize(("score", "theirs"), [("f1", f1_score), ("iou", jaccard_score)])
def test_mean_scores_are_scikit_learns_on_random_cases(score, theirs):
    rng = np.random.default_rng(1)
    for _ in range(200):
        pred, target, classes = random_maps(rng)
        counts = class_counts(pred, target, classes)
        pair, seen = (target.ravel(), pred.ravel()), set(target.ravel().tolist()) | set(pred.ravel().tolist())
        for background in (True, False):
            chosen = list(range(0 if background else 1, classes))
            for average in ("macro", "micro"):
                ours = mean_score(counts, score, background=background, average=average, empty="skip")
                labels = [one for one in chosen if one in seen]
                if labels:
                    expected = theirs(*pair, labels=labels, average=average, zero_division=0)
                    assert ours == pytest.approx(expected, abs=1e-12)
                else:
                    assert math.isnan(ours)
            filled = mean_score(counts, score, background=background, average="macro", empty=1)
            if chosen:
                singly = [theirs(*pair, labels=[one], average="macro") if one in seen else 1 for one in chosen]
                assert filled == pytest.approx(np.mean(singly), abs=1e-12)


def test_mean_iou_is_torchmetrics():
    rng = np.random.default_rng(2)
    for _ in range(50):
        pred, target = torch.from_numpy(rng.integers(0, 4, size=(2, 1, 16, 16)))
        theirs = mean_iou(pred, target, num_classes=4, include_background=False, input_format="index").item()
        ours = mean_score(class_counts(pred, target, 4), "iou", background=False, average="macro", empty="skip")
        assert ours == pytest.approx(theirs, abs=1e-6)


def test_micro_dice_with_background_is_accuracy_and_flatters_an_empty_prediction():
    rng = np.random.default_rng(3)
    target = (rng.random((100, 100)) < 0.02).astype(np.uint8)
    counts = class_counts(np.zeros_like(target), target, 2)
    share = 1 - target.mean()
    accuracy = accuracy_score(target.ravel(), np.zeros(10_000))
    micro = {"average": "micro", "empty": "skip"}
    assert mean_score(counts, "f1", background=True, **micro) == pytest.approx(accuracy) == pytest.approx(share)
    assert mean_score(counts, "f1", background=False, **micro) == 0
    macro = mean_score(counts, "f1", background=True, average="macro", empty="skip")
    assert macro == pytest.approx(share / (1 + share))  # the mean of 2 share / (1 + share) and 0


def test_images_pool_by_adding_class_by_class():
    rng = np.random.default_rng(4)
    pred, target = rng.integers(0, 3, size=(2, 5, 8, 8))
    singly = [class_counts(p, t, 3) for p, t in zip(pred, target, strict=True)]
    assert [sum(column, PixelCounts()) for column in zip(*singly, strict=True)] == class_counts(pred, target, 3)


def test_classes_without_pixels():
    assert class_counts(np.zeros(0, int), np.zeros(0, int), 2) == [PixelCounts(), PixelCounts()]
    absent = class_counts(np.zeros(4, int), np.zeros(4, int), 3)
    assert mean_score(absent, "f1", background=True, average="macro", empty="skip") == 1
    assert mean_score(absent, "f1", background=True, average="macro", empty=0) == pytest.approx(1 / 3)
    assert math.isnan(mean_score(absent, "f1", background=False, average="macro", empty="skip"))
    assert mean_score(absent, "f1", background=False, average="micro", empty=1) == 1
    assert confusion_matrix([True, False], [True, True], 2).tolist() == [[0, 0], [1, 1]]


@pytest.mark.parametrize(
    ("pred", "target", "says"),
    [
        ([0, 3], [0, 1], "values from 0 to 3"),
        ([0, 1], [0, -1], "values from -1 to 0"),
        ([0, 1], [0, 255], "255"),
        ([0.0, 1.0], [0, 1], "argmax"),
        ([[0, 1]], [0, 1], "shape"),
    ],
)
def test_class_counts_refuses(pred, target, says):
    with pytest.raises(ArgumentError, match=says):
        class_counts(np.array(pred), np.array(target), 3)


def test_mean_score_refuses_other_words():
    counts = [PixelCounts(1, 1, 1, 1)] * 2
    with pytest.raises(ArgumentError, match="'macro' or 'micro'"):
        mean_score(counts, "f1", background=True, average="weighted", empty="skip")
    with pytest.raises(ArgumentError, match="'iou' or 'f1'"):
        mean_score(counts, "dice", background=True, average="macro", empty="skip")
    with pytest.raises(ArgumentError, match="'skip'"):
        mean_score(counts, "f1", background=True, average="macro", empty="one")


def test_entropy_is_the_cross_entropy_of_the_frequencies():
    counts = np.array([[3, 0], [1, 4]])
    labels = torch.repeat_interleave(torch.arange(4), torch.tensor(counts.ravel()))
    logits = torch.tensor(counts.ravel() / counts.sum()).clamp(min=1e-12).log().expand(len(labels), 4)
    assert entropy(counts) == pytest.approx(torch.nn.functional.cross_entropy(logits, labels).item())
    assert entropy([5, 0]) == 0 and entropy([2, 2]) == pytest.approx(math.log(2))
    for impossible in ([0, 0], [1, -1]):
        with pytest.raises(ArgumentError, match="counts"):
            entropy(impossible)
