"""What every network made of parts must do: sizes, parameter counts, training outputs, gradients, learning."""

import pytest
import torch
from torch import nn

from fundus_lib.errors import ArgumentError
from fundus_lib.models import create_model
from helpers.networks import AUX, PARAMETERS, SIDES, SMALL, count_parameters


@pytest.mark.parametrize("name", SMALL)
def test_parameter_counts(name):
    assert count_parameters(name) == PARAMETERS[name]


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("size", [(1, 1), (9, 50), (33, 47), (64, 32)])
def test_logits_have_the_size_of_the_input(name, size):
    model = create_model(name, **SMALL[name] | {"lesions": 4}).eval()
    output = model(torch.randn(2, 3, *size))
    assert output["logits"].shape == (2, 4, *size)
    assert output["logits"].dtype == torch.float32
    assert "aux" not in output, "an auxiliary head has no use at inference"


@pytest.mark.parametrize("name", SMALL)
def test_half_precision_and_channels_last_give_about_the_same(name):
    torch.manual_seed(0)
    model = create_model(name, **SMALL[name]).eval()
    for part in model.parts.values():
        if hasattr(part, "side") and isinstance(part.side, nn.Conv2d):
            nn.init.normal_(part.side.weight, std=0.1)  # starts at zero
    images = torch.randn(1, 3, 48, 64)
    exact = model(images)["logits"]
    model.to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        about = model(images.to(memory_format=torch.channels_last))["logits"].float()
    assert (about - exact).abs().max() < 0.1 * exact.abs().max()


@pytest.mark.parametrize("name", SMALL)
def test_what_training_has_besides(name):
    model = create_model(name, **SMALL[name] | {"lesions": 3}).train()
    output = model(torch.randn(2, 3, 40, 57))
    assert set(output) == {"logits"} | ({"aux"} if name in AUX else set()) | ({"sides"} if name in SIDES else set())
    if name in AUX:
        assert output["aux"].shape == (2, 3, 40, 57)
    if name in SIDES:
        assert output["sides"].shape == (2, 3, SIDES[name], 40, 57)


@pytest.mark.parametrize("name", SMALL)
def test_gradients_reach_each_part(name):
    torch.manual_seed(0)
    model = create_model(name, **SMALL[name]).train()
    with torch.no_grad():
        for parameter in model.parameters():  # away from layers that start at zero and pass nothing on
            parameter.add_(0.05 * torch.randn_like(parameter))
    sum(value.square().sum() for value in model(torch.randn(2, 3, 40, 57)).values()).backward()
    for part, module in model.parts.items():
        assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters()), part
        assert any((p.grad != 0).any() for p in module.parameters()), part


@pytest.mark.parametrize("name", sorted(AUX))
def test_the_auxiliary_head_depends_on_all_parts_before_it_alone(name):
    model = create_model(name, **SMALL[name]).train()
    model(torch.randn(2, 3, 40, 57))["aux"].square().sum().backward()
    names = list(model.parts)
    for part, module in model.parts.items():
        reached = any(p.grad is not None and (p.grad != 0).any() for p in module.parameters())
        assert reached == (names.index(part) <= names.index("aux")), part
    assert names.index("layer3") + 1 == names.index("aux")


@pytest.mark.parametrize("name", SMALL)
def test_overfits_a_batch(name):
    torch.manual_seed(0)
    model = create_model(name, **SMALL[name]).train()
    target = torch.zeros(2, 1, 48, 48)
    target[0, :, 10:38, :20] = target[1, :, :16, 20:] = 1
    images = torch.randn(2, 3, 48, 48) + target
    optimiser = torch.optim.Adam(model.parameters(), lr=0.005)
    for _ in range(60):
        loss = nn.functional.binary_cross_entropy_with_logits(model(images)["logits"], target)
        if loss < 0.2:  # knowing no more than the share of lesion gives 0.53
            return
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    pytest.fail(f"after 60 steps the loss is still {loss:.2f}")


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("settings", [{"lesions": 0}, {"width": 0}, {"colour": 3}])
def test_impossible_settings_are_refused(name, settings):
    if name in ("cenet", "deeplabv3plus", "fpn", "linknet") and "width" in settings:
        pytest.skip("its width is the encoder's")
    with pytest.raises(ArgumentError, match=next(iter(settings))):
        create_model(name, **settings)
