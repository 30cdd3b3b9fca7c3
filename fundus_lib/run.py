"""Run a recipe: train, evaluate, record. What was computed is never lost: a killed run goes on from its last epoch."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import logging
import pickle
import time
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import TQDMProgressBar

from fundus_lib import records
from fundus_lib.atomic import check_folder
from fundus_lib.callbacks import Best, Curve, Deadline, Saver
from fundus_lib.checkpoints import check_whole, save_model
from fundus_lib.data.epochs import EpochsModule
from fundus_lib.devices import check_precision, check_sharing, choose_device
from fundus_lib.errors import CheckpointError
from fundus_lib.experiment import Experiment, Stage, create_experiment
from fundus_lib.image_verdicts import calibrate_on
from fundus_lib.processes import process_rank
from fundus_lib.protocols.base import Scores
from fundus_lib.provenance import commit, provenance
from fundus_lib.recipes import Recipe
from fundus_lib.tasks.base import FundusTask


def run(
    recipe: Recipe,
    data: str | Path,
    out: str | Path,
    *,
    device: str = "auto",
    devices: int = 1,
    nodes: int = 1,
    minutes: float | None = None,
    progress: bool = True,
) -> dict[str, Any] | None:
    """Train a recipe's model, test it on whole images, and write a record.

    In `out` it makes a folder named after the run (paper, table, row, fold, seed, and a hash of recipe and data) with
    `last.ckpt` (during training; `last1.ckpt` in a second stage) and `model.pt` (the trained model), and beside it the
    record, a JSON file of that name. A run that was killed or ran out of time goes on within its stage when it is
    called again, to the same result.

    Where the experiment chooses its epoch, validation images decide; the record then holds besides what the last epoch
    gave, and what the epoch gave that was best on the test images, which nobody may choose.

    Args:
        recipe: What to run.
        data: Root of a copy of its data set, real or synthetic (`settings.edition().root`).
        out: Folder for runs and records.
        device: `"cpu"`, `"cuda"`, or `"auto"`: a GPU if there is one.
        devices: Processes on this machine, one per GPU (on a CPU: gloo processes). The batch is shared out among them;
            the running statistics of batch normalisation are those of the first one's share.
        nodes: Machines. Start the same command on each, as Lightning's documentation says for your cluster.
        minutes: Time for this call. Training stops after the last epoch that fits; the test at its end comes on top
            (`seconds.evaluate` of other records says how long).
        progress: Show progress bars.

    Returns:
        The record. None where time ran out before the end of training, and in all processes but the first.

    Raises:
        ArgumentError: There is no such device or not as many, a number is out of range, or the batch does not divide by
            the processes.
        CheckpointError: A checkpoint is damaged.
        FileAccessError: `out` cannot be written, which is tried before anything else, or its disk is full.
    """
    target = choose_device(device)
    check_sharing(target, devices, nodes, minutes)
    check_folder(Path(out))
    deadline = Deadline(None if minutes is None else 60 * minutes)  # reading the data counts
    check_precision(recipe.precision, target)
    with _quiet(), torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        experiment = create_experiment(recipe, data)
        leaks = experiment.find_test_images_in_training()
        if leaks:
            print(f"{len(leaks)} test images are trained on: {', '.join(leaks[:5])}{' …' if leaks[5:] else ''}")
        test = experiment.data.test
        name = _name(recipe, experiment.training_fingerprint, test.fingerprint)
        folder = Path(out) / name
        settings: dict[str, Any] = {
            "accelerator": "gpu" if target.type == "cuda" else "cpu",
            "devices": devices,
            "num_nodes": nodes,
            "strategy": "ddp" if devices * nodes > 1 else "auto",
            "precision": "bf16-mixed" if recipe.precision == "bf16" else "32-true",
            "reload_dataloaders_every_n_epochs": 1,
            "use_distributed_sampler": False,  # Lightning's would shuffle anew: the order is the recipe's
            "default_root_dir": folder,
            "logger": False,
            "enable_model_summary": False,
            "enable_progress_bar": progress,
        }
        if target.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        curve = Curve(experiment.score_epoch)
        best = _train(experiment, folder, curve, deadline, settings)
        if best is None:
            return None
        experiment.task.to(target)
        start = time.perf_counter()
        scores, selection = _test(experiment, best)
        evaluate_seconds = round(time.perf_counter() - start, 2)
        if process_rank()[0]:
            return None
        trained_on = experiment.data.training.title
        save_model(
            folder / "model.pt",
            experiment.task,
            trained_on=trained_on,
            origin=_origin(experiment, name),
            image_statistics=experiment.data.training.statistics,
            rules=calibrate_on(experiment.task, experiment.data.validation),
        )
        record = {
            "paper": recipe.paper,
            "table": recipe.table,
            "row": recipe.row,
            "dataset": test.title,
            "dataset_fingerprint": test.fingerprint,
            "trained_on": trained_on,
            "trained_on_fingerprint": experiment.training_fingerprint,
            "trained_images": len(experiment.data.training),
            "split": f"fold {recipe.fold[0]} of {recipe.fold[1]}" if recipe.fold else "test",
            "images": len(test),
            **({"test_images_in_training": leaks} if leaks else {}),
            "seed": recipe.seed,
            "recipe": recipe.to_dict(),
            "metrics": scores.metrics,
            **({"variants": scores.variants} if scores.variants else {}),
            **({"predictions": scores.predictions} if scores.predictions else {}),
            **({"selection": selection} if selection else {}),
            "protocol": experiment.protocol.describe(experiment.describe_choice()),
            "curve": curve.points,
            "seconds": {
                "train": curve.points[-1]["seconds"],
                "train_cpu": curve.points[-1]["cpu_seconds"],
                "evaluate": evaluate_seconds,
            },
            "resumed_from_epoch": curve.resumed,
            "trained_at": curve.commits,
            "precision": recipe.precision,
            "processes": devices * nodes,
            **provenance(target),
        }
        records.save(record, Path(out) / f"{name}.json")
        for checkpoint in folder.glob("last*.ckpt"):
            checkpoint.unlink()
    return record


def _train(
    experiment: Experiment, folder: Path, curve: Curve, deadline: Deadline, settings: dict[str, Any]
) -> list[Best] | None:
    """Train the stages that are left, each with a trainer and a checkpoint of its own.

    Returns:
        What keeps the weights of the last stage's best epoch; None if time ran out before the end.
    """
    task, best = experiment.task, list[Best]()
    checkpoints = [folder / f"last{number or ''}.ckpt" for number in range(len(experiment.stages))]
    reached = max((number for number, path in enumerate(checkpoints) if path.is_file()), default=0)
    epochs = steps = 0
    for number, (stage, path) in enumerate(zip(experiment.stages, checkpoints, strict=True)):
        before, steps_an_epoch = (epochs, steps), stage.count_steps(epochs)
        epochs, steps = epochs + stage.epochs, steps + stage.epochs * steps_an_epoch
        if number < reached:
            continue
        task.stage, task.stage_steps = stage, stage.epochs * steps_an_epoch
        task.steps_before, curve.before = before[1], before
        for parameter_name, parameter in task.model.named_parameters():
            parameter.requires_grad_(parameter_name.startswith(stage.trainable))
        best = _best(stage, curve)
        bars = [TQDMProgressBar(refresh_rate=10)] if settings["enable_progress_bar"] else []
        trainer = L.Trainer(
            max_epochs=stage.epochs,
            gradient_clip_val=task.clip,
            callbacks=[curve, *best, deadline, Saver(path), *bars],
            **settings,
        )
        batches = EpochsModule(stage.images, stage.batches, stage.load, batch=stage.batch, first=before[0])
        _fit(trainer, experiment.task, batches, path if path.is_file() else None)
        if len(curve.points) < epochs or (trainer.should_stop and number + 1 < len(experiment.stages)):
            return None
        if best and number + 1 < len(experiment.stages) and best[0].epoch:
            task.model.load_state_dict(best[0].weights)
        task.optimizer_state = trainer.optimizers[0].state_dict()["state"]
    return best


def _best(stage: Stage, curve: Curve) -> list[Best]:
    """What keeps the weights of the best epoch: by the validation images, which count, and by the test images."""
    return [Best(curve, f"{on}_{stage.choose_by}") for on in ("validation", "test")] if stage.choose_by else []


def _test(experiment: Experiment, best: list[Best]) -> tuple[Scores, dict[str, Any]]:
    """Scores of the epoch that counts, whose weights the task then has, with those of other choices; and the choice."""
    task, protocol = experiment.task, experiment.protocol
    if not best:
        return protocol.full(task), {}
    model, last, (by_validation, by_test) = task.model, experiment.epochs, best
    chosen = by_validation.epoch or last
    weights = {last: copy.deepcopy(model.state_dict())} | {choice.epoch: choice.weights for choice in best}
    tested = {}
    for epoch in sorted(filter(None, weights), key=lambda epoch: epoch == chosen):
        model.load_state_dict(weights[epoch])
        tested[epoch] = protocol.full(task, epoch == chosen)
    by = by_validation.score if by_validation.epoch else "last epoch, since no validation score is a number"
    selection: dict[str, Any] = {"by": by, "epoch": chosen}
    others = {"last epoch": tested[last].metrics}
    if by_test.epoch:  # 0 where no score on the test images is a number
        others["best on test"] = tested[by_test.epoch].metrics
        selection["best_on_test_epoch"] = by_test.epoch
    found = tested[chosen]
    return replace(found, variants=found.variants | others), selection


def _fit(trainer: L.Trainer, task: FundusTask, batches: EpochsModule, last: Path | None) -> None:
    try:
        if last is not None:
            check_whole(last)
        trainer.fit(task, batches, ckpt_path=last, weights_only=True)
    except (OSError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, pickle.UnpicklingError) as error:
        if last is None or trainer.global_step:
            raise
        raise CheckpointError(
            last,
            "this run cannot go on from its checkpoint",
            found=str(error).splitlines()[0][:200] if str(error) else type(error).__name__,
            expected="the checkpoint that the same version of the library wrote",
            remedy="delete this file to start the run afresh",
        ) from error


def _origin(experiment: Experiment, name: str) -> dict[str, Any]:
    """Which run a model is of."""
    recipe, training = experiment.recipe, experiment.data.training
    return {
        "record": name,
        "paper": recipe.paper,
        "table": recipe.table,
        "row": recipe.row,
        "seed": recipe.seed,
        "trained_images": len(training),
        "trained_on_fingerprint": experiment.training_fingerprint,
        **commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _name(recipe: Recipe, training: str, test: str) -> str:
    """Name of a run: other recipe or other data, other name, so that no run goes on from another's checkpoint.

    Args:
        recipe: What is run.
        training: Fingerprint of the training data.
        test: Fingerprint of the test data.
    """
    content = f"{recipe.digest} {training} {test}"
    return f"{recipe.stem}-{hashlib.sha256(content.encode()).hexdigest()[:8]}"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's advice to itself; its errors still come through."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric", "lightning")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
