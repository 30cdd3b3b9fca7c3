"""Scores of grades: accuracy, joint accuracy, quadratic-weighted kappa, with intervals, and confusion matrix."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from fundus_lib.checks import check_shapes
from fundus_lib.errors import ArgumentError, GradeRangeError
from fundus_lib.grades import GRADES
from fundus_lib.metrics.bootstrap import Estimate, bootstrap

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, eq=False)
class GradeScores:
    """Scores of one disease, with bootstrap intervals over images.

    Attributes:
        accuracy: Fraction of the images whose grade is correct.
        kappa: Quadratic-weighted kappa (see `quadratic_weighted_kappa`).
        confusion: Images by true grade (row) and predicted grade (column), (K, K).
    """

    accuracy: Estimate
    kappa: Estimate
    confusion: NDArray[np.int64]

    def metrics(self, disease: str) -> dict[str, float]:
        """Flat dictionary for a record, for "dr": ``dr_accuracy``, ``dr_accuracy_low``, ``dr_accuracy_high``, ..."""
        return _flatten({f"{disease}_accuracy": self.accuracy, f"{disease}_kappa": self.kappa})


@dataclass(frozen=True, eq=False)
class GradingReport:
    """The result of `grading_report`.

    Attributes:
        images: Number of images.
        dr: Scores of the five grades of diabetic retinopathy.
        dme: Scores of the three grades of macular edema; None if only retinopathy was graded.
        joint_accuracy: Fraction of the images of which both grades are correct; None likewise.
    """

    images: int
    dr: GradeScores
    dme: GradeScores | None = None
    joint_accuracy: Estimate | None = None

    def metrics(self) -> dict[str, float]:
        """Flat dictionary for a record: ``dr_accuracy``, ``dr_accuracy_low``, ``dr_accuracy_high``, ..."""
        scores = self.dr.metrics("dr")
        if self.dme and self.joint_accuracy:
            scores |= self.dme.metrics("dme") | _flatten({"joint_accuracy": self.joint_accuracy})
        return scores


def grading_report(
    dr_pred: ArrayLike | Tensor,
    dr_target: ArrayLike | Tensor,
    dme_pred: ArrayLike | Tensor | None = None,
    dme_target: ArrayLike | Tensor | None = None,
    *,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> GradingReport:
    """Score the grades of a set of images, with equal weight for each image.

    Args:
        dr_pred: Predicted grades of retinopathy, whole numbers 0 to 4; (N,).
        dr_target: The true ones; (N,).
        dme_pred: Predicted grades of macular edema, 0 to 2; (N,), the images in the same order.
        dme_target: The true ones; (N,).
        resamples: As in `bootstrap`, which computes the intervals; all scores use the same resamples of images.
        confidence: As in `bootstrap`.
        seed: As in `bootstrap`.

    Raises:
        ArgumentError: Lengths differ, there is no image, grades are scores instead of whole numbers, or only one of
            `dme_pred` and `dme_target` is given.
        GradeRangeError: A grade lies outside its scale; −1, for one, which marks images without a grade.
    """
    interval = partial(bootstrap, resamples=resamples, confidence=confidence, seed=seed)
    columns = grade_columns(dr_pred, dr_target, dme_pred, dme_target)
    given, true = columns[:2]
    dr_scores = _score(given, true, GRADES["dr"], interval)
    if len(columns) == 2:
        return GradingReport(len(given), dr_scores)
    dme_given, dme_true = columns[2:]
    dme_scores = _score(dme_given, dme_true, GRADES["dme"], interval)
    both = (given == true) & (dme_given == dme_true)
    return GradingReport(len(given), dr_scores, dme_scores, interval(both, np.mean))


def grade_scores(
    given: ArrayLike | Tensor,
    true: ArrayLike | Tensor,
    grades: int,
    *,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> GradeScores:
    """Score the grades of one disease.

    Args:
        given: Predicted grades, whole numbers from 0 to below `grades`; (N,).
        true: The true ones; (N,).
        grades: Number of grades.
        resamples: As in `bootstrap`.
        confidence: As in `bootstrap`.
        seed: As in `bootstrap`.

    Raises:
        ArgumentError: Lengths differ, there is no image, or grades are scores instead of whole numbers.
        GradeRangeError: A grade lies outside its scale.
    """
    columns = [_check_grades(given, grades, "given"), _check_grades(true, grades, "true")]
    _check_lengths(columns)
    interval = partial(bootstrap, resamples=resamples, confidence=confidence, seed=seed)
    return _score(columns[0], columns[1], grades, interval)


def quadratic_weighted_kappa(confusion: ArrayLike) -> float:
    r"""Agreement beyond chance, with weights quadratic in the error of the grade.

    .. math:: \kappa = 1 - \frac{\sum_{ij} (i - j)^2 O_{ij}}{\sum_{ij} (i - j)^2 E_{ij}},
        \qquad E_{ij} = \frac{\sum_k O_{ik} \sum_k O_{kj}}{\sum_{kl} O_{kl}}

    Args:
        confusion: Images by true and predicted grade, :math:`O`; (K, K), from `confusion_matrix`. Its transpose gives
            the same. It covers the whole scale: 0 for 4 has weight 16 even if no image has a grade between.

    Returns:
        1 if all grades are correct, 0 as expected by chance, at least −1. NaN if there is no image, or if one
        grade is both true and predicted for all images, since no disagreement is expected by chance then.

    Raises:
        ArgumentError: The matrix is not square, or has values that are not counts.
    """
    observed = np.asarray(confusion, np.float64)
    if observed.ndim != 2 or len(set(observed.shape)) > 1 or not (observed >= 0).all():
        raise ArgumentError(
            "quadratic_weighted_kappa",
            "this is not a confusion matrix",
            found=f"shape {observed.shape}" + ("" if (observed >= 0).all() else ", NaN or negative numbers"),
            expected="counts of images (K, K)",
            remedy="compute it with confusion_matrix(given, true, grades)",
        )
    expected = np.outer(observed.sum(1), observed.sum(0)) / (observed.sum() or 1)
    grade = np.arange(len(observed))
    weights = (grade[:, None] - grade) ** 2
    chance = float((weights * expected).sum())
    return 1 - float((weights * observed).sum()) / chance if chance else float("nan")


def _score(
    given: NDArray[np.int64], true: NDArray[np.int64], grades: int, interval: Callable[..., Estimate]
) -> GradeScores:
    cells = true * grades + given  # of the confusion matrix, row after row; (N,)

    def confusion(some: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.bincount(some, minlength=grades**2).reshape(grades, grades)

    return GradeScores(
        accuracy=interval(given == true, np.mean),
        kappa=interval(cells, lambda some: quadratic_weighted_kappa(confusion(some))),
        confusion=confusion(cells),
    )


def grade_columns(
    dr_pred: ArrayLike | Tensor,
    dr_target: ArrayLike | Tensor,
    dme_pred: ArrayLike | Tensor | None = None,
    dme_target: ArrayLike | Tensor | None = None,
) -> list[NDArray[np.int64]]:
    """The arguments of `grading_report`, checked: two columns (N,), or four with macular edema."""
    if (dme_pred is None) != (dme_target is None):
        raise ArgumentError(
            "grades of macular edema",
            "have no counterpart",
            found="dme_target is missing" if dme_target is None else "dme_pred is missing",
            expected="both, or neither",
            remedy="pass dme_pred and dme_target together",
        )
    columns = [_check_grades(dr_pred, GRADES["dr"], "dr_pred"), _check_grades(dr_target, GRADES["dr"], "dr_target")]
    if dme_pred is not None and dme_target is not None:
        columns += [
            _check_grades(dme_pred, GRADES["dme"], "dme_pred"),
            _check_grades(dme_target, GRADES["dme"], "dme_target"),
        ]
    _check_lengths(columns)
    return columns


def _check_lengths(columns: list[NDArray[np.int64]]) -> None:
    if len({len(column) for column in columns}) > 1:
        raise ArgumentError(
            "grades",
            "are not of the same images",
            found=f"{', '.join(str(len(column)) for column in columns)} grades",
            expected="every grade for every image, in the same order",
            remedy="report retinopathy alone, or leave out images that lack one of the grades",
        )


def _flatten(named: dict[str, Estimate]) -> dict[str, float]:
    """Each estimate with the ends of its interval."""
    return {
        f"{name}{end}": number
        for name, score in named.items()
        for end, number in (("", score.value), ("_low", score.low), ("_high", score.high))
    }


def _check_grades(values: ArrayLike | Tensor, grades: int, name: str) -> NDArray[np.int64]:
    found = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values)
    if found.ndim != 1 or found.dtype.kind not in "iu":
        raise ArgumentError(
            name,
            "grades are one whole number per image",
            found=f"{found.dtype} of shape {found.shape}",
            expected="integers (N,)",
            remedy="take the argmax of scores over the grades first",
        )
    off = found[(found < 0) | (found >= grades)]
    if off.size:
        raise GradeRangeError(
            name,
            "a grade lies outside its scale",
            found=f"{off[0]}, in {off.size} of {found.size} images",
            expected=f"0 to {grades - 1}",
            remedy="leave out images without a grade, which the data sets mark with -1",
        )
    return found.astype(np.int64)


def majority_accuracy(train: ArrayLike, test: ArrayLike) -> dict[str, float]:
    """The majority-class baseline: the accuracies of giving every image the most frequent grade of the training set.

    Args:
        train: Counts of the training images, row grade of retinopathy, column grade of macular edema.
        test: Counts of the test images, alike.

    Returns:
        ``"joint"`` (for the most frequent pair of grades), ``"dr"`` and ``"dme"``.

    Raises:
        ArgumentError: The two are not tables of the same grades, or one counts no image.
    """
    check_shapes("majority_accuracy", train, test)
    learnt, tested = np.asarray(train), np.asarray(test)
    if learnt.ndim != 2 or not (learnt.sum() and tested.sum()):
        raise ArgumentError(
            "majority_accuracy",
            "these are no counts of two grades",
            found=f"shape {learnt.shape}, {learnt.sum()} training and {tested.sum()} test images",
            expected="a row for each grade of retinopathy, a column for each of macular edema, one image or more",
            remedy="count the images of each pair of grades",
        )
    pair = np.unravel_index(learnt.argmax(), learnt.shape)
    hits = {
        "joint": tested[pair],
        "dr": tested.sum(1)[learnt.sum(1).argmax()],
        "dme": tested.sum(0)[learnt.sum(0).argmax()],
    }
    return {name: float(hit / tested.sum()) for name, hit in hits.items()}
