"""The criterion of `pldmlt`, how its labels are made of a network's output, and what keeps them from collapsing."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fundus_lib.checks import check_choice, check_logits, check_setting, check_target
from fundus_lib.errors import ArgumentError
from fundus_lib.losses._precision import wide
from fundus_lib.losses.categorical_focal import CategoricalFocalLoss
from fundus_lib.losses.focal import FocalLoss

BALANCES = ("equal", "lin")
FORMS = ("equation", "maxl")
ELSEWHERE = 1e-8
"""What MAXL multiplies the exponentials of masked classes by."""


class PLDMLTCriterion(nn.Module):
    r"""Eq. 3 of `pldmlt`: the focal loss of the masks plus :math:`\beta` times the focal loss of the grades.

    Both are Eq. 2, with one factor :math:`\alpha` for all classes, :math:`-\alpha (1 - p)^\gamma \log p` of the true
    class: means over pixels and over images. The package that the paper most likely uses
    (segmentation_models for Keras) also divides by the number of classes, which makes :math:`\beta` worth 2/5 of ours.

    Args:
        beta: :math:`\beta`: 0.8 in Table 1, 0.95 in Table 2, 1 for MTUnet. At 0 the loss of grades is computed and
            returned, but not minimised.
        alpha: :math:`\alpha`.
        gamma: :math:`\gamma`.
        balance: ``"equal"``: as above. ``"lin"``: lesion pixels have the weight :math:`\alpha`, background
            :math:`1 - \alpha`, as in :class:`~fundus_lib.losses.FocalLoss`; grades are not concerned.

    Raises:
        ArgumentError: A setting is not possible.
    """

    def __init__(self, beta: float = 0.8, alpha: float = 0.25, gamma: float = 2.0, balance: str = "equal"):
        super().__init__()
        where = type(self).__name__
        self.beta = check_setting(where, "beta", beta, 0)
        self.balance = check_choice(where, "balance", balance, BALANCES)
        self.grades = CategoricalFocalLoss(alpha, gamma)
        self.masks = FocalLoss(0.5 if balance == "equal" else alpha, gamma)
        self.factor = 2 * self.grades.alpha if balance == "equal" else 1.0

    def forward(
        self, output: Mapping[str, Tensor], batch: Mapping[str, Tensor], progress: float = 0.0
    ) -> dict[str, Tensor]:
        """The loss of a batch.

        Args:
            output: ``"logits"`` (B, L, H, W), and ``"dr"`` (B, 5) unless the network does not grade.
            batch: ``"mask"`` (B, L, H, W), 0 and 1; ``"dr"``, grades as integers (B,), −1 where unknown, or as
                generated labels (B, 5), for each grade a probability. Not looked at if the network does not grade.
            progress: Not used; all criteria have the same arguments.

        Returns:
            ``"total"``, ``"segmentation"`` and, if the network grades, ``"grading"``: scalars.

        Raises:
            ArgumentError: Something is missing, or a loss raises it.
        """
        segmentation = self.factor * self.masks(self._find(output, "logits"), self._find(batch, "mask"))
        if "dr" not in output:
            return {"total": segmentation, "segmentation": segmentation}
        grading = self.grades(output["dr"], self._find(batch, "dr"))
        return {"total": segmentation + self.beta * grading, "segmentation": segmentation, "grading": grading}

    def _find(self, among: Mapping[str, Tensor], key: str) -> Tensor:
        if key in among:
            return among[key]
        raise ArgumentError(
            type(self).__name__,
            "an output or a target is missing",
            found=", ".join(map(repr, among)) or "nothing",
            expected=repr(key),
            remedy="pass the model's whole output, and masks with grades; model_args={'grades': False} needs no grades",
        )

    def extra_repr(self) -> str:
        """The settings, for ``print(criterion)``."""
        return f"beta={self.beta}, balance={self.balance!r}"


def mask_softmax(logits: Tensor, allowed: Tensor | None = None, form: str = "equation") -> Tensor:
    r"""Labels from the label network's output: a softmax in which some classes are masked.

    - ``"equation"``: Eq. 4 of `pldmlt` as printed, :math:`e^{M_i x_i} / \sum_j e^{M_j x_j}`. A masked class keeps the
      weight :math:`e^0 = 1`: with one allowed class of logit 0 among five, each has a fifth.
    - ``"maxl"``: MAXL's code, :math:`m_i e^{x_i} / \sum_j m_j e^{x_j}` with :math:`m = 10^{-8}` for masked classes.
      (The code subtracts no maximum and overflows in float32 from a logit of 89 on; here the logarithm of m is added.)

    Where all classes are allowed, as with the paper's single group of five grades, both are the plain softmax.

    Args:
        logits: float (B, C).
        allowed: bool (B, C), the binary mask M; None for all.
        form: ``"equation"`` or ``"maxl"``.

    Returns:
        (B, C) in float32, or in float64 if the logits are; at least 0, with a sum of 1. NaN if no class is allowed.

    Raises:
        ArgumentError: Shapes do not fit, the mask is not bool, or there is no such form.
    """
    check_choice("mask_softmax", "form", form, FORMS)
    check_logits("mask_softmax", logits, "(B, C)", (2,))
    scores = wide(logits)
    if allowed is None:
        return scores.softmax(1)
    check_target("mask_softmax", allowed, logits, logits.shape)
    if allowed.dtype != torch.bool:
        raise ArgumentError(
            "mask_softmax",
            "the mask is not bool",
            found=allowed.dtype,
            expected="true where a class is allowed",
            remedy="allowed > 0, if it is 0 and 1",
        )
    masked = torch.zeros_like(scores) if form == "equation" else scores + math.log(ELSEWHERE)
    labels = torch.where(allowed, scores, masked).softmax(1)
    return torch.where(allowed.any(1, keepdim=True), labels, torch.nan)


def sum_entropy(labels: Tensor) -> Tensor:
    r"""MAXL's term against collapse, without its weight of 0.2: :math:`\sum_c \bar p_c \log \bar p_c`.

    :math:`\bar p` is the mean of a batch's labels. The term is the negative entropy of that mean: 0 if all images have
    one class, :math:`-\log C` if the classes are equally frequent. `pldmlt` does not mention it.

    Args:
        labels: (B, C), for each class a probability.

    Returns:
        Scalar, from −log C to 0.
    """
    mean = wide(labels).mean(0)
    return (mean * (mean + 1e-20).log()).sum()  # MAXL's offset: a class that never occurs adds 0, with a finite slope
