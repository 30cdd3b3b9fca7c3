"""Trainings of seconds, for pages that compare losses; experiments have `fundus_lib.run`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from fundus_lib.data.augment import normalise
from fundus_lib.data.patches import Crops


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
