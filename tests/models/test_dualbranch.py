"""Two branches: what they share, what it costs, and how their predictions become one."""

import pytest
import torch

from fundus_lib.errors import ArgumentError, UnknownNameError
from fundus_lib.models import create_model
from fundus_lib.models.dualbranch import DualBranch
from helpers.networks import SIDES, SMALL, count, count_parameters

RATIOS = {  # dual_branch's claims: "almost 1.5×" and "1.9×" the parameters of one network
    ("pspnet", "code"): 1.535,
    ("pspnet", "text"): 1.740,
    ("deeplabv3", "code"): 1.460,
    ("deeplabv3", "text"): 1.697,
    ("hed", "code"): 1.882,
    ("hed", "text"): 1.882,
}


def dual(base="pspnet", **settings):
    return create_model("dualbranch", base=base, **SMALL[base] | settings)


def calls(module):
    """A list that grows by one with each call of the module."""
    seen = []
    module.register_forward_hook(lambda *_: seen.append(1))
    return seen


@pytest.mark.parametrize(("base", "shared"), RATIOS)
def test_parameters_beside_those_of_one_network(base, shared):
    ratio = count_parameters("dualbranch", base=base, shared=shared) / count_parameters(base)
    assert ratio == pytest.approx(RATIOS[base, shared], abs=0.0006)


@pytest.mark.parametrize("base", SMALL)
@pytest.mark.parametrize("shared", ["code", "text", "none"])
def test_what_is_shared_is_one_object_and_runs_once(base, shared):
    model = dual(base, shared=shared).eval()
    names = list(create_model(base, **SMALL[base]).parts)
    assert [*model.shared, *model.large] == [*model.shared, *model.small] == names
    assert bool(model.shared) == (shared != "none")
    once, twice = [calls(m) for m in model.shared.values()], [calls(m) for m in model.large.values()]
    twice_too = [calls(m) for m in model.small.values()]
    output = model(torch.randn(1, 3, 33, 47))
    assert [len(seen) for seen in once + twice + twice_too] == [1] * (len(names) + len(model.small))
    assert output["logits"].shape == output["large_logits"].shape == output["small_logits"].shape == (1, 1, 33, 47)
    own = {id(p) for p in model.large.parameters()}
    assert own.isdisjoint(id(p) for p in model.small.parameters())
    assert count(model) == count(model.shared) + 2 * count(model.large), "no weight is held twice"


@pytest.mark.parametrize("base", SMALL)
def test_a_branch_alone_is_the_base_network_with_its_parts(base):
    model, network = dual(base).eval(), create_model(base, **SMALL[base]).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    images = torch.randn(2, 3, 33, 47)
    both = model(images)
    for branch in ("large", "small"):
        own = getattr(model, branch)
        for name, part in network.parts.items():
            part.load_state_dict((model.shared if name in model.shared else own)[name].state_dict())
        alone = network(images)
        assert set(model(images, branch)) == set(alone)
        for key, value in alone.items():
            torch.testing.assert_close(model(images, branch)[key], value)
            torch.testing.assert_close(both[f"{branch}_{key}"], value)
    assert not torch.equal(both["large_logits"], both["small_logits"])


@pytest.mark.parametrize("base", SMALL)
def test_each_branch_learns_from_its_own_images_and_the_shared_part_from_both(base):
    torch.manual_seed(0)
    model = dual(base).train()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))

    def learnt(module):
        return any(p.grad is not None and (p.grad != 0).any() for p in module.parameters())

    for branch, other in (("large", "small"), ("small", "large")):
        model.zero_grad(set_to_none=True)
        model(torch.randn(2, 3, 40, 57), branch)["logits"].square().sum().backward()
        assert all(learnt(m) for m in getattr(model, branch).values())
        assert all(learnt(m) for name, m in model.shared.items() if name != "aux")
        assert not any(learnt(m) for m in getattr(model, other).values())


def test_what_training_has_besides_comes_once_per_branch():
    model = dual("pspnet").train()
    output = model(torch.randn(2, 3, 40, 57))
    assert set(output) == {"logits", *(f"{b}_{k}" for b in ("large", "small") for k in ("logits", "aux"))}
    assert output["large_aux"] is output["small_aux"]
    sides = dual("hed").train()(torch.randn(2, 3, 20, 20))
    assert sides["large_sides"].shape == (2, 1, SIDES["hed"], 20, 20)


def test_the_two_ways_to_combine():
    images = torch.randn(1, 3, 33, 47)
    for combine in ("logits", "probabilities"):
        model = dual("pspnet", combine=combine).eval().double()
        output = model(images.double())
        a, b = output["large_logits"], output["small_logits"]
        if combine == "logits":
            torch.testing.assert_close(output["logits"], (a + b) / 2)
        else:
            torch.testing.assert_close(output["logits"].sigmoid(), (a.sigmoid() + b.sigmoid()) / 2)


def test_the_mean_of_probabilities_neither_overflows_nor_loses_small_ones():
    from fundus_lib.models.dualbranch import mean_of_probabilities

    a = torch.tensor([1e4, -1e4, 1e4, -60.0, 40.0, -40.0], requires_grad=True)
    b = torch.tensor([1e4, -1e4, -1e4, -60.0, 40.0, 0.0])
    mean = mean_of_probabilities(a, b)
    torch.testing.assert_close(mean[:5], torch.tensor([1e4, -1e4, 0.0, -60.0, 40.0]))
    torch.testing.assert_close(mean[5].sigmoid(), torch.tensor(0.25))
    mean.sum().backward()
    assert a.grad.isfinite().all()


def test_any_part_can_be_the_last_one_shared():
    model = dual("pspnet", shared="layer1")
    assert list(model.shared) == ["stem", "layer1"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"shared": "head"}, "shared='head'"),
        ({"shared": "layer9"}, "shared='layer9'"),
        ({"combine": "votes"}, "combine='votes'"),
        ({"colour": 3}, "colour"),
    ],
)
def test_impossible_settings_are_refused(settings, says):
    with pytest.raises(ArgumentError, match=says):
        dual("pspnet", **settings)


def test_a_base_must_exist_and_be_made_of_parts(monkeypatch):
    with monkeypatch.context() as patched, pytest.raises(ArgumentError, match="base='whole'"):
        patched.setattr("fundus_lib.models.dualbranch.create_model", lambda name: torch.nn.Conv2d(3, 1, 1))
        DualBranch("whole")
    with pytest.raises(UnknownNameError, match="pspnet"):
        create_model("dualbranch", base="PSPNet")
    with pytest.raises(ArgumentError, match="branch='middle'"):
        dual("hed")(torch.zeros(1, 3, 8, 8), "middle")
