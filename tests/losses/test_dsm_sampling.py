"""The re-balanced sample of dual_branch: what is sampled, its expectation, and how far the two are apart.

Every tolerance follows from the number of draws: five standard errors, from the formulas that the losses document.
"""

import itertools
import math

import pytest
import torch

from fundus_lib.losses import DiceLoss, RebalancedDiceLoss, SampledDiceLoss

SHARES = (0.25, 0.5, 0.75, None)
"""The rows of Table 2."""


def photograph(height=12, width=15, lesion=9, seed=0):
    """Logits float64 and a mask, (1, 1, H, W) each; right for the most part."""
    draw = torch.Generator().manual_seed(seed)
    target = torch.zeros(height * width, dtype=torch.float64)
    target[torch.randperm(height * width, generator=draw)[:lesion]] = 1
    logits = torch.randn(height * width, generator=draw, dtype=torch.float64) * 2 + 3 * target - 2
    return logits.view(1, 1, height, width), target.view(1, 1, height, width)


def numbers(logits, target, p, smooth):
    """Of one map: N, n₊, k, the coefficient D, its denominator S, the excess of the sampled mean, and its deviation."""
    predicted, lesion = logits.sigmoid().flatten(), target.flatten() == 1
    n, positive = len(lesion), int(lesion.sum())
    k = n - positive if p is None else int(p * n)
    (m_pos, v_pos), (m_neg, v_neg) = (
        (x.mean().item(), x.var(correction=0).item()) for x in (predicted[lesion], predicted[~lesion])
    )
    s = k * m_pos + (n - k) * m_neg + k + smooth
    d = (2 * k * m_pos + smooth) / s
    excess = (d * (k * v_pos + (n - k) * v_neg) - 2 * k * v_pos) / s**2
    return n, positive, k, d, s, excess, math.sqrt((2 - d) ** 2 * k * v_pos + d**2 * (n - k) * v_neg) / s


@pytest.mark.parametrize(("p", "smooth"), [(0.25, 1e-3), (0.5, 1.0), (0.75, 1e-3), (None, 1.0)])
def test_closed_form_is_the_mean_of_the_samples(p, smooth):
    logits, target = photograph()
    repeats = 20_000
    torch.manual_seed(1)
    sampled = SampledDiceLoss(p, smooth, pool="image")(*(x.expand(repeats, 1, -1, -1) for x in (logits, target)))
    closed = RebalancedDiceLoss(p, smooth)(logits, target)
    *_, d, _, excess, deviation = numbers(logits, target, p, smooth)
    assert closed.item() == pytest.approx(1 - d, rel=1e-12)
    error = 5 * deviation / math.sqrt(repeats)
    assert abs(sampled - closed) < error + abs(excess) < 0.01
    assert abs(sampled - (closed - excess)) < error


@pytest.mark.parametrize("p", [0.25, None])
def test_closed_form_has_the_mean_gradient_of_the_samples(p):
    """A pixel sampled c times has c times a gradient; c is binomial, and the gradient once sampled nearly the same."""
    logits, target = photograph(16, 20, lesion=12)
    repeats = 15_000
    torch.manual_seed(2)
    values = logits.clone().requires_grad_()
    SampledDiceLoss(p, pool="image")(*(x.expand(repeats, 1, -1, -1) for x in (values, target))).backward()
    alone = logits.clone().requires_grad_()
    RebalancedDiceLoss(p)(alone, target).backward()
    n, positive, k, d, s, *_ = numbers(logits, target, p, 1.0)
    lesion, chance = target == 1, logits.sigmoid()
    once = torch.where(lesion, 2 - d, -d).abs() / s * chance * (1 - chance)  # |gradient| of being sampled one time
    times = torch.where(lesion, k / positive, (n - k) / (n - positive))
    single = torch.where(lesion, 1 / positive, 1 / (n - positive))
    torch.testing.assert_close(alone.grad.abs(), times * once)
    error = 5 * once * (times * (1 - single)).sqrt() / math.sqrt(repeats)
    assert ((values.grad - alone.grad).abs() < error + 2 / k * alone.grad.abs()).all()
    assert (error < alone.grad.abs() / 4).all(), "the tolerance would let a wrong weight pass"
    assert torch.equal(alone.grad > 0, ~lesion)


