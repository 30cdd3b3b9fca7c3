"""Pseudo labels on hand-made cases: the paper's own example among them."""

import pytest
import torch
from torch import nn

from fundus_lib.data import IDRiDGrading, IDRiDSegmentation
from fundus_lib.data.splits import overlap
from fundus_lib.errors import ArgumentError
from fundus_lib.pseudo_labels import allow_grades, choose_confident, correct_labels, measure_heat

NAN = float("nan")
MORE = [False, False, True, True, True]


def test_the_more_confident_grader_answers():
    first = torch.tensor([[0.6, 0.4, 0, 0, 0], [0.2, 0.2, 0.2, 0.2, 0.2], [0.5, 0.5, 0, 0, 0]])
    second = torch.tensor([[0, 0, 0.55, 0.45, 0], [0.1, 0, 0, 0.3, 0.6], [0, 0, 0, 0.5, 0.5]])
    chosen, other = choose_confident(first, second)
    assert other.tolist() == [False, True, False]
    assert chosen.argmax(1).tolist() == [0, 4, 0]
    assert torch.equal(chosen[0], first[0]) and torch.equal(chosen[1], second[1])
    with pytest.raises(ArgumentError, match="second holds no probabilities"):
        choose_confident(first, second * 3)
    with pytest.raises(ArgumentError, match=r"second has the shape \(2, 5\)"):
        choose_confident(first, second[:2])


@pytest.mark.parametrize(
    ("lesions", "grades"),
    [((0, 0, 0, 0), [0]), ((1, 0, 0, 0), [1]), ((1, 1, 0, 0), [2, 3, 4]), ((0, 0, 1, 0), [2, 3, 4])],
)
def test_the_medical_rule(lesions, grades):
    (allowed,) = allow_grades(torch.tensor([lesions], dtype=torch.bool))
    assert allowed.nonzero().flatten().tolist() == grades


def test_the_medical_rule_needs_all_lesions():
    for bad in (torch.ones(2, 1, dtype=torch.bool), torch.ones(2, 4)):
        with pytest.raises(ArgumentError, match="MA, HE, EX, SE"):
            allow_grades(bad)


@pytest.mark.parametrize(
    ("probabilities", "heat", "allowed", "before", "after"),
    [
        # Section 4.2: maps of 0 and 2 on the optic disc, little of 1 on lesions, 3 and 4 on them; the answer 4 stays
        ([0.1, 0.1, 0.2, 0.2, 0.4], [0.01, 0.03, 0.02, 0.3, 0.2], MORE, 4, 4),
        # had the answer been 2, whose map is on the disc, it would become the most probable of 3 and 4
        ([0.1, 0.1, 0.5, 0.2, 0.1], [0.01, 0.03, 0.02, 0.2, 0.3], MORE, 2, 3),
        # a map on lesions does not help a grade that the lesions exclude
        ([0.7, 0.1, 0.1, 0.05, 0.05], [0.9, 0.9, 0.2, 0.1, 0.1], MORE, 0, 2),
        # no map is better than a flat one: lesions alone decide
        ([0.5, 0.1, 0.1, 0.2, 0.1], [0.02, 0.02, 0.02, NAN, 0.05], MORE, 0, 3),
        # no lesions
        ([0.1, 0.2, 0.5, 0.1, 0.1], [0, 0, 0, 0, NAN], [True, False, False, False, False], 2, 0),
        # microaneurysms only
        ([0.4, 0.0, 0.6, 0.0, 0.0], [0.2, 0.2, 0.2, 0.2, 0.2], [False, True, False, False, False], 2, 1),
    ],
)
def test_correction(probabilities, heat, allowed, before, after):
    flat = torch.tensor([0.05]) if any(heat[:1]) else torch.zeros(1)
    found = correct_labels(
        torch.tensor([probabilities]), torch.tensor([heat]), flat, torch.tensor([allowed], dtype=torch.bool)
    )
    assert (found.before.tolist(), found.after.tolist()) == ([before], [after])
    assert found.plausible[0, after] and not (found.plausible[0] & ~torch.tensor(allowed)).any()


def test_what_cannot_be_corrected_is_refused():
    p, heat, flat = torch.full((2, 5), 0.2), torch.zeros(2, 5), torch.zeros(2)
    allowed = torch.ones(2, 5, dtype=torch.bool)
    for bad, message in (
        ((p, heat[:1], flat, allowed), "heat"),
        ((p, heat, flat[:1], allowed), "flat"),
        ((p, heat, flat, allowed & False), "without an allowed grade"),
    ):
        with pytest.raises(ArgumentError, match=message):
            correct_labels(*bad)


@pytest.mark.real_data
def test_on_idrid_the_rule_excludes_no_true_grade_and_decides_nothing_above_1(idrid_root):
    parts = {split: IDRiDSegmentation(idrid_root, split, cache=False) for split in ("train", "test")}
    graded = {split: IDRiDGrading(idrid_root, split, cache=False) for split in parts}
    true, lesions = [], []
    for line in overlap(idrid_root).itertuples():
        data, grades = parts[line.segmentation_split], graded[line.grading_split]
        lesions.append([bool(there) for there in data.annotated[data.names.index(line.segmentation)]])
        true.append(grades.items[grades.names.index(line.grading)].dr)
    allowed = allow_grades(torch.tensor(lesions))
    assert allowed.tolist() == [MORE] * 60, "each of the images has more than microaneurysms"
    assert torch.bincount(torch.tensor(true), minlength=5).tolist() == [0, 0, 37, 14, 9]


class Corners(nn.Module):
    """Grade k is the mean of channel k; grades 3 and 4 see nothing."""

    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(3, 3, 1, bias=False)
        nn.init.dirac_(self.body.weight)

    def forward(self, images):
        seen = self.body(images).mean((2, 3))
        return {"dr": torch.cat([seen, 0 * seen[:, :1], -seen[:, :1]], dim=1)}


def test_heat_on_lesions():
    image, mask, field = torch.zeros(3, 8, 8), torch.zeros(8, 8), torch.ones(8, 8)
    mask[:2, :2] = 1
    field[7] = 0
    image[0, :2, :2] = 1  # grade 0 looks at the lesion only
    image[1, :4, :2] = 2  # grade 1 at as much beside it
    image[2, 4:] = 3  # grade 2 elsewhere
    heat, flat = measure_heat(Corners(), image, mask, field)
    assert heat[:3].tolist() == [1, 0.5, 0]
    assert heat[3:].isnan().all()
    assert flat == pytest.approx(4 / 56)


def test_logits_are_refused():
    logits, allowed = torch.tensor([[-5.0, -6, -3, -4, -7]]), torch.tensor([[False, False, True, True, True]])
    with pytest.raises(ArgumentError, match=r"softmax"):
        correct_labels(logits, torch.full((1, 5), 0.5), torch.tensor([0.1]), allowed)
