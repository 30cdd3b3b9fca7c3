"""Tables of a prediction: areas and verdicts, regions, and grades."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fundus_lib.image_verdicts import Rule, find_rule

if TYPE_CHECKING:
    import pandas as pd

COUNTS = ("lesion", "verdict", "components", "area_px", "area_percent")
REGIONS = ("lesion", "region", "x", "y", "left", "top", "width", "height", "area_px", "area_percent")

AS_CSV: dict[str, Any] = {"index": False, "float_format": "%.6g"}
"""How tables are written."""


def count_lesions(
    lesions: Sequence[str],
    mask: NDArray[np.bool_],
    field: NDArray[np.uint8],
    rules: Sequence[Rule] = (),
    *,
    threshold: float,
    mirrored: bool,
) -> pd.DataFrame:
    """One row per lesion, with the columns `COUNTS`.

    Args:
        lesions: Names of the channels.
        mask: (L, H, W).
        field: The field of view, {0, 1} (H, W).
        rules: By which areas become verdicts; those of other settings than these do not count.
        threshold: Of the mask.
        mirrored: Whether views were averaged for it.
    """
    import pandas as pd

    rows, whole = [], int(field.sum())
    for lesion, found in zip(lesions, mask, strict=True):
        binary = found.view(np.uint8)
        pixels = int(np.count_nonzero(binary))
        percent = 100 * pixels / whole
        rule = find_rule(rules, lesion, threshold=threshold, mirrored=mirrored)
        count = cv2.connectedComponents(binary, connectivity=8)[0] - 1
        rows.append((lesion, rule.judge(percent) if rule else "not calibrated", count, pixels, percent))
    return pd.DataFrame(rows, columns=list(COUNTS))


def list_regions(lesions: Sequence[str], mask: NDArray[np.bool_], field: NDArray[np.uint8]) -> pd.DataFrame:
    """The regions of a mask, 8-connected, by falling area within each lesion.

    Args:
        lesions: Names of the channels.
        mask: (L, H, W).
        field: The field of view, {0, 1} (H, W).

    Returns:
        `lesion`, `region` (from 1), its centre of mass `x`, `y`, its box `left`, `top`, `width`, `height`, all in
        pixels of the upright image counted from 0 at the top left, `area_px`, and `area_percent`, of the field of view.
    """
    import pandas as pd

    rows, whole = [], int(field.sum())
    for lesion, found in zip(lesions, mask, strict=True):
        _, _, boxes, centres = cv2.connectedComponentsWithStats(found.view(np.uint8), connectivity=8)
        order = 1 + np.argsort(-boxes[1:, cv2.CC_STAT_AREA], kind="stable")
        for number, index in enumerate(order, 1):
            left, top, width, height, area = (int(value) for value in boxes[index])
            x, y = (round(float(value), 1) for value in centres[index])
            rows.append((lesion, number, x, y, left, top, width, height, area, 100 * area / whole))
    return pd.DataFrame(rows, columns=list(REGIONS))


def table_grades(grades: Mapping[str, NDArray[np.float32]]) -> pd.DataFrame:
    """One row per disease: its most probable grade, and the probabilities of all."""
    import pandas as pd

    names = [f"p{k}" for k in range(max((len(shares) for shares in grades.values()), default=0))]
    rows = [
        {"disease": name, "grade": int(shares.argmax()), **dict(zip(names, shares.tolist(), strict=False))}
        for name, shares in grades.items()
    ]
    return pd.DataFrame(rows, columns=["disease", "grade", *names])
