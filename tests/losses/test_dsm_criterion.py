"""What dual_branch minimises: the schedule, and the criteria against values computed by hand and against loops."""

import math
from fractions import Fraction

import pytest
import torch

from fundus_lib.errors import ArgumentError, UnknownNameError
from fundus_lib.losses import DualBranchCriterion, SingleBranchCriterion, branch_weights, create_loss
from fundus_lib.models import create_model

BASES = ("pspnet", "deeplabv3", "hed", "lwenet")


def certain(*probabilities):
    """Logits (1, 1, 1, N) of probabilities that are 0 or 1."""
    return (torch.tensor(probabilities, dtype=torch.float64) * 2 - 1).view(1, 1, 1, -1) * 1e4


MASK = torch.tensor([1, 0, 0, 0]).view(1, 1, 1, 4)
HIT_AND_ALARM = certain(1, 1, 0, 0)  # Dice loss 1 − (2 + 1)/(2 + 1 + 1); re-balanced 1 − (4 + 1)/(2 + 2/3 + 2 + 1)
NOTHING = certain(0, 0, 0, 0)  # 1 − 1/(0 + 1 + 1) and 1 − 1/(0 + 0 + 2 + 1)
EVERYTHING = certain(1, 1, 1, 1)  # 1 − (2 + 1)/(4 + 1 + 1) and 1 − (4 + 1)/(2 + 2 + 2 + 1)
DICE = {"hit": Fraction(1, 4), "nothing": Fraction(1, 2), "everything": Fraction(1, 2)}
REBALANCED = {"hit": Fraction(2, 17), "nothing": Fraction(2, 3), "everything": Fraction(2, 7)}


def values(parts):
    return {name: value.item() for name, value in parts.items()}


def test_values_by_hand():
    for name, logits in [("hit", HIT_AND_ALARM), ("nothing", NOTHING), ("everything", EVERYTHING)]:
        assert create_loss("dice")(logits, MASK).item() == pytest.approx(float(DICE[name]))
        assert create_loss("rebalanceddice")(logits, MASK).item() == pytest.approx(float(REBALANCED[name]))


def test_schedule():
    assert branch_weights(0) == (1, 0)
    assert branch_weights(0.5) == (0.75, 0.25)
    assert branch_weights(1) == (0, 1)
    assert branch_weights(39 / 40) == pytest.approx((79 / 1600, 1521 / 1600)), "the last epoch of the IDRiD runs"
    for epochs in (1, 2, 40, 100):
        weights = [branch_weights(epoch / epochs) for epoch in range(epochs)]
        assert all(large + small == pytest.approx(1) for large, small in weights)
        assert [large for large, _ in weights] == sorted((large for large, _ in weights), reverse=True)
        mean = sum(large for large, _ in weights) / epochs
        assert mean == pytest.approx(2 / 3 + 1 / (2 * epochs) - 1 / (6 * epochs**2))
        assert [branch_weights(epoch / epochs, "equation") for epoch in range(epochs)] == [w[::-1] for w in weights]


def test_progress_is_a_share():
    for progress in (-0.01, 1.01, math.nan, math.inf):
        with pytest.raises(ArgumentError, match="progress"):
            branch_weights(progress)
        with pytest.raises(ArgumentError, match="progress"):
            DualBranchCriterion()({"large_logits": NOTHING, "small_logits": NOTHING}, {"mask": MASK}, progress)


def test_one_network_with_an_auxiliary_head():
    criterion = SingleBranchCriterion()
    output = {"logits": HIT_AND_ALARM, "aux": NOTHING}
    expected = {"total": 1 / 4 + 0.4 / 2, "logits": 1 / 4, "aux": 1 / 2}
    assert values(criterion(output, {"mask": MASK})) == pytest.approx(expected)
    assert values(criterion(output, {"mask": MASK}, 0.7)) == pytest.approx(expected)
    del output["aux"]
    assert values(criterion(output, {"mask": MASK})) == pytest.approx({"total": 1 / 4, "logits": 1 / 4})


def test_one_hed():
    sides = torch.stack([NOTHING, HIT_AND_ALARM, HIT_AND_ALARM, EVERYTHING, NOTHING], dim=2)
    parts = SingleBranchCriterion()({"logits": HIT_AND_ALARM, "sides": sides}, {"mask": MASK})
    assert values(parts) == pytest.approx({"total": 9 / 4, "logits": 1 / 4, "sides": 2})


def test_two_branches_with_auxiliary_heads():
    output = {
        "logits": EVERYTHING,  # the combined prediction has no loss
        "large_logits": HIT_AND_ALARM,
        "small_logits": NOTHING,
        "large_aux": HIT_AND_ALARM,
        "small_aux": EVERYTHING,
    }
    parts = {"large": 1 / 4, "small": 2 / 3, "large_aux": 1 / 4, "small_aux": 1 / 2}
    for schedule, alpha in [("text", 0.75), ("equation", 0.25)]:
        total = alpha / 4 + (1 - alpha) * 2 / 3 + 0.2 * (1 / 4 + 1 / 2)
        given = values(DualBranchCriterion(schedule=schedule)(output, {"mask": MASK}, 0.5))
        assert given == pytest.approx({"total": total} | parts)
    without = {key: value for key, value in output.items() if "aux" not in key}
    assert DualBranchCriterion()(without, {"mask": MASK}, 0)["total"].item() == pytest.approx(1 / 4)
    assert DualBranchCriterion()(without, {"mask": MASK}, 1)["total"].item() == pytest.approx(2 / 3)
    assert DualBranchCriterion(auxiliary=1)(output, {"mask": MASK}, 1)["total"].item() == pytest.approx(2 / 3 + 3 / 4)


