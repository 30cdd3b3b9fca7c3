"""The doctor for data sets: what a folder holds, what is wrong with it, and what to do next.

`check(root)` recognises IDRiD (as published, resized, shrunk or synthetic), DDR and DiaRetDB1. Exit codes:

| code | meaning |
| --- | --- |
| 0 | every file is as listed: in the published checksums, or in the manifest of a shrunk or synthetic copy |
| 1 | usable, but not as published: resized or altered files, parts not unpacked, other counts than published |
| 2 | not usable: missing, stray or unreadable files, labels that cannot be understood |
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from fundus_lib.data.base import FundusDataset
from fundus_lib.data.ddr import FOLDERS, PUBLISHED_COUNTS, DDRGrading, DDRSegmentation
from fundus_lib.data.diaretdb1 import PUBLISHED_COUNTS as DIARETDB1_COUNTS
from fundus_lib.data.diaretdb1 import DiaRetDB1
from fundus_lib.data.layout import PARTS, describe_folder
from fundus_lib.data.report import Report
from fundus_lib.data.sample import LESIONS
from fundus_lib.errors import DatasetNotFoundError, FundusError

NO_CHECKSUMS = (
    "No checksums of it are published, so only the files' names and numbers were compared, not their content."
)


def check(root: str | PathLike[str]) -> Report:
    """Examine a copy of IDRiD, DDR or DiaRetDB1, file by file.

    For IDRiD every file is hashed and compared with the published checksums or with the copy's manifest; an image that
    differs is decoded, to tell a resized one from an altered and from a damaged one.

    Args:
        root: The folder of one data set.

    Raises:
        DatasetNotFoundError: It is none of the three; the message says what it holds.
        LabelFormatError: It has a manifest that cannot be understood.
    """
    base = Path(root)
    if any((base / folder).is_dir() for folder in PARTS.values()):
        from fundus_lib.data.checkup import check_idrid

        return check_idrid(base)
    if (base / "lesion_segmentation").is_dir() or (base / "DR_grading").is_dir():
        return _check_ddr(base)
    if (base / "ddb1_v02_01_train_plain.txt").is_file():
        return _check_diaretdb1(base, "2.1")
    if (base / "resources" / "images" / "ddb1_groundtruth").is_dir():
        return _check_diaretdb1(base, "1.1")
    inner = [name for name in ("IDRiD", "DDR", "DiaRetDB1") if (base / name).is_dir()]
    raise DatasetNotFoundError(
        base,
        "this folder holds none of the data sets that the doctor knows",
        found=describe_folder(base),
        expected="'A. Segmentation' (IDRiD), 'lesion_segmentation' (DDR), or the lists of DiaRetDB1",
        remedy=f"name {base / inner[0]}" if inner else "name the folder of one data set, as it was unpacked",
    )


def _check_ddr(root: Path) -> Report:
    counts: dict[str, dict[str, int]] = {}
    grades: dict[str, dict[int, int]] = {}
    problems: list[str] = []
    differs: list[str] = []
    for part, numbers in PUBLISHED_COUNTS.items():
        if not (root / part).is_dir():
            differs.append(f"The part {part} was not unpacked; unpack it if you need it.")
            continue
        for split, published in numbers.items():
            column = counts.setdefault(f"{part} {split}", {})
            if part == "DR_grading":
                kept = _try(lambda s=split: DDRGrading(root, s, ungradable="keep"), problems)  # type: ignore[misc]
                if kept is not None:
                    grades[split] = dict(Counter(kept.dr.tolist()))
            else:
                kept = _try(lambda s=split: DDRSegmentation(root, s), problems)  # type: ignore[misc]
                label = "segmentation label" if split == "val" else "label"
                for lesion in LESIONS:
                    column[lesion] = len(list((root / part / FOLDERS[split] / label / lesion).glob("*.tif")))
            column["photographs"] = 0 if kept is None else len(kept)
            if kept is not None and len(kept) != published:
                differs.append(f"{part} {split} has {len(kept)} photographs where {published} are published.")
    return Report(
        root,
        f"DDR. {NO_CHECKSUMS}",
        2 if problems else 1 if differs else 0,
        counts=pd.DataFrame(counts).reindex(["photographs", *LESIONS]).astype("Int64"),
        grades=pd.DataFrame(grades).fillna(0).astype(int).sort_index().rename_axis("DR (−1: ungradable)"),
        problems=tuple(problems),
        next_steps=tuple(differs) or ("Open it with DDRSegmentation and DDRGrading.",),
    )


def _check_diaretdb1(root: Path, version: Literal["2.1", "1.1"]) -> Report:
    counts: dict[str, dict[str, int]] = {}
    problems: list[str] = []
    differs: list[str] = []
    for split, published in DIARETDB1_COUNTS.items():
        data = _try(lambda s=split: DiaRetDB1(root, s, version=version), problems)  # type: ignore[misc]
        if data is None:
            continue
        counts[split] = {"photographs": len(data)}
        try:
            present = np.array([data.mask(i).any(axis=(1, 2)) for i in range(len(data))])  # (N, L)
        except FundusError as error:
            problems.append(str(error))
            continue
        counts[split] |= {le: int(n) for le, n in zip(LESIONS, present.sum(axis=0), strict=True)}
        if len(data) != published:
            differs.append(f"{split} has {len(data)} photographs where {published} are published.")
    return Report(
        root,
        f"DiaRetDB1, version {version}. {NO_CHECKSUMS}",
        2 if problems else 1 if differs else 0,
        counts=pd.DataFrame(counts).rename_axis("with a lesion that the experts agree on"),
        problems=tuple(problems),
        next_steps=tuple(differs) or (f"Open it with DiaRetDB1(root, split, version={version!r}).",),
    )


def _try(opening: Callable[[], FundusDataset], problems: list[str]) -> FundusDataset | None:
    """The data set, or None and one more problem."""
    try:
        return opening()
    except FundusError as error:
        problems.append(str(error))
        return None
