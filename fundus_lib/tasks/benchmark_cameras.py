"""The test of the benchmark on images of another camera: which, where they lie, and at which scale they are read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fundus_lib.data.field_scale import FieldScaledDDR, FieldScaledDiaRetDB1, FieldScaledIDRiD
from fundus_lib.data.image_set import ImageSet
from fundus_lib.data.inventory import title
from fundus_lib.data.layout import find_beside

if TYPE_CHECKING:
    from fundus_lib.data.field_scale import FieldScaled
    from fundus_lib.recipes import BenchmarkRecipe

READERS: dict[str, type[FieldScaled]] = {
    "IDRiD": FieldScaledIDRiD,
    "DDR": FieldScaledDDR,
    "DiaRetDB1": FieldScaledDiaRetDB1,
}


def find_camera(recipe: BenchmarkRecipe, root: Path) -> tuple[str, Path]:
    """The data set that a recipe is tested on, and its root: it lies beside that of training.

    A synthetic copy of IDRiD that has no such neighbour stands for it, too.

    Args:
        recipe: With `test_on`.
        root: Root of the training images.

    Raises:
        DatasetNotFoundError: It is not there.
    """
    name = recipe.test_on
    if title(root) == "synthetic" and not (root.absolute().parent / name).is_dir():
        return recipe.dataset, root
    return name, find_beside(root, name, f"this row is trained on {recipe.dataset} and tested on")


def read_cameras(recipe: BenchmarkRecipe, root: Path, width: float) -> tuple[ImageSet, ImageSet, bool]:
    """Test images of the other camera, those of the camera of training, all at one scale, and a word on the masks.

    Args:
        recipe: With `test_on` and `test_images`.
        root: Root of the training images.
        width: Median width of their field of view in pixels: the scale that the network learns.

    Returns:
        Both, and whether the masks of the other camera are coarse regions.
    """
    name, path = find_camera(recipe, root)
    other = _open(name, path, width)
    own = _open(recipe.dataset, root, width)
    count = recipe.test_images
    return (
        ImageSet.read(other, title(path) if name == recipe.dataset else name, other.fingerprint(), count=count),
        ImageSet.read(own, title(root), own.fingerprint(), count=count),
        other.regions,
    )


def fingerprint_camera(recipe: BenchmarkRecipe, root: Path) -> str:
    """Hash of the test data of the other camera, whatever the scale."""
    return _open(*find_camera(recipe, root), width=1.0).fingerprint()


def _open(name: str, root: Path, width: float) -> FieldScaled:
    return READERS[name](root, "test", max(1, round(width)))
