"""Scores of label maps, in which each pixel has one class out of several: mean Dice, mean IoU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from fundus_lib.checks import check_choice, check_shapes
from fundus_lib.errors import ArgumentError
from fundus_lib.metrics._inputs import as_tensor, chunks
from fundus_lib.metrics.pixel_counts import PixelCounts, mean, values

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def confusion_matrix(pred: ArrayLike | Tensor, target: ArrayLike | Tensor, classes: int) -> NDArray[np.int64]:
    """Count how often each class was predicted as each class.

    Args:
        pred: Integers from 0 to ``classes`` - 1, any shape.
        target: The same, the same shape.
        classes: Number of classes, background included.

    Returns:
        Row target, column prediction; (classes, classes) int64.

    Raises:
        ArgumentError: Shapes differ, or a value is not a class.
    """
    check_shapes("confusion_matrix", pred, target)
    predicted, actual = (_as_labels(given, classes) for given in (pred, target))
    matrix = torch.zeros(classes**2, dtype=torch.long)
    for row, column in zip(chunks(actual.to(predicted.device)), chunks(predicted), strict=True):
        matrix += torch.bincount(row.long() * classes + column.long(), minlength=classes**2).cpu()
    return matrix.reshape(classes, classes).numpy()


def class_counts(pred: ArrayLike | Tensor, target: ArrayLike | Tensor, classes: int) -> list[PixelCounts]:
    """The four counts of each class against all others, all pixels pooled.

    Args:
        pred: Integers from 0 (background) to ``classes`` - 1, any shape.
        target: The same, the same shape.
        classes: Number of classes, background included.

    Returns:
        One count per class, background first. To pool images, add them class by class.

    Raises:
        ArgumentError: Shapes differ, or a value is not a class.
    """
    matrix = confusion_matrix(pred, target, classes)
    total, hits, predicted, actual = matrix.sum(), matrix.diagonal(), matrix.sum(0), matrix.sum(1)
    return [
        PixelCounts(int(tp), int(p - tp), int(a - tp), int(total - p - a + tp))
        for tp, p, a in zip(hits, predicted, actual, strict=True)
    ]


def mean_score(
    counts: Sequence[PixelCounts], score: str, *, background: bool, average: str, empty: float | str
) -> float:
    """Mean over classes: mDice with ``"f1"``, mIoU with ``"iou"``. No choice has a default: each changes the result.

    A prediction of background alone has a macro mDice of one half on two classes, and with ``average="micro"`` and the
    background included its mDice is its accuracy: some 98 % on images in which 2 % of the pixels are lesion.

    Args:
        counts: One per class, background first, from `class_counts`.
        score: ``"f1"``, ``"iou"``, ``"sensitivity"``, ``"ppv"``, ``"specificity"`` or ``"accuracy"``.
        background: Whether to include the first class.
        average: ``"macro"``: the mean of the classes' scores. ``"micro"``: the score of their summed counts.
        empty: Value for a class whose score is not defined, being absent from prediction and target: a number, or
            ``"skip"`` to leave it out.

    Returns:
        0 to 1; NaN if no class is left.

    Raises:
        ArgumentError: The score, ``average`` or ``empty`` is none of these.
    """
    check_choice("mean_score", "average", average, ("macro", "micro"))
    chosen = counts if background else counts[1:]
    if average == "micro":
        chosen = [sum(chosen, PixelCounts())]
    return mean(values(chosen, score), empty)


def _as_labels(given: ArrayLike | Tensor, classes: int) -> Tensor:
    labels = as_tensor(given)
    if labels.dtype in (torch.bool, torch.uint64):
        labels = labels.long()  # what of uint64 is too large becomes negative, and is no class either
    if labels.is_floating_point() or labels.is_complex():
        raise ArgumentError(
            "label map",
            "values are not integers",
            found=str(labels.dtype).removeprefix("torch."),
            expected=f"integers from 0 to {classes - 1}",
            remedy="take the class with the highest score first: logits.argmax(1)",
        )
    if labels.numel() and (labels.min() < 0 or labels.max() >= classes):
        raise ArgumentError(
            "label map",
            "a value is not a class",
            found=f"values from {labels.min().item()} to {labels.max().item()}",
            expected=f"integers from 0 to {classes - 1}",
            remedy="map other values, such as 255 for 'ignore', to a class first or leave those pixels out",
        )
    return labels


def entropy(counts: ArrayLike | Tensor) -> float:
    """Least cross-entropy of one prediction for all samples, the frequencies of the classes: in nats.

    Args:
        counts: How many samples each class has, any shape.

    Raises:
        ArgumentError: A count is negative, or all are zero.
    """
    number = np.asarray(counts, dtype=np.float64)
    if (number < 0).any() or not number.sum() > 0:
        raise ArgumentError(
            "entropy", "these are no counts", found=number.tolist(), expected="numbers ≥ 0", remedy="count the classes"
        )
    frequency = number[number > 0] / number.sum()
    return float(-(frequency * np.log(frequency)).sum())
