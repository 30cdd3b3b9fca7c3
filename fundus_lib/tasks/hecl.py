"""Segmentation with contrastive terms, on crops as in the first segmenter, or on whole images as in hecl."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from fundus_lib.data.augment import jitter_colour, rotate_and_crop, scale_brightness_and_contrast
from fundus_lib.data.epochs import cut_into_batches
from fundus_lib.data.idrid import IDRiDSegmentation
from fundus_lib.data.image_set import ImageSet
from fundus_lib.data.inventory import title
from fundus_lib.data.padded_square import FULL, WIDTH, MiddleColumns
from fundus_lib.losses import HECLCriterion
from fundus_lib.protocols.image_means import ImageMeans
from fundus_lib.tasks import first_segmenter
from fundus_lib.tasks.base import Data

if TYPE_CHECKING:
    from fundus_lib.data.epochs import Batches
    from fundus_lib.recipes import HECLRecipe

UNCHANGED = torch.tensor([[0.0] * 3, [255.0] * 3])
"""Mean and deviation that bring uint8 between 0 and 1."""


class Task(first_segmenter.Task):
    """Trains the model of a recipe with or without contrastive terms.

    Args:
        recipe: What to train and how.
        start: Load the weights that the recipe starts from.
    """

    def __init__(self, recipe: HECLRecipe, *, start: bool = True):
        super().__init__(recipe, start=start)  # type: ignore[arg-type]
        self.clip = recipe.clip or None

    def create_criterion(self) -> nn.Module:
        """That of the first segmenter, or with terms that of hecl."""
        criterion = self.recipe.criterion
        return HECLCriterion(**criterion) if "terms" in criterion else super().create_criterion()

    def adapt(self, data: Data) -> None:
        """Take what images are normalised by."""
        super().adapt(data)
        if self.recipe.normalise_by == "none":
            self.statistics = UNCHANGED.clone()

    def epoch_batches(self, images: ImageSet, epoch: int) -> Batches:
        """Crops by number; or of whole images the numbers, each once, in an order of the seed and the epoch."""
        recipe = self.recipe
        if not recipe.square:
            return super().epoch_batches(images, epoch)
        order = np.random.default_rng((recipe.seed, epoch)).permutation(len(images)).tolist()
        return cut_into_batches(order, recipe.batch, f"recipe {recipe.row!r}")

    def load_batch(self, images: ImageSet, items: Sequence[int]) -> dict[str, Tensor]:
        """The crops of these numbers, or these whole images, (B, …)."""
        return images.batch(items) if self.recipe.square else super().load_batch(images, items)

    def augment(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Of whole images rotated crops; colours vary."""
        recipe, images, masks = self.recipe, self.prepare(batch["image"], batch["statistics"]), batch["mask"]
        if recipe.square:
            images, masks = rotate_and_crop(images, masks, recipe.crop)
        vary = scale_brightness_and_contrast if recipe.normalise_by == "none" else jitter_colour
        return vary(images, recipe.colour_jitter), masks

    def on_train_epoch_start(self) -> None:
        """Forget the moments, if the recipe does."""
        if self.recipe.renew:
            self.trainer.optimizers[0].state.clear()

    def optimise(self, steps: int) -> Any:
        """AdamW under a one-cycle schedule, or with a rate that is halved after so many epochs."""
        if not self.recipe.halve_after:
            return super().optimise(steps)
        optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=self.recipe.learning_rate, weight_decay=self.recipe.weight_decay
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": torch.optim.lr_scheduler.StepLR(optimizer, self.recipe.halve_after, gamma=0.5),
        }


def read_data(recipe: HECLRecipe, root: Path) -> Data:
    """Training, validation (maybe none) and test images of a recipe."""
    if not recipe.square:
        return first_segmenter.read_data(recipe, root)
    count = None if recipe.fold else recipe.train_images
    training = _read(recipe, root, "train", count)
    if recipe.fold or recipe.validation:
        squares = _read(recipe, root, "train", count, square=True)
    if recipe.fold:
        training, (squares, test) = training.hold_out(fold=recipe.fold)[0], squares.hold_out(fold=recipe.fold)
        training, test = training.first(recipe.train_images), test.first(recipe.test_images)
    else:
        test = _read(recipe, root, "test", recipe.test_images, square=True)
    validation = test.part([])
    if recipe.validation:
        if recipe.fold:
            squares = squares.first(recipe.train_images)
        validation = squares.hold_out(recipe.validation)[1]
        training = training.hold_out(recipe.validation)[0]
    return Data(training, validation, test)


def _read(recipe: HECLRecipe, root: Path, split: str, count: int | None = None, *, square: bool = False) -> ImageSet:
    """The middle columns of a split's images, or these padded to a square."""
    size = (recipe.square, recipe.square) if square else (recipe.size[0], round(recipe.size[1] * WIDTH / FULL))
    data = MiddleColumns(
        root, split, lesions=recipe.lesions, size=size, square=square, inflate=recipe.masks == "inflated"
    )
    full = IDRiDSegmentation(root, split, lesions=recipe.lesions, cache=False).mask
    return ImageSet.read(data, title(root), data.fingerprint(), full=full, count=count)


def test_fingerprint(recipe: HECLRecipe, root: Path) -> str:
    """Hash of the test data."""
    return first_segmenter.test_fingerprint(recipe, root)


def protocol(recipe: HECLRecipe, data: Data) -> ImageMeans:
    """The paper's, the one of the first segmenter, and that at full size."""
    return ImageMeans(recipe, data.test)
