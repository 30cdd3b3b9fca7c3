"""Runs a function in two gloo processes, as `torch.distributed` starts them on a machine without GPU."""

import inspect
import runpy
import socket
from collections.abc import Callable

import torch
from torch import distributed, multiprocessing


def in_two_processes(function: Callable[[int], object]) -> list[object]:
    """What a function of a test file returns for rank 0 and rank 1, in any order.

    A process of its own cannot import test files, so it gets the function by file and name.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    queue = multiprocessing.get_context("spawn").SimpleQueue()
    multiprocessing.spawn(_process, (port, queue, inspect.getfile(function), function.__name__), nprocs=2)
    return [queue.get(), queue.get()]


def _process(rank, port, queue, file, name):
    function = runpy.run_path(file)[name]
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    queue.put(function(rank))
    distributed.destroy_process_group()
