"""The criteria of `dual_branch`: one network's loss with its auxiliary terms, and the modulated loss of two branches.

A criterion takes a model's whole output, ``(output, batch, progress) -> dict``; it returns ``"total"``, which is
minimised, and its terms before they are weighted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fundus_lib.checks import check_choice, check_setting
from fundus_lib.errors import ArgumentError
from fundus_lib.losses.registry import create_loss

SCHEDULES = ("text", "equation")
"""Which branch has the larger weight first: the large one (the paper's text and code) or the small one (Eq. 5)."""


def branch_weights(progress: float, schedule: str = "text") -> tuple[float, float]:
    r"""Weights of the two branches' losses, which sum to 1.

    With :math:`\alpha = 1 - (e/E)^2` (Eq. 6 of `dual_branch`) in epoch :math:`e` of :math:`E`, counted from 0, the text
    ("we multiply the loss of large hard exudate biased segmentation branch by a large weight α") and the authors' code
    give the large branch :math:`\alpha` and the small one :math:`1 - \alpha`. Eq. 5 has the two exchanged.
    Over a whole run the branch that has the larger weight first receives a little more than two thirds of all weight:
    :math:`2/3 + 1/(2E) - 1/(6E^2)`.

    Args:
        progress: :math:`e/E`, from 0 to 1.
        schedule: ``"text"`` or ``"equation"``.

    Returns:
        Weight of the large branch, weight of the small one.

    Raises:
        ArgumentError: ``progress`` is out of range, or there is no such schedule.
    """
    check_setting("branch_weights", "progress", progress, 0, 1)
    check_choice("branch_weights", "schedule", schedule, SCHEDULES)
    alpha = 1 - progress**2
    return (alpha, 1 - alpha) if schedule == "text" else (1 - alpha, alpha)


class SingleBranchCriterion(nn.Module):
    """The loss of one network with its auxiliary predictions: the rows "CBCE" and "Dice" of `dual_branch`.

    For a network with an auxiliary head, ``loss(logits) + 0.4 · loss(aux)``. For HED, the sum over the five side
    outputs and their fusion with equal weights. Both as in the authors' code. Its CBCE is ``loss="classbalanced",
    loss_args={"reduction": "sum"}``.

    Args:
        loss: Name of a loss on masks, see :func:`~fundus_lib.losses.create_loss`.
        loss_args: Its settings.
        auxiliary: Weight of the auxiliary head's loss.

    Raises:
        UnknownNameError: There is no such loss.
        ArgumentError: A setting is not possible.
    """

    def __init__(self, loss: str = "dice", loss_args: Mapping[str, Any] | None = None, auxiliary: float = 0.4):
        super().__init__()
        self.loss = create_loss(loss, **loss_args or {})
        self.auxiliary = check_setting(type(self).__name__, "auxiliary", auxiliary, 0)

    def forward(
        self, output: Mapping[str, Tensor], batch: Mapping[str, Tensor], progress: float = 0.0
    ) -> dict[str, Tensor]:
        """The loss of a batch.

        Args:
            output: ``"logits"`` (B, L, H, W), and where the network has them ``"aux"`` (B, L, H, W) and ``"sides"``
                (B, L, K, H, W).
            batch: ``"mask"`` (B, L, H, W), 0 and 1.
            progress: Not used; all criteria have the same arguments.

        Returns:
            ``"total"``, ``"logits"``, and ``"aux"`` or ``"sides"`` (the sum over side outputs): scalars.

        Raises:
            ArgumentError: Something is missing, or the loss raises it.
        """
        mask = _find(self, batch, "mask")
        parts = {"logits": self.loss(_find(self, output, "logits"), mask)}
        total = parts["logits"]
        if "aux" in output:
            parts["aux"] = self.loss(output["aux"], mask)
            total = total + self.auxiliary * parts["aux"]
        if "sides" in output:
            parts["sides"] = torch.stack([self.loss(side, mask) for side in output["sides"].unbind(2)]).sum()
            total = total + parts["sides"]
        return {"total": total} | parts

    def extra_repr(self) -> str:
        """The settings, for ``print(criterion)``."""
        return f"auxiliary={self.auxiliary}"


class DualBranchCriterion(nn.Module):
    r"""The dual-sampling modulated (DSM) loss of two branches, each trained on images of its own.

    With :math:`L_L` the large branch's loss and :math:`L_S` the small one's, weighted by :func:`branch_weights`,
    a network with auxiliary heads has

    .. math:: \alpha L_L + (1 - \alpha) L_S + 0.2 (A_L + A_S)

    where :math:`A` is the large branch's kind of loss, for both branches' auxiliary predictions. Where the auxiliary
    head is shared and both are given the same images, that is the 0.4 of a single network. For HED, with :math:`D` that
    same kind of loss,

    .. math:: \frac12 \Big[ \frac12 \sum_{\text{side 5, fuse}} \big(\alpha L_L + (1 - \alpha) L_S\big)
              + \frac18 \sum_{\text{side 4, side 5, fuse}} (D_L + D_S) \Big]

    Sides 1 to 3 have no loss of their own there. (The authors' code divides by eight as for four outputs of each
    branch; a branch has three.) Of a network with another number of sides, the last two count. Source: Eqs. 1
    to 6 of `dual_branch` and, for the auxiliary terms and HED's combination, its code; the text states of both only
    that their "loss items" are replaced by the modulated loss.

    Two networks side by side can take any losses: ``large="classbalanced", small="classbalanced"``.

    Args:
        large: Name of the large branch's loss, see :func:`~fundus_lib.losses.create_loss`.
        small: Name of the small branch's: ``"rebalanceddice"``, or ``"sampleddice"`` to sample pixels as the paper
            does.
        large_args: Settings of the large branch's loss.
        small_args: Settings of the small branch's, such as ``p``, the paper's sample rate.
        schedule: ``"text"`` or ``"equation"``.
        auxiliary: Weight of each branch's auxiliary loss.

    Raises:
        UnknownNameError: There is no such loss.
        ArgumentError: A setting is not possible.
    """

    def __init__(
        self,
        large: str = "dice",
        small: str = "rebalanceddice",
        large_args: Mapping[str, Any] | None = None,
        small_args: Mapping[str, Any] | None = None,
        schedule: str = "text",
        auxiliary: float = 0.2,
    ):
        super().__init__()
        self.large = create_loss(large, **large_args or {})
        self.small = create_loss(small, **small_args or {})
        self.schedule = check_choice(type(self).__name__, "schedule", schedule, SCHEDULES)
        self.auxiliary = check_setting(type(self).__name__, "auxiliary", auxiliary, 0)

    def forward(self, output: Mapping[str, Tensor], batch: Mapping[str, Tensor], progress: float) -> dict[str, Tensor]:
        """The loss of a batch.

        Args:
            output: The output of :class:`~fundus_lib.models.dualbranch.DualBranch` for both branches; or those of its
                two branches for images of their own, each key with ``"large_"`` or ``"small_"`` before it.
            batch: ``"large_mask"`` and ``"small_mask"`` (B, L, H, W), 0 and 1, which may differ in B; or one ``"mask"``
                for both.
            progress: Epoch, counted from 0, divided by the number of epochs.

        Returns:
            ``"total"``; ``"large"`` and ``"small"``; and where the networks have them ``"large_aux"``, ``"small_aux"``.
            For HED ``"large"`` and ``"small"`` are means over side 5 and fuse, and the means of D over side 4, side 5
            and fuse are ``"large_sides"`` and ``"small_sides"``.

        Raises:
            ArgumentError: Something is missing, ``progress`` is out of range, or a loss raises it.
        """
        parts: dict[str, Tensor] = {}
        terms: list[Tensor] = []
        for name, weight in zip(("large", "small"), branch_weights(progress, self.schedule), strict=True):
            own: nn.Module = getattr(self, name)
            mask = _find(self, batch, f"{name}_mask", "mask")
            logits, sides, aux = _find(self, output, f"{name}_logits"), f"{name}_sides", f"{name}_aux"
            if sides in output:
                deep = [*output[sides][:, :, -2:].unbind(2), logits]  # side 4, side 5, fuse
                parts[name] = torch.stack([own(x, mask) for x in deep[1:]]).mean()
                parts[sides] = torch.stack([self.large(x, mask) for x in deep]).mean()
                terms += [weight / 2 * parts[name], 3 / 16 * parts[sides]]
            else:
                parts[name] = own(logits, mask)
                terms.append(weight * parts[name])
            if aux in output:
                parts[aux] = self.large(output[aux], mask)
                terms.append(self.auxiliary * parts[aux])
        return {"total": torch.stack(terms).sum()} | parts

    def extra_repr(self) -> str:
        """The settings, for ``print(criterion)``."""
        return f"schedule={self.schedule!r}, auxiliary={self.auxiliary}"


def _find(criterion: nn.Module, among: Mapping[str, Tensor], *keys: str) -> Tensor:
    """The value of the first of the keys that exists."""
    for key in keys:
        if key in among:
            return among[key]
    raise ArgumentError(
        type(criterion).__name__,
        "an output or a target is missing",
        found=", ".join(map(repr, among)) or "nothing",
        expected=" or ".join(map(repr, keys)),
        remedy="pass the model's whole output; the output of one branch needs 'large_' or 'small_' before each key",
    )
