"""The sample: what every data set yields, and the names and orders that everybody uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypedDict

from fundus_lib.grades import GRADES

if TYPE_CHECKING:  # drawing and checking files need the names below, not torch
    from torchvision import tv_tensors

LESIONS: tuple[str, ...] = ("MA", "HE", "EX", "SE")
"""Microaneurysms, haemorrhages, hard exudates, soft exudates: always in this order."""

LESION_NAMES: dict[str, str] = {
    "MA": "microaneurysms",
    "HE": "haemorrhages",
    "EX": "hard exudates",
    "SE": "soft exudates",
}

ANY = "ANY"
"""A lesion of any kind: the name of the channel where all are fused into one."""

UNKNOWN = -1
"""The grade of an image whose grade is not known."""

DR_GRADES, DME_GRADES = (range(GRADES[disease]) for disease in ("dr", "dme"))
"""The grades of retinopathy and of the risk of macular edema; `fundus_lib.grades` says what they mean."""

FIRST_TRAINING_SEED = 1_000_000
"""The seeds of synthetic training images begin here, those of data sets on disk lie below it: no seed of a run gives
the images of a test set."""

Size = tuple[int, int]
"""(height, width) in pixels."""

SizeRule = Callable[[Size], Size]
"""From the (height, width) of an image on disk to that at which to read it."""


class Sample(TypedDict):
    """One image with everything that is known of it.

    Attributes:
        image: uint8 (3, H, W), RGB.
        mask: uint8 {0, 1} (L, H, W), one channel per lesion in the order that the data set was opened with. A data
            set without masks has L = 0: there is no such thing as an unknown black mask.
        dr: Grade of retinopathy, 0-4, or −1 where unknown.
        dme: Risk of macular edema, 0-2, or −1 where unknown.
        name: Name of the image, without suffix.
    """

    image: tv_tensors.Image
    mask: tv_tensors.Mask
    dr: int
    dme: int
    name: str
