"""The doctor's examination of IDRiD: file by file against the published checksums, or against the copy's manifest."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from tqdm import tqdm

from fundus_lib.data.base import FundusDataset
from fundus_lib.data.faults import read_all
from fundus_lib.data.idrid import IDRiDGrading, IDRiDSegmentation
from fundus_lib.data.images import image_size, read_image
from fundus_lib.data.inventory import Inventory, files_in, hash_file, inventory
from fundus_lib.data.layout import MASKS, PARTS, PUBLISHED_SIZE, SPLITS, image_folder, mask_folder
from fundus_lib.data.recognise import GROUND_TRUTHS, advise
from fundus_lib.data.report import Report
from fundus_lib.data.sample import Size
from fundus_lib.data.splits import duplicates, grading_leaks, overlap
from fundus_lib.environment import SOURCES
from fundus_lib.errors import FundusError

STATES = ("complete", "resized", "altered", "unreadable", "missing", "unexpected")
SOURCE = SOURCES["IDRiD"]


def check_idrid(root: Path) -> Report:
    """Examine a copy of IDRiD; see `doctor.check`."""
    files = inventory(root)
    there = {part: folder for part, folder in PARTS.items() if (root / folder).is_dir()}
    states = {path: state for part in there for path, state in _states(root, files, PARTS[part]).items()}
    sizes = _photograph_sizes(root, states)
    problems, graded = _open_all(root, files, states, there)
    parts = _parts(states, there, files)
    changed = any(state != "complete" for state in states.values()) or len(there) < len(PARTS)
    exit_code = 2 if problems else 1 if changed else 0
    return Report(
        root,
        _title(files),
        exit_code,
        parts=parts,
        files=_table(states),
        counts=_counts(root, there),
        grades=_grades(graded) if graded and not problems else pd.DataFrame(),
        duplicates=duplicates(root) if "grading" in there else pd.DataFrame(),
        overlap=overlap(root) if {"grading", "segmentation"} <= set(there) else pd.DataFrame(),
        problems=tuple(problems),
        next_steps=tuple(_next_steps(root, files, states, there, sizes, bool(problems))),
    )


def _title(files: Inventory) -> str:
    if files.kind == "published":
        return "IDRiD, compared with the published checksums"
    height, width = files.facts["size"]
    what = "Synthetic data in IDRiD's layout" if files.kind == "synthetic" else "IDRiD, a shrunk copy"
    smaller = files.facts.get("smaller", 0)
    note = f" ({smaller} photographs are smaller)" if smaller else ""
    return f"{what}, {height}×{width}{note} (by {files.facts.get('made_by', 'unknown')}), compared with its manifest"


def _states(root: Path, files: Inventory, folder: str) -> dict[str, str]:
    """From path to one of `STATES`, for every file that is listed or there below a folder."""
    listed = {p: digest for p, digest in files.files.items() if p.startswith(folder + "/")}
    states = dict.fromkeys(listed, "missing")
    for inner in {str(PurePosixPath(p).parent) for p in listed}:
        states |= {f"{inner}/{n}": "unexpected" for n in files_in(root / inner) if f"{inner}/{n}" not in listed}
    present = [p for p in listed if (root / p).is_file()]
    states |= dict.fromkeys(present, "complete")
    own = files.facts.get("size", PUBLISHED_SIZE)
    with ThreadPoolExecutor() as pool:
        found = dict(zip(present, pool.map(lambda p: _digest(root / p), present), strict=True))
        differing = [p for p in present if found[p] != listed[p]]
        results = pool.map(lambda p: _compare(root / p, (int(own[0]), int(own[1]))), differing)
        bar = tqdm(results, desc=folder, total=len(differing), unit="file", disable=None if differing else True)
        states |= dict(zip(differing, bar, strict=True))
    return states


def _digest(path: Path) -> str | None:
    try:
        return hash_file(path)
    except FundusError:
        return None


def _compare(path: Path, listed_size: Size) -> str:
    """What is different about a file that is not the listed one."""
    if _digest(path) is None:
        return "unreadable"
    if path.suffix not in (".jpg", ".tif"):
        return "altered"
    try:
        height, width = read_image(path).shape[:2]
    except FundusError:
        return "unreadable"
    same_aspect = abs(height / width / (listed_size[0] / listed_size[1]) - 1) < 0.02
    return "resized" if (height, width) != listed_size and same_aspect else "altered"


def _photograph_sizes(root: Path, states: dict[str, str]) -> Counter[tuple[str, Size]]:
    """How many resized images each part has of each size."""
    found = (p for p, state in states.items() if state == "resized" and p.endswith(".jpg"))
    return Counter((p.partition("/")[0], image_size(root / p)) for p in found)


def _open_all(
    root: Path, files: Inventory, states: dict[str, str], there: dict[str, str]
) -> tuple[list[str], dict[str, IDRiDGrading]]:
    """What the loaders say against the parts that are there and against each file that is not as published.

    Also the grading part, by split.
    """
    problems: list[str] = []
    graded: dict[str, IDRiDGrading] = {}
    known = {root / p for p, state in states.items() if files.kind == "published" and state == "complete"}
    read = {root / p for p, state in states.items() if state in ("resized", "altered")}  # by `_compare`
    for part in ("segmentation", "grading"):
        if part not in there and not (part == "grading" and "localization" in there):
            continue
        for split in SPLITS:
            try:
                data: FundusDataset
                if part == "segmentation":
                    data = IDRiDSegmentation(root, split, lesions=tuple(MASKS))
                else:
                    data = graded[split] = IDRiDGrading(root, split)
                problems += read_all(data, known=known, read=read)[0]
            except FundusError as error:
                problems.append(str(error))
    return list(dict.fromkeys(problems)), graded


def _parts(states: dict[str, str], there: dict[str, str], files: Inventory) -> pd.DataFrame:
    rows = {}
    for part, folder in PARTS.items():
        counts = Counter(state for path, state in states.items() if path.startswith(folder + "/"))
        listed = sum(p.startswith(folder + "/") for p in files.files)
        worst = next((s for s in reversed(STATES) if counts[s]), "complete")
        verdict = ("incomplete" if worst == "missing" else worst) if part in there else "missing"
        row: dict[str, object] = {"listed": listed, **{state: counts[state] for state in STATES}}
        rows[folder] = row | {"missing": row["missing"] if part in there else listed, "in short": verdict}
    return pd.DataFrame.from_dict(rows, orient="index")


def _table(states: dict[str, str]) -> pd.DataFrame:
    rows = [(state, path.partition("/")[0], path) for path, state in sorted(states.items()) if state != "complete"]
    return pd.DataFrame(rows, columns=["state", "part", "file"])


def _counts(root: Path, there: dict[str, str]) -> pd.DataFrame:
    counts: dict[str, dict[str, int]] = {}
    for split in SPLITS:
        for part in ("segmentation", "grading"):
            if part in there:
                column = counts.setdefault(f"{part} {split}", {})
                column["photographs"] = len(files_in(root / image_folder(part, split)))
                if part == "segmentation":
                    column |= {le: len(files_in(root / mask_folder(le, split))) for le in MASKS}
    return pd.DataFrame(counts).reindex(["photographs", *MASKS]).astype("Int64") if counts else pd.DataFrame()


def _grades(sets: dict[str, IDRiDGrading]) -> pd.DataFrame:
    columns = {f"DR {s}": np.bincount(d.dr, minlength=5) for s, d in sets.items()}
    columns |= {f"DME {s}": np.bincount(d.dme, minlength=5) for s, d in sets.items()}
    return pd.DataFrame(columns).rename_axis("grade")


def _moves(root: Path, states: dict[str, str]) -> list[str]:
    """What to move where all files of a folder are missing, if they lie elsewhere."""
    folders: dict[str, set[str]] = {}
    for path, state in states.items():
        folders.setdefault(path.rpartition("/")[0], set()).add(state)
    lost = [folder for folder, found in folders.items() if found == {"missing"}]
    return list(dict.fromkeys(advice for folder in lost if (advice := advise(root, folder))))


def _next_steps(
    root: Path,
    files: Inventory,
    states: dict[str, str],
    there: dict[str, str],
    sizes: Counter[tuple[str, Size]],
    broken: bool,
) -> list[str]:
    again = f"get it from {SOURCE}" if files.kind == "published" else "make the copy again"
    counts = Counter(states.values())
    absent = {part: advise(root, GROUND_TRUTHS[part]) for part in PARTS if part not in there}
    steps = [
        f"{PARTS[part]} is not where it should be: {move}."
        if move
        else f"{PARTS[part]} is not here: {again}, if you need it."
        for part, move in absent.items()
    ]
    steps += [
        f"{n} photographs of {part} are {size[0]}×{size[1]}, not {PUBLISHED_SIZE[0]}×{PUBLISHED_SIZE[1]}: fine for "
        f"work at that size (centres are scaled by the loader); for more, {again}."
        for (part, size), n in sorted(sizes.items())
    ]
    moves = _moves(root, states)
    steps += [f"Check again after this: {move}." for move in moves]
    if (counts["missing"] or counts["unreadable"]) and not moves:
        steps.append(
            f"Unpack the archives again over this folder ({counts['missing']} files are missing, "
            f"{counts['unreadable']} unreadable); if that does not help, {again}."
        )
    if counts["unexpected"]:
        steps.append("Move the unexpected files elsewhere, or correct their names.")
    if counts["altered"]:
        steps.append(
            "Some files are altered: their content is not what was listed, so results cannot be compared with "
            f"others'; {again}."
        )
    if {"grading", "segmentation"} <= set(there) and len(leaks := grading_leaks(root)):
        steps.append(
            f"Leave out {len(leaks)} training images of the grading part wherever grades and masks, or both "
            "splits, meet: IDRiDGrading(root, 'train', exclude=splits.grading_leaks(root)['name'])."
        )
    if not broken and "segmentation" in there:
        steps.append(
            "Open it with IDRiDSegmentation(root, split)"
            + (" and IDRiDGrading(root, split)." if "grading" in there else ".")
        )
    return steps
