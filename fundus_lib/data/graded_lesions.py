"""Images that have masks and grades: which grades follow from their lesions.

IDRiD publishes masks and grades in two parts that share 60 images. On those the rules by which grades follow from
lesions can be tested: the ICDR scale for retinopathy, and for macular edema the distance of the nearest hard exudate
from the fovea (Porwal et al., Data 3(3):25, 2018).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from os import PathLike
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fundus_lib.data.idrid import IDRiDGrading, IDRiDSegmentation
from fundus_lib.data.layout import SPLITS
from fundus_lib.data.sample import LESIONS, Size
from fundus_lib.data.splits import OVERLAP_COLUMNS, overlap
from fundus_lib.data.stats import TABLE1_SIZE
from fundus_lib.data.synthetic.grades import Lesion, quadrant, retinopathy_grade
from fundus_lib.errors import ArgumentError


def find_grades(root: str | PathLike[str]) -> dict[str, int]:
    """The grades of retinopathy of IDRiD's images with masks that its grading part holds, too, by name.

    Args:
        root: Root of a copy of IDRiD.

    Returns:
        Name in the segmentation part, in which no two splits share one → grade.

    Raises:
        FundusError: As `IDRiDGrading`.
    """
    known: dict[tuple[str, str], int] = {}
    for split in SPLITS:
        graded = IDRiDGrading(root, split)
        known |= {(split, name): int(dr) for name, dr in zip(graded.names, graded.dr, strict=True)}
    both = overlap(root)[OVERLAP_COLUMNS].to_numpy(str).tolist()
    return {own: known[split, name] for _, own, split, name in both}


def graded_lesions(root: str | PathLike[str], size: Size = TABLE1_SIZE) -> pd.DataFrame:
    """Count and measure the lesions of every image that has masks and grades, and grade it by the rules.

    Lesions are 8-connected components. New vessels, venous beading and abnormal vessels have no masks, so the rule for
    retinopathy can give 3 only for haemorrhages, and never 4.

    Args:
        root: Root of a copy of IDRiD with all parts.
        size: (height, width) at which masks are measured.

    Returns:
        One row for each image of `splits.overlap`, in its order, with the columns

        - segmentation_split, segmentation, grading_split, grading: where it is, and its names there;
        - dr, dme: the grades of the label file;
        - MA, HE, EX, SE: the number of lesions; MA_area, … SE_area: the fraction of the image that they cover;
        - HE_quadrant_0, … 3: haemorrhages by quadrant about the fovea, see `synthetic.grades.quadrant`;
        - disc_diameter: that of a circle with the area of the optic disc's mask, as a fraction of the image's height;
        - exudate_distance: from the centre of the fovea to the nearest exudate pixel, in disc diameters; NaN if there
          is none;
        - dr_by_rule, dme_by_rule: the grades that follow from these by the rules.

    Raises:
        FundusError: As `IDRiDSegmentation` and `IDRiDGrading`.
    """
    masked = {split: IDRiDSegmentation(root, split, lesions=(*LESIONS, "OD"), size=size) for split in SPLITS}
    graded = {split: IDRiDGrading(root, split, size=size) for split in SPLITS}

    def measure(place: dict[str, str]) -> dict[str, Any]:
        images, grades = masked[place["segmentation_split"]], graded[place["grading_split"]]
        index = grades.names.index(place["grading"])
        mask = images.mask(images.names.index(place["segmentation"]))
        known = {"dr": int(grades.dr[index]), "dme": int(grades.dme[index])}
        return place | known | measure_lesions(mask, grades.centres(index)[1])

    rows = [dict(zip(OVERLAP_COLUMNS, row, strict=True)) for row in overlap(root)[OVERLAP_COLUMNS].to_numpy(str)]
    for data in masked.values():
        data.mask(0)  # fills the cache once, before the threads ask for it
    with ThreadPoolExecutor() as pool:
        return pd.DataFrame(list(pool.map(measure, rows)))


def measure_lesions(mask: NDArray[np.uint8], fovea: tuple[float, float]) -> dict[str, float]:
    """The numbers of one image in `graded_lesions`.

    Args:
        mask: uint8 {0, 1} (5, H, W): the four lesions in the order of `LESIONS`, then the optic disc.
        fovea: Its centre (x, y) in pixels.

    Returns:
        The columns of `graded_lesions` from MA on.

    Raises:
        ArgumentError: The mask has other channels, or none of its pixels is optic disc.
    """
    if len(mask) != len(LESIONS) + 1 or not mask[-1].any():
        raise ArgumentError(
            "measure_lesions",
            "distances are measured in disc diameters, and there is no disc",
            found=f"{len(mask)} channels" + (", the last of them empty" if len(mask) == len(LESIONS) + 1 else ""),
            expected=f"{len(LESIONS)} lesions and the optic disc",
            remedy='open the data set with lesions=(*LESIONS, "OD"), at a size at which the disc has pixels',
        )
    row: dict[str, float] = {}
    lesions: list[Lesion] = []
    for lesion, channel in zip(LESIONS, mask[:-1], strict=True):
        count, _, _, centres = cv2.connectedComponentsWithStats(channel)
        row |= {lesion: count - 1, f"{lesion}_area": float(channel.mean())}
        lesions += [Lesion(lesion, "", centre, ()) for centre in centres[1:]]
    where = [quadrant(found.centre, np.array(fovea)) for found in lesions if found.kind == "HE"]
    row |= {f"HE_quadrant_{k}": where.count(k) for k in range(4)}
    diameter = 2 * float(np.sqrt(mask[-1].sum() / np.pi))
    y, x = np.nonzero(mask[LESIONS.index("EX")])
    distance = float(np.hypot(x - fovea[0], y - fovea[1]).min()) / diameter if len(x) else float("nan")
    row |= {"disc_diameter": diameter / mask.shape[1], "exudate_distance": distance}
    rule = 0 if np.isnan(distance) else 2 if distance <= 1 else 1
    return row | {"dr_by_rule": retinopathy_grade(lesions, np.array(fovea)), "dme_by_rule": rule}
