"""pldmlt's criterion and labels against loops, and the label network's gradient against finite differences."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from fundus_lib.errors import ArgumentError
from fundus_lib.losses import CategoricalFocalLoss, FocalLoss, LabelUpdate, PLDMLTCriterion, mask_softmax, sum_entropy
from helpers import slow_losses as slow


def draw(seed: int, batch: int = 3, side: int = 4) -> tuple[dict, dict, torch.Tensor]:
    """An output, a batch with hard grades, and soft ones; float64."""
    torch.manual_seed(seed)
    output = {"logits": torch.randn(batch, 1, side, side).double() * 3, "dr": torch.randn(batch, 5).double() * 3}
    mask = (torch.rand(batch, 1, side, side) < 0.3).double()
    return output, {"mask": mask, "dr": torch.randint(0, 5, (batch,))}, torch.rand(batch, 5).double().mul(4).softmax(1)


@pytest.mark.parametrize("settings", [{}, {"alpha": 1.0, "gamma": 0.5}, {"gamma": 0.0}])
def test_soft_focal_loss_equals_the_loop_and_with_certain_labels_the_hard_one(settings):
    loss = CategoricalFocalLoss(**settings)
    for seed in range(30):
        torch.manual_seed(seed)
        classes, size = 2 + seed % 5, (3, 2) if seed % 2 else ()
        logits = torch.randn(3, classes, *size).double() * 3
        soft = torch.rand(3, classes, *size).double().mul(5).softmax(1)
        assert loss(logits, soft).item() == pytest.approx(slow.soft_focal(logits, soft, **settings), rel=1e-9), seed
        hard = torch.randint(0, classes, (3, *size))
        certain = F.one_hot(hard, classes).movedim(-1, 1).double()
        torch.testing.assert_close(loss(logits, certain), loss(logits, hard))
    logits.requires_grad_(), soft.requires_grad_()
    assert torch.autograd.gradcheck(lambda x, y: loss(x, y.softmax(1)), (logits, soft))
    assert torch.autograd.gradgradcheck(lambda x, y: loss(x, y.softmax(1)), (logits[:1], soft[:1]))


def test_soft_targets_that_are_no_probabilities_are_refused():
    logits, soft = torch.randn(4, 5), torch.rand(4, 5).softmax(1)
    loss = CategoricalFocalLoss()
    for bad in (soft * 1.02, soft - 0.1, soft * torch.nan, torch.zeros(4, 5), torch.eye(5)[:4] * 2 - 0.2):
        with pytest.raises(ArgumentError, match="sum of 1"):
            loss(logits, bad)
    assert loss(logits, soft.bfloat16()).isfinite()
    with pytest.raises(ArgumentError, match="devices"):
        loss(logits, soft.to("meta"))
    value = loss(torch.tensor([[1e4, -1e4]], requires_grad=True), torch.tensor([[0.5, 0.5]]))
    assert value.item() == pytest.approx(2500)


@pytest.mark.parametrize("balance", ["equal", "lin"])
def test_the_criterion_is_both_losses(balance):
    for seed in range(20):
        output, batch, soft = draw(seed)
        for grades in (batch["dr"], soft):
            parts = PLDMLTCriterion(beta=0.8, balance=balance)(output, batch | {"dr": grades}, progress=0.5)
            x, y = (t.flatten().tolist() for t in (output["logits"], batch["mask"]))
            weight = {"equal": (0.25, 0.25), "lin": (0.75, 0.25)}[balance]
            pixels = []
            for a, b in zip(x, map(int, y), strict=True):
                p = slow.sigmoid(a) if b else 1 - slow.sigmoid(a)
                pixels.append(-weight[b] * (1 - p) ** 2 * math.log(p))
            grading = (slow.soft_focal if grades is soft else slow.categorical_focal)(output["dr"], grades)
            assert parts["segmentation"].item() == pytest.approx(sum(pixels) / len(pixels))
            assert parts["grading"].item() == pytest.approx(grading)
            assert parts["total"].item() == pytest.approx(parts["segmentation"].item() + 0.8 * grading)


def test_without_weight_the_grades_are_not_minimised_and_without_head_there_is_no_such_loss():
    output, batch, _ = draw(0)
    output = {name: value.requires_grad_() for name, value in output.items()}
    parts = PLDMLTCriterion(beta=0)(output, batch)
    parts["total"].backward()
    assert parts["grading"] > 0 and not output["dr"].grad.any() and output["logits"].grad.any()
    alone = PLDMLTCriterion()({"logits": output["logits"]}, {"mask": batch["mask"]})
    assert alone.keys() == {"total", "segmentation"} and alone["total"] == parts["segmentation"]
    with pytest.raises(ArgumentError, match="'dr'"):
        PLDMLTCriterion()(output, {"mask": batch["mask"]})
    for settings in ({"beta": -1}, {"alpha": 2}, {"balance": "none"}):
        with pytest.raises(ArgumentError, match=next(iter(settings))):
            PLDMLTCriterion(**settings)
    assert PLDMLTCriterion(balance="lin").masks.alpha == FocalLoss().alpha == 0.25


@pytest.mark.parametrize("form", ["equation", "maxl"])
def test_masked_softmax_equals_the_loop(form):
    for seed in range(40):
        torch.manual_seed(seed)
        logits = (torch.randn(4, 2 + seed % 5).double() * 4).requires_grad_()
        allowed = torch.rand(logits.shape) < 0.5
        allowed[:, seed % 2] = True
        labels = mask_softmax(logits, allowed, form)
        torch.testing.assert_close(labels.tolist(), slow.mask_softmax(logits, allowed.double(), form))
        torch.testing.assert_close(labels.sum(1), torch.ones(4).double())
        torch.testing.assert_close(mask_softmax(logits, torch.ones_like(allowed), form), logits.softmax(1))
    assert torch.autograd.gradcheck(lambda x: mask_softmax(x, allowed, form), logits)
    assert torch.autograd.gradgradcheck(lambda x: mask_softmax(x, allowed, form), logits)
    torch.testing.assert_close(mask_softmax(logits), logits.softmax(1))


def test_what_a_masked_class_keeps():
    one = torch.tensor([[False, False, True, False, False]])
    assert mask_softmax(torch.zeros(1, 5), one).tolist() == [pytest.approx([0.2] * 5)]
    assert mask_softmax(torch.zeros(1, 5), one, "maxl")[0, 2] == pytest.approx(1 - 4e-8)
    large = torch.tensor([[500.0, -500.0, 0.0]])
    for form in ("equation", "maxl"):  # exp(500) is infinite in float32
        assert mask_softmax(large, torch.tensor([[True, True, False]]), form).isfinite().all()
    assert mask_softmax(large, torch.tensor([[False, True, True]]), "maxl")[0, 0] == pytest.approx(1), "not a mask of 0"
    assert mask_softmax(large, torch.zeros(1, 3, dtype=torch.bool)).isnan().all()
    with pytest.raises(ArgumentError, match="not bool"):
        mask_softmax(large, torch.ones(1, 3))
    with pytest.raises(ArgumentError, match="form"):
        mask_softmax(large, form="paper")
    with pytest.raises(ArgumentError, match="fit"):
        mask_softmax(large, one)


def test_entropy_is_0_for_one_class_and_least_for_all():
    labels = torch.rand(6, 5).double().softmax(1).requires_grad_()
    mean = labels.detach().mean(0).tolist()
    assert sum_entropy(labels).item() == pytest.approx(sum(p * math.log(p) for p in mean))
    assert torch.autograd.gradcheck(sum_entropy, labels)
    assert sum_entropy(torch.eye(5)).item() == pytest.approx(-math.log(5))
    collapsed = torch.eye(5)[[2, 2]].requires_grad_()
    sum_entropy(collapsed).backward()
    assert sum_entropy(collapsed).item() == 0 and collapsed.grad.isfinite().all()


# --- the second-order step ---


class One(nn.Module):
    """One parameter θ: the logit of every pixel is θ times the image, that of grade 1 is θ, of the others nothing."""

    def __init__(self, theta: float):
        super().__init__()
        self.theta = nn.Parameter(torch.tensor(theta, dtype=torch.double))

    def forward(self, images):
        grades = torch.stack([torch.zeros_like(self.theta), self.theta]).expand(len(images), 2)
        return {"logits": self.theta * images[:, :1], "dr": grades}


class Writer(nn.Module):
    """One parameter φ, the logit of grade 1."""

    def __init__(self, phi: float):
        super().__init__()
        self.phi = nn.Parameter(torch.tensor(phi, dtype=torch.double))

    def forward(self, images):
        return {"dr": torch.stack([torch.zeros_like(self.phi), self.phi]).expand(len(images), 2)}


@pytest.mark.parametrize("outer", ["segmentation", "grading", "total"])
@pytest.mark.parametrize("entropy", [0.0, 0.2])
@pytest.mark.parametrize("order", ["second", "first"])
def test_one_parameter_by_hand(outer, entropy, order):
    r"""Cross-entropies (γ = 0, α = 1) of one pixel of brightness x and lesion y, and of labels σ(φ):

    L(θ) = log(1 + e^{θx}) − yθx + β (log(1 + e^θ) − σ(φ)θ), so θ⁺ = θ − ε (x (σ(θx) − y) + β (σ(θ) − σ(φ))) and
    dθ⁺/dφ = εβ σ'(φ). The loss at θ⁺ has the slope x (σ(θ⁺x) − y) in θ⁺ for the mask and σ(θ⁺) − σ(φ) for the grade,
    which also depends on φ directly, −σ'(φ) θ⁺. The entropy's slope is σ'(φ) φ.
    """
    theta, phi, x, y, beta, rate = 0.7, -0.4, 1.5, 1.0, 0.8, 0.3
    s = slow.sigmoid
    bend = s(phi) * (1 - s(phi))
    after = theta - rate * (x * (s(theta * x) - y) + beta * (s(theta) - s(phi)))
    through = rate * beta * bend
    mask, grade = x * (s(after * x) - y) * through, (s(after) - s(phi)) * through - bend * after
    by_hand = {"segmentation": mask, "grading": grade, "total": mask + beta * grade}[outer] + entropy * bend * phi
    update = LabelUpdate(PLDMLTCriterion(beta, alpha=1, gamma=0), rate, outer, entropy, order)
    batch = {"mask": torch.full((1, 1, 1, 1), y)}
    found, losses = update.compute_gradients(One(theta), Writer(phi), torch.full((1, 3, 1, 1), x).double(), batch)
    assert found["phi"].item() == pytest.approx(by_hand, rel=1e-12 if order == "second" else 1e-4)
    assert losses.keys() == {"outer", "inner"} | ({"entropy"} if entropy else set())


class Small(nn.Module):
    """Convolutions with batch normalisation, a mask and three grades."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Softplus(), nn.Conv2d(4, 4, 3))
        self.mask = nn.ConvTranspose2d(4, 1, 3)
        self.grade = nn.Linear(4, 3)
        self.unused = nn.Linear(2, 2)

    def forward(self, images):
        x = self.body(images).tanh()
        return {"logits": self.mask(x), "dr": self.grade(x.mean((2, 3)))}


