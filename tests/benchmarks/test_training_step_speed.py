"""A training step of `DualBranchTask` against the same as it is usually written.

Two branches: PSPNet with its means enlarged, torchvision's DeepLabV3, or HED, twice, each on a photograph of its own,
and pixels drawn with lists of indices. One network: torchvision's DeepLabV3, and segmentation_models_pytorch's
DeepLabV3+, the very layers of ours. A step is forward, backward and SGD's update.
`pytest tests/benchmarks/test_training_step_speed.py --benchmark-only --dist=no`.
"""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from fundus_lib.losses import DualBranchCriterion, SingleBranchCriterion
from fundus_lib.recipes.dual_branch import dual, single
from fundus_lib.tasks.dual_branch import Task
from helpers.plain import IndexTensors, plain_network

SIZE = 240, 352
LESION = 0.009
"""Share of exudate, as in IDRiD."""
LIMITS = {"dual pspnet": 1.0, "dual deeplabv3": 1.2, "dual hed": 1.05, "deeplabv3": 1.2, "deeplabv3plus": 1.1}
"""Of the plain step's time, this share at most. Our DeepLabV3, the paper's, multiplies more often than torchvision's
(`billion multiplications`): it has 512 channels behind the pyramid, and the deep stem where there are two branches."""

CASES = {
    "dual pspnet": dual("row", "pspnet"),
    "dual deeplabv3": dual("row", "deeplabv3"),
    "dual hed": dual("row", "hed"),
    "deeplabv3": single("row", "deeplabv3", "dice", batch=1, model_args={"stem": "torchvision"}),
    "deeplabv3plus": single("row", "deeplabv3plus", "dice", together=True),
}
"""`deeplabv3plus` needs two photographs for a step, the others take one, or one for each branch."""


def prefixes(recipe):
    return ("large_", "small_") if recipe.dual else ("",)


def photographs(recipe, size):
    """What a step shows."""
    draw = torch.Generator().manual_seed(0)

    def item():
        shown = {}
        for prefix in prefixes(recipe):
            shown[f"{prefix}image"] = torch.randint(0, 256, (3, *size), generator=draw, dtype=torch.uint8)
            shown[f"{prefix}mask"] = (torch.rand((1, *size), generator=draw) < LESION).to(torch.uint8)
        return shown

    return [item() for _ in range(recipe.batch)]


def ours(recipe, size):
    """The parameters that our task trains, and the loss of a step."""
    task, shown = Task(recipe).train(), photographs(recipe, size)

    def loss():
        return task.compute_parts([{name: part.flip(-1) for name, part in item.items()} for item in shown])["total"]

    return list(task.parameters()), loss


def plain(recipe, size):
    """The same of networks that are written as usual."""
    shown = photographs(recipe, size)
    batches = [
        (
            torch.stack([item[f"{prefix}image"].flip(-1) for item in shown]).float() - 100,
            torch.stack([item[f"{prefix}mask"].flip(-1) for item in shown]).float(),
        )
        for prefix in prefixes(recipe)
    ]
    networks = nn.ModuleList(plain_network(recipe.base, **settings(recipe)) for _ in batches).train()
    criterion = DualBranchCriterion() if recipe.dual else SingleBranchCriterion()
    if recipe.dual:
        criterion.small = IndexTensors()

    def loss():
        output, masks = {}, {}
        for prefix, network, (images, mask) in zip(prefixes(recipe), networks, batches, strict=True):
            output |= {f"{prefix}{name}": value for name, value in network(images).items()}
            masks[f"{prefix}mask"] = mask
        return criterion(output, masks, 0.5)["total"]

    return list(networks.parameters()), loss


def settings(recipe):
    """Of each network of a recipe."""
    return {name: value for name, value in recipe.model_args.items() if name != "base"}


@pytest.mark.parametrize("case", CASES)
def test_step(benchmark, compare, case):
    recipe, size = CASES[case], SIZE
    if benchmark.disabled:
        size = 64, 64
        narrow = {"encoder": "resnet18"} if recipe.base == "deeplabv3plus" else {"width": 4}
        recipe = recipe.replace(model_args={**recipe.model_args, **narrow})
    benchmark.group = f"{case}, a training step on {recipe.batch * len(prefixes(recipe))} of {size[0]}x{size[1]}"

    def step_of(name, parameters, loss):
        optimiser = torch.optim.SGD(parameters, lr=1e-4, momentum=0.9)
        with FlopCounterMode(display=False) as counted:
            loss()
        benchmark.extra_info[f"billion multiplications, {name}"] = counted.get_total_flops() / 2e9
        benchmark.extra_info[f"million parameters, {name}"] = sum(p.numel() for p in parameters) / 1e6

        def step():
            optimiser.zero_grad()
            value = loss()
            value.backward()
            optimiser.step()
            return value.item()

        return step

    others = {"plain": step_of("plain", *plain(recipe, size))}
    losses = compare(step_of("ours", *ours(recipe, size)), others, {"plain": LIMITS[case]}, rounds=4)
    assert all(0 < value < 10 for value in losses.values())
