"""Scores of fused lesions with and without background, of an empty prediction, and of grades."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, average_precision_score, cohen_kappa_score, f1_score, jaccard_score

from fundus_lib.metrics import PixelCounts
from fundus_lib.protocols.fused_lesions import FusedLesions, empty, invert, score_means
from helpers.images import image_set

SIDE = 16


def make(grades=True):
    rng = np.random.default_rng(0)
    masks = (rng.random((3, 5, SIDE, SIDE)) < 0.2).astype(np.uint8)
    masks[:, 0] = masks[:, 1:].max(1)
    masks[2] = 0  # no lesion
    logits = torch.from_numpy(rng.normal(size=(3, 1, SIDE, SIDE)) + 1.5 * masks[:, :1] - 0.5).float()
    grade_logits = torch.eye(5)[[1, 3, 0]]
    images = [torch.full((3, SIDE, SIDE), n, dtype=torch.uint8) for n in range(3)]
    test = image_set(images, list(torch.from_numpy(masks)), dr=[1, 2, -1])

    def predict(image, statistics):
        n = int(image[0, 0, 0])
        return {"logits": logits[n]} | ({"dr": grade_logits[n]} if grades else {})

    task = SimpleNamespace(model=torch.nn.Linear(1, 1), predict=predict, recipe=SimpleNamespace(lesions=("ANY",)))
    recipe = SimpleNamespace(lesions=("ANY",), side=SIDE, grades=grades)
    labels = {"image 0": 1, "image 1": 3, "image 2": 4}
    return FusedLesions(recipe, test, labels, "somebody"), task, logits[:, 0].numpy(), masks


def test_scores_against_scikit_learn():
    protocol, task, logits, masks = make()
    found = protocol.full(task)
    mask, predicted = masks[:, 0], logits >= 0
    truth, said = mask.ravel(), predicted.ravel()
    m = found.metrics
    for name, score in (("mdice", f1_score), ("miou", jaccard_score)):
        for average in ("micro", "macro"):
            assert m[f"{name}_{average}"] == pytest.approx(score(truth, said, average=average))
            assert m[f"empty_{name}_{average}"] == pytest.approx(score(truth, np.zeros_like(truth), average=average))
        each = [score(t.ravel(), p.ravel(), average="macro") for t, p in zip(mask, predicted, strict=True)]
        assert m[f"{name}_macro_images"] == pytest.approx(np.mean(each))
    assert m["mdice_micro"] == pytest.approx(accuracy_score(truth, said)), "micro Dice with background is accuracy"
    assert m["empty_mdice_micro"] == pytest.approx(1 - mask.mean()) and m["ANY_prevalence"] == pytest.approx(
        mask.mean()
    )
    assert m["ANY_f1"] == pytest.approx(f1_score(truth, said)) and m["ANY_iou"] == pytest.approx(
        jaccard_score(truth, said)
    )
    assert m["ANY_aupr"] == pytest.approx(average_precision_score(truth, logits.ravel()))
    order = np.argsort(-logits.ravel(), kind="stable")[: int(mask.sum())]
    assert m["ANY_breakeven"] == pytest.approx(truth[order].mean())
    assert m["EX_sensitivity"] == pytest.approx(predicted[masks[:, 3] > 0].mean())
    p = found.predictions
    assert p["names"] == ["image 0", "image 1", "image 2"]
    assert [sum(p[k][n] for k in ("tp", "fp", "fn", "tn")) for n in range(3)] == [SIDE**2] * 3
    assert p["ANY_f1"][0] == pytest.approx(f1_score(mask[0].ravel(), predicted[0].ravel()), abs=1e-6)
    assert p["ANY_f1"][2] is None and p["ANY_aupr"][2] is None
    words = protocol.describe("Weights of the last epoch.")
    assert "somebody" in words and "empty_" in words and "16×16" in words


def test_grades_are_compared_with_labels_and_with_true_grades_where_these_are_known():
    protocol, task, *_ = make()
    found = protocol.full(task)
    m = found.metrics
    assert (m["dr_label_accuracy"], m["dr_accuracy"], m["dr_images"]) == (pytest.approx(2 / 3), 0.5, 2)
    assert m["labels_true_accuracy"] == 0.5
    assert m["dr_kappa"] == pytest.approx(cohen_kappa_score([1, 2], [1, 3], labels=range(5), weights="quadratic"))
    assert (found.predictions["dr"], found.predictions["dr_label"]) == ([1, 3, 0], [1, 3, 4])
    assert found.predictions["dr_true"] == [1, 2, -1]
    alone, task, *_ = make(grades=False)
    assert not [name for name in alone.full(task).metrics if name.startswith("dr_")]
    assert "somebody" not in alone.describe("")


def test_an_empty_prediction_beats_a_useful_one_in_the_mean_with_background():
    """One per cent of lesion, of which half is found at a precision of a third."""
    useful = PixelCounts(tp=50, fp=100, fn=50, tn=9800)
    means, nothing = score_means([useful]), score_means([empty(useful)])
    assert nothing["mdice_micro"] == 0.99 > means["mdice_micro"] and useful.f1 == 0.4
    assert nothing["mdice_macro"] < means["mdice_macro"]
    assert invert(useful) == PixelCounts(9800, 50, 100, 50) and math.isnan(empty(useful).ppv)


def test_after_an_epoch_the_lesions_are_scored():
    protocol, task, logits, _ = make()
    task.predict = lambda image, statistics: {"logits": torch.from_numpy(logits[int(image[0, 0, 0])])[None]}
    assert set(protocol.quick(task, protocol.test)) == {"ANY_f1", "ANY_aupr"}
    assert protocol.quick(task, protocol.test.part([])) == {}
