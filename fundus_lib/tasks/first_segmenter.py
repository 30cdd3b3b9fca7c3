"""Segmentation of lesions, a binary question per pixel and lesion, learnt from crops of images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.data import default_collate

from fundus_lib.data.augment import jitter_colour
from fundus_lib.data.idrid import IDRiDSegmentation
from fundus_lib.data.image_set import ImageSet
from fundus_lib.data.inventory import title
from fundus_lib.data.patches import Crops
from fundus_lib.losses import SingleBranchCriterion
from fundus_lib.protocols.lesions import AtTrainingSize
from fundus_lib.tasks.base import Data, FundusTask, create_segmenter

if TYPE_CHECKING:
    from fundus_lib.data.epochs import Batches
    from fundus_lib.recipes import SegmentationRecipe


class Task(FundusTask):
    """Trains the model of a recipe with the loss of the recipe on crops.

    Args:
        recipe: What to train and how.
        start: Load the weights that the recipe starts from.
    """

    def __init__(self, recipe: SegmentationRecipe, *, start: bool = True):
        super().__init__(recipe, self.create_network(recipe, start))
        self.criterion = self.create_criterion()
        self.clip = recipe.clip
        self._crops: Crops | None = None
        if recipe.test_flips:
            self.mirrored = ((), (3,), (2,), (2, 3))

    def create_network(self, recipe: SegmentationRecipe, start: bool) -> nn.Module:
        """The network of the recipe, with the weights that it starts from if these are asked for."""
        return create_segmenter(recipe, start=start)

    def create_criterion(self) -> nn.Module:
        """What is minimised; `keep` of a criterion names the feature maps that it needs, `terms` what is logged."""
        return SingleBranchCriterion(**{"loss": "crossentropy", **self.recipe.criterion})

    @property
    def choose_by(self) -> str | None:
        """The score by which the epoch is chosen."""
        recipe = self.recipe
        return f"{recipe.lesions[0]}_{recipe.choose_by}" if recipe.choose_by and recipe.validation else None

    def adapt(self, data: Data) -> None:
        """Take the channel means of the training images, if these are what every image is normalised by."""
        super().adapt(data)
        if self.recipe.normalise_by == "training set":
            self.statistics = data.training.statistics.mean(0)

    def epoch_batches(self, images: ImageSet, epoch: int) -> Batches:
        """Crops by number, see `fundus_lib.data.patches.Crops`."""
        recipe = self.recipe
        if self._crops is None or self._crops.images is not images.images:
            self._crops = self.create_crops(images)
        self._crops.epoch = epoch
        return [range(step * recipe.batch, (step + 1) * recipe.batch) for step in range(recipe.steps)]

    def create_crops(self, images: ImageSet) -> Crops:
        """The crops of all epochs, of these images."""
        recipe = self.recipe
        return Crops(
            images.images,
            images.masks,
            images.statistics,
            crop=recipe.crop,
            length=recipe.steps * recipe.batch,
            lesion_fraction=recipe.lesion_fraction,
            seed=recipe.seed,
        )

    def load_batch(self, images: ImageSet, items: Sequence[int]) -> dict[str, Tensor]:
        """The crops of these numbers, (B, …)."""
        assert self._crops is not None, "epoch_batches comes first"
        batch: dict[str, Tensor] = default_collate([self._crops[item] for item in items])
        return batch

    def augment(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Normalised images and their masks as they are trained on."""
        images = jitter_colour(self.prepare(batch["image"], batch["statistics"]), self.recipe.colour_jitter)
        return images, batch["mask"]

    def training_step(self, batch: dict[str, Tensor], index: int) -> Tensor:
        """The loss of a batch."""
        images, masks = self.augment(batch)
        keep = getattr(self.criterion, "keep", ())
        output = self.model(images.contiguous(memory_format=torch.channels_last), **({"keep": keep} if keep else {}))
        parts = self.criterion({name: value.float() for name, value in output.items()}, {"mask": masks.float()})
        loss: Tensor = parts["total"]
        shown = {"loss": loss.detach()} | {n: parts[n].detach() for n in getattr(self.criterion, "terms", ())}
        self.log_dict(shown, on_step=False, on_epoch=True, prog_bar=True, sync_dist=True, batch_size=len(images))
        return loss

    def optimise(self, steps: int) -> Any:
        """AdamW under a one-cycle schedule over the whole stage."""
        recipe = self.recipe
        optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=recipe.learning_rate, total_steps=max(steps, 4)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def read_split(recipe: SegmentationRecipe, root: Path, split: str, count: int | None = None) -> ImageSet:
    """The images of a split, or the first so many."""
    data = IDRiDSegmentation(root, split, lesions=recipe.lesions, size=recipe.size)
    full = IDRiDSegmentation(root, split, lesions=recipe.lesions, cache=False).mask
    return ImageSet.read(data, title(root), data.fingerprint(), full=full, count=count)


def read_data(recipe: SegmentationRecipe, root: Path, read: Callable[..., ImageSet] = read_split) -> Data:
    """Training, validation (maybe none) and test images of a recipe.

    Args:
        recipe: Which images.
        root: Root of a copy of its data set.
        read: Reads a split, as :func:`read_split` does.
    """
    if recipe.fold:
        training, test = read(recipe, root, "train").hold_out(fold=recipe.fold)
        training, test = training.first(recipe.train_images), test.first(recipe.test_images)
    else:
        test = read(recipe, root, "test", recipe.test_images)
        if recipe.train_on == "SyntheticFundus":
            training = _synthesise(recipe, recipe.train_images or 0)
        else:
            training = read(recipe, root, "train", recipe.train_images)
    training, validation = training.hold_out(recipe.validation or 0)
    synthetic = _synthesise(recipe, recipe.pretraining_images) if recipe.pretraining_epochs else None
    return Data(training, validation, test, synthetic)


def test_fingerprint(recipe: SegmentationRecipe, root: Path) -> str:
    """Hash of the test data."""
    split = "train" if recipe.fold else "test"
    return IDRiDSegmentation(root, split, lesions=recipe.lesions, size=recipe.size).fingerprint()


def protocol(recipe: SegmentationRecipe, data: Data) -> AtTrainingSize:
    """Whole images at the size of training."""
    return AtTrainingSize(recipe, data.test)


def _synthesise(recipe: SegmentationRecipe, count: int) -> ImageSet:
    return ImageSet.synthetic(count, recipe.size, recipe.seed, lesions=recipe.lesions)
