"""DDR's grading part for a grader: 13,673 images with grades of retinopathy, in three splits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fundus_lib.data.ddr import DDRGrading, DDRSegmentation
from fundus_lib.data.field_square import FieldSquare
from fundus_lib.data.image_set import ImageSet
from fundus_lib.data.inventory import title
from fundus_lib.data.layout import other_data_set
from fundus_lib.errors import ArgumentError
from fundus_lib.tasks.base import Data

if TYPE_CHECKING:
    from fundus_lib.data.base import FundusDataset
    from fundus_lib.recipes import GradingRecipe


def is_ddr(recipe: GradingRecipe, root: Path) -> bool:
    """Whether the root holds DDR's grading part.

    A recipe for DDR whose root has IDRiD's layout (the synthetic stand-in) is read as IDRiD is.

    Raises:
        ArgumentError: The root holds another data set than the recipe is for.
    """
    there = (root / "DR_grading").is_dir()
    if there != (recipe.dataset == "DDR") and (there or title(root) != "synthetic"):
        raise other_data_set(root, "DDR" if there else "no DR_grading", recipe.dataset)
    return there


def read_data(recipe: GradingRecipe, root: Path) -> Data:
    """The images of DDR: its own splits, of which that for validation is not used without validation; no masks.

    Raises:
        ArgumentError: The recipe needs edema's risks, masks or folds, which are IDRiD's.
    """
    if recipe.diseases != ("dr",) or recipe.regulariser or recipe.fold:
        raise ArgumentError(
            f"recipe {recipe.row!r}",
            "DDR has retinopathy's grades alone, and its own splits",
            found=f"diseases={recipe.diseases}, regulariser={recipe.regulariser}, fold={recipe.fold}",
            expected="a grader of retinopathy",
            remedy="recipe.replace(dataset='IDRiD'), or another row",
        )
    square = FieldSquare(recipe.side)
    counts = {"train": recipe.train_images, "val": recipe.train_images, "test": recipe.test_images}
    training, validation, test = (
        _read(DDRGrading(root, split, size=square.read_size, transform=square), count)
        for split, count in counts.items()
    )
    masked = DDRSegmentation(root, "test", lesions=recipe.lesions, size=square.read_size, transform=square)
    validation = validation if recipe.validation else validation.part([])
    return Data(training, validation, test, None, _read(masked, recipe.mask_images))


def fingerprint_test(root: Path) -> str:
    """Hash of the test data."""
    return DDRGrading(root, "test").fingerprint()


def _read(data: FundusDataset, count: int | None) -> ImageSet:
    return ImageSet.read(data, "DDR", data.fingerprint(), masks=bool(data.lesions), count=count)
