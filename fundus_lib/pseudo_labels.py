"""Grades for images that have masks and no grade: two graders' answers, corrected by heat maps and by the lesions.

Source: `pldmlt`, Sections 3.1 and 4.2. It takes the answer of the more confident of two graders and corrects it by eye,
comparing the heat map of each grade with the masks. The rule here is ours: a grade is plausible if the lesions
allow it and if its Grad-CAM lies on them more than a flat map would. An implausible answer gives way to the most
probable plausible grade.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from fundus_lib.errors import ArgumentError
from fundus_lib.explain import compute_grad_cam, measure_inside, upsample
from fundus_lib.grades import GRADES

COUNT = GRADES["dr"]
"""Grades of retinopathy, from 0 to 4."""


@dataclass(frozen=True)
class PseudoLabels:
    """Grades of N images, before and after the correction.

    Attributes:
        before: The graders' answers, int64 (N,).
        after: The corrected grades, int64 (N,).
        plausible: Which grades heat maps and lesions allow together, bool (N, 5); of an image without such a grade,
            what the lesions allow.
    """

    before: Tensor
    after: Tensor
    plausible: Tensor


def choose_confident(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Of two graders take, image by image, the one whose largest probability is larger.

    Args:
        first: Probabilities, (N, 5).
        second: Those of the other, (N, 5).

    Returns:
        The probabilities of the chosen one, (N, 5), whose largest is the pseudo label; and whether it is the second,
        bool (N,). Of equally confident ones the first counts.

    Raises:
        ArgumentError: Shapes differ, or these are no probabilities.
    """
    for name, given in (("first", first), ("second", second)):
        _check("choose_confident", name, given, tuple(first.shape))
        _check_probabilities("choose_confident", name, given)
    other = second.max(1).values > first.max(1).values
    return torch.where(other[:, None], second, first), other


def allow_grades(lesions: Tensor) -> Tensor:
    """Which grades an image's lesions allow, by the rule of `pldmlt` (and of the ICDR scale, as far as they tell).

    No lesion: grade 0. Microaneurysms only: grade 1. Any other lesion: 2 or more.

    Args:
        lesions: Whether the image has any, bool (N, 4): MA, HE, EX, SE.

    Returns:
        bool (N, 5); the mask of :func:`fundus_lib.losses.mask_softmax`.

    Raises:
        ArgumentError: There are not four lesions, or it is not bool.
    """
    if lesions.ndim != 2 or lesions.shape[1] != 4 or lesions.dtype != torch.bool:
        found = f"{lesions.dtype} {tuple(lesions.shape)}"
        _refuse("allow_grades", found, "bool (N, 4): MA, HE, EX, SE", "masks.flatten(2).any(2), of all four lesions")
    more = lesions[:, 1:].any(1)
    few, none = lesions[:, 0] & ~more, ~lesions.any(1)
    return torch.stack([none, few, more, more, more], dim=1)


def measure_heat(model: nn.Module, image: Tensor, mask: Tensor, field: Tensor) -> tuple[Tensor, float]:
    """How much of each grade's Grad-CAM lies on the lesions of an image.

    Args:
        model: A grader, whose output has ``"dr"`` (B, 5).
        image: float (3, H, W), normalised, on the device of the model.
        mask: All lesions in one, bool or 0/1 (H, W).
        field: Field of view, bool or 0/1 (H, W).

    Returns:
        float64 (5,), see :func:`fundus_lib.explain.measure_inside`: NaN for a grade whose map is empty. And the same of
        a flat map: the lesions' share of the field of view.
    """
    size = (image.shape[-2], image.shape[-1])
    inside = []
    for grade in range(COUNT):
        cam = compute_grad_cam(model, image[None], partial(_score, grade=grade))
        inside.append(measure_inside(upsample(cam[0], size), mask, field))
    return torch.tensor(inside, dtype=torch.double), measure_inside(torch.ones(size), mask, field)


def _score(output: Mapping[str, Tensor], grade: int) -> Tensor:
    return output["dr"][:, grade]


def correct_labels(probabilities: Tensor, heat: Tensor, flat: Tensor, allowed: Tensor) -> PseudoLabels:
    """Correct pseudo labels by heat maps and lesions.

    A grade is plausible if it is allowed and more of its map lies on the lesions than of a flat one. A plausible answer
    stays; otherwise the most probable plausible grade takes its place. Where no map is better than a flat one, as
    in an image without lesions, what is allowed alone counts.

    Args:
        probabilities: The chosen grader's, (N, 5), see :func:`choose_confident`.
        heat: Part of each grade's map on the lesions, (N, 5), see :func:`measure_heat`; NaN where there is no map.
        flat: The same of a flat map, (N,).
        allowed: bool (N, 5), see :func:`allow_grades`.

    Returns:
        The grades before and after.

    Raises:
        ArgumentError: Shapes do not fit, these are no probabilities, or an image has no allowed grade.
    """
    shape = tuple(probabilities.shape)
    for name, given in (("probabilities", probabilities), ("heat", heat), ("allowed", allowed)):
        _check("correct_labels", name, given, shape)
    _check_probabilities("correct_labels", "probabilities", probabilities)
    if flat.shape != shape[:1]:
        _refuse("correct_labels", f"flat has the shape {tuple(flat.shape)}", str(shape[:1]), "one number per image")
    if allowed.dtype != torch.bool or not bool(allowed.any(1).all()):
        _refuse("correct_labels", "an image without an allowed grade", "bool, one or more in each row", "allow_grades")
    hot = allowed & (heat > flat[:, None])  # false for NaN
    plausible = torch.where(hot.any(1, keepdim=True), hot, allowed)
    after = probabilities.masked_fill(~plausible, -1).argmax(1)
    return PseudoLabels(probabilities.argmax(1), after, plausible)


def _check_probabilities(where: str, name: str, given: Tensor) -> None:
    if not bool(((given >= 0).all(1) & ((given.sum(1) - 1).abs() < 0.01)).all()):
        _refuse(where, f"{name} holds no probabilities", "a sum of 1 in each row", "logits.softmax(1)")


def _check(where: str, name: str, given: Tensor, shape: tuple[int, ...]) -> None:
    if given.ndim != 2 or given.shape[1] != COUNT or tuple(given.shape) != shape:
        _refuse(where, f"{name} has the shape {tuple(given.shape)}", f"(N, {COUNT}), the same for all", "look at both")


def _refuse(where: str, found: str, expected: str, remedy: str) -> None:
    raise ArgumentError(where, "this is no input for pseudo labels", found=found, expected=expected, remedy=remedy)
