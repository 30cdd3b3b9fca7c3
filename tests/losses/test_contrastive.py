"""SupCon and NT-Xent: against loops and pytorch-metric-learning, by hand, and with nothing to contrast."""

import math

import pytest
import torch
from pytorch_metric_learning import losses as library

from fundus_lib.errors import ArgumentError
from fundus_lib.losses import NTXentLoss, SupConLoss
from helpers import slow_losses as slow


def random_case(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Features in float64 and labels, one to four of them, some with a single feature."""
    draw = torch.Generator().manual_seed(seed)
    number, length = (torch.randint(1, high, (1,), generator=draw).item() for high in (13, 6))
    labels = torch.randint(0, 1 + seed % 4, (number,), generator=draw)
    features = torch.randn(number, length, generator=draw, dtype=torch.float64) + labels[:, None] * (seed % 3)
    return features * 10 ** (seed % 5 - 2), labels


@pytest.mark.parametrize("temperature", [0.05, 0.5])
def test_equal_the_loop_and_the_library(temperature):
    skipped = 0
    for seed in range(240):
        features, labels = random_case(seed)
        anchors = slow.contrastive(features, labels, temperature, own_positive_only=False)
        supcon = sum(sum(pairs) / len(pairs) for pairs in anchors) / max(len(anchors), 1)
        anchors_alone = slow.contrastive(features, labels, temperature, own_positive_only=True)
        pairs = [loss for losses in anchors_alone for loss in losses]
        ntxent = sum(pairs) / max(len(pairs), 1)
        skipped += not pairs
        close = {"rel": 1e-8, "abs": 1e-12}
        assert SupConLoss(temperature)(features, labels).item() == pytest.approx(supcon, **close), seed
        assert NTXentLoss(temperature)(features, labels).item() == pytest.approx(ntxent, **close), seed
        if len(features) > 1:  # the library's SupCon leaves out an anchor whose loss is 0
            theirs = library.SupConLoss(temperature)(features, labels).item()
            assert theirs == pytest.approx(supcon, rel=1e-6, abs=1e-9) or 0 in [sum(p) for p in anchors], seed
            theirs = library.NTXentLoss(temperature)(features, labels).item()
            assert theirs == pytest.approx(ntxent, rel=1e-6, abs=1e-9), seed
    assert 0 < skipped < 120


def test_the_default_temperature_is_the_papers():
    features, labels = random_case(7)
    for loss_class in (SupConLoss, NTXentLoss):
        assert loss_class()(features, labels) == loss_class(temperature=0.05)(features, labels)


def test_by_hand_what_the_paper_prints_and_what_its_code_calls():
    """Six features of each label. All alike: log 11 against log 7. Each label in one point: log 5 against nearly 0."""
    labels = torch.arange(12) % 2
    alike = torch.ones(12, 3)
    assert SupConLoss()(alike, labels).item() == pytest.approx(math.log(11), rel=1e-6)
    assert NTXentLoss()(alike, labels).item() == pytest.approx(math.log(7), rel=1e-6)
    apart = torch.stack([1.0 - 2 * labels, 0.0 * labels], dim=1)
    assert SupConLoss()(apart, labels).item() == pytest.approx(math.log(5), rel=1e-6)
    assert NTXentLoss()(apart, labels).item() == pytest.approx(0, abs=1e-12)


def test_with_equally_many_positives_supcon_is_the_larger_and_with_one_they_agree():
    for seed in range(20):
        features = torch.randn(12, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        labels = torch.arange(12) % 2
        assert SupConLoss()(features, labels) > max(NTXentLoss()(features, labels), math.log(5))
        pairs = torch.arange(12) % 6
        assert SupConLoss()(features, pairs).item() == pytest.approx(NTXentLoss()(features, pairs).item())


@pytest.mark.parametrize("loss", [SupConLoss(), NTXentLoss()])
def test_nothing_to_contrast_gives_zero_without_gradient(loss):
    for labels in ([0], [1, 1, 1], [0, 1, 2], [False, True]):
        features = torch.randn(len(labels), 4, requires_grad=True)
        value = loss(features, torch.tensor(labels))
        (gradient,) = torch.autograd.grad(value, features, create_graph=True)
        assert value.item() == 0
        assert torch.equal(gradient, torch.zeros_like(gradient))
        gradient.square().sum().backward()  # and so on, for training through a training step
        assert not features.grad.any()


@pytest.mark.parametrize("loss", [SupConLoss(), NTXentLoss()])
def test_what_is_not_counted_is_as_if_it_were_not_there(loss):
    for seed in range(20):
        features, labels = random_case(seed)
        counted = torch.rand(len(labels), generator=torch.Generator().manual_seed(seed)) < 0.7
        features.requires_grad_()
        value = loss(features, labels, counted)
        (gradient,) = torch.autograd.grad(value, features)
        if not counted.any():
            assert value == 0
            continue
        torch.testing.assert_close(value, loss(features[counted], labels[counted]))
        assert not gradient[~counted].any()


@pytest.mark.parametrize("loss", [SupConLoss(), NTXentLoss()])
def test_only_directions_count(loss):
    features, labels = random_case(23)
    longer = features * torch.rand(len(features), 1, dtype=torch.float64).add(0.1)
    assert loss(longer, labels).item() == pytest.approx(loss(features, labels).item())


@pytest.mark.parametrize("loss", [SupConLoss(), NTXentLoss()])
def test_a_zero_vector_has_no_effect(loss):
    features = torch.randn(6, 4, dtype=torch.float64)
    features[0] = 0
    features.requires_grad_()
    value = loss(features, torch.arange(6) % 2)
    value.backward()
    assert value.isfinite()
    assert features.grad.abs().max() < 1e3
    assert not features.grad[0].any()
    assert features.grad[1:].any()


@pytest.mark.parametrize("loss", [SupConLoss(), NTXentLoss()])
def test_autocast_does_not_round_the_similarities(loss):
    features, labels = torch.randn(12, 16, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 2
    with torch.autocast("cpu", torch.bfloat16):
        inside = loss(features, labels)
    assert inside == loss(features, labels)
    assert inside.dtype == torch.float32


@pytest.mark.parametrize("loss_class", [SupConLoss, NTXentLoss])
def test_wrong_input_is_refused(loss_class):
    features, labels = torch.randn(6, 4), torch.arange(6) % 2
    loss = loss_class()
    for bad, message in [
        ((features[0], labels), "shape"),
        ((features[None], labels), "shape"),
        ((features.long(), labels), "floating-point"),
        (([[1.0]], labels), "list"),
        ((features, labels[:5]), "fit"),
        ((features, labels[:, None]), "fit"),
        ((features, labels.float()), "integers"),
        ((features, labels.tolist()), "list"),
        ((features.to("meta"), labels), "devices"),
        ((features * torch.nan, labels), "not finite"),
        ((features / 0, labels), "not finite"),
    ]:
        with pytest.raises(ArgumentError, match=message):
            loss(*bad)
    for temperature in (0, -1, math.nan, math.inf):
        with pytest.raises(ArgumentError, match="temperature"):
            loss_class(temperature)


@pytest.mark.parametrize("loss", [SupConLoss, NTXentLoss])
def test_a_zero_vector_has_second_derivatives(loss):
    features = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    features[2] = 0
    features.requires_grad_()
    (slope,) = torch.autograd.grad(loss()(features, torch.tensor([0, 0, 1, 1])), features, create_graph=True)
    slope.square().sum().backward()
    assert features.grad.isfinite().all()


@pytest.mark.parametrize("counted", [torch.tensor([True]), torch.ones(3, dtype=torch.bool)])
def test_which_features_count_is_said_for_each(counted):
    with pytest.raises(ArgumentError):
        SupConLoss()(torch.randn(4, 3), torch.tensor([0, 0, 1, 1]), counted)
