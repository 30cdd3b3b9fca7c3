"""What holds for every loss: names, gradients, extreme logits, narrow types, any device, clear refusals."""

import inspect
import itertools
import math
from typing import Any

import pytest
import torch
from torch import nn

from fundus_lib import losses
from fundus_lib.errors import ArgumentError, UnknownNameError
from fundus_lib.losses import create_loss, list_losses

ON_MASKS = [
    ("crossentropy", {}),
    ("classbalanced", {}),
    ("classbalanced", {"pool": "batch", "reduction": "sum"}),
    ("weighted", {}),
    ("weighted", {"variant": "text", "gamma": 2.0, "pool": "batch"}),
    ("weighted", {"reduction": "sum"}),
    ("focal", {}),
    ("focal", {"gamma": 0.5, "alpha": 0.75}),
    ("dice", {}),
    ("dice", {"pool": "image", "smooth": 1e-6}),
    ("dicecrossentropy", {}),
    ("dicecrossentropy", {"weight": 0.3, "pool": "image"}),
    ("rebalanceddice", {}),
    ("rebalanceddice", {"p": None, "pool": "image"}),
    ("rebalanceddice", {"p": 0.9, "smooth": 1e-6}),
    ("sampleddice", {}),
    ("sampleddice", {"p": None, "pool": "image"}),
    ("bin", {"ratio": 2}),
    ("bin", {"ratio": 1, "pool": "batch", "reduction": "sum"}),
]
OTHERS = [("categoricalfocal", {}), ("categoricalfocal", {"gamma": 0.5}), ("supcon", {}), ("ntxent", {})]
FLOATS = (torch.float32, torch.bfloat16, torch.float16)
every_loss = pytest.mark.parametrize(("name", "settings"), ON_MASKS + OTHERS)
on_masks = pytest.mark.parametrize(("name", "settings"), ON_MASKS)