class Labels(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3), nn.Tanh(), nn.Flatten(), nn.Linear(48, 3))

    def forward(self, images):
        return {"dr": self.layers(images)}


def case(seed: int = 0):
    torch.manual_seed(seed)
    network, labels = Small().double(), Labels().double()
    images = torch.randn(4, 3, 6, 6).double()
    allowed = torch.tensor([[True, True, True], [True, False, True], [False, True, True], [True, True, False]])
    return network, labels, images, {"mask": (torch.rand(4, 1, 6, 6) < 0.4).double()}, allowed


def look_ahead(network, label_network, images, batch, allowed, update):
    """The loss at θ⁺ by really taking the step, on copies."""
    network, label_network = copy.deepcopy(network), copy.deepcopy(label_network)
    labels = update.generate(label_network, images, allowed)
    optimiser = torch.optim.SGD(network.parameters(), lr=update.rate)
    update.criterion(network(images), batch | {"dr": labels.detach()})["total"].backward()
    optimiser.step()
    loss = update.criterion(network(images), batch | {"dr": labels.detach()})[update.outer]
    return loss.item() + update.entropy * sum_entropy(labels).item()


@pytest.mark.parametrize(
    "settings",
    [{}, {"outer": "total", "entropy": 0.2, "form": "maxl"}, {"outer": "grading", "rate": 2.0}],
    ids=["segmentation", "total, entropy, maxl", "grading"],
)
def test_gradient_against_finite_differences(settings):
    network, labels, images, batch, allowed = case()
    update = LabelUpdate(PLDMLTCriterion(gamma=2), **{"rate": 0.5} | settings)
    found, losses = update.compute_gradients(network, labels, images, batch, allowed)
    assert losses["outer"].item() == pytest.approx(
        look_ahead(network, labels, images, batch, allowed, update)
        - update.entropy * losses.get("entropy", torch.zeros(())).item()
    )
    step, largest = 1e-5, max(gradient.abs().max().item() for gradient in found.values())
    assert largest > 1e-6
    for name, parameter in labels.named_parameters():
        for index in range(0, parameter.numel(), max(1, parameter.numel() // 2)):
            ends = []
            for sign in (1, -1):
                parameter.data.view(-1)[index] += sign * step
                ends.append(look_ahead(network, labels, images, batch, allowed, update))
                parameter.data.view(-1)[index] -= sign * step
            slope = (ends[0] - ends[1]) / (2 * step)
            assert found[name].view(-1)[index].item() == pytest.approx(slope, rel=1e-5, abs=1e-5 * largest), name


@pytest.mark.parametrize("outer", ["segmentation", "grading", "total"])
def test_the_first_order_approximation_is_close(outer):
    network, labels, images, batch, allowed = case(1)
    exact, about = (
        torch.cat([g.flatten() for g in update.compute_gradients(network, labels, images, batch, allowed)[0].values()])
        for update in (LabelUpdate(PLDMLTCriterion(), 0.5, outer, 0.1, order) for order in ("second", "first"))
    )
    assert (exact - about).norm() < 1e-3 * exact.norm()


@pytest.mark.parametrize("order", ["second", "first"])
def test_nothing_but_the_label_networks_statistics_changes(order):
    network, labels, images, batch, _ = case()
    network(images)["logits"].sum().backward()
    before = copy.deepcopy([network.state_dict(), [p.grad for p in network.parameters()]])
    parameters = copy.deepcopy(dict(labels.named_parameters()))
    found, _ = LabelUpdate(PLDMLTCriterion(), 0.1, order=order).compute_gradients(network, labels, images, batch)
    after = [network.state_dict(), [p.grad for p in network.parameters()]]
    torch.testing.assert_close(after, before, rtol=0, atol=0)
    assert all(p.grad is None and torch.equal(p, parameters[name]) for name, p in labels.named_parameters())
    assert found.keys() == parameters.keys() and all(not g.requires_grad for g in found.values())
    assert labels.layers[1].num_batches_tracked == 1, "the label network ran once"


@pytest.mark.parametrize("order", ["second", "first"])
def test_frozen_parameters_take_no_step_and_have_no_gradient(order):
    network, labels, images, batch, allowed = case()
    network.body.requires_grad_(False)
    labels.layers[0].requires_grad_(False)
    update = LabelUpdate(PLDMLTCriterion(), 0.5, "total", order=order)
    found, _ = update.compute_gradients(network, labels, images, batch, allowed)
    assert found.keys() == {"layers.1.weight", "layers.1.bias", "layers.4.weight", "layers.4.bias"}
    network.mask.requires_grad_(False), network.grade.requires_grad_(False), network.unused.requires_grad_(False)
    with pytest.raises(ArgumentError, match="trained parameters"):
        LabelUpdate(PLDMLTCriterion(), 0.5, order=order).compute_gradients(network, labels, images, batch)


@pytest.mark.parametrize("order", ["second", "first"])
def test_a_network_that_does_not_grade_is_refused(order):
    network, labels, images, batch, _ = case()
    forward = network.forward
    network.forward = lambda x: {"logits": forward(x)["logits"]}
    with pytest.raises(ArgumentError, match="does not depend on the labels"):
        LabelUpdate(PLDMLTCriterion(), 0.5, order=order).compute_gradients(network, labels, images, batch)
    with pytest.raises(ArgumentError, match="does not depend on the labels"):
        LabelUpdate(PLDMLTCriterion(), 0.5, entropy=0.2, order=order).compute_gradients(network, labels, images, batch)
    with pytest.raises(ArgumentError, match="'grading'"):
        LabelUpdate(PLDMLTCriterion(), 0.5, "grading", order=order).compute_gradients(network, labels, images, batch)


def test_descending_along_the_gradient_lowers_the_loss_after_the_step():
    network, labels, images, batch, _ = case(2)
    update = LabelUpdate(PLDMLTCriterion(), 1.0)
    optimiser = torch.optim.Adam(labels.parameters(), lr=0.05)
    seen = []
    for _ in range(15):
        found, losses = update.compute_gradients(network, labels, images, batch)
        for name, parameter in labels.named_parameters():
            parameter.grad = found[name]
        optimiser.step()
        seen.append(losses["outer"].item())
    assert seen[-1] < min(seen[:3])


@pytest.mark.parametrize("order", ["second", "first"])
def test_no_step_waits_for_the_device_and_under_autocast_it_is_the_same(order):
    """On the meta device there are no values: whatever looks at one, and would wait for it on a GPU, fails."""
    network, labels, images, batch, allowed = case()
    update = LabelUpdate(PLDMLTCriterion(), 0.5, "total", entropy=0.2, order=order, form="maxl")
    network, labels, images, batch = network.float(), labels.float(), images.float(), {"mask": batch["mask"].float()}
    exact = update.compute_gradients(network, labels, images, batch, allowed)[0]["layers.4.weight"]
    with torch.autocast("cpu", torch.bfloat16):
        about = update.compute_gradients(network, labels, images, batch, allowed)[0]["layers.4.weight"]
    torch.testing.assert_close(about, exact, rtol=0, atol=0)
    there = [x.to("meta") for x in (network, labels, images)]
    found, _ = update.compute_gradients(*there, {"mask": batch["mask"].to("meta")}, allowed.to("meta"))
    assert found["layers.4.weight"].is_meta


def test_impossible_settings_are_refused():
    for name, value in (("rate", -1), ("entropy", -1), ("outer", "both"), ("order", "third"), ("form", "")):
        with pytest.raises(ArgumentError, match=name):
            LabelUpdate(PLDMLTCriterion(), **{"rate": 0.1} | {name: value})
