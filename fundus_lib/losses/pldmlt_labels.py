r"""How `pldmlt` trains its label network: through a step of the network that the labels are for (second order).

The network :math:`\theta` takes a virtual step on the labels :math:`u_{\theta_1}(x)`,

.. math:: \theta^+ = \theta - \varepsilon \nabla_\theta
          \big[ L_S(\theta) + \beta L_C(\theta, u_{\theta_1}(x)) \big],

and the label network descends along the gradient of the loss at :math:`\theta^+` with respect to :math:`\theta_1`
(Algorithm 1 of `pldmlt`, after MAXL: S. Liu, A. Davison and E. Johns, NeurIPS 2019). Both losses are of one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from fundus_lib.checks import check_choice, check_setting
from fundus_lib.errors import ArgumentError
from fundus_lib.losses._precision import without_autocast
from fundus_lib.losses.pldmlt import FORMS, mask_softmax, sum_entropy

OUTER = ("segmentation", "grading", "total")
ORDERS = ("second", "first")
NUDGE = 0.01
"""Norm of the shift of the parameters in the finite difference, as in DARTS and in MAXL's code."""

Batch = Mapping[str, Tensor]
Values = dict[str, Tensor]
Criterion = Callable[[Mapping[str, Tensor], Batch], Mapping[str, Tensor]]


