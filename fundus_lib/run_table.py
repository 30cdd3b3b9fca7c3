"""Work through the rows of a paper's tables: what has no record yet is run, on one machine or shared out among many."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fundus_lib import records, settings
from fundus_lib.atomic import check_folder
from fundus_lib.data.inventory import read_manifest
from fundus_lib.data.recognise import recognise
from fundus_lib.devices import check_sharing, choose_device
from fundus_lib.environment import SOURCES
from fundus_lib.errors import ArgumentError, DatasetNotFoundError
from fundus_lib.experiment import test_fingerprint, training_fingerprint
from fundus_lib.processes import process_rank
from fundus_lib.recipes import Recipe, recipes
from fundus_lib.recipes.base import Precision
from fundus_lib.records.compare import tell_scores
from fundus_lib.run import run


def run_table(
    paper: str,
    data: str | Path | Mapping[str, Path] | None,
    out: str | Path,
    *,
    table: str | None = None,
    row: str | None = None,
    seeds: int = 1,
    fold: int | None = None,
    shard: str = "1/1",
    minutes: float | None = None,
    smoke: bool = False,
    device: str = "auto",
    devices: int = 1,
    nodes: int = 1,
    precision: Precision | None = None,
    progress: bool = True,
) -> list[dict[str, Any]]:
    """Work through the recipes of a paper that have no record in `out` yet.

    Args:
        paper: Name of the paper.
        data: Root of a copy of the data set; or, as the tables of a paper may need several, from the name of each data
            set that is there to its root. Rows whose data set is not there are named and left out. None stands for
            `settings.roots()`, which may have to be drawn: everything else is checked before.
        out: See :func:`~fundus_lib.run.run`.
        table: Only this table.
        row: Only this row.
        seeds: How many seeds each row has: 0, 1, …
        fold: Of rows with a cross-validation only this fold, counted from 1; all of them by default.
        shard: `"i/n"`: the i-th of n parts of the work, to be started on n machines, with a common `out` or not.
        minutes: Time for this call: none is started after it, and the one that is under way stops at an epoch's end.
        smoke: Run the small versions of the recipes.
        device: See :func:`~fundus_lib.run.run`.
        devices: See :func:`~fundus_lib.run.run`.
        nodes: See :func:`~fundus_lib.run.run`.
        precision: In place of that of the recipes; another precision is another run.
        progress: See :func:`~fundus_lib.run.run`.

    Returns:
        The records that this call made, in order.

    Raises:
        ArgumentError: The shard is not of the form i/n with 1 ≤ i ≤ n, `seeds` is below 1, a row has no such fold, or
            what :func:`~fundus_lib.run.run` refuses.
        UnknownNameError: There is no such paper, table or row.
        DatasetNotFoundError: There is none of the data sets that the rows need.
        FileAccessError: `out` cannot be written.
    """
    check_sharing(choose_device(device), devices, nodes, minutes)
    end = None if minutes is None else time.monotonic() + 60 * minutes
    made = []
    jobs = _shareable(_jobs(paper, table, row, seeds, fold, shard, smoke, precision), devices * nodes)
    check_folder(Path(out))
    at_hand = _at_hand(jobs, settings.roots() if data is None else data)
    for number, (recipe, root) in enumerate(at_hand):
        left = None if end is None else (end - time.monotonic()) / 60
        if left is not None and left <= 0:
            print(f"time is up: {len(at_hand) - number} of {len(at_hand)} runs not looked at; the same call goes on")
            break
        part = f" fold {recipe.fold[0]} of {recipe.fold[1]}" if recipe.fold else ""
        shrunk = " (smoke: shrunk to seconds, its scores mean nothing)" if smoke else ""
        title = f"{recipe.paper} {recipe.table} {recipe.row}{part} seed {recipe.seed}{shrunk}"
        known = _known(recipe, root, Path(out))
        if known:
            print(f"{title}: done before, see {known}")
            continue
        print(f"{title}: running")
        record = run(
            recipe,
            root,
            out,
            device=device,
            devices=devices,
            nodes=nodes,
            minutes=left,
            progress=progress,
        )
        if record:
            made.append(record)
            print(f"{title}: {tell_scores(record['metrics'])}; all in {_known(recipe, root, Path(out))}")
        elif left is not None and not process_rank()[0]:
            print(f"{title}: stopped, as time is up; the same call goes on")
    return made


def _jobs(
    paper: str,
    table: str | None,
    row: str | None,
    seeds: int,
    fold: int | None,
    shard: str,
    smoke: bool,
    precision: Precision | None,
) -> list[Recipe]:
    rows = recipes(paper, table, row)
    part, _, parts = shard.partition("/")
    if not (part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)) or seeds < 1:
        raise ArgumentError(
            "run",
            "shard or seeds are out of range",
            found=f"shard={shard!r}, seeds={seeds}",
            expected="a shard such as '2/8' (the second of eight), and at least one seed",
            remedy="count shards from 1",
        )
    if fold is not None:
        rows = [_take_fold(recipe, fold) for recipe in rows]
    jobs = [
        one.replace(seed=recipe.seed + seed, precision=precision or recipe.precision)
        for seed in range(seeds)
        for recipe in rows
        for one in (recipe.every_fold() if fold is None else (recipe,))
    ]
    return [job.smoke() if smoke else job for job in jobs][int(part) - 1 :: int(parts)]


def _take_fold(recipe: Recipe, fold: int) -> Recipe:
    """A row with one of its folds."""
    if recipe.fold is not None and 1 <= fold <= recipe.fold[1]:
        return recipe.replace(fold=(fold, recipe.fold[1]))
    raise ArgumentError(
        "run",
        "a row has no such fold",
        found=f"fold={fold} of {recipe.table} {recipe.row}",
        expected=f"1 to {recipe.fold[1]}" if recipe.fold else "no fold: this row has no cross-validation",
        remedy="name the row with --row, or leave the fold out",
    )


def _shareable(jobs: list[Recipe], processes: int) -> list[Recipe]:
    """The jobs whose batch divides by the number of processes; says which do not."""
    rows = dict.fromkeys(f"{job.table} {job.row}" for job in jobs if job.batch % processes)
    if rows:
        print(f"left out, since their batch cannot be shared by {processes} processes: {', '.join(rows)}")
        print("run these with --devices 1, and share the rows out among the devices with --shard")
    return [job for job in jobs if not job.batch % processes]


def _at_hand(jobs: list[Recipe], data: str | Path | Mapping[str, Path]) -> list[tuple[Recipe, Path]]:
    """The jobs whose data sets are there, with the root of the first of them; says which are not."""
    if not isinstance(data, Mapping):
        data = _find_beside(Path(data))
    left_out = [job for job in jobs if not set(job.needs) <= set(data)]
    missing = sorted({name for job in left_out for name in job.needs} - set(data))
    if jobs and len(left_out) == len(jobs):
        raise DatasetNotFoundError(
            missing[0],
            "these rows need a data set that is not there",
            found=", ".join(data) or "none",
            expected=" and ".join(missing),
            remedy=f"get {missing[0]} from {SOURCES[missing[0]]} and put {missing[0]}/ under FUNDUS_DATA",
        )
    for name in missing:
        rows = dict.fromkeys(f"{job.table} {job.row}" for job in left_out if name in job.needs)
        print(f"left out, since {name} is not there: {', '.join(rows)}")
    return [(job, data[job.dataset]) for job in jobs if job not in left_out]


def _find_beside(root: Path) -> dict[str, Path]:
    """The data set of a folder by its name, with the others that lie beside it; a synthetic copy stands for all.

    Raises:
        DatasetNotFoundError: The folder holds none.
    """
    name = recognise(root).partition(" ")[0]
    if (read_manifest(root) or {}).get("kind") == "synthetic":
        return dict.fromkeys(settings.DATASETS, root)
    around = root.absolute().parent
    return {other: around / other for other in settings.DATASETS if (around / other).is_dir()} | {name: root}


def _known(recipe: Recipe, data: Path, out: Path) -> Path | None:
    """The record of this recipe on this data in `out`, if there is one."""
    candidates = sorted(out.glob(f"{recipe.stem}-*.json"))
    if not candidates:
        return None
    fingerprint, training = test_fingerprint(recipe, data), training_fingerprint(recipe, data)
    for path in candidates:
        record = records.read(path)
        same = records.get_recipe(record).digest == recipe.digest and record["dataset_fingerprint"] == fingerprint
        if same and (training is None or record.get("trained_on_fingerprint", training) == training):
            return path
    return None