def multisets(draws, kinds):
    """How often each of some kinds may be sampled, and how probable that is when all are alike."""
    for counts in itertools.product(range(draws + 1), repeat=kinds):
        if sum(counts) == draws:
            ways = math.factorial(draws)
            for count in counts:
                ways //= math.factorial(count)
            yield counts, ways / kinds**draws


@pytest.mark.parametrize(
    ("lesion", "background", "p"),
    [
        ([0.2, 0.9], [0.1, 0.8, 0.3], 0.5),
        ([0.2, 0.9], [0.1, 0.8, 0.3, 0.0, 0.6, 0.2], 0.5),
        ([0.5, 0.9], [0.1, 0.2, 0.3, 0.0, 0.1], None),
        ([0.2, 0.9, 0.5], [0.1, 0.8, 0.3, 0.0, 0.6], 0.3),
        ([0.0, 1.0], [0.0, 1.0, 0.0, 1.0], 0.5),
    ],
)
def test_every_possible_sample_of_a_few_pixels(lesion, background, p):
    """The exact mean over all samples; the closed form lies beside it by what is documented, up to the next order."""
    probability, smooth = torch.tensor(lesion + background, dtype=torch.float64), 0.5
    target = (torch.arange(len(probability)) < len(lesion)).double()
    logits, target = (x.view(1, 1, 1, -1) for x in (probability.logit().clamp(-99, 99), target))
    n, _, k, d, _, excess, deviation = numbers(logits, target, p, smooth)
    mean = square = 0.0
    for (hits, chance), (alarms, other) in itertools.product(
        multisets(k, len(lesion)), multisets(n - k, len(background))
    ):
        overlap = sum(c * y for c, y in zip(hits, lesion, strict=True))
        predicted = overlap + sum(c * y for c, y in zip(alarms, background, strict=True))
        dice = (2 * overlap + smooth) / (predicted + k + smooth)
        mean, square = mean + chance * other * dice, square + chance * other * dice**2
    exact = math.sqrt(square - mean**2)
    assert RebalancedDiceLoss(p, smooth)(logits, target).item() == pytest.approx(1 - d)
    assert mean - d == pytest.approx(excess, rel=0.2, abs=1e-3)
    assert exact == pytest.approx(deviation, rel=0.1)
    repeats = 20_000
    torch.manual_seed(3)
    sampled = SampledDiceLoss(p, smooth, pool="image")(*(x.expand(repeats, 1, -1, -1) for x in (logits, target)))
    assert sampled.item() == pytest.approx(1 - mean, abs=5 * exact / math.sqrt(repeats))


def test_what_the_closed_form_neglects_is_below_what_is_documented():
    """The worst variances are those of probabilities 0 and 1 alone, m(1 − m)."""
    means = torch.linspace(0, 1, 41, dtype=torch.float64)
    m_pos, m_neg = torch.meshgrid(means, means, indexing="ij")
    for n, p in itertools.product((10, 1000, 1440 * 960), (0.1, 0.25, 0.5, 0.75, 0.99)):
        k = int(p * n)
        s = k * m_pos + (n - k) * m_neg + k
        d = 2 * k * m_pos / s
        v_pos, v_neg = k * m_pos * (1 - m_pos), (n - k) * m_neg * (1 - m_neg)
        excess = ((d * (v_pos + v_neg) - 2 * v_pos) / s**2).abs().max()
        deviation = (((2 - d) ** 2 * v_pos + d**2 * v_neg).sqrt() / s).max()
        assert excess <= 1 / (4 * (k / n) ** 2 * n)
        if (n, p) == (1440 * 960, 0.5):
            assert excess < 1e-6
            assert 5e-4 < deviation < 1e-3
            assert excess < deviation / 1000


