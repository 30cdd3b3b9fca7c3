"""What a run does between epochs: it notes its curve, keeps the best weights, and stops when its time is up."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

from fundus_lib.errors import UnknownNameError, naming, suggest
from fundus_lib.provenance import commit


class Curve(L.Callback):
    """Notes losses, time and scores of each epoch of all stages; goes into checkpoints.

    Args:
        score: Gives the scores after an epoch.

    Attributes:
        points: One per epoch: `epoch`, `step`, `loss` and whatever else the task logs, `seconds` and `cpu_seconds` (of
            all threads) of training so far, and the scores.
        commits: Of the library, in each process that trained, in order; None outside a git checkout.
        resumed: Epochs that were read from a checkpoint and not trained in this process.
        before: Epochs and steps of earlier stages; set by the run.
    """

    def __init__(self, score: Callable[[], dict[str, float]]):
        self.score = score
        self.points: list[dict[str, float]] = []
        self.commits: list[Any] = []
        self.resumed = 0
        self.before = (0, 0)
        self._commit = commit()["commit"]
        self._since = self._cpu_since = 0.0

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clocks."""
        self._since, self._cpu_since = time.perf_counter(), time.process_time()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Add a point."""
        logged = {name: float(value) for name, value in trainer.callback_metrics.items()}  # waits for the device
        last = self.points[-1] if self.points else {"seconds": 0.0, "cpu_seconds": 0.0}
        point = {
            "epoch": self.before[0] + trainer.current_epoch + 1,
            "step": self.before[1] + trainer.global_step,
            **logged,
            "seconds": round(last["seconds"] + time.perf_counter() - self._since, 2),
            "cpu_seconds": round(last["cpu_seconds"] + time.process_time() - self._cpu_since, 2),
        }
        self.points.append(point | self.score())
        if self.commits[-1:] != [self._commit]:
            self.commits.append(self._commit)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"points": self.points, "commits": self.commits}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where the checkpoint ended."""
        self.points = list(state_dict["points"])
        self.commits = list(state_dict.get("commits", []))
        self.resumed = len(self.points)


class Best(L.Callback):
    """Keeps the weights of the first epoch of a stage in which a score was highest; goes into checkpoints.

    Args:
        curve: Notes the scores; it must come before this in the list of callbacks.
        score: Which of them.

    Attributes:
        epoch: The epoch, counted from 1 as in the curve; 0 before there is one.
        weights: Those of the model at its end, on the CPU.
    """

    def __init__(self, curve: Curve, score: str):
        self.curve, self.score = curve, score
        self.epoch = 0
        self.highest = -1.0
        self.weights: dict[str, Tensor] = {}

    @property
    def state_key(self) -> str:
        """Tells the state of one such callback from another's in a checkpoint."""
        return f"Best {self.score}"

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Keep the weights, if the last point is the best; raises UnknownNameError if it does not have the score."""
        point = self.curve.points[-1]
        if self.score not in point:
            raise UnknownNameError(
                "the choice of the epoch",
                "there is no such score after an epoch",
                found=repr(self.score),
                expected=", ".join(point),
                remedy=suggest(self.score, point),
            )
        if point[self.score] > self.highest:
            self.epoch, self.highest = int(point["epoch"]), point[self.score]
            self.weights = {name: value.cpu().clone() for name, value in pl_module.model.state_dict().items()}  # type: ignore[union-attr,operator]

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"epoch": self.epoch, "highest": self.highest, "weights": self.weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where the checkpoint ended."""
        self.epoch, self.highest, self.weights = (state_dict[name] for name in ("epoch", "highest", "weights"))


class Saver(ModelCheckpoint):
    """Writes a checkpoint after an epoch; where epochs are shorter than `SECONDS_BETWEEN`, not after each of them.

    The first epoch, the last one, and that after which a run stops are always written.

    Args:
        path: The file.
    """

    SECONDS_BETWEEN = 20.0
    """A checkpoint holds the weights up to five times (two moments, two best epochs): on a GPU, writing one takes
    longer than a short epoch."""

    def __init__(self, path: Path):
        super().__init__(
            path.parent,
            filename=path.stem,
            every_n_epochs=1,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )
        self.path = path
        self._written = float("-inf")

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write, if it is time; raises FileAccessError where it cannot."""
        last = trainer.should_stop or trainer.current_epoch + 1 == trainer.max_epochs
        late = trainer.strategy.reduce_boolean_decision(
            time.monotonic() - self._written > self.SECONDS_BETWEEN, all=False
        )
        if last or late:
            with naming(self.path):
                super().on_train_epoch_end(trainer, pl_module)
            self._written = time.monotonic()


class Deadline(L.Callback):
    """Stops after the last epoch that fits into the time; the checkpoint of that epoch is there to go on from.

    Args:
        seconds: Time from now; None for no limit. At least one epoch is trained, so that every call makes progress.
    """

    def __init__(self, seconds: float | None = None):
        self.end = None if seconds is None else time.monotonic() + seconds
        self._since = 0.0

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock."""
        self._since = time.monotonic()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Ask all processes whether another epoch fits."""
        if self.end is not None:
            now = time.monotonic()
            late = now + (now - self._since) > self.end
            trainer.should_stop = trainer.strategy.reduce_boolean_decision(late, all=False)
