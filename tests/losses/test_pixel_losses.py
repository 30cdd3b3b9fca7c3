"""Losses on masks: against loops, against other libraries, at the edges, and against each other."""

import pytest
import segmentation_models_pytorch as smp
import torch
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from fundus_lib.losses import (
    BinLoss,
    ClassBalancedCrossEntropy,
    CrossEntropy,
    DiceCrossEntropy,
    DiceLoss,
    FocalLoss,
    RebalancedDiceLoss,
    WeightedCrossEntropy,
)
from helpers import slow_losses as slow

POOLS = ("image", "batch")


def random_case(seed: int, lesion: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and masks in float64: none to all of the pixels lesion, often a single one, right, wrong or at random."""
    draw = torch.Generator().manual_seed(seed)
    shape = tuple(torch.randint(1, high, (1,), generator=draw).item() for high in (4, 4, 7, 7))
    fraction = (0, 0.1, 0.5, 1)[seed % 4]
    target = (torch.rand(shape, generator=draw) < fraction).double()
    if seed % 5 == 0 or lesion:
        target[..., 0, 0] = 1
    logits = torch.randn(shape, generator=draw, dtype=torch.float64) * 2 + (seed % 3 - 1) * 3 * (2 * target - 1)
    return logits, target


@pytest.mark.parametrize(
    ("loss_class", "formula", "settings"),
    [
        (CrossEntropy, slow.cross_entropy, [{}]),
        (
            ClassBalancedCrossEntropy,
            slow.class_balanced,
            [{"pool": pool, "reduction": r} for pool in POOLS for r in ("mean", "sum")],
        ),
        (
            WeightedCrossEntropy,
            slow.weighted,
            [
                {"pool": pool, "variant": variant, "gamma": gamma, "reduction": reduction}
                for pool in POOLS
                for variant in ("equation", "text")
                for gamma, reduction in ((0.3, "mean"), (5.0, "mean"), (0.7, "sum"))
            ],
        ),
        (FocalLoss, slow.focal, [{}, {"alpha": 0.9}, {"gamma": 0.0}, {"alpha": 0.0, "gamma": 0.5}, {"gamma": 5.0}]),
        (DiceLoss, slow.dice, [{"pool": pool, "smooth": smooth} for pool in POOLS for smooth in (1e-3, 1.0, 30.0)]),
        (
            DiceCrossEntropy,
            slow.dice_cross_entropy,
            [{"pool": pool, "weight": weight} for pool in POOLS for weight in (0.0, 0.4, 1.0)],
        ),
        (
            RebalancedDiceLoss,
            slow.rebalanced_dice,
            [{"pool": q, "smooth": s, "p": p} for q in POOLS for s in (1e-3, 2.0) for p in (None, 0.0, 0.25, 0.8, 1.0)],
        ),
        (
            BinLoss,
            slow.bins,
            [{"pool": p, "ratio": n, "reduction": r} for p in POOLS for n in (1, 3, 20) for r in ("mean", "sum")],
        ),
    ],
)
def test_equals_the_loop(loss_class, formula, settings):
    for seed in range(240):
        logits, target = random_case(seed)
        chosen = settings[seed % len(settings)]
        expected = slow.over_maps(formula, logits, target, **chosen)
        assert loss_class(**chosen)(logits, target).item() == pytest.approx(expected, rel=1e-9, abs=1e-12), (
            seed,
            chosen,
        )


def test_defaults():
    logits, target = random_case(1)
    for loss_class, formula, pool in [
        (ClassBalancedCrossEntropy, slow.class_balanced, "image"),
        (WeightedCrossEntropy, slow.weighted, "image"),
        (FocalLoss, slow.focal, "image"),
        (DiceLoss, slow.dice, "batch"),
        (RebalancedDiceLoss, slow.rebalanced_dice, "batch"),
        (BinLoss, slow.bins, "image"),
    ]:
        expected = slow.over_maps(formula, logits, target, pool=pool)
        assert loss_class()(logits, target).item() == pytest.approx(expected, rel=1e-9)


def test_equals_the_libraries():
    for seed in range(60):
        logits, target = random_case(seed, lesion=True)  # smp's Dice gives 0 for a mask without lesion
        close = {"rel": 1e-6, "abs": 1e-9}
        assert CrossEntropy()(logits, target).item() == pytest.approx(
            F.binary_cross_entropy_with_logits(logits, target).item()
        )
        for alpha, gamma in [(0.25, 2.0), (0.7, 1.0), (0.5, 0.0)]:
            ours = FocalLoss(alpha, gamma)(logits, target).item()
            assert ours == pytest.approx(sigmoid_focal_loss(logits, target, alpha, gamma, "mean").item(), **close)
            theirs = smp.losses.FocalLoss("multilabel", alpha=alpha, gamma=gamma)(logits, target)
            assert ours == pytest.approx(theirs.item(), **close)
        theirs = smp.losses.DiceLoss("multilabel", smooth=1.0)(logits, target)  # adds it to halves of both sums
        assert DiceLoss(smooth=2.0)(logits, target).item() == pytest.approx(theirs.item(), **close)


def test_focal_has_a_gradient_where_the_difference_has_none():
    """Why torchvision's function is not called: 1 − p is 0 in float32, and 0**0.5 has no gradient."""
    logits, target = torch.tensor([[[[30.0, -1e4]]]]), torch.tensor([[[[1.0, 0.0]]]])
    theirs = logits.clone().requires_grad_()
    sigmoid_focal_loss(theirs, target, gamma=0.5, reduction="mean").backward()
    assert theirs.grad.isnan().any()
    ours = logits.clone().requires_grad_()
    FocalLoss(gamma=0.5)(ours, target).backward()
    assert ours.grad.isfinite().all()
    small = FocalLoss(alpha=1.0)(logits[..., :1], target[..., :1])
    assert small.item() == pytest.approx(torch.tensor(-90.0).exp().item(), rel=1e-5)  # e^(−2·30) · e^(−30)


@pytest.mark.parametrize("pool", POOLS)
def test_empty_and_full_masks_give_what_is_documented(pool):
    for logit in (-1e4, -2.0, 0.0, 3.0, 1e4):
        logits = torch.full((2, 3, 4, 5), logit, dtype=torch.float64)
        empty, full = torch.zeros_like(logits), torch.ones_like(logits)
        background, lesion = F.softplus(logits[0, 0, 0, 0]).item(), F.softplus(-logits[0, 0, 0, 0]).item()
        probability = logits[0, 0, 0, 0].sigmoid().item()
        pixels = 20 if pool == "image" else 40
        for loss, if_empty, if_full in [
            (CrossEntropy(), background, lesion),
            (ClassBalancedCrossEntropy(pool), 0, 0),
            (WeightedCrossEntropy(0, "equation", pool), background, 0),
            (WeightedCrossEntropy(2, "text", pool), background, 0),
            (WeightedCrossEntropy(2, "text", pool, reduction="sum"), pixels * background, 0),
            (FocalLoss(), 0.75 * probability**2 * background, 0.25 * (1 - probability) ** 2 * lesion),
            *(
                (
                    loss,
                    1 - 3 / (pixels * probability + 3),
                    1 - (2 * pixels * probability + 3) / (pixels * (1 + probability) + 3),
                )
                for loss in (
                    DiceLoss(3.0, pool),
                    RebalancedDiceLoss(0.5, 3.0, pool),
                    RebalancedDiceLoss(None, 3.0, pool),
                )
            ),
            (BinLoss(5, pool), 0, 0),
        ]:
            for target, expected in [(empty, if_empty), (full, if_full)]:
                values = logits.clone().requires_grad_()
                value = loss(values, target)
                value.backward()
                assert value.item() == pytest.approx(expected, rel=1e-6, abs=1e-12), loss
                assert values.grad.isfinite().all()


def test_a_channel_without_lesion_has_no_class_balanced_loss_unless_pooled_with_another():
    logits, target = torch.zeros(2, 1, 3, 3, dtype=torch.float64), torch.zeros(2, 1, 3, 3)
    target[0, 0, 1, 1] = 1
    for loss_class in (ClassBalancedCrossEntropy, BinLoss):
        for pool, teaches in [("image", False), ("batch", True)]:
            values = logits.clone().requires_grad_()
            loss_class(pool=pool)(values, target).backward()
            assert bool(values.grad[1].any()) is teaches


def test_how_the_kinds_hang_together():
    for seed in range(1, 60, 2):
        logits, target = random_case(seed, lesion=True)
        fraction = target.mean((2, 3))
        balanced = ClassBalancedCrossEntropy()
        text = torch.stack(
            [
                balanced(logits[i, c][None, None], target[i, c][None, None]) / fraction[i, c]
                for i, c in torch.cartesian_prod(*map(torch.arange, fraction.shape))
            ]
        )
        assert WeightedCrossEntropy(variant="text")(logits, target).item() == pytest.approx(text.mean().item())
        assert FocalLoss(alpha=0.5, gamma=0)(logits, target).item() == pytest.approx(
            CrossEntropy()(logits, target).item() / 2
        )
        all_kept = BinLoss(ratio=1e9)(logits, target).item()
        assert all_kept == pytest.approx(balanced(logits, target).item())
        easy = target * 20 - 10 * (1 - target)  # all background lies in the lowest bin: it is kept as a whole
        assert BinLoss()(easy, target).item() == pytest.approx(balanced(easy, target).item())


def test_bin_loss_keeps_whole_bins_from_the_hardest_down():
    probability = torch.tensor([0.9, 0.85, 0.7, 0.5, 0.3, 0.1, 0.05, 0.5])
    target = torch.tensor([0.0, 0, 0, 0, 0, 0, 0, 1])
    for ratio, kept in [(1, 2), (2, 2), (3, 3), (3.5, 4), (5, 5), (6, 7), (99, 7)]:
        mask = BinLoss(ratio).select_background(probability.logit()[None], target[None])[0]
        assert mask.tolist() == [True] * kept + [False] * (8 - kept), ratio
    probability = torch.tensor([0.5] + 19 * [0.9] + 3 * [0.7] + 10 * [0.1])
    target = torch.arange(33) == 0
    assert BinLoss().select_background(probability.logit()[None], target[None]).sum() == 22  # ≥ 20: two bins


def test_pooling_over_the_batch_keeps_lesions_apart():
    logits, target = random_case(6)
    logits, target = logits.repeat(2, 1, 1, 1), target.repeat(2, 1, 1, 1)
    for loss_class in (ClassBalancedCrossEntropy, WeightedCrossEntropy, DiceLoss, RebalancedDiceLoss, BinLoss):
        loss = loss_class(pool="batch")
        alone = [loss(logits[:, c : c + 1], target[:, c : c + 1]) for c in range(logits.shape[1])]
        assert loss(logits, target).item() == pytest.approx((sum(alone) / len(alone)).item())
