"""The criterion of local_global against loops, and what happens where a term is missing or has no weight."""

import pytest
import torch

from fundus_lib.errors import ArgumentError
from fundus_lib.losses import LocalGlobalCriterion, WeightedCrossEntropy
from helpers import slow_losses as slow


def random_case(seed: int) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Output and batch in float64: shrunk images and patches of other sizes; some masks empty, some full."""
    draw = torch.Generator().manual_seed(seed)
    images, patches, lesions, small, large = (int(torch.randint(1, 5, (), generator=draw)) for _ in range(5))
    shapes = {"whole": (images, lesions, small, small), "patch": (patches, lesions, large, large + 1)}

    def logits(kind: str) -> torch.Tensor:
        return torch.randn(shapes[kind], generator=draw, dtype=torch.float64) * 2

    def mask(kind: str) -> torch.Tensor:
        return (torch.rand(shapes[kind], generator=draw) < (0, 0.2, 0.5, 1)[seed % 4]).to(torch.uint8)

    output = {"logits": logits("patch"), "local_logits": logits("patch"), "global_logits": logits("whole")}
    return output, {"mask": mask("patch"), "whole_mask": mask("whole")}


def slow_total(output, batch, weights, **settings):
    """Eq. 1 without its last term, loop by loop."""
    terms = {
        name: slow.over_maps(slow.weighted, output[logits], batch[mask], **settings)
        for name, logits, mask in (
            ("global", "global_logits", "whole_mask"),
            ("local", "local_logits", "mask"),
            ("fused", "logits", "mask"),
        )
    }
    return {"total": sum(weight * terms[name] for name, weight in weights.items())} | terms


WEIGHTS = ({"global": 1, "fused": 1}, {"global": 0.3, "local": 2, "fused": 0.5}, {"local": 1}, {"global": 1})
LOSSES = ({}, {"variant": "text", "gamma": 0.5}, {"reduction": "sum", "gamma": 3.0}, {"pool": "batch"})


def make(weights, **settings):
    given = {f"{name}_weight": weights.get(name, 0) for name in ("global", "local", "fused")}
    return LocalGlobalCriterion(loss_args=settings, **given)


def test_equals_the_loop():
    for seed in range(120):
        output, batch = random_case(seed)
        weights, settings = WEIGHTS[seed % 4], LOSSES[seed // 4 % 4]
        expected = slow_total(output, batch, weights, **settings)
        found = make(weights, **settings)(output, batch)
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert found[name].item() == pytest.approx(value, rel=1e-9, abs=1e-12), (seed, name)


def test_gradient_reaches_what_has_a_weight_and_nothing_else():
    for seed in range(1, 9):
        output, batch = random_case(seed)
        inputs = tuple(value.clone().requires_grad_() for value in output.values())
        for weights, settings in zip(WEIGHTS, LOSSES, strict=True):
            criterion = make(weights, **settings)

            def total(*logits, criterion=criterion, names=tuple(output), batch=batch):
                return criterion(dict(zip(names, logits, strict=True)), batch)["total"]

            assert torch.autograd.gradcheck(total, inputs, fast_mode=True)
            parts = criterion(dict(zip(output, inputs, strict=True)), batch)
            assert {name for name in parts if parts[name].requires_grad} == {"total", *weights}


def test_defaults_are_eq_1_with_both_weights_1():
    output, batch = random_case(5)
    found, loss = LocalGlobalCriterion()(output, batch), WeightedCrossEntropy()
    expected = loss(output["global_logits"], batch["whole_mask"]) + loss(output["logits"], batch["mask"])
    torch.testing.assert_close(found["total"], expected)


def test_a_network_alone_needs_only_its_own():
    output, batch = random_case(6)
    alone = make({"global": 1})({"global_logits": output["global_logits"]}, {"whole_mask": batch["whole_mask"]})
    assert alone.keys() == {"total", "global"} and alone["total"] == alone["global"]
    alone = make({"local": 1})({"local_logits": output["local_logits"]}, {"mask": batch["mask"]})
    assert alone.keys() == {"total", "local"}


def test_what_is_missing_is_named():
    output, batch = random_case(6)
    for key in ("global_logits", "logits"):
        with pytest.raises(ArgumentError, match=f"expected: '{key}'"):
            LocalGlobalCriterion()({name: value for name, value in output.items() if name != key}, batch)
    with pytest.raises(ArgumentError, match=r"'whole_mask'\n.*global_weight=0"):
        LocalGlobalCriterion()(output, {"mask": batch["mask"]})
    with pytest.raises(ArgumentError, match="does not fit"):
        LocalGlobalCriterion()(output, batch | {"whole_mask": batch["whole_mask"].repeat(1, 1, 2, 2)})


def test_impossible_settings_are_refused():
    for settings in ({"global_weight": -1}, {"fused_weight": float("nan")}, {"loss": "weighed"}):
        with pytest.raises(ArgumentError, match=str(next(iter(settings.values()))).removeprefix("-")):
            LocalGlobalCriterion(**settings)
    with pytest.raises(ArgumentError, match="nothing to minimise"):
        make({})
    assert "fused_weight=1.0" in repr(LocalGlobalCriterion())
