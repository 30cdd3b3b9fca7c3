"""The dual-branch network: two copies of a network that share their first parts.

Source: dual_branch, "Dual-Branch Segmentation Network" and Fig. 2. One branch is trained for large hard exudates, the
other for small ones; how is defined by the loss, not by the network.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fundus_lib.checks import check_images
from fundus_lib.errors import ArgumentError
from fundus_lib.models.registry import create_model
from fundus_lib.models.staged import Staged, init_features, run_parts, select_outputs

BRANCHES = ("large", "small")
COMBINATIONS = ("logits", "probabilities")


class DualBranch(nn.Module):
    """Two branches of any network that is made of parts.

    The shared parts run once per call. The branches' own parts are initialised with different random numbers (or with
    the same ImageNet weights, where the base has them), as in the authors' code.

    Args:
        base: Name of the branches' network, such as ``"pspnet"``.
        shared: What the branches have in common: ``"code"``, as in the authors' code; ``"text"``, as in the paper's
            text; the name of the last part to be shared; or ``"none"``: two networks. For networks that the paper does
            not pair, ``"code"`` and ``"text"`` are our choice.
        combine: How the two predictions become one: the mean of their ``"logits"``, as in the authors' code, or of
            their ``"probabilities"``, as the paper has it.
        **settings: Of the base network.

    Attributes:
        shared: The shared parts by name.
        large: The own parts of the branch for large lesions.
        small: The own parts of the branch for small lesions.

    Raises:
        UnknownNameError: There is no such base.
        ArgumentError: The base is not made of parts, or a setting is not possible.
    """

    def __init__(self, base: str = "pspnet", shared: str = "code", combine: str = "logits", **settings: Any):
        super().__init__()
        if combine not in COMBINATIONS:
            raise ArgumentError(
                "DualBranch",
                "there is no such way to combine two predictions",
                found=f"combine={combine!r}",
                expected=" or ".join(map(repr, COMBINATIONS)),
                remedy="'logits' is the authors' code, 'probabilities' the paper",
            )
        first, second = create_model(base, **settings), create_model(base, **settings)
        if not isinstance(first, Staged) or not isinstance(second, Staged):
            raise ArgumentError(
                "DualBranch",
                "this network cannot be split, since it is not made of parts",
                found=f"base={base!r}",
                expected="a network that derives from fundus_lib.models.staged.Staged, such as 'pspnet' or 'hed'",
                remedy="choose another base, or rewrite it in parts",
            )
        names = list(first.parts)
        count = _count_shared(shared, names, first.shared_until)
        self.combine = combine
        self.shared = nn.ModuleDict({name: first.parts[name] for name in names[:count]})
        self.large = nn.ModuleDict({name: first.parts[name] for name in names[count:]})
        self.small = nn.ModuleDict({name: second.parts[name] for name in names[count:]})

    def forward(self, images: Tensor, branch: str = "both") -> dict[str, Tensor]:
        """Logits of every lesion at every pixel.

        In training the paper shows each branch its own images: ``model(images_l, "large")`` and
        ``model(images_s, "small")``.

        Args:
            images: float (B, 3, H, W), normalised.
            branch: ``"both"``, or ``"large"`` or ``"small"`` alone.

        Returns:
            For one branch, what the base network gives. For both, ``"logits"`` (B, L, H, W), the combined prediction,
            and each branch's outputs under its own name: ``"large_logits"``, ``"small_logits"``, and what the base
            has besides, such as ``"large_aux"`` (the same as ``"small_aux"`` where the auxiliary head is shared).

        Raises:
            ArgumentError: There is no such branch, or these are no images of that shape and type.
        """
        if branch not in ("both", *BRANCHES):
            raise ArgumentError(
                "DualBranch.forward",
                "there is no such branch",
                found=f"branch={branch!r}",
                expected="'both', 'large' or 'small'",
                remedy="leave it out to run both",
            )
        check_images(self, images)
        features = run_parts(self.shared, init_features(images))
        own = {"large": self.large, "small": self.small}
        if branch != "both":
            return select_outputs(run_parts(own[branch], features))
        given = {name: select_outputs(run_parts(own[name], features)) for name in BRANCHES}
        mean = average_logits if self.combine == "logits" else average_probabilities
        combined = {"logits": mean(given["large"]["logits"], given["small"]["logits"])}
        return combined | {f"{name}_{key}": value for name in BRANCHES for key, value in given[name].items()}


def average_logits(a: Tensor, b: Tensor) -> Tensor:
    """The mean of two logits, any shape."""
    return (a + b) / 2


def average_probabilities(a: Tensor, b: Tensor) -> Tensor:
    """The logit of the mean of two logits' probabilities, any shape.

    Computed from logarithms of probabilities, so that it neither overflows nor loses the
    difference of a probability to 1.
    """
    yes = torch.logaddexp(F.logsigmoid(a), F.logsigmoid(b))
    no = torch.logaddexp(F.logsigmoid(-a), F.logsigmoid(-b))
    return yes - no


def _count_shared(shared: str, names: list[str], shared_until: Any) -> int:
    """How many parts, from the first on, two branches have in common."""
    if shared == "none":
        return 0
    last = shared_until.get(shared, shared)
    if last not in names[:-1]:
        raise ArgumentError(
            "DualBranch",
            "this cannot be what the branches share",
            found=f"shared={shared!r}",
            expected=f"'code', 'text', 'none', or one of the parts {', '.join(names[:-1])}",
            remedy="name the last part that is to be shared; the very last part of a network is each branch's own",
        )
    return names.index(last) + 1
