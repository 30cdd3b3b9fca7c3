"""Grades, masks and selections that mean nothing are refused; integers of every type give the same loss."""

import pytest
import torch

from fundus_lib.errors import ArgumentError
from fundus_lib.losses import CategoricalFocalLoss, GradeLoss, SUNetCriterion, compute_class_weights, list_losses
from fundus_lib.losses.grading import FORMS
from fundus_lib.losses.registry import create_loss

INTEGERS = (torch.uint8, torch.int8, torch.uint16, torch.int16, torch.uint32, torch.int32, torch.uint64, torch.int64)
LOGITS = torch.tensor([[2.0, 0.5, 1.0, 0.0, -1.0], [0.0, 1.0, 3.0, -2.0, 0.5]])
CLASSES = torch.linspace(-2, 2, 2 * 3 * 4 * 4).reshape(2, 3, 4, 4)
MASK = (torch.arange(2 * 2 * 4 * 4).reshape(2, 2, 4, 4) % 5 == 0).to(torch.uint8)


def grade_loss(form):
    return GradeLoss(form, [1.0, 2.0, 3.0, 4.0, 5.0] if form == "weighted" else None)


@pytest.mark.parametrize("form", FORMS)
def test_grades_of_every_integer_type_have_one_loss(form):
    expected = grade_loss(form)(LOGITS, torch.tensor([1, 0]))
    for kind in (*INTEGERS, torch.bool):
        assert torch.equal(grade_loss(form)(LOGITS, torch.tensor([1, 0]).to(kind)), expected), kind


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "grades",
    [
        torch.tensor([5, 1]),
        torch.tensor([255, 1]),
        torch.tensor([255, 1], dtype=torch.uint8),  # −1 that was stored in a byte
        torch.tensor([-2, 1]),
        torch.tensor([3.0, 1.0]),
    ],
    ids=["5", "255", "byte", "-2", "float"],
)
def test_what_is_no_grade_is_refused(form, grades):
    with pytest.raises(ArgumentError, match=r"GradeLoss: (a target|grades or indices)"):
        grade_loss(form)(LOGITS, grades)


def test_weights_of_grades():
    expected = compute_class_weights([0, 1, 1, -1], 3)
    assert expected == pytest.approx([1, 0.5, 1])
    for kind in INTEGERS[1:]:
        assert compute_class_weights(torch.tensor([0, 1, 1]).to(kind), 3) == expected
    assert compute_class_weights([], 3) == [1, 1, 1]
    for grades in ([0, 1, 7], [0, -2], [0.0, 1.0]):
        with pytest.raises(ArgumentError):
            compute_class_weights(grades, 5)


@pytest.mark.parametrize("masked", [torch.tensor([], dtype=torch.long), torch.zeros(2, dtype=torch.bool)])
def test_no_image_with_a_mask_is_no_lesion_loss(masked):
    output = {"dr": LOGITS, "classes": CLASSES.clone().requires_grad_()}
    batch = {"dr": torch.tensor([1, 2])}
    found = SUNetCriterion()(output, batch | {"mask": MASK, "masked": masked})
    assert found.keys() == {"total", "dr"} and torch.equal(found["total"], SUNetCriterion()(output, batch)["total"])
    found["total"].backward()
    assert not output["classes"].grad.any()


def test_the_chosen_images_can_be_named_in_several_ways():
    output, batch = {"dr": LOGITS, "classes": CLASSES}, {"dr": torch.tensor([1, 2]), "mask": MASK}
    expected = SUNetCriterion()(output, batch | {"masked": torch.tensor([1])})["lesions"]
    for masked in (*(torch.tensor([1]).to(kind) for kind in INTEGERS), torch.tensor([False, True])):
        assert torch.equal(SUNetCriterion()(output, batch | {"masked": masked})["lesions"], expected)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"masked": torch.tensor([2])}, "does not name images"),
        ({"masked": torch.tensor([-1])}, "does not name images"),
        ({"masked": torch.tensor([0.0])}, "not integers"),
        ({"mask": MASK * 255}, "means nothing"),
        ({"mask": MASK * torch.nan}, "means nothing"),
        ({"mask": MASK[:, :1]}, "does not fit"),
        ({"mask": MASK[..., :2]}, "does not fit"),
        ({"dr": torch.tensor([5, 1])}, "means nothing"),
    ],
)
def test_a_batch_that_means_nothing_is_refused(changed, says):
    batch = {"dr": torch.tensor([1, 2]), "mask": MASK} | changed
    with pytest.raises(ArgumentError, match=says):
        SUNetCriterion()({"dr": LOGITS, "classes": CLASSES}, batch)


def test_a_batch_without_grades_and_an_output_of_nan_are_refused():
    with pytest.raises(ArgumentError, match="the batch lacks the grades"):
        SUNetCriterion()({"dr": LOGITS}, {"mask": MASK})
    with pytest.raises(ArgumentError, match="not finite"):
        SUNetCriterion()({"dr": LOGITS, "classes": CLASSES * torch.nan}, {"dr": torch.tensor([1, 2]), "mask": MASK})


@pytest.mark.parametrize("name", list_losses())
def test_labels_of_every_integer_type_have_one_loss(name):
    pixels = name not in ("categoricalfocal", "ntxent", "supcon")
    labels = torch.tensor([[[[1, 0], [1, 0]]]]) if pixels else torch.tensor([1, 0, 1, 0])
    values = torch.linspace(-1, 1, 4).reshape(1, 1, 2, 2) if pixels else torch.linspace(-1, 1, 12).reshape(4, 3)

    def loss(kind):
        torch.manual_seed(0)  # one of them draws pixels
        return create_loss(name)(values, labels.to(kind))

    for kind in (*INTEGERS, torch.bool):
        assert torch.equal(loss(kind), loss(torch.int64)), kind
    with pytest.raises(ArgumentError):
        create_loss(name)(values, labels * 255 if pixels or "focal" in name else labels * 0.5)


def test_a_byte_of_255_is_not_taken_for_unknown():
    with pytest.raises(ArgumentError, match="means nothing"):
        CategoricalFocalLoss()(LOGITS, torch.tensor([255, 0], dtype=torch.uint8))
