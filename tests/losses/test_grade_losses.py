"""What sunet minimises, against loops in plain Python, torch's own, and values computed by hand."""

import math

import pytest
import torch
from torch import nn

from fundus_lib.errors import ArgumentError
from fundus_lib.losses import GradeLoss, SUNetCriterion, compute_class_weights
from fundus_lib.losses.grading import FORMS, to_class_indices

WEIGHTS = [0.5, 2.0, 1.0, 4.0, 0.25]


def grade_loss(form):
    return GradeLoss(form, WEIGHTS if form == "weighted" else None)


def case(seed, count=7, unknown=True):
    """Logits (count, 5) and grades, some of which are not known."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(count, 5, dtype=torch.float64, generator=generator) * 3
    return logits, torch.randint(-1 if unknown else 0, 5, (count,), generator=generator)


def softmax(row):
    e = [math.exp(x - max(row)) for x in row]
    return [x / sum(e) for x in e]


def slowly(logits, grades, form):
    above, below = 0.0, 0.0
    for row, grade in zip(logits.tolist(), grades.tolist(), strict=True):
        if grade < 0:
            continue
        p = softmax(row)
        if form == "ordinal":
            weight = 1.0
            cost = sum((sum(p[: k + 1]) - (k >= grade)) ** 2 for k in range(5))
        else:
            weight = WEIGHTS[grade] if form == "weighted" else 1.0
            cost = -math.log(p[grade])
        above, below = above + weight * cost, below + weight
    return above / below if below else 0.0


@pytest.mark.parametrize("form", FORMS)
def test_against_a_loop(form):
    for seed in range(20):
        logits, grades = case(seed)
        assert grade_loss(form)(logits, grades).item() == pytest.approx(slowly(logits, grades, form))


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_cross_entropy_is_torchs_own(weights):
    logits, grades = case(1, 30)
    assert (grades < 0).any()
    theirs = nn.CrossEntropyLoss(
        weight=None if weights is None else torch.tensor(weights, dtype=torch.float64), ignore_index=-1
    )
    torch.testing.assert_close(
        GradeLoss("weighted" if weights else "none", weights)(logits, grades), theirs(logits, grades)
    )


def test_by_hand():
    flat = torch.zeros(2, 5)
    assert GradeLoss()(flat, torch.tensor([0, 3])).item() == pytest.approx(math.log(5))
    # cumulated .2 .4 .6 .8 1 beside 1 1 1 1 1, and beside 0 0 0 0 1
    for grade, cost in ((0, 0.64 + 0.36 + 0.16 + 0.04), (4, 0.04 + 0.16 + 0.36 + 0.64), (2, 0.04 + 0.16 + 0.16 + 0.04)):
        assert GradeLoss("ordinal")(flat[:1], torch.tensor([grade])).item() == pytest.approx(cost)
    sure = torch.eye(5) * 1e4
    for said in range(5):
        for true in range(5):
            off = GradeLoss("ordinal")(sure[said : said + 1], torch.tensor([true])).item()
            assert off == pytest.approx(abs(said - true)), "an error of n grades costs n"
    # weights 4 and 1/4: (4 ln 2 + ln 4 / 4) / 4.25
    logits = torch.tensor([[-99, -99, -99, 0.0, 0.0], [-99, 0.0, 0.0, 0.0, 0.0]])
    found = GradeLoss("weighted", WEIGHTS)(logits, torch.tensor([3, 4])).item()
    assert found == pytest.approx((4 * math.log(2) + 0.25 * math.log(4)) / 4.25)


@pytest.mark.parametrize("form", FORMS)
def test_gradients(form):
    logits, grades = case(2)
    assert (grades < 0).any()
    loss = grade_loss(form)
    assert torch.autograd.gradcheck(lambda x: loss(x, grades), logits.requires_grad_())


@pytest.mark.parametrize("form", FORMS)
def test_images_of_unknown_grade_do_not_matter(form):
    logits, grades = case(4, 12)
    known = grades >= 0
    assert 0 < known.sum() < 12
    loss = grade_loss(form)
    torch.testing.assert_close(loss(logits, grades), loss(logits[known], grades[known]))
    logits.requires_grad_()
    loss(logits, grades).backward()
    assert (logits.grad[~known] == 0).all() and (logits.grad[known] != 0).any(1).all()
    nobody = torch.full((12,), -1)
    logits.grad = None
    value = loss(logits, nobody)
    value.backward()
    assert value == 0 and (logits.grad == 0).all()


@pytest.mark.parametrize("form", FORMS)
def test_sixteen_bits_are_summed_in_thirty_two(form):
    logits, grades = case(5)
    half = logits.to(torch.bfloat16)
    found = grade_loss(form)(half, grades)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, grade_loss(form)(half.float(), grades))


def test_weights_of_grades():
    grades = [0, 0, 0, 0, 2, 2, 1, -1]
    weights = compute_class_weights(grades, 4)
    assert weights == pytest.approx([7 / 16, 7 / 4, 7 / 8, 1])
    assert compute_class_weights(torch.tensor(grades), 4) == weights
    assert compute_class_weights(torch.tensor([], dtype=torch.long), 3) == [1, 1, 1]
    five = torch.randint(5, (200,), generator=torch.Generator().manual_seed(0)).tolist()
    weights = compute_class_weights(five, 5)
    assert sum(weights[g] for g in five) == pytest.approx(200), "a mean image weighs 1"
    assert {round(five.count(g) * weights[g], 4) for g in range(5)} == {40}, "each grade weighs as much as any other"


def sample(seed=0, lesions=3, mask_dtype=torch.uint8):
    generator = torch.Generator().manual_seed(seed)
    output = {
        "dr": torch.randn(4, 5, dtype=torch.float64, generator=generator, requires_grad=True),
        "dme": torch.randn(4, 3, dtype=torch.float64, generator=generator, requires_grad=True),
        "classes": torch.randn(4, 1 + lesions, 6, 5, dtype=torch.float64, generator=generator, requires_grad=True),
    }
    mask = (torch.rand(4, lesions, 6, 5, generator=generator) < 0.2).to(mask_dtype)
    return output, {"dr": torch.tensor([0, 4, -1, 2]), "dme": torch.tensor([2, -1, 0, 1]), "mask": mask}


def class_of(column):
    """Number of the first lesion of a pixel, counted from 1; 0 for none."""
    return next((1 + number for number, there in enumerate(column) if there), 0)


def lesions_slowly(classes, mask):
    """Eq. 4 of sunet, pixel by pixel."""
    costs = []
    for image in range(len(mask)):
        for row in range(mask.shape[2]):
            for column in range(mask.shape[3]):
                p = softmax(classes[image, :, row, column].tolist())
                costs.append(-math.log(p[class_of(mask[image, :, row, column].tolist())]))
    return sum(costs) / len(costs)


def test_the_criterion_is_equation_5():
    for seed, dtype in enumerate((torch.uint8, torch.bool, torch.float32)):
        output, batch = sample(seed, mask_dtype=dtype)
        parts = SUNetCriterion()(output, batch)
        expected = {
            "lesions": lesions_slowly(output["classes"], batch["mask"]),
            "dr": slowly(output["dr"], batch["dr"], "none"),
            "dme": nn.functional.cross_entropy(output["dme"], batch["dme"], ignore_index=-1).item(),
        }
        expected["total"] = expected["lesions"] + expected["dr"] + 0.5 * expected["dme"]
        assert {name: part.item() for name, part in parts.items()} == pytest.approx(expected)


def test_factors_and_forms():
    output, batch = sample()
    plain = SUNetCriterion()(output, batch)
    parts = SUNetCriterion(dr=0.3, dme=2.0, lesions=0.7)(output, batch)
    assert {name: parts[name] for name in ("lesions", "dr", "dme")} == {n: v for n, v in plain.items() if n != "total"}
    torch.testing.assert_close(parts["total"], 0.7 * parts["lesions"] + 0.3 * parts["dr"] + 2 * parts["dme"])
    weights = {"dr": WEIGHTS, "dme": [1.0, 3.0, 2.0]}
    weighted = SUNetCriterion(form="weighted", weights=weights)(output, batch)
    torch.testing.assert_close(weighted["dr"], GradeLoss("weighted", WEIGHTS)(output["dr"], batch["dr"]))
    torch.testing.assert_close(weighted["dme"], GradeLoss("weighted", weights["dme"])(output["dme"], batch["dme"]))
    ordinal = SUNetCriterion(form="ordinal")(output, batch)
    torch.testing.assert_close(ordinal["dr"], GradeLoss("ordinal")(output["dr"], batch["dr"]))
    assert ordinal["lesions"] == weighted["lesions"] == plain["lesions"]


@pytest.mark.parametrize("masks", [True, False])
def test_images_without_masks_have_no_lesion_loss_but_every_output_has_a_gradient(masks):
    output, batch = sample()
    if not masks:
        del batch["mask"]
    parts = SUNetCriterion()(output, batch)
    parts["total"].backward()
    assert set(parts) == {"total", "dr", "dme"} | ({"lesions"} if masks else set())
    assert all(value.grad is not None for value in output.values())
    assert bool(output["classes"].grad.any()) == masks
    assert output["dr"].grad.any() and output["dme"].grad.any()


def test_images_with_and_without_masks_in_one_batch():
    output, batch = sample()
    parts = SUNetCriterion()(output, batch | {"masked": torch.tensor([0, 3])})
    assert parts["lesions"].item() == pytest.approx(
        lesions_slowly(output["classes"][[0, 3]], batch["mask"][[0, 3]]), rel=1e-9
    )
    parts["total"].backward()
    assert output["classes"].grad.flatten(1).any(1).tolist() == [True, False, False, True]
    assert parts["dr"] == SUNetCriterion()(output, batch)["dr"]


def test_at_a_factor_of_0_the_lesion_loss_is_returned_and_not_minimised():
    output, batch = sample()
    parts = SUNetCriterion(lesions=0.0)(output, batch)
    torch.testing.assert_close(parts["total"], parts["dr"] + 0.5 * parts["dme"])
    assert parts["lesions"] > 0.5
    parts["total"].backward()
    assert not output["classes"].grad.any() and output["dr"].grad.any()


def test_one_disease_and_no_regulariser():
    output, batch = sample()
    parts = SUNetCriterion()({"dme": output["dme"]}, batch)
    assert set(parts) == {"total", "dme"}
    torch.testing.assert_close(parts["total"], 0.5 * parts["dme"])


def test_a_pixel_of_two_lesions_counts_as_the_first():
    mask = (torch.rand(2, 4, 9, 7, generator=torch.Generator().manual_seed(0)) < 0.4).to(torch.uint8)
    assert (mask.sum(1) > 1).any() and (mask.sum(1) == 0).any()
    found = to_class_indices(mask)
    expected = [[[class_of(mask[b, :, i, j].tolist()) for j in range(7)] for i in range(9)] for b in range(2)]
    assert found.dtype == torch.long and found.tolist() == expected


def test_grades_are_learnt():
    """Thirty steps on features that tell the grade: every form finds it."""
    grades = torch.arange(5).repeat(8)
    features = nn.functional.one_hot(grades, 5).float() + 0.1 * torch.randn(40, 5, generator=torch.manual_seed(0))
    for form in FORMS:
        torch.manual_seed(0)
        layer = nn.Linear(5, 5)
        optimiser = torch.optim.Adam(layer.parameters(), lr=0.5)
        for _ in range(30):
            optimiser.zero_grad()
            grade_loss(form)(layer(features), grades).backward()
            optimiser.step()
        assert (layer(features).argmax(1) == grades).all(), form


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"form": "focal"}, "form='focal'"),
        ({"form": "weighted"}, "weights=None"),
        ({"weights": WEIGHTS}, "form='none'"),
        ({"form": "weighted", "weights": [1.0, 0.0]}, "0.0"),
        ({"form": "weighted", "weights": [1.0, math.nan]}, "nan"),
    ],
)
def test_impossible_settings_of_the_grades_loss(settings, says):
    with pytest.raises(ArgumentError, match=says):
        GradeLoss(**settings)


@pytest.mark.parametrize("settings", [{"dr": -1.0}, {"dme": math.nan}, {"lesions": math.inf}])
def test_impossible_factors(settings):
    with pytest.raises(ArgumentError, match=next(iter(settings))):
        SUNetCriterion(**settings)


def test_what_does_not_fit_is_refused():
    logits, grades = case(0)
    for bad in (logits[0], logits.long(), logits[:, :, None]):
        with pytest.raises(ArgumentError, match="logits"):
            GradeLoss()(bad, grades)
    with pytest.raises(ArgumentError, match="does not fit"):
        GradeLoss()(logits, grades[:-1])
    with pytest.raises(ArgumentError, match="5 weights for 3 grades"):
        GradeLoss("weighted", WEIGHTS)(torch.zeros(2, 3), torch.tensor([0, 1]))
    logits[2, 1] = math.nan
    with pytest.raises(ArgumentError, match="not finite"):
        GradeLoss()(logits, grades)
    with pytest.raises(ArgumentError, match="has no grade"):
        SUNetCriterion()({"logits": torch.zeros(1, 4, 2, 2)}, {"dr": torch.tensor([1])})


def test_which_images_have_masks_is_said_for_each_or_by_number():
    classes, mask = torch.randn(4, 3, 8, 8), torch.zeros(4, 2, 8, 8)
    with pytest.raises(ArgumentError):
        SUNetCriterion()({"classes": classes}, {"mask": mask, "masked": torch.tensor([True, False, True])})


def test_an_infinite_map_is_an_error_in_a_batch_without_masks_too():
    output = {"dr": torch.randn(2, 5), "classes": torch.full((2, 5, 4, 4), torch.inf)}
    with pytest.raises(ArgumentError, match="finite"):
        SUNetCriterion()(output, {"dr": torch.tensor([0, 1])})
