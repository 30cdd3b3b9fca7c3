"""Photographs with grades, some of them with masks, held in memory: what a grader is trained and tested on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from fundus_lib.data.field_of_view import statistics
from fundus_lib.data.field_square import FieldSquare
from fundus_lib.data.idrid import IDRiDGrading, IDRiDSegmentation
from fundus_lib.data.inventory import title
from fundus_lib.data.splits import grading_leaks, overlap, segmentation_leaks, train_val_split
from fundus_lib.tasks.experiment import Source

if TYPE_CHECKING:
    from fundus_lib.data.base import FundusDataset
    from fundus_lib.data.sample import Sample
    from fundus_lib.recipes.grading import GradingRecipe

NO_MASK = -1


@dataclass(frozen=True)
class GradedImages:
    """Photographs with grades and, some of them, masks.

    Attributes:
        names: Of the images, (N).
        images: uint8 (N, 3, S, S).
        statistics: float32 (N, 2, 3), mean and standard deviation of each image's colours in its field of view.
        dr: int64 (N,), grades of retinopathy; −1 where unknown.
        dme: int64 (N,), risks of macular edema; −1 where unknown.
        masks: uint8 {0, 1} (M, L, S, S).
        mask_of: int64 (N,), which of the masks is the image's; −1 if it has none.
        source: Where they came from.
    """

    names: tuple[str, ...]
    images: Tensor
    statistics: Tensor
    dr: Tensor
    dme: Tensor
    masks: Tensor
    mask_of: Tensor
    source: Source

    def __len__(self) -> int:
        return len(self.names)

    @property
    def with_masks(self) -> list[int]:
        """Indices of the images that have masks."""
        return torch.nonzero(self.mask_of >= 0)[:, 0].tolist()

    @property
    def without_masks(self) -> list[int]:
        """Indices of the images that have none."""
        return torch.nonzero(self.mask_of < 0)[:, 0].tolist()

    def part(self, indices: Sequence[int]) -> GradedImages:
        """Some of the images; all masks stay where they are."""
        rows = torch.tensor(indices, dtype=torch.long)
        return replace(
            self,
            names=tuple(self.names[i] for i in indices),
            images=self.images[rows],
            statistics=self.statistics[rows],
            dr=self.dr[rows],
            dme=self.dme[rows],
            mask_of=self.mask_of[rows],
            source=replace(self.source, images=len(indices)),
        )

    def batch(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """Some images, with what is known of each.

        Returns:
            ``"image"``, ``"statistics"``, ``"dr"`` and ``"dme"`` as above, (B, …) each. If any of them has masks,
            ``"mask"`` uint8 (B, L, S, S), empty for the others, and ``"masked"`` int64, the places in the batch of
            those that have.
        """
        rows = torch.tensor(indices, dtype=torch.long)
        batch = {
            "image": self.images[rows],
            "statistics": self.statistics[rows],
            "dr": self.dr[rows],
            "dme": self.dme[rows],
        }
        own = self.mask_of[rows]
        masked = torch.nonzero(own >= 0)[:, 0]
        if len(masked):
            mask = torch.zeros(len(rows), *self.masks.shape[1:], dtype=torch.uint8)
            mask[masked] = self.masks[own[masked]]
            batch |= {"mask": mask, "masked": masked}
        return batch


def read_graded(recipe: GradingRecipe, root: Path) -> tuple[GradedImages, GradedImages, GradedImages, GradedImages]:
    """Training, validation and test images of a recipe, and the test images with masks (whose grades are not known).

    A photograph of the segmentation part that is in the grading part too has its grades from there. Unless the recipe
    keeps the leaks, training does without what `splits.grading_leaks` lists (photographs of either test set, and
    contradictory twins) and without the masks of photographs in the grading test set. Masks of validation images are
    not trained on. The validation images are the same with leaks and without; with a share of 0 there are none.
    """
    square, split = FieldSquare(recipe.side), ("train", "test")
    leaks = tuple(grading_leaks(root, "train")["name"])
    exclude = () if recipe.leaks else leaks
    grading = [
        IDRiDGrading(root, part, size=square.source_size, transform=square, exclude=exclude if part == "train" else ())
        for part in split
    ]
    masked = [
        IDRiDSegmentation(root, part, lesions=recipe.lesions, size=square.source_size, transform=square)
        for part in split
    ]
    graded, test = (_images(data, root, count) for data, count in zip(grading, recipe.counts, strict=True))
    pictures, test_pictures = (_images(data, root, recipe.mask_images) for data in masked)
    clean = [name for name in graded.names if name not in leaks]
    chosen = train_val_split(clean, recipe.validation)[1] if recipe.validation else []
    held_out = {clean[i] for i in chosen}
    train, validation = (
        graded.part([i for i, n in enumerate(graded.names) if (n in held_out) == v]) for v in (False, True)
    )
    return _join(train, _usable(recipe, root, pictures, graded, test, held_out)), validation, test, test_pictures


def _usable(
    recipe: GradingRecipe,
    root: Path,
    pictures: GradedImages,
    graded: GradedImages,
    test: GradedImages,
    held_out: set[str],
) -> GradedImages:
    """The images with masks that are trained on, under their names in the grading part, with their grades if known.

    The masks of the graded images that are `held_out` are not.
    """
    both = overlap(root)
    both = both[both.segmentation_split == "train"].set_index("segmentation")
    leaks = () if recipe.leaks else tuple(segmentation_leaks(root, "train")["name"])
    grades: dict[str, tuple[str, int, int]] = {}
    for part, images in (("train", graded), ("test", test)):
        known = dict(zip(images.names, zip(images.dr.tolist(), images.dme.tolist(), strict=True), strict=True))
        for name, twin in both[both.grading_split == part].grading.items():
            if twin in known:
                grades[str(name)] = (twin if part == "train" else f"test {twin}", *known[twin])
    use = [i for i, n in enumerate(pictures.names) if n not in leaks and grades.get(n, ("",))[0] not in held_out]
    if recipe.masks is not None:  # the same images for every seed, and with fewer some of those with more
        use = sorted(np.random.default_rng(0).permutation(use)[: recipe.masks].tolist())
    chosen = pictures.part(use)
    named = [grades.get(name, (f"ungraded {name}", -1, -1)) for name in chosen.names]
    return replace(
        chosen,
        names=tuple(name for name, _, _ in named),
        dr=torch.tensor([dr for _, dr, _ in named], dtype=torch.long),
        dme=torch.tensor([dme for _, _, dme in named], dtype=torch.long),
    )


def _join(graded: GradedImages, pictures: GradedImages) -> GradedImages:
    """Both, each photograph once: with its masks where it has any."""
    rest = graded.part([i for i, name in enumerate(graded.names) if name not in set(pictures.names)])
    content = f"{graded.source.fingerprint} {pictures.source.fingerprint}"
    names = rest.names + pictures.names
    return replace(
        pictures,
        names=names,
        images=torch.cat([rest.images, pictures.images]),
        statistics=torch.cat([rest.statistics, pictures.statistics]),
        dr=torch.cat([rest.dr, pictures.dr]),
        dme=torch.cat([rest.dme, pictures.dme]),
        mask_of=torch.cat([rest.mask_of, pictures.mask_of]),
        source=Source(graded.source.title, hashlib.sha256(content.encode()).hexdigest()[:12], len(names)),
    )


def _images(data: FundusDataset, root: Path, count: int | None) -> GradedImages:
    """The first `count` of a data set, of which no others are decoded; the fingerprint is that of all."""
    fingerprint, data.items = data.fingerprint(), data.items[:count]
    samples = [data[index] for index in range(len(data))]
    return gather(samples, Source(title(root), fingerprint, len(samples)), masks=bool(data.lesions))


def gather(samples: Sequence[Sample], source: Source, *, masks: bool) -> GradedImages:
    """Samples as one set.

    Args:
        samples: All of one size.
        source: Where they came from.
        masks: Whether their masks count.
    """
    images = torch.stack([sample["image"].as_subclass(Tensor) for sample in samples])
    return GradedImages(
        tuple(sample["name"] for sample in samples),
        images,
        torch.stack([statistics(image.permute(1, 2, 0).numpy()) for image in images]),
        torch.tensor([sample["dr"] for sample in samples], dtype=torch.long),
        torch.tensor([sample["dme"] for sample in samples], dtype=torch.long),
        torch.stack([sample["mask"].as_subclass(Tensor) for sample in samples])
        if masks
        else torch.zeros(0, 0, *images.shape[-2:], dtype=torch.uint8),
        torch.arange(len(samples)) if masks else torch.full((len(samples),), NO_MASK),
        source,
    )


def draw_graded(recipe: GradingRecipe) -> GradedImages | None:
    """The drawn photographs of pre-training, all with masks and grades, if the recipe has any.

    Their seed is none that a drawn data set has by default, so that a network that is tested on one has not seen it.
    """
    if not recipe.pretraining_epochs:
        return None
    from fundus_lib.data.synthetic import SyntheticFundus

    square = FieldSquare(recipe.side)
    drawn = SyntheticFundus(
        recipe.pretraining_images,
        size=square.source_size,
        seed=1_000_000 + recipe.seed,
        population="grading",
        lesions=recipe.lesions,
    )
    samples = [square(dict(drawn[index])) for index in range(len(drawn))]
    made = gather(samples, Source("SyntheticFundus", "", len(samples)), masks=True)  # type: ignore[arg-type]
    content = b"".join(part.numpy().tobytes() for part in (made.images, made.masks, made.dr, made.dme))
    return replace(made, source=replace(made.source, fingerprint=hashlib.sha256(content).hexdigest()[:12]))