def test_each_branch_has_its_own_images():
    other = torch.tensor([1, 1, 0, 0]).view(1, 1, 1, 4)
    two = {"large_mask": MASK, "small_mask": other.expand(3, -1, -1, -1), "mask": 1 - MASK}
    output = {"large_logits": HIT_AND_ALARM, "small_logits": HIT_AND_ALARM.expand(3, -1, -1, -1)}
    parts = values(DualBranchCriterion()(output, two, 0.5))
    assert parts == pytest.approx({"total": 0.75 / 4, "large": 1 / 4, "small": 0}, abs=1e-12)


def test_two_heds_as_the_formula_reads():
    """½[½ Σ over side 5 and fuse of (α L_L + (1−α) L_S) + ⅛ Σ over side 4, side 5 and fuse of (D_L + D_S)]."""
    torch.manual_seed(0)
    output = {f"{branch}_sides": torch.randn(2, 1, 5, 6, 7, dtype=torch.float64) for branch in ("large", "small")}
    output |= {f"{branch}_logits": torch.randn(2, 1, 6, 7, dtype=torch.float64) for branch in ("large", "small")}
    batch = {f"{branch}_mask": torch.rand(2, 1, 6, 7) < 0.2 for branch in ("large", "small")}
    dice, small = create_loss("dice"), create_loss("rebalanceddice", p=0.25)
    for progress in (0, 0.3, 1):
        alpha, modulated, plain = 1 - progress**2, 0.0, 0.0
        for place in (3, 4, None):
            given = [
                output[f"{b}_logits"] if place is None else output[f"{b}_sides"][:, :, place]
                for b in ("large", "small")
            ]
            masks = batch["large_mask"], batch["small_mask"]
            if place != 3:
                modulated += alpha * dice(given[0], masks[0]) + (1 - alpha) * small(given[1], masks[1])
            plain += dice(given[0], masks[0]) + dice(given[1], masks[1])
        parts = DualBranchCriterion(small_args={"p": 0.25})(output, batch, progress)
        assert parts["total"].item() == pytest.approx((modulated / 2 + plain / 8).item() / 2)
        assert set(parts) == {"total", "large", "small", "large_sides", "small_sides"}
        again = alpha / 2 * parts["large"] + (1 - alpha) / 2 * parts["small"]
        again += 3 / 16 * (parts["large_sides"] + parts["small_sides"])
        assert parts["total"].item() == pytest.approx(again.item())


def test_sides_1_to_3_have_no_loss_of_their_own():
    torch.manual_seed(0)
    output = {f"{b}_sides": torch.randn(1, 1, 5, 3, 4, requires_grad=True) for b in ("large", "small")}
    output |= {f"{b}_logits": torch.randn(1, 1, 3, 4) for b in ("large", "small")}
    DualBranchCriterion()(output, {"mask": torch.eye(3, 4)[None, None]}, 0.5)["total"].backward()
    for branch in ("large", "small"):
        reached = output[f"{branch}_sides"].grad.abs().sum((0, 1, 3, 4)) > 0
        assert reached.tolist() == [False, False, False, True, True]


def test_class_balanced_rows():
    """The loss of the rows CBCE: by hand, 3/4 of a lesion pixel's loss and 1/4 of three background pixels'."""
    logits = torch.tensor([0.3, -1.0, 2.0, 0.0], dtype=torch.float64).view(1, 1, 1, 4)
    parts = SingleBranchCriterion("classbalanced", {"reduction": "sum"})(
        {"logits": logits, "aux": -logits}, {"mask": MASK}
    )

    def by_hand(x):
        losses = [math.log1p(math.exp(v)) for v in (-x[0], *x[1:])]
        return 0.75 * losses[0] + 0.25 * sum(losses[1:])

    main, auxiliary = by_hand(logits.flatten().tolist()), by_hand((-logits).flatten().tolist())
    assert values(parts) == pytest.approx({"total": main + 0.4 * auxiliary, "logits": main, "aux": auxiliary})
    both = {f"{branch}_{key}": logits for branch in ("large", "small") for key in ("logits", "aux")}
    dual = DualBranchCriterion("classbalanced", "classbalanced", {"reduction": "sum"}, {"reduction": "sum"})
    assert dual(both, {"mask": MASK}, 0.6)["total"].item() == pytest.approx(1.4 * main)


