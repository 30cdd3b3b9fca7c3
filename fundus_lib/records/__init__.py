"""Our recorded runs: one JSON file per run, and a table of them all.

A record holds the recipe in full, data set and fingerprint, seed, metrics with their protocol, curve, seconds, peak
memory, device, versions and commit. It holds numbers and curves only, no picture.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fundus_lib.atomic import write_atomically
from fundus_lib.errors import RecordError
from fundus_lib.recipes import Recipe, from_dict

if TYPE_CHECKING:
    import pandas as pd

REQUIRED: dict[str, type | tuple[type, ...]] = {
    "paper": str,
    "table": str,
    "row": str,
    "dataset": str,
    "dataset_fingerprint": str,
    "trained_on": str,
    "split": str,
    "images": int,
    "seed": int,
    "recipe": dict,
    "metrics": dict,
    "protocol": str,
    "curve": list,
    "seconds": dict,
    "device": str,
    "versions": dict,
    "commit": (str, type(None)),
    "date": str,
}
"""Fields that every record has, and their types."""

DAGGER = "†"
"""Stands beside the scores of runs whose code no commit holds."""

UNCOMMITTED = "A run among these was made with changes to the library that were not committed."
"""What the dagger says."""

REMEDY = "delete the file and run its recipe again, or restore it from the repository"
"""What to do about a damaged record."""

_COLUMNS = ["paper", "table", "row", "dataset", "trained_on", "split", "images", "seed", "device", "precision"]
_LATER_COLUMNS = ["peak_memory_mb", "commit", "dirty", "date"]


def read(path: str | Path) -> dict[str, Any]:
    """One record.

    Args:
        path: Where it is; the column file of :func:`load`'s table.

    Returns:
        The fields, :data:`REQUIRED` among them. Names in its metrics such as `EX_aupr` are pooled over the pixels of
        all test images; the same names in its predictions are lists with a value for each image.

    Raises:
        RecordError: There is none, it is not JSON, or a field is missing or of another type.
    """
    return copy.deepcopy(_read(Path(path)))


def _read(path: Path) -> dict[str, Any]:
    """As :func:`read`, of which it is one object for all who ask for a file that has not changed: never change it."""
    try:
        file = path.stat()
        return _parse(path.absolute(), (file.st_mtime_ns, file.st_size, file.st_ino))
    except (FileNotFoundError, IsADirectoryError) as error:
        raise RecordError(
            path,
            "there is no such record",
            found="a folder" if path.is_dir() else "no file",
            expected="a JSON file",
            remedy="correct the path; the column `file` of records.load() has those of all records",
        ) from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise RecordError(
            path, "this record cannot be read", found=error, expected="a JSON object", remedy=REMEDY
        ) from error


@lru_cache(maxsize=4096)
def _parse(path: Path, state: tuple[int, ...]) -> dict[str, Any]:
    """The record that a file holds in a state (time of its last change, size, inode), if its fields are as they should.

    One claim reads all records a dozen times, and parsing is most of it.
    """
    record = json.loads(path.read_text("utf-8"))
    bad = [name for name in REQUIRED if not isinstance(record, dict) or name not in record]
    if bad:
        raise RecordError(
            path,
            "this record lacks a field",
            found=f"no {', '.join(bad)}",
            expected=", ".join(REQUIRED),
            remedy=REMEDY,
        )
    wrong = [(name, record[name]) for name, kind in REQUIRED.items() if not isinstance(record[name], kind)]
    if not wrong:
        tested = {"metrics": record["metrics"]} | dict(_mapping(record.get("variants", {})))
        wrong = [
            (f"{variant}.{name}", value)
            for variant, scores in tested.items()
            for name, value in _mapping(scores).items()
            if not isinstance(value, int | float)
        ]
    if wrong:
        name, value = wrong[0]
        raise RecordError(
            path,
            "a field of this record is of the wrong type",
            found=f"{name}: {value!r}",
            expected="what `fundus run` writes: texts, numbers, lists and objects in their places",
            remedy=REMEDY,
        )
    return dict(record)


def _mapping(value: Any) -> Mapping[str, Any]:
    """The value itself, or where it is none, a mapping that holds it under no name, for the message."""
    return value if isinstance(value, Mapping) else {"": value}


def get_recipe(record: Mapping[str, Any]) -> Recipe:
    """The recipe of a record of any age, with the precision in which it was run.

    Raises:
        ArgumentError: Its settings are not those of a recipe.
        UnknownNameError: There is no such kind of recipe.
    """
    recipe = record["recipe"]
    known = {} if "precision" in recipe or not record.get("precision") else {"precision": record["precision"]}
    return from_dict({**recipe, **known})


def load(
    *folders: str | Path, packaged: bool = True, variants: bool = False, left_out: list[RecordError] | None = None
) -> pd.DataFrame:
    """All records as a table, one run per row.

    Args:
        *folders: Folders whose `*.json` are read besides.
        packaged: Whether to read the records that come with the library.
        variants: Whether what a run was tested with besides has rows of its own, after that of the run: one branch of
            two, or the weights of another epoch.
        left_out: Files of the folders that are no records are left out, and what is wrong with each is appended here.
            Without it the first of them is an error, as a damaged record of the library always is.

    Returns:
        Columns paper, table, row, dataset (tested on), trained_on, split, images, seed, device, precision, one for each
        metric (such as `EX_aupr`, of the pixels of all test images pooled), train_seconds, train_cpu_seconds (of all
        threads; waiting for other work on the machine does not add to it), evaluate_seconds, peak_memory_mb, commit,
        dirty, date and file (the path, for :func:`read`). Sorted by paper, table, row, dataset and seed. With
        `variants` there is a column variant besides, such as `"small branch"`; it is empty for the run itself.

    Raises:
        RecordError: A folder does not exist, or a record is damaged.
    """
    import pandas as pd

    own = sorted(Path(str(resources.files("fundus_lib.records"))).glob("*.json")) if packaged else []
    paths = list(own)
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise RecordError(
                folder,
                "there is no such folder of records",
                found="a file" if folder.exists() else "no folder",
                expected="a folder that `fundus run` wrote into",
                remedy="run a recipe first, or correct the path",
            )
        paths += sorted(folder.glob("*.json"))
    rows: list[dict[str, Any]] = []
    metrics: dict[str, None] = {}
    for number, path in enumerate(paths):
        try:
            record = _read(path)
        except RecordError as error:
            if left_out is None or number < len(own):
                raise
            left_out.append(error)
            continue
        tested = {"": record["metrics"]} | (record.get("variants", {}) if variants else {})
        for variant, scores in tested.items():
            metrics |= dict.fromkeys(scores)
            rows.append(
                {name: record.get(name) for name in _COLUMNS + _LATER_COLUMNS}
                | {"variant": variant}
                | scores
                | {f"{name}_seconds": value for name, value in record["seconds"].items()}
                | {"file": str(path)}
            )
    columns = [*_COLUMNS, "variant", *metrics, "train_seconds", "train_cpu_seconds", "evaluate_seconds"]
    columns = [name for name in [*columns, *_LATER_COLUMNS, "file"] if variants or name != "variant"]
    table = pd.DataFrame(rows, columns=list(dict.fromkeys(columns)))
    order = ["paper", "table", "row", "dataset", "seed"]
    return table.sort_values(order, kind="stable", ignore_index=True)


def save(record: Mapping[str, Any], path: Path) -> Path:
    """Write a record atomically; NaN is written as JSON's readers in Python know it."""
    write_atomically(path, (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode())
    return path


def curve(record: Mapping[str, Any] | pd.Series[Any]) -> pd.DataFrame:
    """The training curve of a record, or of a row of :func:`load`'s table.

    Returns:
        One row per epoch, with epoch, step, loss, seconds and, where there was validation, `validation_…`.
    """
    import pandas as pd

    points = record["curve"] if "curve" in record else read(Path(record["file"]))["curve"]
    return pd.DataFrame(points)
