"""Which data set a folder holds, and what to move where an archive was unpacked into a folder too many."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from urllib.parse import unquote

from fundus_lib.data.layout import PARTS, describe_folder
from fundus_lib.errors import DatasetNotFoundError

GROUND_TRUTHS: dict[str, str] = {
    "segmentation": f"{PARTS['segmentation']}/2. All Segmentation Groundtruths",
    "grading": f"{PARTS['grading']}/2. Groundtruths",
    "localization": f"{PARTS['localization']}/2. Groundtruths",
}
"""A folder that each part of IDRiD must hold."""

_ANCHORS = (*GROUND_TRUTHS.values(), "lesion_segmentation/train", "DR_grading/train")
_LISTS = {"DiaRetDB1 2.1": "ddb1_v02_01_train_plain.txt", "DiaRetDB1 1.1": "resources/traindatasets/trainset.txt"}


def recognise(root: Path) -> str:
    """The data set that a folder holds, without a look at its files.

    Returns:
        `"IDRiD"` (also a shrunk or synthetic copy), `"DDR"`, `"DiaRetDB1 2.1"` or `"DiaRetDB1 1.1"`.

    Raises:
        DatasetNotFoundError: It holds none of them, or not where it should; the message says what to do.
    """
    name = _recognise(root)
    if name:
        return name
    raise DatasetNotFoundError(
        root,
        "this folder holds no data set that the library knows",
        found=describe_folder(root),
        expected=f"{PARTS['segmentation']!r} (IDRiD), 'lesion_segmentation' (DDR), or the lists of DiaRetDB1",
        remedy=_advise_on_any(root) or "name the folder of one data set, as it was unpacked",
    )


def check_root(root: Path, part: str) -> Path:
    """The root, if it holds `part` of IDRiD.

    Raises:
        DatasetNotFoundError: It does not; the message says what the folder holds and guesses what was meant.
    """
    if (root / GROUND_TRUTHS[part]).is_dir():
        return root
    remedy = advise(root, GROUND_TRUTHS[part])
    if not remedy and (root / PARTS[part]).is_dir():
        return root  # what is missing in it is for the list of files to say
    other = _recognise(root)
    if not remedy and other not in ("", "IDRiD"):
        remedy = f"this is {other}, and what was asked for works on IDRiD; in Python, open it with its own class"
    elif not remedy and (root.parent / PARTS[part]).is_dir():
        remedy = f"name {root.parent}"
    elif not remedy:
        remedy = "name the folder that holds 'A. Segmentation', 'B. Disease Grading' and 'C. Localization'"
        remedy += "" if root.exists() else "; or draw a synthetic copy with `fundus data make DIR`"
    raise DatasetNotFoundError(
        root,
        f"this is not IDRiD, or its part {PARTS[part]!r} was not unpacked here",
        found=describe_folder(root),
        expected=f"the folder {GROUND_TRUTHS[part]!r}",
        remedy=remedy,
    )


def advise(root: Path, folder: str) -> str:
    """What to move, or which root to name, so that a folder lies where it should.

    Archives leave their folders twice (`A. Segmentation/A. Segmentation/…`), under names as an address writes them
    (`A.%20Segmentation`), or below one more folder.

    Args:
        root: The root that was named.
        folder: Where the folder should be, relative to the root, with `/`.

    Returns:
        The advice, or an empty text if there is no such folder at another place below the root.
    """
    expected = folder.split("/")
    wanted = _keys(expected)
    for parts in _folders_below(root, len(expected) + 3, set(wanted)):
        if parts == expected or _keys(parts)[-len(wanted) :] != wanted:
            continue
        there, goal, below = list(parts), list(expected), ""
        while there and goal and there[-1] == goal[-1]:
            below = there.pop()
            goal.pop()
        if not goal and _keys(there) != wanted[:1]:
            return f"name {root.joinpath(*there)}"
        if not goal:  # the whole path is there once more, below a folder of the name of its first
            there, goal = [*there, below], [below]
        source, target = root.joinpath(*there), root.joinpath(*goal)
        if target.is_dir():
            return f"move all that '{source}' holds up into '{target}'"
        return f"rename '{source}' to '{target}'"
    return ""


def advise_on_list(root: Path, file: str) -> str:
    """Which root to name so that a file lies where it should, or an empty text; see `advise`."""
    below = ([], *_folders_below(root, 2, set()))
    return next((f"name {root.joinpath(*p)}" for p in below if p and root.joinpath(*p, file).is_file()), "")


def _recognise(root: Path) -> str:
    if any((root / folder).is_dir() for folder in PARTS.values()):
        return "IDRiD"
    if (root / "lesion_segmentation").is_dir() or (root / "DR_grading").is_dir():
        return "DDR"
    return next((name for name, file in _LISTS.items() if (root / file).is_file()), "")


def _advise_on_any(root: Path) -> str:
    found = [advise(root, anchor) or advise(root, anchor.split("/")[0]) for anchor in _ANCHORS]
    found += [advise_on_list(root, file) for file in _LISTS.values()]
    found = [advice for advice in found if advice]
    name = next((advice for advice in found if advice.startswith("name ")), "")
    return name or "; ".join(dict.fromkeys(found))


def _folders_below(root: Path, depth: int, keys: set[str]) -> Iterator[list[str]]:
    """Folders below the root, as parts of their paths, shallow ones first; from the third level on only `keys`."""
    level: list[list[str]] = [[]]
    for number in range(depth):
        inner = []
        for parts in level:
            try:
                names = sorted(e.name for e in os.scandir(root.joinpath(*parts)) if e.is_dir())
            except OSError:
                continue
            wanted = [n for n in names if not n.startswith(".") and n != "__MACOSX"]
            inner += [[*parts, name] for name in wanted if number < 2 or _key(name) in keys]
        yield from inner
        level = inner


def _key(name: str) -> str:
    """What the names `A. Segmentation`, `A.%20Segmentation` and `A_Segmentation (1)` have in common."""
    return re.sub(r"[^a-z]", "", unquote(name).casefold()) or name


def _keys(parts: Sequence[str]) -> list[str]:
    """The keys of a path, a folder within a folder of its own name counted once."""
    return [key for key, _ in groupby(map(_key, parts))]