@pytest.mark.parametrize(("base", "small"), [*((base, "rebalanceddice") for base in BASES), (BASES[0], "sampleddice")])
def test_two_branches_train_on_images_of_their_own(base, small):
    """Twenty steps: the loss falls, and each branch learns from its own images alone."""
    torch.manual_seed(0)
    settings = {"width": 8 if base == "lwenet" else 4}
    model = create_model("dualbranch", base=base, **settings).train()
    criterion = DualBranchCriterion(small=small)
    images = {branch: torch.randn(2, 3, 40, 48) for branch in ("large", "small")}
    batch = {f"{branch}_mask": (x[:, :1] > 1.5).to(torch.uint8) for branch, x in images.items()}

    def parts(progress):
        output = {f"{name}_{key}": value for name, x in images.items() for key, value in model(x, branch=name).items()}
        return criterion(output, batch, progress)

    model.zero_grad()
    at_start = parts(0.0)
    assert ("large_aux" in at_start, "large_sides" in at_start) == (base in BASES[:2], base in BASES[2:])
    torch.stack([at_start["large"], *(at_start[k] for k in at_start if k.startswith("large_"))]).sum().backward()
    assert any(p.grad is not None for p in model.large.parameters())
    assert all(p.grad is None for p in model.small.parameters())
    optimiser, totals = torch.optim.AdamW(model.parameters(), lr=3e-3), []
    for _ in range(20):
        optimiser.zero_grad()
        given = parts(0.5)
        given["total"].backward()
        optimiser.step()
        totals.append(given["total"].item())
    assert sum(totals[-5:]) < sum(totals[:5])
    assert all(p.grad is not None for p in model.parameters())
    model.eval()
    x = images["large"]
    together = criterion(model(x), {"mask": batch["large_mask"]}, 0.0)
    assert together["total"].isfinite()
    assert "large_aux" not in together


def test_gradients_reach_everything_with_the_weight_that_is_due():
    torch.manual_seed(0)
    keys = [f"{branch}_{key}" for branch in ("large", "small") for key in ("logits", "aux")]
    inputs = tuple(torch.randn(2, 1, 3, 4, dtype=torch.float64, requires_grad=True) for _ in keys)
    mask = (torch.rand(2, 1, 3, 4) < 0.4).double()
    criterion = DualBranchCriterion(small_args={"p": None, "pool": "image"})

    def total(*logits):
        return criterion(dict(zip(keys, logits, strict=True)), {"mask": mask}, 0.4)["total"]

    assert torch.autograd.gradcheck(total, inputs)
    for progress, silent in [(0.0, "small"), (1.0, "large")]:
        given = criterion(dict(zip(keys, inputs, strict=True)), {"mask": mask}, progress)["total"]
        gradients = dict(zip(keys, torch.autograd.grad(given, inputs), strict=True))
        assert [key for key, gradient in gradients.items() if not gradient.any()] == [f"{silent}_logits"]


def test_narrow_types_and_extremes():
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        for scale in (1.0, 1e4):
            torch.manual_seed(0)
            keys = [f"{branch}_{key}" for branch in ("large", "small") for key in ("logits", "aux")]
            output = {key: (scale * torch.randn(2, 1, 6, 5)).to(dtype).requires_grad_() for key in keys}
            mask = (torch.rand(2, 1, 6, 5) < 0.3).to(torch.uint8)
            parts = DualBranchCriterion()(output, {"mask": mask}, 0.5)
            assert {value.dtype for value in parts.values()} == {torch.float32}
            exact = DualBranchCriterion()({key: x.detach().double() for key, x in output.items()}, {"mask": mask}, 0.5)
            assert values(parts) == pytest.approx(values(exact), rel=1e-5)
            parts["total"].backward()
            assert all(x.grad.isfinite().all() for x in output.values())


def test_what_is_missing_or_impossible_is_named():
    for output, batch, message in [
        ({"logits": NOTHING}, {"mask": MASK}, "large_logits"),
        ({"large_logits": NOTHING}, {"mask": MASK}, "small_logits"),
        ({"large_logits": NOTHING, "small_logits": NOTHING}, {}, "large_mask"),
        ({"large_logits": NOTHING, "small_logits": NOTHING}, {"large_mask": MASK}, "'small_mask' or 'mask'"),
    ]:
        with pytest.raises(ArgumentError, match=message):
            DualBranchCriterion()(output, batch, 0.5)
    with pytest.raises(ArgumentError, match="logits"):
        SingleBranchCriterion()({}, {"mask": MASK})
    with pytest.raises(ArgumentError, match="mask"):
        SingleBranchCriterion()({"logits": NOTHING}, {})
    for criterion in (SingleBranchCriterion, DualBranchCriterion):
        with pytest.raises(ArgumentError, match="auxiliary"):
            criterion(auxiliary=-1)
        with pytest.raises(UnknownNameError):
            criterion("cbce")
    with pytest.raises(ArgumentError, match="schedule"):
        DualBranchCriterion(schedule="Eq. 5")
    with pytest.raises(ArgumentError, match="p is out of range"):
        DualBranchCriterion(small_args={"p": 2})


def test_settings_show():
    text = repr(DualBranchCriterion(small_args={"p": 0.25}, schedule="equation"))
    assert "p=0.25" in text
    assert "schedule='equation', auxiliary=0.2" in text
    assert "auxiliary=0.4" in repr(SingleBranchCriterion())