@dataclass(frozen=True)
class LabelUpdate:
    r"""The settings of the label network's training, and its gradient.

    The exact gradient keeps the virtual step in the graph. The first-order approximation uses that the labels enter
    only through that step: with :math:`v = \nabla_{\theta^+} L_\text{outer}`,

    .. math:: \nabla_{\theta_1} L_\text{outer} = -\varepsilon \, \nabla_{\theta_1}
              \frac{L(\theta + h v, \theta_1) - L(\theta - h v, \theta_1)}{2h}, \quad h = 0.01 / \|v\|

    as in DARTS (H. Liu et al., ICLR 2019) and in MAXL's own first-order code. (Simply to leave out the second
    derivative, as first-order MAML does, would leave nothing.) What of the outer loss depends on the labels directly,
    the entropy or the loss of grades, is added exactly in both; MAXL's first-order code drops its entropy.

    Attributes:
        criterion: Of output and batch, whose ``"dr"`` are then the labels, to ``"total"`` and the terms in
            :data:`OUTER`; such as :class:`~fundus_lib.losses.PLDMLTCriterion`.
        rate: ε, that of the virtual step (plain SGD).
        outer: What of the criterion is the loss at θ⁺: ``"segmentation"``, our reading of the algorithm's last line,
            which cannot be read in full; ``"total"``, as the text has it ("and the disease classification task"), or
            ``"grading"`` alone.
        entropy: Weight of :func:`~fundus_lib.losses.pldmlt.sum_entropy`: 0 in the paper, 0.2 in MAXL.
        order: ``"second"``, exact, or ``"first"``.
        form: Of the masked softmax, see :func:`~fundus_lib.losses.pldmlt.mask_softmax`.

    Raises:
        ArgumentError: A setting is not possible.
    """

    criterion: Criterion
    rate: float
    outer: str = "segmentation"
    entropy: float = 0.0
    order: str = "second"
    form: str = "equation"

    def __post_init__(self) -> None:
        check_setting("LabelUpdate", "rate", self.rate, 0)
        check_setting("LabelUpdate", "entropy", self.entropy, 0)
        for name, choices in (("outer", OUTER), ("order", ORDERS), ("form", FORMS)):
            check_choice("LabelUpdate", name, getattr(self, name), choices)

    def generate(self, label_network: nn.Module, images: Tensor, allowed: Tensor | None = None) -> Tensor:
        """The labels of images, (B, 5), for each grade a probability; with a graph to the label network.

        Args:
            label_network: Gives ``"dr"`` (B, 5), logits.
            images: float (B, 3, H, W), normalised.
            allowed: Grades that are possible, bool (B, 5); None for all.
        """
        return mask_softmax(label_network(images)["dr"], allowed, self.form)

    def compute_gradients(
        self,
        network: nn.Module,
        label_network: nn.Module,
        images: Tensor,
        batch: Batch,
        allowed: Tensor | None = None,
    ) -> tuple[Values, Values]:
        """The gradient of the loss at θ⁺ for the label network's parameters.

        The parameters of both networks, their gradients, and the running statistics of `network` stay as they are;
        the virtual passes use batch statistics where the network is in training mode. The label network runs once, in
        the mode that it is in. With dropout in `network`, ``"first"`` would compare two different draws. All of it is
        in the precision of the parameters, also under autocast.

        Args:
            network: θ; gives what the criterion takes.
            label_network: θ₁, see :meth:`generate`.
            images: float (B, 3, H, W), normalised.
            batch: What the criterion takes besides the labels, such as ``"mask"``.
            allowed: As of :meth:`generate`.

        Returns:
            The gradients by name, of those parameters of the label network that are trained; and the losses,
            detached: ``"outer"`` without the entropy, ``"inner"``, the criterion's total at θ, and with a weight
            ``"entropy"``, not weighed.

        Raises:
            ArgumentError: The criterion raises it, it has no such term, the loss at θ⁺ does not depend on the
                labels, or a network has no trained parameters.
        """
        with without_autocast(images):  # in bfloat16 half of the gradient's direction would be rounding
            return self._compute(network, label_network, images, batch, allowed)

    def _compute(
        self, network: nn.Module, label_network: nn.Module, images: Tensor, batch: Batch, allowed: Tensor | None
    ) -> tuple[Values, Values]:
        theta = {name: p.detach().requires_grad_() for name, p in network.named_parameters() if p.requires_grad}
        others = {name: p.detach() for name, p in network.named_parameters() if not p.requires_grad}
        trained = {name: p for name, p in label_network.named_parameters() if p.requires_grad}
        if not theta or not trained:
            raise ArgumentError(
                "LabelUpdate",
                "a network has no trained parameters",
                found=f"{len(theta)} trained in the network, {len(trained)} in the label network",
                expected="some in both",
                remedy="requires_grad_(True) for what is to be trained",
            )
        labels = self.generate(label_network, images, allowed)

        def compute(values: Values, given: Tensor) -> Mapping[str, Tensor]:
            own = {name: buffer.clone() for name, buffer in network.named_buffers()}  # statistics that are thrown away
            output = functional_call(network, values | others | own, (images,))
            return self.criterion(output, {**batch, "dr": given})

        given = labels.detach().requires_grad_()
        inner = compute(theta, given)["total"]
        after = self._step(theta, inner)
        term = compute(after, given)
        if self.outer not in term:
            raise ArgumentError(
                "LabelUpdate",
                "the criterion has no such term",
                found=", ".join(map(repr, term)),
                expected=repr(self.outer),
                remedy="a network that grades, or another setting of outer",
            )
        losses = {"outer": term[self.outer].detach(), "inner": inner.detach()}
        if self.order == "first":
            slope = self._approximate(compute, theta, after, given, term[self.outer])
        else:
            (slope,) = torch.autograd.grad(term[self.outer], given, allow_unused=True)
        if slope is None:
            raise ArgumentError(
                "LabelUpdate",
                "the loss at θ⁺ does not depend on the labels",
                found="no gradient",
                expected="a criterion whose total has a loss of grades, such as PLDMLTCriterion",
                remedy="a network that grades",
            )
        outer = (labels * slope).sum()
        if self.entropy:
            entropy = sum_entropy(labels)
            losses["entropy"] = entropy.detach()
            outer = outer + self.entropy * entropy
        gradients = torch.autograd.grad(outer, list(trained.values()), allow_unused=True)
        return {
            name: torch.zeros_like(p) if gradient is None else gradient
            for (name, p), gradient in zip(trained.items(), gradients, strict=True)
        }, losses

    def _step(self, theta: Values, loss: Tensor) -> Values:
        """θ⁺; with the graph, or for the first-order approximation as values to differentiate by."""
        second = self.order == "second"
        slopes = torch.autograd.grad(loss, list(theta.values()), create_graph=second, allow_unused=True)
        after = {
            name: value if slope is None else value - self.rate * slope
            for (name, value), slope in zip(theta.items(), slopes, strict=True)
        }
        return after if second else {name: value.detach().requires_grad_() for name, value in after.items()}

    def _approximate(
        self,
        compute: Callable[[Values, Tensor], Mapping[str, Tensor]],
        theta: Values,
        after: Values,
        labels: Tensor,
        outer: Tensor,
    ) -> Tensor | None:
        """The derivative of the outer loss by the labels, (B, 5): by the finite difference, and direct."""
        *along, direct = torch.autograd.grad(outer, [*after.values(), labels], allow_unused=True)
        norm = torch.stack([v.norm() for v in along if v is not None]).norm()
        width = NUDGE / norm.clamp(min=torch.finfo(norm.dtype).tiny)
        found = direct
        for sign in (1, -1):
            moved = {
                name: value.detach() if v is None else (value + sign * width * v).detach()
                for (name, value), v in zip(theta.items(), along, strict=True)
            }
            total = compute(moved, labels)["total"]
            (slope,) = torch.autograd.grad(total, labels, allow_unused=True) if total.requires_grad else (None,)
            if slope is not None:
                found = (0 if found is None else found) - sign * self.rate * slope / (2 * width)
        return found
