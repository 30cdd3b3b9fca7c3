"""What a run does between epochs: it notes its curve, and stops when its time is up."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import lightning as L

from fundus_lib.tasks.segmentation import Segmentation, evaluate

if TYPE_CHECKING:
    from fundus_lib.tasks.arrays import Arrays


class Curve(L.Callback):
    """Notes loss, time and (where images are kept for it) validation scores of each epoch; goes into checkpoints.

    Args:
        validation: Images to score after each epoch; none if there are none.

    Attributes:
        points: One per epoch: `epoch`, `step`, `loss`, `seconds` and `cpu_seconds` (of all threads) of training so
            far, and `validation_<metric>`.
        resumed: Epochs that were read from a checkpoint and not trained in this process.
    """

    def __init__(self, validation: Arrays):
        self.validation = validation
        self.points: list[dict[str, float]] = []
        self.resumed = 0
        self._since = self._cpu_since = 0.0

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clocks."""
        self._since, self._cpu_since = time.perf_counter(), time.process_time()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Add a point."""
        loss = float(trainer.callback_metrics["loss"])  # the one wait for the device in an epoch
        before = self.points[-1] if self.points else {"seconds": 0.0, "cpu_seconds": 0.0}
        point = {
            "epoch": trainer.current_epoch + 1,
            "step": trainer.global_step,
            "loss": loss,
            "seconds": round(before["seconds"] + time.perf_counter() - self._since, 2),
            "cpu_seconds": round(before["cpu_seconds"] + time.process_time() - self._cpu_since, 2),
        }
        if self.validation and isinstance(pl_module, Segmentation):
            scores = evaluate(pl_module, self.validation)
            point |= {f"validation_{name}": value for name, value in scores.items() if name.endswith("_aupr")}
        self.points.append(point)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"points": self.points}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where the checkpoint ended."""
        self.points = list(state_dict["points"])
        self.resumed = len(self.points)


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
