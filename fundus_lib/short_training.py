"""Trainings of seconds, for pages and small measurements; experiments have `fundus_lib.run`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from fundus_lib.data.augment import normalise
from fundus_lib.data.image_set import ImageSet
from fundus_lib.data.patches import Crops
from fundus_lib.errors import ArgumentError


def train_on_crops(
    network: nn.Module,
    crops: Crops,
    loss: Callable[[Tensor, Tensor], Tensor],
    rate: float,
    *,
    batch: int = 8,
    clip: float = math.inf,
    every: int = 0,
    measure: Callable[[nn.Module], Any] | None = None,
) -> list[Any]:
    """Train a segmenter in place, once through the crops, with AdamW under a one-cycle schedule.

    Args:
        network: ``forward(images) -> {"logits": (B, L, H, W)}``, on its device.
        crops: What it is shown.
        loss: Of logits and masks {0, 1}, both float (B, L, H, W).
        rate: Peak of the learning rate.
        batch: Crops in a step.
        clip: Largest norm of the gradient.
        every: Steps after which `measure` is called each time; 0: never.
        measure: What to note of the network then.

    Returns:
        What `measure` returned, in order.
    """
    device = next(network.parameters()).device
    loader = DataLoader(crops, batch)
    optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, len(loader))
    noted = []
    network.train()
    for step, sample in enumerate(loader, 1):
        images = normalise(sample["image"].to(device), sample["statistics"].to(device))
        optimizer.zero_grad()
        value = loss(network(images)["logits"], sample["mask"].to(device).float())
        value.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), clip)
        optimizer.step()
        schedule.step()
        if measure is not None and every and step % every == 0:
            noted.append(measure(network))
            network.train()
    return noted


@torch.inference_mode()
def predict_logits(network: nn.Module, images: Tensor) -> Tensor:
    """Logits of images one by one, in evaluation mode.

    Args:
        network: ``forward(images) -> {"logits": (B, L, H, W)}``; it stays in evaluation mode.
        images: Normalised, float (N, 3, H, W).

    Returns:
        float32 (N, L, H, W) on the CPU.
    """
    network.eval()
    device = next(network.parameters()).device
    return torch.cat([network(image[None].to(device))["logits"].float().cpu() for image in images])


NEVER = -30.0
"""Bias of the logit of a grade that no training image has."""


def fit_last_layer(task: Any, images: ImageSet, *, balanced: bool = False) -> None:
    """Fit a grader's linear classifier of retinopathy in place, its other layers as they are: a logistic regression.

    Args:
        task: The task of a :class:`~fundus_lib.models.grader.Grader` whose backbone gives a feature map.
        images: To train on; those without a grade are left out.
        balanced: Whether every grade has the same weight, however few images have it.

    Raises:
        ArgumentError: The images have fewer than three different grades.
    """
    from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]  # loads slowly

    known = images.part((images.dr >= 0).nonzero().flatten().tolist())
    target = known.dr.numpy()
    present = sorted(set(target.tolist()))
    if len(present) < 3:
        raise ArgumentError(
            "fit_last_layer",
            "too few grades to tell apart",
            found=f"the grades {present} in {len(known)} images",
            expected="three different ones or more",
            remedy="more images",
        )
    features = _pool(task, known).double()
    mean, spread = features.mean(0), features.std(0).clamp(min=1e-6)
    found = LogisticRegression(C=0.01, class_weight="balanced" if balanced else None, max_iter=1000)
    found.fit(((features - mean) / spread).numpy(), target)
    head = task.model.heads["dr"]
    with torch.no_grad():
        head.weight.zero_()
        head.bias.fill_(NEVER)
        for row, grade in enumerate(present):
            slope = torch.from_numpy(found.coef_[row]) / spread
            head.weight[grade] = slope.to(head.weight)
            head.bias[grade] = float(found.intercept_[row]) - float((slope * mean).sum())


@torch.inference_mode()
def _pool(task: Any, images: ImageSet, batch: int = 16) -> Tensor:
    """Means of the last feature map, (N, C), in evaluation mode, on the CPU."""
    task.eval()
    found = []
    for start in range(0, len(images), batch):
        part = images.part(range(start, min(start + batch, len(images))))
        x = task.prepare(torch.stack(part.images).to(task.device), part.statistics.to(task.device))
        found.append(task.model.shared(x).float().mean((2, 3)).cpu())
    return torch.cat(found)
