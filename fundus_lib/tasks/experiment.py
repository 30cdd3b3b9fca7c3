"""What the run machine needs to know of an experiment, whatever it trains: the same for every paper."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch.utils.data import Dataset, DistributedSampler, Sampler

from fundus_lib.errors import ArgumentError

if TYPE_CHECKING:
    import lightning as L

    from fundus_lib.tasks.base import FundusTask


def sharing(trainer: L.Trainer | None, batch: int) -> L.Trainer:
    """The trainer that asks for batches, if its processes can share them out evenly.

    Args:
        trainer: That of a data module; Lightning attaches it before it asks.
        batch: How many there are in a batch, over all processes.

    Raises:
        ArgumentError: The batch does not divide by the number of processes.
    """
    assert trainer is not None, "Lightning attaches the trainer before it asks for batches"
    if batch % trainer.world_size:
        raise ArgumentError(
            "devices",
            "the batch cannot be shared out evenly",
            found=f"a batch of {batch} for {trainer.world_size} processes",
            expected="a number of processes that divides the batch",
            remedy="use fewer devices, or recipe.replace(batch=…)",
        )
    return trainer


def shared_out(steps: Dataset[Any], trainer: L.Trainer) -> Sampler[int] | None:
    """Every n-th item of an epoch, in order, for one of n processes; None for a single one, which has them all."""
    if trainer.world_size == 1:
        return None
    return DistributedSampler(steps, trainer.world_size, trainer.global_rank, shuffle=False)


@dataclass(frozen=True)
class Source:
    """Where images came from.

    Attributes:
        title: The data set, as written into records.
        fingerprint: Digits that change with its content.
        images: How many.
    """

    title: str
    fingerprint: str
    images: int


@dataclass(frozen=True)
class Scores:
    """What a test found.

    Attributes:
        metrics: The scores of the prediction that the recipe asks for.
        variants: The same scores of others that the same network gives, by name; none if there are none.
        predictions: What was said of each test image, for tests that compare two networks image by image; lists of the
            same length, the names of the images among them. None if there is no such short answer.
    """

    metrics: dict[str, float]
    variants: dict[str, dict[str, float]] = field(default_factory=dict)
    predictions: dict[str, list[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Experiment:
    """A recipe with its data: what `fundus_lib.run.run` trains, watches, tests and saves.

    Attributes:
        task: What happens in a step.
        batches: Feeds the epochs of training.
        epochs: How many epochs there are in all.
        training: Where the training images came from.
        test: Where the test images came from.
        watch: Scores the task as it is, after each epoch; its names begin with `validation_` or `test_`.
        evaluate: The test, of the task as it is; with the variants, or without to save their time.
        protocol: How the test scores were made, in words.
        select_by: The score of `watch` by which the epoch is chosen, the name without `validation_`. The highest on
            the validation images decides; what the highest on the test images would have given goes into the record
            beside it. None: the last epoch counts.
        select_from: Epochs before this one cannot be chosen.
        clip: Largest norm of the gradient; None for any.
        model: What `save_model` keeps beside the weights.
    """

    task: FundusTask
    batches: L.LightningDataModule
    epochs: int
    training: Source
    test: Source
    watch: Callable[[], dict[str, float]]
    evaluate: Callable[[bool], Scores]
    protocol: str
    select_by: str | None = None
    select_from: int = 0
    clip: float | None = None
    model: Mapping[str, Any] = field(default_factory=dict)