def batch(name: str, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs that fit the loss; of the four maps one is empty and one full."""
    draw = torch.Generator().manual_seed(0)
    if name in ("supcon", "ntxent"):
        return torch.randn(7, 5, generator=draw, dtype=torch.float64).to(dtype), torch.arange(7) % 3
    logits = torch.randn(2, 2, 4, 5, generator=draw, dtype=torch.float64).mul(2).to(dtype)
    if name == "categoricalfocal":
        return logits, torch.randint(-1, 2, (2, 4, 5), generator=draw)
    target = (torch.rand(2, 2, 4, 5, generator=draw) < 0.3).double()
    target[0, 0], target[1, 1] = 0, 1
    return logits, target


def seeded(name: str, **settings: Any) -> nn.Module:
    """The loss, drawing the same random numbers at each call, where it draws any."""

    def seed(*_: Any) -> None:
        torch.manual_seed(0)

    loss = create_loss(name, **settings)
    loss.register_forward_pre_hook(seed)
    return loss


def test_each_name_makes_a_loss_and_is_tested_here():
    assert list_losses() == sorted(list_losses()) == sorted({name for name, _ in ON_MASKS + OTHERS})
    for name in list_losses():
        loss = create_loss(name)
        assert isinstance(loss, nn.Module)
        assert name == name.lower() and name.isalnum()
        assert not list(loss.parameters()) and not loss.state_dict()


def test_an_unknown_name_or_setting_raises_with_what_exists():
    with pytest.raises(UnknownNameError, match="classbalanced, crossentropy, dice"):
        create_loss("Dice-Loss")
    with pytest.raises(ArgumentError, match="colour"):
        create_loss("dice", colour=3)


def test_settings_show():
    for name, settings in ON_MASKS + OTHERS:
        text = repr(seeded(name, **settings))
        assert all(f"{key}={value!r}" in text for key, value in settings.items())


@every_loss
def test_gradient(name, settings):
    inputs, target = batch(name)
    loss = seeded(name, **settings)
    inputs.requires_grad_()
    assert torch.autograd.gradcheck(lambda values: loss(values, target), inputs)
    assert loss(inputs, target).dtype == torch.float64


@every_loss
def test_gradient_of_the_gradient(name, settings):
    """Training through a training step, as the label update network of `pldmlt` does, needs it."""
    inputs, target = batch(name)
    loss = seeded(name, **settings)
    if inputs.ndim == 4:
        inputs, target = inputs[..., :2, :3], target[..., :2, :3]
    assert torch.autograd.gradgradcheck(lambda values: loss(values, target), inputs.clone().requires_grad_())


@every_loss
def test_value_and_gradient_are_finite_for_extreme_logits(name, settings):
    for dtype, sure_of in itertools.product(FLOATS, ("truth", "error", "both")):
        inputs, target = batch(name, dtype)
        if inputs.ndim == 4 and target.ndim == 4:
            inputs = 1e4 * (2 * target - 1) * {"truth": 1, "error": -1, "both": inputs.sign()}[sure_of]
        inputs = (inputs.sign() * 1e4).to(dtype).requires_grad_()
        value = seeded(name, **settings)(inputs, target)
        value.backward()
        assert value.dtype == torch.float32
        assert value.isfinite() and value >= 0, (dtype, sure_of)
        assert inputs.grad.dtype == dtype
        assert inputs.grad.isfinite().all(), (dtype, sure_of)


@on_masks
def test_value_for_extreme_logits_is_that_of_float64(name, settings):
    inputs, target = batch(name)
    inputs = inputs * 5e3
    loss = seeded(name, **settings)
    assert loss(inputs.float(), target).item() == pytest.approx(loss(inputs.float().double(), target).item(), rel=1e-5)


@every_loss
def test_narrow_types_lose_nothing_but_their_own_rounding(name, settings):
    for dtype in (torch.bfloat16, torch.float16):
        inputs, target = batch(name, dtype)
        loss = seeded(name, **settings)
        exact = loss(inputs.double(), target).item()
        assert loss(inputs, target).item() == pytest.approx(exact, rel=1e-5)
        with torch.autocast("cpu", torch.bfloat16):
            assert loss(inputs, target).item() == pytest.approx(exact, rel=1e-5)
            assert loss(inputs.float(), target).item() == pytest.approx(exact, rel=1e-5)


@every_loss
def test_no_step_waits_for_the_device(name, settings):
    """On the meta device there are no values: whatever looks at one, and would wait for it on a GPU, fails."""
    inputs, target = batch(name, torch.float32)
    inputs = inputs.to("meta").requires_grad_()
    value = seeded(name, **settings)(inputs, target.to("meta"))
    value.backward()
    assert value.shape == ()
    assert inputs.grad.shape == inputs.shape


@every_loss
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_on_a_gpu_the_value_is_the_same_and_nothing_waits(name, settings):
    inputs, target = batch(name, torch.float32)
    loss = seeded(name, **settings)
    there, target_there = inputs.cuda().requires_grad_(), target.cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        value = loss(there, target_there)
        value.backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    if name == "sampleddice":  # each device draws random numbers of its own
        return
    here = inputs.clone().requires_grad_()
    loss(here, target).backward()
    torch.testing.assert_close(value.cpu(), loss(inputs, target))
    torch.testing.assert_close(there.grad.cpu(), here.grad)


@on_masks
def test_any_type_of_mask_and_any_layout(name, settings):
    inputs, target = batch(name, torch.float32)
    loss = seeded(name, **settings)
    expected = loss(inputs, target).item()
    for dtype in (torch.bool, torch.uint8, torch.int64, torch.float16, torch.float32):
        assert loss(inputs, target.to(dtype)).item() == expected
    channels_last = inputs.contiguous(memory_format=torch.channels_last)
    assert loss(channels_last, target).item() == pytest.approx(expected, rel=1e-6)
    crop = (slice(None), slice(None), slice(1, 3), slice(0, 4, 2))
    assert loss(inputs[crop], target[crop]).item() == loss(inputs[crop].clone(), target[crop].clone()).item()


@on_masks
def test_wrong_input_is_refused(name, settings):
    logits, target = batch(name, torch.float32)
    loss = seeded(name, **settings)
    no_number, infinite = logits.clone(), logits.clone()
    no_number[1, 0, 2, 2], infinite[0, 1, 0, 0] = torch.nan, torch.inf
    doubt = target.clone()
    doubt[0, 0, 0, 0] = 0.5
    for bad, message in [
        ((logits[:, :1], target), "fit"),
        ((logits, target[0]), "fit"),
        ((logits[0], target[0]), "shape"),
        ((logits[:0], target[:0]), "shape"),
        ((logits.long(), target), "floating-point"),
        ((logits.tolist(), target), "list"),
        ((logits, target.tolist()), "list"),
        ((logits.to("meta"), target), "devices"),
        ((logits, target * 255), "0 and 1"),
        ((logits, (target * 255).to(torch.uint8)), "0 and 1"),
        ((logits, -target), "0 and 1"),
        ((logits, doubt), "0 and 1"),
        ((logits, target * torch.nan), "0 and 1"),
        *([((no_number, target), "not finite")] if name != "sampleddice" else []),  # it may not have been sampled
    ]:
        with pytest.raises(ArgumentError, match=message):
            loss(*bad)
    if not name.endswith("dice"):  # the probability of an infinite logit is 1, and a fraction of 1 is valid
        with pytest.raises(ArgumentError, match="not finite"):
            loss(infinite, target)


@pytest.mark.parametrize(
    ("name", "setting", "values"),
    [
        ("classbalanced", "pool", ["pixel", 3]),
        ("classbalanced", "reduction", ["none"]),
        ("weighted", "variant", ["Eq. 2"]),
        ("weighted", "gamma", [-1, math.nan, math.inf]),
        ("focal", "alpha", [-0.1, 1.1, math.nan]),
        ("focal", "gamma", [-1, math.inf]),
        ("dice", "smooth", [0, -1, math.nan, math.inf]),
        ("dice", "pool", ["all"]),
        ("dicecrossentropy", "weight", [-1, math.inf]),
        ("rebalanceddice", "p", [-0.1, 1.1, math.nan]),
        ("rebalanceddice", "smooth", [0, math.inf]),
        ("sampleddice", "p", [2]),
        ("bin", "ratio", [0, math.nan]),
        ("bin", "reduction", ["max"]),
    ],
)
def test_impossible_settings_are_refused(name, setting, values):
    for value in values:
        with pytest.raises(ArgumentError, match=setting):
            create_loss(name, **{setting: value})
    with pytest.raises(ArgumentError, match="gamma"):
        create_loss("weighted", variant="text", gamma=0)


@on_masks
def test_training_learns_a_lesion(name, settings):
    """Fifty steps on the logits themselves: the lesion ends above the background wherever both are there."""
    target = torch.zeros(1, 1, 8, 8)
    target[0, 0, 2:4, 3:6] = 1
    logits = torch.zeros_like(target, requires_grad=True)
    optimiser, loss = torch.optim.Adam([logits], lr=0.2), seeded(name, **settings)
    before = loss(logits, target).item()
    for _ in range(50):
        optimiser.zero_grad()
        loss(logits, target).backward()
        optimiser.step()
    assert loss(logits, target).item() < before / 2
    assert logits[target == 1].min() > logits[target == 0].max() + 1


def test_criteria_are_called_alike():
    forwards = {name: getattr(losses, name).forward for name in losses.__all__ if name.endswith("Criterion")}
    given = {
        name: {argument: kind.default for argument, kind in inspect.signature(forward).parameters.items()}
        for name, forward in forwards.items()
    }
    needed = inspect.Parameter.empty
    same = {"self": needed, "output": needed, "batch": needed, "progress": 0.0}
    scheduled = {"DualBranchCriterion": same | {"progress": needed}}  # whose weights depend on it
    assert len(given) >= 6 and given == dict.fromkeys(given, same) | scheduled
