"""Focal loss over classes: against a loop, cross-entropy and the binary kind; unknown grades; wrong input."""

import math

import pytest
import torch
from torch.nn import functional as F

from fundus_lib.errors import ArgumentError
from fundus_lib.losses import CategoricalFocalLoss, FocalLoss
from helpers import slow_losses as slow


def random_case(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits in float64 of two to six classes, of images or of pixels; a few, none or all targets unknown."""
    draw = torch.Generator().manual_seed(seed)
    batch, classes, height, width = (torch.randint(low, 7, (1,), generator=draw).item() for low in (1, 2, 1, 1))
    size = (height, width) if seed % 2 else ()
    logits = torch.randn(batch, classes, *size, generator=draw, dtype=torch.float64) * 3
    target = torch.randint(0, classes, (batch, *size), generator=draw)
    unknown = torch.rand(target.shape, generator=draw) < (0, 0.3, 0, 1)[seed % 4]
    return logits, target.masked_fill(unknown, -1)


@pytest.mark.parametrize("settings", [{}, {"alpha": 1.0, "gamma": 0.5}, {"gamma": 5.0}])
def test_equals_the_loop(settings):
    for seed in range(200):
        logits, target = random_case(seed)
        expected = slow.categorical_focal(logits, target, **settings)
        assert CategoricalFocalLoss(**settings)(logits, target).item() == pytest.approx(expected, rel=1e-9), seed


def test_without_gamma_it_is_cross_entropy_and_with_two_classes_the_binary_loss():
    for seed in range(40):
        logits, target = random_case(seed)
        if (target >= 0).any():
            theirs = F.cross_entropy(logits, target, ignore_index=-1)
            assert CategoricalFocalLoss(alpha=1, gamma=0)(logits, target).item() == pytest.approx(theirs.item())
        binary = logits[:, :1].reshape(len(logits), 1, -1, 1)
        lesion = (binary > 1).long()
        categorical = CategoricalFocalLoss(alpha=0.5, gamma=1.5)(torch.cat([0 * binary, binary], 1), lesion[:, 0])
        assert categorical.item() == pytest.approx(FocalLoss(alpha=0.5, gamma=1.5)(binary, lesion).item())


def test_all_unknown_gives_zero_without_gradient():
    logits = torch.randn(3, 5, requires_grad=True)
    value = CategoricalFocalLoss()(logits, torch.full((3,), -1))
    value.backward()
    assert value.item() == 0
    assert not logits.grad.any()


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_confident_and_correct_is_0_and_confident_and_wrong_the_difference(gamma):
    logits = torch.tensor([[1e4, -1e4, 0.0], [1e4, -1e4, 0.0]], requires_grad=True)
    loss = CategoricalFocalLoss(alpha=1, gamma=gamma)
    assert loss(logits[:1], torch.tensor([0])).item() == 0
    value = loss(logits, torch.tensor([1, 1]))
    value.backward()
    assert value.item() == pytest.approx(2e4)
    assert logits.grad.isfinite().all()


def test_a_common_offset_costs_no_precision():
    logits, target = torch.tensor([[0.0, -1.0, -3.0], [2.0, 0.0, 2.0]]), torch.tensor([1, 0])
    for offset in (-1e4, 1e4):
        values, expected = (part.clone().requires_grad_() for part in (logits + offset, logits))
        loss, reference = CategoricalFocalLoss()(values, target), CategoricalFocalLoss()(expected, target)
        torch.testing.assert_close(loss, reference)
        torch.testing.assert_close(*(torch.autograd.grad(*pair)[0] for pair in ((loss, values), (reference, expected))))


def test_any_type_of_integer_is_a_class():
    for dtype in (torch.uint8, torch.int8, torch.int32, torch.bool):
        logits, target = torch.randn(6, 3), torch.arange(6) % 2
        assert CategoricalFocalLoss()(logits, target.to(dtype)) == CategoricalFocalLoss()(logits, target)
        if dtype != torch.bool:
            with pytest.raises(ArgumentError, match="from 0 to 2"):
                CategoricalFocalLoss()(logits, target.to(dtype) + 2)


def test_wrong_input_is_refused():
    logits, target = torch.randn(4, 5), torch.tensor([0, 4, -1, 2])
    loss = CategoricalFocalLoss()
    for bad, message in [
        ((logits, target.float()), "float32"),
        ((logits, target[:3]), "fit"),
        ((logits, F.one_hot(target.clamp(0), 5)), "fit"),
        ((logits[:, :1], target * 0), "1 classes"),
        ((logits[0], target), "shape"),
        ((logits.int(), target), "floating-point"),
        ((logits[:0], target[:0]), "shape"),
        ((logits.to("meta"), target), "devices"),
        ((logits, target + 1), "from 0 to 4"),
        ((logits, target - 1), "from 0 to 4"),
        ((logits * torch.inf, target), "not finite"),
    ]:
        with pytest.raises(ArgumentError, match=message):
            loss(*bad)
    for settings in ({"gamma": -1}, {"alpha": 1.5}, {"alpha": math.nan}):
        with pytest.raises(ArgumentError, match=next(iter(settings))):
            CategoricalFocalLoss(**settings)


def test_one_class_is_refused_with_probabilities_too():
    with pytest.raises(ArgumentError, match="FocalLoss is the one for binary masks"):
        CategoricalFocalLoss()(torch.zeros(2, 1, 4, 4), torch.ones(2, 1, 4, 4))
