"""The criterion of sunet: grades of two diseases and, on images with masks, the lesions (its Eqs. 3 to 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fundus_lib.checks import check_choice, check_logits, check_setting, check_target, explained
from fundus_lib.errors import ArgumentError
from fundus_lib.grades import GRADES
from fundus_lib.losses._precision import wide

FORMS = ("none", "weighted", "ordinal")


class GradeLoss(nn.Module):
    r"""The loss of grades, averaged over the images whose grade is known.

    - ``"none"``: cross-entropy, Eq. 3 of sunet.
    - ``"weighted"``: cross-entropy in which an image has the weight of its grade, divided by the sum of the weights.
    - ``"ordinal"``: an error of two grades costs more than an error of one: the squared earth mover's distance
      :math:`\sum_k (P_k - Y_k)^2` between the cumulative probabilities :math:`P_k = \sum_{i \le k} p_i` and those of
      the true grade (Hou, Yu and Samaras, "Squared Earth Mover's Distance-based Loss", arXiv 1611.05916, 2016).

    Args:
        form: One of these.
        weights: Of the grades, positive, (K,); for ``"weighted"`` only. See :func:`compute_class_weights`.

    Raises:
        ArgumentError: There is no such form, or weights are missing, not expected, or not positive.
    """

    weights: Tensor | None

    def __init__(self, form: str = "none", weights: Sequence[float] | Tensor | None = None):
        super().__init__()
        self.form = check_choice("GradeLoss", "form", form, FORMS)
        own = None if weights is None else torch.as_tensor(weights, dtype=torch.float32)
        if (own is not None) != (form == "weighted") or (own is not None and not (own > 0).all()):
            raise ArgumentError(
                "GradeLoss",
                "form and weights do not match",
                found=f"form={form!r}, weights={weights}",
                expected="positive weights for form='weighted', and none for the others",
                remedy="weights=compute_class_weights(grades, count)",
            )
        self.register_buffer("weights", own)

    def forward(self, logits: Tensor, grades: Tensor) -> Tensor:
        """The loss of a batch.

        Args:
            logits: float (B, K).
            grades: Integers of any type (B,), 0 to K − 1; −1 where the grade is not known.

        Returns:
            Scalar; 0, with gradients of 0, if no grade is known. NaN for wrong values on an accelerator.

        Raises:
            ArgumentError: Shapes do not fit, grades are not integers, or there are not K weights. On the CPU also if a
                grade is none of these, or a logit is not finite. On an accelerator the step would have to wait for
                that.
        """
        check_logits("GradeLoss", logits, "(B, K)", (2,))
        check_target("GradeLoss", grades, logits, logits.shape[:1])
        _check_integers("GradeLoss", grades)
        if self.weights is not None and len(self.weights) != logits.shape[1]:
            raise ArgumentError(
                "GradeLoss",
                "there are not as many weights as grades",
                found=f"{len(self.weights)} weights for {logits.shape[1]} grades",
                expected="one weight for each grade",
                remedy="weights=compute_class_weights(grades, count)",
            )
        scores, count = wide(logits), logits.shape[1]
        grades = grades.long()  # unsigned types have no −1 to compare with
        known, valid = grades >= 0, (grades >= -1) & (grades < count)
        true_grade = grades.clamp(0, count - 1)
        if self.form == "ordinal":
            true = F.one_hot(true_grade, count).to(scores)  # (B, K)
            cost = (scores.softmax(1).cumsum(1) - true.cumsum(1)).square().sum(1)
            weight = known.to(scores)
        else:
            cost = F.cross_entropy(scores, true_grade, reduction="none")  # (B,)
            own = torch.ones_like(cost) if self.weights is None else self.weights.to(scores)[true_grade]
            weight = own * known
        loss = (cost * weight).sum() / weight.sum().clamp(min=torch.finfo(scores.dtype).tiny)
        loss = torch.where(valid.all(), loss, torch.nan)
        return explained("GradeLoss", loss, logits, valid, f"grades from 0 to {count - 1}, or −1 for unknown")

    def extra_repr(self) -> str:
        """The settings, for ``print(loss)``."""
        return f"form={self.form!r}"


class SUNetCriterion(nn.Module):
    """Eq. 5 of sunet: the lesion loss plus α times that of retinopathy plus β times that of macular edema.

    Args:
        dr: α.
        dme: β.
        lesions: Weight of the lesion loss: 1 in the paper. At 0 it is computed and returned, but not minimised.
        form: Form of the grades' losses, see :class:`GradeLoss`.
        weights: From disease to the weights of its grades, for ``form="weighted"``.
    """

    def __init__(
        self,
        dr: float = 1.0,
        dme: float = 0.5,
        lesions: float = 1.0,
        form: str = "none",
        weights: Mapping[str, Sequence[float] | Tensor] | None = None,
    ):
        super().__init__()
        self.factors = {
            name: check_setting("SUNetCriterion", name, value, 0)
            for name, value in (("lesions", lesions), ("dr", dr), ("dme", dme))
        }
        self.grades = nn.ModuleDict({name: GradeLoss(form, (weights or {}).get(name)) for name in GRADES})

    def forward(
        self, output: Mapping[str, Tensor], batch: Mapping[str, Tensor], progress: float = 0.0
    ) -> dict[str, Tensor]:
        """The loss of a batch.

        Args:
            output: The model's output: ``"dr"`` (B, 5), ``"dme"`` (B, 3) or both, and ``"classes"``
                (B, 1 + L, H, W) if there is a regulariser.
            batch: The grades, integers (B,), under the same names; and, where images have masks, ``"mask"``
                (B, L, H, W), 0 and 1, with ``"masked"``, their indices in the batch, or bool (B,) (all, if it is
                missing). Without masks, or with none in ``"masked"``, there is no lesion loss: "L_R would be set to
                zero".
            progress: Not used; all criteria have the same arguments.

        Returns:
            ``"total"``, and of ``"lesions"``, ``"dr"`` and ``"dme"`` those that exist. NaN for wrong values on an
            accelerator.

        Raises:
            ArgumentError: The model outputs no grade, the batch lacks one, or shapes do not fit. On the CPU also if a
                mask or a grade has another value, or an output is not finite.
        """
        parts: dict[str, Tensor] = {}
        if "classes" in output and "mask" in batch:
            chosen = _choose(output["classes"], batch["mask"], batch.get("masked"))
            if len(chosen[0]):
                parts["lesions"] = _compute_lesion_loss(*chosen)
        graded = [name for name in self.grades if name in output]
        missing = [name for name in graded if name not in batch]
        if missing or not (graded or parts):
            raise ArgumentError(
                "SUNetCriterion",
                "the batch lacks the grades" if missing else "the model's output has no grade",
                found=", ".join(map(repr, batch if missing else output)) or "nothing",
                expected=" and ".join(map(repr, missing)) or "'dr', 'dme' or both",
                remedy="pass the whole batch" if missing else "pass the model's whole output",
            )
        parts |= {name: self.grades[name](output[name], batch[name]) for name in graded}
        terms = [self.factors[name] * part for name, part in parts.items()]
        if "classes" in output and "lesions" not in parts:
            nothing = 0 * wide(output["classes"]).sum()  # so that every parameter has a gradient in every step
            terms.append(explained("SUNetCriterion", nothing, output["classes"]))
        return {"total": torch.stack(terms).sum()} | parts

    def extra_repr(self) -> str:
        """The settings, for ``print(criterion)``."""
        return ", ".join(f"{name}={factor}" for name, factor in self.factors.items())


def _choose(classes: Tensor, mask: Tensor, masked: Tensor | None) -> tuple[Tensor, Tensor]:
    """Outputs and masks of the images that have masks, (N, 1 + L, H, W) and (N, L, H, W); both checked."""
    where = "SUNetCriterion"
    check_logits(where, classes, "(B, 1 + L, H, W)", (4,))
    check_target(where, mask, classes, (len(classes), classes.shape[1] - 1, *classes.shape[2:]))
    if masked is None:
        return classes, mask
    _check_integers(where, masked)
    if masked.dtype == torch.bool:
        check_target(where, masked, classes, mask.shape[:1])
        masked = masked.nonzero()[:, 0]
    masked = masked.long()
    if masked.ndim != 1 or (masked.is_cpu and bool(((masked < 0) | (masked >= len(mask))).any())):
        raise ArgumentError(
            where,
            "'masked' does not name images of the batch",
            found=masked.tolist() if masked.numel() < 20 else tuple(masked.shape),
            expected=f"(N,) indices from 0 to {len(mask) - 1}",
            remedy="leave it out if every image has a mask",
        )
    return classes[masked], mask[masked]


def _compute_lesion_loss(classes: Tensor, mask: Tensor) -> Tensor:
    """Eq. 4: cross-entropy of background and lesions, over all pixels."""
    binary = (mask == 0) | (mask == 1)
    loss = F.cross_entropy(wide(classes), to_class_indices(mask))
    return explained("SUNetCriterion", torch.where(binary.all(), loss, torch.nan), classes, binary, "0 and 1, or bool")


def _check_integers(where: str, values: Tensor) -> None:
    if values.is_floating_point() or values.is_complex():
        raise ArgumentError(
            where,
            "grades or indices are not integers",
            found=values.dtype,
            expected="integers, or bool",
            remedy="values.long(), if they are whole numbers",
        )


def to_class_indices(mask: Tensor) -> Tensor:
    """The class index of each pixel: 0 for background, 1 + l for lesion l; the first, where lesions overlap.

    Args:
        mask: 0 and 1, (B, L, H, W).

    Returns:
        int64 (B, H, W).
    """
    found = mask > 0
    return torch.where(found.any(1), 1 + found.to(torch.uint8).argmax(1), 0)


def compute_class_weights(grades: Sequence[int] | Tensor, count: int) -> list[float]:
    """Inverse-frequency weights of the grades: equal total weight for each grade that an image has.

    Args:
        grades: Of the training images; −1 where unknown.
        count: Number K of grades.

    Returns:
        K weights N / (K·n) for n of N images; for a grade that no image has, 1.

    Raises:
        ArgumentError: A grade is no integer, or none of these.
    """
    given = torch.as_tensor(grades)
    if given.numel():
        _check_integers("compute_class_weights", given)
    given = given.long()
    off = given[(given < -1) | (given >= count)]
    if off.numel():
        raise ArgumentError(
            "compute_class_weights",
            "a grade lies outside its scale",
            found=f"{off[0].item()}, in {off.numel()} of {given.numel()} images",
            expected=f"grades from 0 to {count - 1}, or −1 for unknown",
            remedy="leave out images of other grades, or mark them with −1",
        )
    found = torch.bincount(given[given >= 0], minlength=count)
    return [float(found.sum() / (count * n)) if n else 1.0 for n in found]
