"""The synthetic data set: images that are drawn on access."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch.utils.data import Dataset
from torchvision import tv_tensors

from fundus_lib.checks import check_index
from fundus_lib.data.points import GradingSample, point
from fundus_lib.data.sample import LESIONS, Sample, Size
from fundus_lib.data.synthetic.fundus import Fundus, draw
from fundus_lib.data.synthetic.patient import JOINT_GRADES, Population
from fundus_lib.errors import ArgumentError, UnknownNameError


class SyntheticFundus(Dataset[Sample]):
    """Synthetic fundus images, each drawn on access.

    Number, size and place of the lesions follow the statistics of IDRiD; the grades follow from the lesions by the
    clinical rules. Each image depends on the seed and its index alone.

    Args:
        n: Number of images.
        size: (height, width) in pixels; the same index is the same eye at every size.
        seed: Another seed gives other eyes.
        population: `"segmentation"`: as in IDRiD's part A, moderate to proliferative disease, always with
            microaneurysms and hard exudates. `"grading"`: as in part B, one third healthy.
        lesions: The channels of the mask, in this order.
        transform: Applied to each sample.

    Raises:
        ArgumentError: `n` or `size` is too small.
        UnknownNameError: There is no such population or lesion.

    Example:
        >>> data = SyntheticFundus(4, size=(240, 360))
        >>> data[0]["mask"].shape
        torch.Size([4, 240, 360])
    """

    def __init__(
        self,
        n: int,
        size: Size = (480, 720),
        seed: int = 0,
        *,
        population: Population = "segmentation",
        lesions: Sequence[str] = LESIONS,
        transform: Callable[[Sample], Sample] | None = None,
    ):
        if isinstance(size, int) or len(size) != 2 or not isinstance(n, int) or seed < 0:
            raise ArgumentError(
                "SyntheticFundus",
                "number, size or seed is of another form",
                found=f"n={n!r}, size={size!r}, seed={seed!r}",
                expected="an integer, (height, width), and an integer of 0 or more",
                remedy="write for instance SyntheticFundus(8, (480, 720), seed=0)",
            )
        if n < 1 or min(size) < 32:
            raise ArgumentError(
                "SyntheticFundus",
                "the data set is empty or the images are too small",
                found=f"n={n}, size={size}",
                expected="n of 1 or more, height and width of 32 pixels or more",
                remedy="give a larger n or size",
            )
        if population not in JOINT_GRADES:
            raise UnknownNameError(
                "population",
                "there is no such population",
                found=repr(population),
                expected=" or ".join(map(repr, JOINT_GRADES)),
                remedy="name one of these",
            )
        if isinstance(lesions, str) or not set(lesions) <= set(LESIONS) or len(set(lesions)) < len(lesions):
            raise UnknownNameError(
                "lesions",
                "these are not lesions of the data set",
                found=repr(lesions),
                expected=f"a tuple of names among {', '.join(LESIONS)}, each at most once",
                remedy='write for instance lesions=("EX",)',
            )
        self.n, self.size, self.seed, self.population = n, size, seed, population
        self.lesions, self.transform = tuple(lesions), transform

    def __len__(self) -> int:
        return self.n

    def draw(self, index: int) -> Fundus:
        """Draw image `index` with its ground truth: lesions, vessels, distractors, landmarks.

        Raises:
            ArgumentError: The index is no integer.
            ImageIndexError: There is no such image.
        """
        return draw(self.seed, check_index("SyntheticFundus", index, self.n), self.size, self.population)

    def __getitem__(self, index: int) -> Sample:
        fundus = self.draw(index)
        empty = np.zeros(self.size, np.uint8)
        planes = [fundus.masks.get(lesion, empty) for lesion in self.lesions]
        sample: GradingSample = {
            "image": tv_tensors.Image(torch.from_numpy(np.ascontiguousarray(fundus.image.transpose(2, 0, 1)))),
            "mask": tv_tensors.Mask(
                torch.from_numpy(np.stack(planes) if planes else np.zeros((0, *self.size), np.uint8))
            ),
            "dr": fundus.dr,
            "dme": fundus.dme,
            "name": f"synthetic_{index % self.n + 1:03d}",
            "optic_disc": point(fundus.optic_disc, self.size),
            "fovea": point(fundus.fovea, self.size),
        }
        return self.transform(sample) if self.transform is not None else sample
