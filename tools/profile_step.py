"""What sets the pace of a training step: `python tools/profile_step.py PAPER ROW [--table T] [--device cuda]`.

Prints, in milliseconds per step: the whole step; making its batch; the network's forward and backward pass; the
optimiser; and on a GPU how long it computes and in how many kernels, so that what is left is the host's.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from fundus_lib import settings
from fundus_lib.experiment import create_experiment
from fundus_lib.recipes import recipes


def main() -> None:
    """Profile the steps of one row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paper")
    parser.add_argument("row")
    parser.add_argument("--table")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--set", action="append", default=[], help="NAME=VALUE, a setting of the recipe")
    arguments = parser.parse_args()
    recipe = recipes(arguments.paper, arguments.table, arguments.row)[0]
    recipe = recipe.smoke() if arguments.smoke else recipe
    changes = (change.partition("=") for change in arguments.set)
    recipe = recipe.replace(**{name: eval(value, {}) for name, _, value in changes})
    data = settings.roots()[recipe.dataset]
    print(f"{recipe.stem} on {arguments.device}, {recipe.precision}: " + time_step(recipe, data, arguments))


def time_step(recipe: object, data: Path, arguments: argparse.Namespace) -> str:
    """The times of a step in words."""
    device, steps = torch.device(arguments.device), arguments.steps
    experiment = create_experiment(recipe, data)  # type: ignore[arg-type]
    task, stage = experiment.task.to(device), experiment.stages[-1]
    task.log = task.log_dict = lambda *_, **__: None  # type: ignore[method-assign]
    images = stage.images.to(device) if device.type == "cuda" else stage.images
    task.stage, task.stage_steps = stage, stage.epochs * stage.count_steps(0)
    found = task.configure_optimizers()
    optimizer = found["optimizer"] if isinstance(found, dict) else found
    batches = [items for epoch in range(20) for items in stage.batches(images, epoch)][: steps + 5]
    stage.batches(images, 0)
    task.train()
    spent = dict.fromkeys(("batch", "network", "optimiser"), 0.0)

    @contextlib.contextmanager
    def clock(name: str, wait: Callable[[], None] | None) -> Iterator[None]:
        start = time.perf_counter()
        yield
        if wait:
            wait()
        spent[name] += 1000 * (time.perf_counter() - start)

    def step(items: object, wait: Callable[[], None] | None = None) -> None:
        with clock("batch", wait):
            batch = stage.load(images, items)  # type: ignore[arg-type]
        with clock("network", wait):
            with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):  # type: ignore[attr-defined]
                loss = task.training_step(batch, 0)
            optimizer.zero_grad()
            loss.backward()
        with clock("optimiser", wait):
            if task.clip:
                torch.nn.utils.clip_grad_norm_(task.model.parameters(), task.clip)
            optimizer.step()

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()

    for items in batches[:5]:
        step(items)
    wait()
    start = time.perf_counter()
    for items in batches[5:]:
        step(items)
    wait()
    count = len(batches) - 5
    whole = 1000 * (time.perf_counter() - start) / count
    spent.update(dict.fromkeys(spent, 0.0))
    for items in batches[5:]:
        step(items, wait)
    text = f"{whole:.1f} ms a step; waiting after each part: " + ", ".join(
        f"{name} {total / count:.1f}" for name, total in spent.items()
    )
    if device.type == "cuda":
        with profile(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU]) as traced:
            for items in batches[5:15]:
                step(items)
            wait()
        kernels = [event for event in traced.events() if event.device_type == torch.autograd.DeviceType.CUDA]
        busy = sum(event.device_time_total for event in kernels) / 1000 / len(batches[5:15])
        text += f"; the GPU computes {busy:.1f} ms in {len(kernels) / len(batches[5:15]):.0f} kernels"
        top = sorted(traced.key_averages(), key=lambda event: -event.self_device_time_total)[:8]
        for event in top:
            text += f"\n  {event.self_device_time_total / 1000 / len(batches[5:15]):.2f} ms  {event.key[:90]}"
    return text


if __name__ == "__main__":
    main()
