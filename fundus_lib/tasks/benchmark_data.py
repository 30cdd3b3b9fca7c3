"""The images of the benchmark: with masks, and for a network that also grades, those with a grade."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fundus_lib.data.augment import turn
from fundus_lib.data.idrid import IDRiDGrading
from fundus_lib.data.image_set import ImageSet, combine_fingerprints
from fundus_lib.data.inventory import title
from fundus_lib.data.pseudo_label_table import read_pseudo_labels
from fundus_lib.data.splits import find_shared, grading_leaks
from fundus_lib.errors import ArgumentError
from fundus_lib.pseudo_labels import allow_grades
from fundus_lib.tasks import first_segmenter
from fundus_lib.tasks.base import Data
from fundus_lib.tasks.benchmark_cameras import find_camera, read_cameras

if TYPE_CHECKING:
    from fundus_lib.recipes import BenchmarkRecipe


@dataclass(frozen=True)
class BenchmarkData(Data):
    """The images of an experiment.

    Attributes:
        graded: Images with a grade of retinopathy, shown beside the crops; None without grades.
        own: Where the test is on another camera's images, the test images of the camera of training in the same form.
        regions: Whether the other camera's masks are coarse regions.
    """

    graded: ImageSet | None = None
    own: ImageSet | None = None
    regions: bool = False


class GradedOrder:
    """Graded images in an order of the seed, again and again, each time turned by half or not and mirrored or not.

    Args:
        images: All of one size.
        seed: Of the run.
    """

    def __init__(self, images: ImageSet, seed: int):
        self.images, self.seed = images, seed

    def draw(self, places: Sequence[int]) -> dict[str, Tensor]:
        """The images at these places of the order.

        Returns:
            ``"image"`` uint8 (B, 3, h, w), ``"statistics"`` (B, 2, 3) and ``"dr"`` int64 (B,).
        """
        drawn = [self.draw_number(place) for place in places]
        numbers = [number for number, _, _ in drawn]
        images = [turn(self.images.images[number], 2 * half, mirror) for number, half, mirror in drawn]
        return {
            "image": torch.stack(images),
            "statistics": self.images.statistics[numbers],
            "dr": self.images.dr[numbers],
        }

    def draw_number(self, place: int) -> tuple[int, int, bool]:
        """Number of the image at a place, half turns, and whether it is mirrored."""
        time, rest = divmod(place, len(self.images))
        rng = np.random.default_rng((self.seed, time, 1))
        number = int(rng.permutation(len(self.images))[rest])
        half, mirror = np.random.default_rng((self.seed, place, 2)).integers(2, size=2).tolist()
        return number, half, bool(mirror)


def read_data(recipe: BenchmarkRecipe, root: Path) -> BenchmarkData:
    """Training, validation (maybe none) and test images of a recipe, and graded ones if it shows any."""
    if recipe.test_on:
        find_camera(recipe, root)  # which is cheaper than reading what is trained on
    data, graded = first_segmenter.read_data(recipe, root), None
    test, own, regions = data.test, None, False
    if recipe.test_on:
        test, own, regions = read_cameras(recipe, root, data.training.field_width)
    if recipe.graded_size is not None:
        pseudo = recipe.labels == "pseudo"
        graded = label(data.training, recipe.graded_size) if pseudo else read_graded(recipe, root)
    training = data.training
    if graded is not None:
        content = f"{training.fingerprint} {graded.fingerprint}"
        training = replace(training, fingerprint=combine_fingerprints(content))
    return BenchmarkData(training, data.validation, test, data.synthetic, graded=graded, own=own, regions=regions)


def read_graded(recipe: BenchmarkRecipe, root: Path) -> ImageSet:
    """Graded training images, but those that contradict each other or that the part with masks holds too.

    These are left out in whichever split of that part they are: its test images cannot be learnt from their grades.

    Raises:
        ArgumentError: None is left.
    """
    without = {*grading_leaks(root, "train")["name"], *find_shared(root)}
    data = IDRiDGrading(root, "train", size=recipe.graded_size, exclude=tuple(sorted(without)))
    count = None if recipe.train_images is None else 8 * recipe.train_images
    images = ImageSet.read(data, title(root), data.fingerprint(), masks=False, count=count)
    if not len(images):
        raise ArgumentError(
            root,
            "there is no graded image to show",
            found=f"none but {len(without)} that contradict each other or that the part with masks holds, too",
            expected="graded training images of their own",
            remedy="unpack 'B. Disease Grading' as well, or draw a larger set with fundus data make",
        )
    return images


def label(images: ImageSet, size: tuple[int, int]) -> ImageSet:
    """Images with masks, shrunk, with pseudo labels as their grades.

    The labels are those of graders that have seen none of these images, corrected by lesions. Drawn images have the
    least grade that their lesions allow.

    Args:
        images: With masks of MA, HE, EX and SE.
        size: (height, width).
    """
    if images.title == "synthetic":
        there = torch.stack([mask.flatten(1).any(1).bool() for mask in images.masks if mask is not None])
        labels = allow_grades(there).long().argmax(1)
    else:
        labels = torch.tensor(read_pseudo_labels(leaks=False)["after"].loc[list(images.names)].to_numpy())
    small = [
        F.interpolate(image[None].float(), size, mode="area").round().to(torch.uint8)[0] for image in images.images
    ]
    digest = hashlib.sha256(f"{size} {labels.tolist()}".encode()).hexdigest()[:12]
    return replace(
        images,
        images=tuple(small),
        masks=(None,) * len(images),
        full_masks=(None,) * len(images),
        dr=labels,
        fingerprint=digest,
    )
