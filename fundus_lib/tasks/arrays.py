"""The images of a run, held in memory, and the crops that are cut from them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning as L
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from fundus_lib.data.field_of_view import bounding_box, field_of_view, statistics
from fundus_lib.data.patches import Crops
from fundus_lib.tasks.experiment import shared_out, sharing

if TYPE_CHECKING:
    from fundus_lib.recipes.segmentation import SegmentationRecipe


@dataclass(frozen=True)
class Arrays:
    """Images with masks.

    Attributes:
        images: uint8 (N, 3, H, W).
        masks: uint8 {0, 1} (N, L, H, W).
        statistics: float32 (N, 2, 3), mean and standard deviation by which each image is normalised.
        field_width: Median width of the field of view in pixels.
        title: What data set they are of, as written into records.
        fingerprint: Digits that change with the content of the data set.
    """

    images: Tensor
    masks: Tensor
    statistics: Tensor
    field_width: float
    title: str
    fingerprint: str

    def __len__(self) -> int:
        return len(self.images)

    def part(self, indices: list[int]) -> Arrays:
        """Some of the images."""
        return replace(
            self, images=self.images[indices], masks=self.masks[indices], statistics=self.statistics[indices]
        )


def read_arrays(recipe: SegmentationRecipe, root: Path) -> tuple[Arrays, Arrays, Arrays]:
    """Training, validation (maybe none) and test images of a recipe, with the statistics to normalise them by."""
    training, validation = validation_split(recipe, _training(recipe, root))
    test = _idrid(recipe, root, "test", recipe.test_images)
    if recipe.normalise_by == "image":
        return training, validation, test
    common = training.statistics.mean(0)
    training, validation, test = (
        replace(part, statistics=common.expand(len(part), 2, 3)) for part in (training, validation, test)
    )
    return training, validation, test


def _training(recipe: SegmentationRecipe, root: Path) -> Arrays:
    if recipe.train_on == "SyntheticFundus":
        from fundus_lib.data.synthetic import SyntheticFundus

        count = recipe.train_images or 0
        drawn = SyntheticFundus(count, size=recipe.size, seed=recipe.seed, lesions=recipe.lesions)
        arrays = _read(drawn, None, "SyntheticFundus", "")
        content = hashlib.sha256(arrays.images.numpy().data)
        content.update(arrays.masks.numpy().data)
        return replace(arrays, fingerprint=content.hexdigest()[:12])
    return _idrid(recipe, root, "train", recipe.train_images)


def validation_split(recipe: SegmentationRecipe, images: Arrays) -> tuple[Arrays, Arrays]:
    """Training and validation images, drawn apart at random, alike for every seed of the recipe."""
    order = np.random.default_rng(0).permutation(len(images)).tolist()
    return images.part(sorted(order[recipe.validation_images :])), images.part(
        sorted(order[: recipe.validation_images])
    )


class CropsModule(L.LightningDataModule):
    """Feeds each epoch its own crops, to one process or shared out among several.

    Args:
        recipe: Says which crops.
        images: Where they are cut from.
    """

    def __init__(self, recipe: SegmentationRecipe, images: Arrays):
        super().__init__()
        self.recipe, self.arrays = recipe, images

    def train_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        """The crops of the current epoch; Lightning asks again for each (`reload_dataloaders_every_n_epochs=1`)."""
        recipe, trainer = self.recipe, sharing(self.trainer, self.recipe.batch)
        crops = Crops(
            self.arrays.images,
            self.arrays.masks,
            self.arrays.statistics,
            crop=recipe.crop,
            length=recipe.steps * recipe.batch,
            lesion_share=recipe.lesion_share,
            seed=recipe.seed,
            epoch=trainer.current_epoch,
        )
        # cutting crops takes about a millisecond a batch: no worker processes are needed
        return DataLoader(
            crops,
            batch_size=recipe.batch // trainer.world_size,
            sampler=shared_out(crops, trainer),
            pin_memory=torch.cuda.is_available(),
        )


def _idrid(recipe: SegmentationRecipe, root: Path, split: str, count: int | None) -> Arrays:
    from fundus_lib.data.idrid import IDRiDSegmentation
    from fundus_lib.data.inventory import title

    data = IDRiDSegmentation(root, split, lesions=recipe.lesions, size=recipe.size)
    return _read(data, count, title(root), data.fingerprint())


def _read(data: Any, count: int | None, title: str, fingerprint: str) -> Arrays:
    images, masks, colours, widths = [], [], [], []
    for index in range(min(count or len(data), len(data))):
        sample = data[index]
        image = np.ascontiguousarray(sample["image"].permute(1, 2, 0).numpy())  # (H, W, 3)
        field = field_of_view(image)
        columns = bounding_box(field)[1]
        images.append(sample["image"].as_subclass(Tensor))
        masks.append(sample["mask"].as_subclass(Tensor))
        colours.append(statistics(image, field))
        widths.append(columns.stop - columns.start)
    return Arrays(
        torch.stack(images), torch.stack(masks), torch.stack(colours), float(np.median(widths)), title, fingerprint
    )
