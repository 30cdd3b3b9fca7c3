"""Clinical rules: from the lesions of an eye to the grade of retinopathy and the risk of macular edema.

Retinopathy: the International Clinical Diabetic Retinopathy scale (Wilkinson et al., Ophthalmology 110:1677, 2003),
severe retinopathy by its 4-2-1 rule. Macular edema: the rule of IDRiD (Porwal et al., Data 3(3):25, 2018).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from fundus_lib.data.synthetic.canvas import Points, measure_area


@dataclass(frozen=True)
class Lesion:
    """One lesion, or one pathological vessel.

    Attributes:
        kind: A mask's name (MA, HE, EX, SE), or a kind without a mask: NV new vessels, VH vitreous haemorrhage, IRMA
            intraretinal microvascular abnormality, VB venous beading.
        form: Its form, for instance "dot", "blot", "flame" or "preretinal" for HE.
        centre: (x, y) in frame units.
        outlines: Closed outlines, each (N, 2) in frame units, whose union is the lesion; open lines for NV and IRMA.
        strength: Contrast with the retina, about 0.3 (faint) to 1.
    """

    kind: str
    form: str
    centre: Points
    outlines: tuple[Points, ...]
    strength: float = 1.0

    @property
    def area(self) -> float:
        """Sum of the outlines' areas in square frame units; overlaps count twice."""
        return sum(measure_area(o) for o in self.outlines)


def quadrant(point: Points, fovea: Points) -> int:
    """Quadrant of the retina about the fovea, 0-3."""
    return int(point[0] > fovea[0]) + 2 * int(point[1] > fovea[1])


def retinopathy_grade(lesions: Iterable[Lesion], fovea: Points) -> int:
    """Grade of retinopathy.

    4 proliferative: new vessels, preretinal or vitreous haemorrhage. 3 severe: more than 20 haemorrhages in each of the
    four quadrants, venous beading in two, or intraretinal microvascular abnormality in one. 2 moderate: more than
    microaneurysms only. 1 mild: microaneurysms only. 0: none.

    Args:
        lesions: All lesions of the eye.
        fovea: (x, y) in the same units.

    Returns:
        0-4.
    """
    found = list(lesions)
    kinds = {lesion.kind for lesion in found}
    if kinds & {"NV", "VH"} or any(lesion.form == "preretinal" for lesion in found):
        return 4
    haemorrhages = [0, 0, 0, 0]
    for lesion in found:
        if lesion.kind == "HE":
            haemorrhages[quadrant(lesion.centre, fovea)] += 1
    beading = {quadrant(lesion.centre, fovea) for lesion in found if lesion.kind == "VB"}
    if min(haemorrhages) > 20 or len(beading) >= 2 or "IRMA" in kinds:
        return 3
    if kinds - {"MA"}:
        return 2
    return 1 if kinds else 0


def edema_risk(lesions: Iterable[Lesion], fovea: Points, diameter: float) -> int:
    """Risk of macular edema, from the hard exudates.

    Args:
        lesions: All lesions of the eye.
        fovea: (x, y) in the same units.
        diameter: Diameter of the optic disc in the same units.

    Returns:
        0 without hard exudates, 2 if one lies within one disc diameter of the fovea, else 1.
    """
    distances = [measure_distance(lesion, fovea) for lesion in lesions if lesion.kind == "EX"]
    if not distances:
        return 0
    return 2 if min(distances) <= diameter else 1


def measure_distance(lesion: Lesion, point: Points) -> float:
    """Measure the distance from a point to the nearest part of a lesion, 0 inside, in the units of both."""
    target = (float(point[0]), float(point[1]))
    signed = (cv2.pointPolygonTest(o.astype(np.float32)[:, None], target, True) for o in lesion.outlines)
    return max(0.0, -max(signed))
