"""Prevents torchmetrics from merging metrics with different settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torchmetrics import Metric


def count_apart(metric: Metric, *settings: object) -> None:
    """Give a metric a state that distinguishes it from others with other settings.

    A ``MetricCollection`` merges two metrics if their states have the same names and, after the first update,
    the same values: it then updates the first alone and copies its state. So would F1 and IoU be merged when the
    first image scores 0 in either. A state whose name contains the settings prevents that.

    Args:
        metric: Of any class.
        *settings: The settings that `update` depends on. Settings of `compute` alone do not: merging is correct then.
    """
    metric.add_state(f"counted with {settings}", torch.zeros(()), dist_reduce_fx="sum")
