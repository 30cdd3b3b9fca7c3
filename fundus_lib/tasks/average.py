"""A moving average of a network's weights."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class Average(nn.Module):
    r"""The exponential moving average of a network's weights, and of its running means (Polyak & Juditsky 1992).

    After step :math:`t`, counted from 1, :math:`a \leftarrow d\,a + (1 - d)\,w` with
    :math:`d = \min(\text{decay}, t / (t + 9))`: the first steps, far from where training ends, are soon forgotten.

    While an epoch is trained, the network has the weights that are trained and this module their average. Between
    epochs it is the other way round (:meth:`exchange`), so that whatever tests or saves the network meets the average,
    and a checkpoint holds both.

    Args:
        model: The network. Its weights are copied.
        decay: From 0 to below 1.

    Attributes:
        network: A network of the same form.
    """

    def __init__(self, model: nn.Module, decay: float):
        super().__init__()
        self.decay = decay
        self.network = copy.deepcopy(model).requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take the network's weights into the average.

        Args:
            model: The network.
            step: How many steps it has been trained.
        """
        decay = min(self.decay, step / (step + 9))
        pairs = [pair for pair in _pairs(self.network, model) if pair[0].is_floating_point()]
        torch._foreach_lerp_([own for own, _ in pairs], [its for _, its in pairs], 1 - decay)

    @torch.no_grad()
    def exchange(self, model: nn.Module) -> None:
        """Give the network the weights that are here, and take its own."""
        for own, its in _pairs(self.network, model):
            kept = own.clone()
            own.copy_(its)
            its.copy_(kept)


def _pairs(one: nn.Module, other: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """Weights and running means of two networks of one form."""
    return list(zip(one.state_dict().values(), other.state_dict().values(), strict=True))
