"""The criterion of `local_global`: the losses of the shrunk image and of the patches, weighted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fundus_lib.checks import check_setting
from fundus_lib.errors import ArgumentError
from fundus_lib.losses.registry import create_loss

TERMS = {
    "global": ("global_logits", "whole_mask"),
    "local": ("local_logits", "mask"),
    "fused": ("logits", "mask"),
}
"""Each term, the output that it is computed from, and the mask of the batch."""


class LocalGlobalCriterion(nn.Module):
    r"""A weighted sum of the losses of the global, the local and the fused prediction (Eq. 1 of `local_global`).

    .. math:: L = \lambda_1 L_{global} + \lambda_2 L_{local} + \lambda_3 \phi(\theta)

    In the fused network the patch has one prediction, the fused one, so that the paper's :math:`L_{local}` is the loss
    of that, and the local network's own logits have none: ``fused_weight`` is :math:`\lambda_2`, and ``local_weight``
    adds a loss that the paper does not have. :math:`\phi` is the L2 norm of the weights, which the optimiser adds as
    weight decay. The paper gives no value of any :math:`\lambda`. The networks alone are trained by the weights
    ``(1, 0, 0)`` and ``(0, 1, 0)`` of global, local, fused.

    Args:
        loss: Name of a loss on masks, see :func:`~fundus_lib.losses.create_loss`; the paper's is ``"weighted"``.
        loss_args: Its settings; ``{"reduction": "sum"}`` is Eq. 2 as printed.
        global_weight: :math:`\lambda_1`, of the global network's loss on the shrunk image.
        local_weight: Of the local network's own loss on the patch.
        fused_weight: :math:`\lambda_2`, of the fused loss on the patch.

    Raises:
        UnknownNameError: There is no such loss.
        ArgumentError: A setting is not possible, or all weights are 0.
    """

    def __init__(
        self,
        loss: str = "weighted",
        loss_args: Mapping[str, Any] | None = None,
        global_weight: float = 1.0,
        local_weight: float = 0.0,
        fused_weight: float = 1.0,
    ):
        super().__init__()
        where = type(self).__name__
        self.loss = create_loss(loss, **loss_args or {})
        given = {"global": global_weight, "local": local_weight, "fused": fused_weight}
        self.weights = {term: check_setting(where, f"{term}_weight", weight, 0) for term, weight in given.items()}
        if not any(self.weights.values()):
            raise ArgumentError(
                where,
                "there is nothing to minimise",
                found="global_weight=0, local_weight=0, fused_weight=0",
                expected="at least one weight above 0",
                remedy="leave the weights out for those of the fused network",
            )

    def forward(
        self, output: Mapping[str, Tensor], batch: Mapping[str, Tensor], progress: float = 0.0
    ) -> dict[str, Tensor]:
        """The loss of a batch.

        Args:
            output: ``"global_logits"`` (B, L, g, g), ``"local_logits"`` (N, L, p, p), ``"logits"`` (N, L, p, p): those
                with a weight at least.
            batch: ``"whole_mask"`` (B, L, g, g) for the first of them, ``"mask"`` (N, L, p, p) for the others, 0 and 1.
            progress: Not used; all criteria have the same arguments.

        Returns:
            ``"total"``, and of ``"global"``, ``"local"`` and ``"fused"`` what output and batch have: scalars. Terms of
            weight 0 are there to be watched, and have no gradient.

        Raises:
            ArgumentError: A logit or a mask with a weight is missing, or the loss raises it.
        """
        parts: dict[str, Tensor] = {}
        for term, (logits, mask) in TERMS.items():
            if logits in output and mask in batch:
                with torch.set_grad_enabled(torch.is_grad_enabled() and self.weights[term] > 0):
                    parts[term] = self.loss(output[logits], batch[mask])
            elif self.weights[term]:
                raise ArgumentError(
                    type(self).__name__,
                    f"the {term} term lacks its logits or its mask",
                    found=f"output {', '.join(output)}; batch {', '.join(batch)}",
                    expected=f"{logits!r} and {mask!r}",
                    remedy=f"call the model with what it needs, or set {term}_weight=0",
                )
        total = torch.stack([weight * parts[term] for term, weight in self.weights.items() if weight]).sum()
        return {"total": total} | parts

    def extra_repr(self) -> str:
        """The settings, for ``print(criterion)``."""
        return ", ".join(f"{term}_weight={weight}" for term, weight in self.weights.items())