def test_with_the_share_of_the_map_it_is_dice():
    for seed in range(20):
        logits, target = photograph(lesion=3 + seed, seed=seed)
        same = RebalancedDiceLoss((3 + seed + 0.5) / target.numel(), smooth=2.0)
        assert same(logits, target).item() == pytest.approx(DiceLoss(2.0)(logits, target).item(), rel=1e-12)


def test_the_size_of_a_lesion_never_enters():
    """A pixel of a large lesion and one that is a lesion by itself, equally well predicted, have the same gradient."""
    target = torch.zeros(1, 1, 20, 20, dtype=torch.float64)
    target[..., 2:10, 2:10] = 1
    target[..., 15, 15] = 1
    torch.manual_seed(4)
    logits = torch.randn_like(target)
    logits[..., 15, 15] = logits[..., 5, 5]
    for loss in (DiceLoss(), RebalancedDiceLoss(), RebalancedDiceLoss(None)):
        values = logits.clone().requires_grad_()
        value = loss(values, target)
        value.backward()
        assert values.grad[0, 0, 15, 15] == values.grad[0, 0, 5, 5] < 0
        order = torch.randperm(400)
        scattered = loss(*(x.flatten()[order].view_as(x) for x in (logits, target)))
        assert scattered.item() == pytest.approx(value.item())


@pytest.mark.parametrize("p", [0.0, 0.3, 0.5, 1.0, None])
def test_what_is_sampled(p):
    """As many lesion pixels as asked for, lesion and background each evenly."""
    target = torch.tensor([[0, 1, 0, 0, 1, 0, 0, 0, 1, 0], [1, 1, 1, 0, 1, 1, 1, 1, 1, 1]])
    repeats = 5000
    target = target.repeat_interleave(repeats, 0).double()
    loss = SampledDiceLoss(p)
    torch.manual_seed(5)
    chosen = loss.sample(target, loss.count_lesion_samples(target))
    for rows, lesion in [(slice(0, repeats), 3), (slice(repeats, None), 9)]:
        k = 10 - lesion if p is None else int(10 * p)
        labels = target[rows].gather(1, chosen[rows])
        assert torch.equal(labels, (torch.arange(10) < k).double().expand_as(labels))
        times = torch.bincount(chosen[rows].flatten(), minlength=10)
        for label, draws, pixels in [(1, k, lesion), (0, 10 - k, 10 - lesion)]:
            mean = repeats * draws / pixels
            spread = math.sqrt(mean * (1 - 1 / pixels))
            assert ((times[target[rows][0] == label] - mean).abs() <= 5 * spread).all()


def test_every_call_samples_anew_and_a_seed_repeats_it():
    logits, target = photograph()
    loss, values = SampledDiceLoss(), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        values += [loss(logits, target).item(), loss(logits, target).item()]
    assert values[:2] == values[2:4]
    assert len(set(values)) == 4


@pytest.mark.parametrize("label", [0, 1])
def test_where_one_class_is_missing_all_pixels_come_from_the_other(label):
    logits, _ = photograph()
    target = torch.full_like(logits, label)
    repeats = 4000
    for p in SHARES:
        torch.manual_seed(6)
        sampled = SampledDiceLoss(p, pool="image")(*(x.expand(repeats, 1, -1, -1) for x in (logits, target)))
        whole = DiceLoss()(logits, target).item()
        assert RebalancedDiceLoss(p)(logits, target).item() == pytest.approx(whole, rel=1e-12)
        predicted = logits.sigmoid()
        spread = math.sqrt(predicted.numel() * predicted.var().item()) * 2 / (predicted.sum().item() + 1)
        assert sampled.item() == pytest.approx(whole, abs=5 * spread / math.sqrt(repeats) + spread**2)
