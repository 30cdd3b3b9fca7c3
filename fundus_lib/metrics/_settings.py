"""Keeps metrics of torchmetrics apart that count differently."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torchmetrics import Metric


def count_apart(metric: Metric, *settings: object) -> None:
    """Tell torchmetrics that what a metric counts depends on its settings.

    A ``MetricCollection`` takes two metrics for one if their states have the same names and, after the first update,
    the same values: it then updates the first alone and gives its counts to both. So it would with F1 and IoU when the
    first image scores 0 in either. A state whose name tells the settings prevents that.

    Args:
        metric: Of any class.
        *settings: Whatever `update` depends on. Settings of `compute` alone do not belong here: sharing is right then.
    """
    metric.add_state(f"counted with {settings}", torch.zeros(()), dist_reduce_fx="sum")
