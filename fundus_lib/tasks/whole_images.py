"""Whole photographs for training: held in memory, each in six fixed versions, one or a pair to a step.

Source: dual_branch, "Data Preprocessing and Augmentation": rotation by 90°, 180° and 270°, horizontal and vertical
flip.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning as L
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from fundus_lib.data.ddr_whole import DDRWholeImages
from fundus_lib.data.idrid import IDRiDSegmentation
from fundus_lib.data.inventory import title
from fundus_lib.errors import ArgumentError
from fundus_lib.tasks.experiment import Source, shared_out, sharing

if TYPE_CHECKING:
    from fundus_lib.recipes.whole_images import DualBranchRecipe

VERSIONS = ("identity", "90°", "180°", "270°", "horizontal flip", "vertical flip")
"""The versions of every training image, in order."""


HELD_OUT = 9
"""Of the 54 training images of IDRiD, those that are kept out of training to choose the epoch on."""


@dataclass(frozen=True)
class Photographs:
    """Photographs with masks, which may differ in size.

    Attributes:
        images: uint8 (3, H, W) each.
        masks: uint8 {0, 1} (L, H, W) each.
        full_mask: Gives the masks of the n-th at the size on disk, uint8 {0, 1} (L, H', W').
        source: Where they came from.
    """

    images: Sequence[Tensor]
    masks: Sequence[Tensor]
    full_mask: Callable[[int], NDArray[np.uint8]]
    source: Source

    def __len__(self) -> int:
        return len(self.images)

    def part(self, indices: Sequence[int]) -> Photographs:
        """Some of them."""
        return Photographs(
            [self.images[i] for i in indices],
            [self.masks[i] for i in indices],
            lambda number: self.full_mask(indices[number]),
            replace(self.source, images=len(indices)),
        )


def version(picture: Tensor, number: int) -> Tensor:
    """One of the six versions of an image or a mask, (…, H, W) to (…, H, W) or (…, W, H)."""
    if number < 4:
        return torch.rot90(picture, number, (-2, -1))
    return picture.flip(-1 if number == 4 else -2)


class Steps(Dataset[dict[str, Tensor]]):
    """What an epoch shows, in an order that depends on the seed alone.

    Every photograph comes once in each of `versions` of its six versions, drawn at random if they are fewer. With one
    prefix, ``("",)``, item n is the n-th photograph of that order: ``{"image", "mask", "version"}``. With two,
    ``("large_", "small_")``, it is a pair of photographs, each from an order of its own: ``{"large_image", …,
    "small_version"}``. Images are uint8 (3, H, W), masks uint8 (L, H, W), not turned yet: `version` says how to
    turn them, which is done on the device.

    Args:
        photographs: What to show.
        versions: 1 to 6.
        prefixes: Of the keys, one for each branch.
        seed: Seed of the experiment.
        epoch: Number of the epoch.
    """

    def __init__(
        self,
        photographs: Photographs,
        *,
        versions: int = 6,
        prefixes: Sequence[str] = ("",),
        seed: int = 0,
        epoch: int = 0,
    ):
        self.photographs = photographs
        self.orders: dict[str, list[tuple[int, int]]] = {}
        for stream, prefix in enumerate(prefixes):
            rng = np.random.default_rng((seed, epoch, stream))
            shown = [
                (image, int(number))
                for image in range(len(photographs))
                for number in rng.permutation(len(VERSIONS))[:versions]
            ]
            self.orders[prefix] = [shown[i] for i in rng.permutation(len(shown))]

    def __len__(self) -> int:
        return len(next(iter(self.orders.values())))

    def __getitem__(self, index: int) -> dict[str, Any]:
        item: dict[str, Any] = {}
        for prefix, order in self.orders.items():
            image, number = order[index]
            item |= {
                f"{prefix}image": self.photographs.images[image],
                f"{prefix}mask": self.photographs.masks[image],
                f"{prefix}version": number,
            }
        return item


class StepsModule(L.LightningDataModule):
    """Feeds each epoch its own order, to one process or shared out among several. A batch is a list of items.

    Args:
        recipe: Says which order.
        real: The photographs.
        drawn: Those of the epochs of pre-training; none if there are none.
    """

    def __init__(self, recipe: DualBranchRecipe, real: Photographs, drawn: Photographs | None = None):
        super().__init__()
        self.recipe, self.real, self.drawn = recipe, real, drawn

    def train_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        """The steps of the current epoch; Lightning asks again for each (`reload_dataloaders_every_n_epochs=1`)."""
        recipe, trainer = self.recipe, sharing(self.trainer, self.recipe.batch)
        epoch = trainer.current_epoch
        shown = self.drawn if self.drawn is not None and epoch < recipe.pretraining_epochs else self.real
        steps = Steps(shown, versions=recipe.versions, prefixes=recipe.prefixes, seed=recipe.seed, epoch=epoch)
        return DataLoader(
            steps,
            batch_size=recipe.batch // trainer.world_size,
            sampler=shared_out(steps, trainer),
            collate_fn=list,
            drop_last=True,
            pin_memory=torch.cuda.is_available(),
        )


def is_ddr(root: Path) -> bool:
    """Whether a folder has the layout of DDR's segmentation part; otherwise it is read as IDRiD's."""
    return (root / "lesion_segmentation").is_dir()


def read_photographs(recipe: DualBranchRecipe, root: Path) -> tuple[Photographs, Photographs, Photographs]:
    """Training, validation and test photographs of a recipe.

    IDRiD has no validation split: `validation_images` of its training images are drawn at random, alike for every seed
    of the recipe. DDR has one. A recipe for DDR whose root has IDRiD's layout (the synthetic stand-in) is read as IDRiD
    is.
    """
    if is_ddr(root) != (recipe.test_on == "DDR") and (is_ddr(root) or title(root) != "synthetic"):
        raise ArgumentError(
            root,
            "this is not the data set that the recipe is for",
            found="DDR" if is_ddr(root) else title(root),
            expected=recipe.test_on,
            remedy=f"name the folder of {recipe.test_on} with --data, or the folder above it with FUNDUS_DATA",
        )
    test = _read(recipe, root, "test", recipe.test_images)
    if is_ddr(root):
        training = _read(recipe, root, "train", recipe.train_images)
        return training, _read(recipe, root, "val", recipe.validation_images), test
    images = _read(recipe, root, "train")
    order = np.random.default_rng(0).permutation(len(images)).tolist()
    held_out = HELD_OUT if recipe.validation_images is None else recipe.validation_images
    if held_out >= len(images):
        raise ArgumentError(
            root,
            "no image is left to train on",
            found=f"{len(images)} training images, of which {held_out} are held out for validation",
            expected=f"more than {held_out}",
            remedy="use a larger copy, or recipe.replace(validation_images=…)",
        )
    training = images.part(sorted(order[held_out:])[: recipe.train_images])
    return training, images.part(sorted(order[:held_out])), test


def test_fingerprint(recipe: DualBranchRecipe, root: Path) -> str:
    """Digits that change with the test data of a recipe."""
    return _open(recipe, root, "test").fingerprint()


def draw_photographs(recipe: DualBranchRecipe) -> Photographs | None:
    """The drawn photographs of pre-training, if the recipe has any."""
    if not recipe.pretraining_epochs:
        return None
    from fundus_lib.data.synthetic import SyntheticFundus

    drawn = SyntheticFundus(recipe.pretraining_images, size=recipe.size, seed=recipe.seed, lesions=recipe.lesions)
    samples = [drawn[index] for index in range(len(drawn))]
    images = [sample["image"].as_subclass(Tensor) for sample in samples]
    masks = [sample["mask"].as_subclass(Tensor) for sample in samples]
    content = hashlib.sha256(b"".join(part.numpy().tobytes() for part in (*images, *masks))).hexdigest()[:12]
    return Photographs(images, masks, lambda i: masks[i].numpy(), Source("SyntheticFundus", content, len(images)))


def mean_colour(photographs: Photographs) -> Tensor:
    """Mean of each colour over all pixels of all photographs, black border included: float32 (3,), 0-255."""
    sums = torch.stack([image.double().sum((1, 2)) for image in photographs.images]).sum(0)
    return (sums / sum(image.shape[1] * image.shape[2] for image in photographs.images)).float()


def _open(recipe: DualBranchRecipe, root: Path, split: str) -> IDRiDSegmentation | DDRWholeImages:
    if is_ddr(root):
        return DDRWholeImages(root, split, side=max(recipe.size), lesions=recipe.lesions)
    return IDRiDSegmentation(root, split, lesions=recipe.lesions, size=recipe.size)


def _read(recipe: DualBranchRecipe, root: Path, split: str, count: int | None = None) -> Photographs:
    data = _open(recipe, root, split)
    if isinstance(data, DDRWholeImages):
        name, full_mask = "DDR", data.full_mask
        if data.dropped:
            print(f"left out of training, having no {' or '.join(recipe.lesions)}: {len(data.dropped)} photographs")
    else:
        name, full_mask = title(root), IDRiDSegmentation(root, split, lesions=recipe.lesions, cache=False).mask
    samples = [data[index] for index in range(len(data))[:count]]
    images = [sample["image"].as_subclass(Tensor) for sample in samples]
    masks = [sample["mask"].as_subclass(Tensor) for sample in samples]
    return Photographs(images, masks, full_mask, Source(name, data.fingerprint(), len(samples)))
