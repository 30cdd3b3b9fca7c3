"""Work that the processes of a run share out among themselves; a single process does all of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import nn

Result = TypeVar("Result")


def process_rank() -> tuple[int, int]:
    """(i, n): this is the i-th of n processes of a run, counted from 0."""
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def gather_all(own: Result) -> list[Result]:
    """What each process of a run has, in all of them."""
    processes = process_rank()[1]
    gathered: list[Any] = [own] * processes
    if processes > 1:
        torch.distributed.all_gather_object(gathered, own)
    return gathered


def share_buffers(model: nn.Module) -> None:
    """Give all processes the first one's running means of batch normalisation, which are those that are saved."""
    if process_rank()[1] > 1:
        for buffer in model.buffers():
            torch.distributed.broadcast(buffer, 0)


def share_out(model: nn.Module, count: int, work: Callable[[int], Result]) -> list[Result]:
    """Work on each of so many images, shared out among the processes of a run.

    Args:
        model: Its buffers become those of the first process in all, see :func:`share_buffers`.
        count: How many images.
        work: What to do with the n-th.

    Returns:
        The results of all images, in order, in every process.
    """
    rank, processes = process_rank()
    share_buffers(model)
    gathered = gather_all([work(index) for index in range(rank, count, processes)])
    return [gathered[index % processes][index // processes] for index in range(count)]
