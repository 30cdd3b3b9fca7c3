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
from os import PathLike
from pathlib import Path
from typing import Literal

import pandas as pd

from fundus_lib.data.base import FundusDataset
from fundus_lib.data.ddr import PUBLISHED_COUNTS, DDRGrading, DDRSegmentation
from fundus_lib.data.diaretdb1 import PUBLISHED_COUNTS as DIARETDB1_COUNTS
from fundus_lib.data.diaretdb1 import DiaRetDB1
from fundus_lib.data.faults import read_all
from fundus_lib.data.recognise import recognise
from fundus_lib.data.report import Report
from fundus_lib.data.sample import LESIONS
from fundus_lib.errors import FundusError

NO_CHECKSUMS = (
    "No checksums of it are published: every file was read, but whether it shows what was published cannot be told."
)


def check(root: str | PathLike[str]) -> Report:
    """Examine a copy of IDRiD, DDR or DiaRetDB1, file by file.

    For IDRiD every file is hashed and compared with the published checksums or with the copy's manifest; what differs
    from the published files, and all images and masks of the other data sets, is read as the loaders read it.

    Args:
        root: The folder of one data set.

    Raises:
        DatasetNotFoundError: It is none of the three; the message says what it holds.
        FileAccessError: The system refuses to list a folder.
        LabelFormatError: It has a manifest that cannot be understood.
    """
    base = Path(root)
    name = recognise(base)
    if name == "IDRiD":
        from fundus_lib.data.checkup import check_idrid

        return check_idrid(base)
    return _check_ddr(base) if name == "DDR" else _check_diaretdb1(base, "2.1" if name.endswith("2.1") else "1.1")


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
            column = counts.setdefault(f"{part} {split}", {"photographs": 0})
            try:
                data: FundusDataset
                if part == "DR_grading":
                    data = DDRGrading(root, split, ungradable="keep")
                    grades[split] = dict(Counter(data.dr.tolist()))
                else:
                    data = DDRSegmentation(root, split)
                    column |= dict.fromkeys(LESIONS, len(data))  # one mask each, or it would not open
            except FundusError as error:
                problems.append(str(error))
                continue
            problems += read_all(data)[0]
            column["photographs"] = len(data)
            if len(data) != published:
                differs.append(f"{part} {split} has {len(data)} photographs where {published} are published.")
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
        try:
            data = DiaRetDB1(root, split, version=version)
        except FundusError as error:
            problems.append(str(error))
            continue
        faults, present = read_all(data)
        problems += faults
        counts[split] = {"photographs": len(data)}
        counts[split] |= {le: int(n) for le, n in zip(LESIONS, present.sum(axis=0), strict=True)}
        if len(data) != published:
            differs.append(f"{split} has {len(data)} photographs where {published} are published.")
    return Report(
        root,
        f"DiaRetDB1, version {version}. {NO_CHECKSUMS}",
        2 if problems else 1 if differs else 0,
        counts=pd.DataFrame(counts).rename_axis("with a lesion that the experts agree on"),
        problems=tuple(dict.fromkeys(problems)),
        next_steps=tuple(differs) or (f"Open it with DiaRetDB1(root, split, version={version!r}).",),
    )
