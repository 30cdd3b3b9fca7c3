"""The batches of sunet's training: images with masks and images without, in turn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import lightning as L
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from fundus_lib.errors import ArgumentError
from fundus_lib.tasks.experiment import sharing

if TYPE_CHECKING:
    from fundus_lib.recipes.grading import GradingRecipe
    from fundus_lib.tasks.graded_images import GradedImages


class Batches(Dataset[dict[str, Tensor]]):
    """The batches of an epoch, in an order that depends on seed and epoch alone; item n is the n-th batch.

    Args:
        images: What to show.
        batch: Images in a batch, over all processes.
        order: ``"alternate"``: after each batch of images without masks one of images with masks, which come again and
            again until the others are through ("use the two sets to train our model alternately"). ``"once"``: each
            image comes once; the few batches with masks are scattered among the others. ``"mixed"``: each image comes
            once, and a batch may hold both kinds.
        seed: Seed of the experiment.
        epoch: Number of the epoch.
        share: (i, n): the i-th of n processes, counted from 0, whose batches are the n-th part of each.
    """

    def __init__(
        self,
        images: GradedImages,
        *,
        batch: int,
        order: str,
        seed: int = 0,
        epoch: int = 0,
        share: tuple[int, int] = (0, 1),
    ):
        self.images, self.share = images, share
        rng = np.random.default_rng((seed, epoch))

        def once(indices: Sequence[int]) -> list[list[int]]:
            shown = rng.permutation(indices).tolist()
            return [shown[i : i + batch] for i in range(0, len(shown) - batch + 1, batch)]

        def forever(indices: Sequence[int]) -> Iterator[int]:
            while True:
                yield from rng.permutation(indices).tolist()

        masked, others = images.with_masks, images.without_masks
        self.batches: list[list[int]]
        if order == "mixed":
            self.batches = once(range(len(images)))
        elif order == "once" or not others or not masked:
            self.batches = once(masked) + once(others)
            self.batches = [self.batches[i] for i in rng.permutation(len(self.batches))]
        else:
            more = forever(masked)
            self.batches = [b for plain in once(others) for b in (plain, [next(more) for _ in range(batch)])]
        if not self.batches:
            raise ArgumentError(
                "batches",
                "an epoch has no step",
                found=f"{len(others)} images without masks, {len(masked)} with, for a batch of {batch}",
                expected="at least one batch",
                remedy="recipe.replace(batch=…), or more photographs",
            )

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.images.batch(self.batches[index][self.share[0] :: self.share[1]])


class BatchesModule(L.LightningDataModule):
    """Feeds each epoch its own batches, to one process or shared out among several.

    Args:
        recipe: Says in which order.
        real: The photographs.
        drawn: Those of the epochs of pre-training; none if there are none.
    """

    def __init__(self, recipe: GradingRecipe, real: GradedImages, drawn: GradedImages | None = None):
        super().__init__()
        self.recipe, self.real, self.drawn = recipe, real, drawn

    def batches(self, epoch: int, share: tuple[int, int] = (0, 1)) -> Batches:
        """Those of an epoch, counted from 0, pre-training included."""
        recipe = self.recipe
        shown = self.drawn if self.drawn is not None and epoch < recipe.pretraining_epochs else self.real
        return Batches(shown, batch=recipe.batch, order=recipe.order, seed=recipe.seed, epoch=epoch, share=share)

    def train_dataloader(self) -> DataLoader[Any]:
        """The batches of the current epoch; Lightning asks again for each (`reload_dataloaders_every_n_epochs=1`)."""
        trainer = sharing(self.trainer, self.recipe.batch)
        batches = self.batches(trainer.current_epoch, (trainer.global_rank, trainer.world_size))
        return DataLoader(batches, batch_size=None, pin_memory=torch.cuda.is_available())
