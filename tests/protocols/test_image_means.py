"""Means over images against loops, and the same prediction at full size."""

import math
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fundus_lib.protocols.full_size import AtFullSize
from fundus_lib.protocols.image_means import SIDE, ImageMeans
from fundus_lib.protocols.lesions import AtTrainingSize
from helpers.images import image_set


class Known:
    """A task whose logits are told by the first pixel of an image."""

    def __init__(self, logits):
        self.logits, self.model, self.device = logits, torch.nn.Identity(), torch.device("cpu")

    def predict(self, image, statistics=None):
        return {"logits": self.logits[int(image[0, 0, 0])]}


def recipe(**changes):
    settings = {"lesions": ("EX",), "size": (80, 120), "square": 0, "masks": "half", "test_flips": False}
    return SimpleNamespace(**settings | changes, model_args={})


def case(size, full_size):
    rng = np.random.default_rng(0)
    images, masks, full, logits = [], [], [], []
    for number in range(3):
        image = torch.zeros(3, *size, dtype=torch.uint8)
        image[:, 0, 0] = number
        large = np.zeros((1, *full_size), np.uint8)
        if number < 2:  # the last has no lesion
            large[0, 20 : 40 + 10 * number, 30:60] = 1
        rows, columns = (np.arange(n) * m // n for n, m in zip(size, full_size, strict=True))
        images.append(image)
        full.append(large)
        masks.append(torch.from_numpy(large[:, rows[:, None], columns]))
        logits.append(torch.from_numpy(rng.normal(size=(1, *size)).astype(np.float32)) + 3 * masks[-1] - 2)
    return image_set(images, masks, full=full), logits


def test_means_over_images_are_those_of_loops():
    images, logits = case((SIDE, SIDE), (400, 600))
    own = recipe(square=SIDE, size=(SIDE, 610))
    protocol = ImageMeans(own, images)
    found = protocol.full(Known(logits))
    ious, f1s, sensitivities = [], [], []
    masks = protocol.make_squares(logits)[1]
    for p, mask in zip((logit.sigmoid() for logit in logits), masks, strict=True):
        predicted, lesion = p[0].numpy() >= 0.5, mask[0].numpy() > 0
        tp, union = (predicted & lesion).sum(), (predicted | lesion).sum()
        ious.append(tp / union)
        f1s.append(2 * tp / (predicted.sum() + lesion.sum()))
        sensitivities.append(tp / lesion.sum() if lesion.any() else math.nan)
    assert found.metrics["EX_iou_mean"] == pytest.approx(np.mean(ious))
    assert found.metrics["EX_f1_mean"] == pytest.approx(np.mean(f1s))
    assert found.metrics["EX_sensitivity_mean"] == pytest.approx(np.nanmean(sensitivities))
    assert found.predictions["EX_iou"] == pytest.approx(ious, abs=1e-6)
    assert found.predictions["EX_sensitivity"][2] is None is found.predictions["EX_aupr"][2]
    assert found.predictions["names"] == list(images.names)
    score, lesion = torch.stack([logit.sigmoid() for logit in logits]).flatten(), masks.flatten() > 0
    points = [
        (float((score >= t)[~lesion].float().mean()), float((score >= t)[lesion].float().mean()))
        for t in np.arange(255) / 255
    ]
    area = sum((a[0] - b[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(points))
    assert found.metrics["EX_auc_255"] == pytest.approx(area, abs=1e-5)


def test_the_other_scores_are_those_of_the_other_protocols():
    images, logits = case((80, 120), (160, 240))
    task = Known(logits)
    found = ImageMeans(recipe(), images).full(task)
    pooled = AtTrainingSize(recipe(), images).full(task).metrics
    assert pooled == pytest.approx({n: found.metrics[n] for n in pooled}, nan_ok=True)
    assert found.variants["full size"] == pytest.approx(AtFullSize(recipe(), images).full(task).metrics, nan_ok=True)
    assert not ImageMeans(recipe(), images).full(task, variants=False).variants


def test_a_square_is_put_back_and_scores_at_full_size_as_the_whole_image_does():
    """The middle columns hold all lesions: what the square leaves out is background that nobody predicts."""
    images, logits = case((80, 120), (80, 120))
    whole = AtFullSize(recipe(), images).full(
        Known(
            [
                logit
                - 40
                * torch.ones(1, 80, 120).where((torch.arange(120) < 6) | (torch.arange(120) >= 107), torch.zeros(()))
                for logit in logits
            ]
        )
    )
    squares = [torch.nn.functional.pad(logit[..., 6:107], (0, 0, 10, 11), value=-40.0) for logit in logits]
    found = ImageMeans(recipe(square=101), images).score_full_size(squares)
    for name in ("EX_aupr", "EX_iou", "EX_f1", "EX_sensitivity", "EX_ppv"):
        assert found[name] == pytest.approx(whole.metrics[name], abs=1e-6), name


def test_the_protocol_in_words():
    images, _ = case((80, 120), (80, 120))
    assert "80×120" in ImageMeans(recipe(), images).describe("Last epoch.")
    words = ImageMeans(recipe(square=101, masks="inflated"), images).describe("Last epoch.")
    assert "101×101" in words and "inflated" in words
