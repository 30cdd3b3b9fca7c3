"""A training step of `DualBranchTask` against the same as it is usually written.

Two branches: PSPNet with its means enlarged, torchvision's DeepLabV3, or HED, twice, each on a photograph of its own,
and pixels drawn with lists of indices. One network: torchvision's DeepLabV3, and segmentation_models_pytorch's
DeepLabV3+, the very layers of ours. A step is forward, backward and SGD's update. Times are seconds of one core,
without what else the machine does. `pytest tests/benchmarks/test_training_step_speed.py --benchmark-only --dist=no`.
"""

import time

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from fundus_lib.losses import DualBranchCriterion, SingleBranchCriterion
from fundus_lib.recipes.dual_branch import dual, single
from fundus_lib.tasks.dual_branch import DualBranchTask
from helpers.plain import IndexTensors, plain_network

SIZE = 240, 352
LESION = 0.009
"""Share of exudate, as in IDRiD."""
LIMITS = {"dual pspnet": 1.0, "dual deeplabv3": 1.2, "dual hed": 1.05, "deeplabv3": 1.2, "deeplabv3plus": 1.1}
"""Of the plain step's time, this share at most. Our DeepLabV3, the paper's, multiplies more often than torchvision's
(`billion_multiplications`): it has 512 channels behind the pyramid, and the deep stem where there are two branches."""

CASES = {
    "dual pspnet": dual("row", "pspnet"),
    "dual deeplabv3": dual("row", "deeplabv3"),
    "dual hed": dual("row", "hed"),
    "deeplabv3": single("row", "deeplabv3", "dice", batch=1, model_args={"stem": "torchvision"}),
    "deeplabv3plus": single("row", "deeplabv3plus", "dice", together=True),
}
"""`deeplabv3plus` needs two photographs for a step, the others take one, or one for each branch."""

fastest = {}
"""Case and way to the shortest time, filled by the tests in their order."""

pytestmark = pytest.mark.usefixtures("one_core")


def photographs(recipe, size):
    """What a step shows."""
    draw = torch.Generator().manual_seed(0)

    def item():
        shown = {}
        for prefix in recipe.prefixes:
            shown[f"{prefix}image"] = torch.randint(0, 256, (3, *size), generator=draw, dtype=torch.uint8)
            shown[f"{prefix}mask"] = (torch.rand((1, *size), generator=draw) < LESION).to(torch.uint8)
            shown[f"{prefix}version"] = 4
        return shown

    return [item() for _ in range(recipe.batch)]


def ours(recipe, size):
    """The parameters that our task trains, and the loss of a step."""
    task, shown = DualBranchTask(recipe).train(), photographs(recipe, size)
    return list(task.parameters()), lambda: task.parts_of(shown)["total"]


def plain(recipe, size):
    """The same of networks that are written as usual."""
    shown = photographs(recipe, size)
    batches = [
        (
            torch.stack([item[f"{prefix}image"].flip(-1) for item in shown]).float() - 100,
            torch.stack([item[f"{prefix}mask"].flip(-1) for item in shown]).float(),
        )
        for prefix in recipe.prefixes
    ]
    networks = nn.ModuleList(plain_network(recipe.base, **settings(recipe)) for _ in batches).train()
    criterion = DualBranchCriterion() if recipe.dual else SingleBranchCriterion()
    if recipe.dual:
        criterion.small = IndexTensors()

    def loss():
        output, masks = {}, {}
        for prefix, network, (images, mask) in zip(recipe.prefixes, networks, batches, strict=True):
            output |= {f"{prefix}{name}": value for name, value in network(images).items()}
            masks[f"{prefix}mask"] = mask
        return criterion(output, masks, 0.5)["total"]

    return list(networks.parameters()), loss


def settings(recipe):
    """Of each network of a recipe."""
    return {name: value for name, value in recipe.model_args.items() if name != "base"}


@pytest.mark.benchmark(timer=time.process_time, warmup=False)
@pytest.mark.parametrize("way", ["ours", "plain"])
@pytest.mark.parametrize("case", CASES)
def test_step(benchmark, case, way):
    recipe, size = CASES[case], SIZE
    if benchmark.disabled:
        size = 64, 64
        narrow = {"encoder": "resnet18"} if recipe.base == "deeplabv3plus" else {"width": 4}
        recipe = recipe.replace(model_args=recipe.model_args | narrow)
    benchmark.group = f"{case}, a training step on {recipe.batch * len(recipe.prefixes)} of {size[0]}x{size[1]}"
    parameters, loss = (ours if way == "ours" else plain)(recipe, size)
    optimiser = torch.optim.SGD(parameters, lr=1e-4, momentum=0.9)
    with FlopCounterMode(display=False) as counted:
        loss()
    benchmark.extra_info["billion_multiplications"] = counted.get_total_flops() / 2e9
    benchmark.extra_info["million_parameters"] = sum(p.numel() for p in parameters) / 1e6

    def step():
        optimiser.zero_grad()
        value = loss()
        value.backward()
        optimiser.step()
        return value.item()

    assert 0 < benchmark.pedantic(step, rounds=4, warmup_rounds=1) < 10
    if not benchmark.disabled:
        fastest[case, way] = benchmark.stats.stats.min
        if way == "plain" and (case, "ours") in fastest:
            benchmark.extra_info["ours_takes"] = fastest[case, "ours"] / fastest[case, "plain"]
            assert fastest[case, "ours"] <= LIMITS[case] * fastest[case, "plain"]
