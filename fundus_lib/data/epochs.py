"""What the epochs of a stage of training show, shared out among the processes that train."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import lightning as L
from torch.utils.data import DataLoader, Dataset

from fundus_lib.data.image_set import ImageSet
from fundus_lib.errors import ArgumentError

Batches = Sequence[Sequence[Any]]
"""The batches of an epoch. An item says how a sample is made, such as an image's number and its augmentation."""


class Epoch(Dataset[Any]):
    """The batches of one epoch; item n is the n-th batch, or the part of it that one of several processes has.

    Args:
        images: What to show.
        batches: Which items each batch has.
        load: Makes a batch of items.
        part: (i, n): the i-th of n processes, counted from 0, which has every n-th item of a batch.
    """

    def __init__(
        self,
        images: ImageSet,
        batches: Batches,
        load: Callable[[ImageSet, Sequence[Any]], Any],
        part: tuple[int, int] = (0, 1),
    ):
        self.images, self.batches, self.load, self.part = images, batches, load, part

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.load(self.images, self.batches[index][self.part[0] :: self.part[1]])


class EpochsModule(L.LightningDataModule):
    """Feeds each epoch its own batches, in an order that depends on the seed and the number of the epoch alone.

    Args:
        images: What to show. On a GPU they are moved there once, and batches are made there.
        batches: Gives the batches of an epoch by its number, counted from `first` on.
        load: Makes a batch of items.
        batch: Items in a batch, over all processes together.
        first: Number of the first epoch: how many there were in earlier stages.
    """

    def __init__(
        self,
        images: ImageSet,
        batches: Callable[[ImageSet, int], Batches],
        load: Callable[[ImageSet, Sequence[Any]], Any],
        *,
        batch: int,
        first: int = 0,
    ):
        super().__init__()
        self.images, self.batches, self.load = images, batches, load
        self.batch, self.first = batch, first

    def train_dataloader(self) -> DataLoader[Any]:
        """The batches of the current epoch; Lightning asks again for each (`reload_dataloaders_every_n_epochs=1`).

        Raises:
            ArgumentError: The batch does not divide by the number of processes.
        """
        trainer = self.trainer
        assert trainer is not None, "Lightning attaches the trainer before it asks for batches"
        if self.batch % trainer.world_size:
            raise ArgumentError(
                "devices",
                "the batch cannot be shared out evenly",
                found=f"a batch of {self.batch} for {trainer.world_size} processes",
                expected="a number of processes that divides the batch",
                remedy="use fewer devices, or recipe.replace(batch=…)",
            )
        if trainer.strategy.root_device.type == "cuda":
            self.images = self.images.to(trainer.strategy.root_device)
        batches = self.batches(self.images, self.first + trainer.current_epoch)
        part = (trainer.global_rank, trainer.world_size)
        return DataLoader(Epoch(self.images, batches, self.load, part), batch_size=None)


def cut_into_batches(items: Sequence[Any], batch: int, where: str) -> list[list[Any]]:
    """Items in batches, in order; those that do not fill a batch are left out.

    Raises:
        ArgumentError: They do not fill a single one.
    """
    batches = [list(items[start : start + batch]) for start in range(0, len(items) - batch + 1, batch)]
    if not batches:
        raise ArgumentError(
            where,
            "an epoch has no step",
            found=f"{len(items)} items for a batch of {batch}",
            expected="at least one batch",
            remedy="recipe.replace(batch=…), or more images",
        )
    return batches
