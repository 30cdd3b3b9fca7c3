"""The variables of the environment: which data, how much computing, and where to keep what can be computed again.

- ``FUNDUS_DATA``: the folder that holds ``IDRiD/``, ``DDR/``, ``DiaRetDB1/``; without it, the synthetic data set.
- ``FUNDUS_PROFILE``: ``smoke`` (seconds on a CPU, every code path) or ``paper`` (the full experiment); without it,
  ``smoke``.
- ``FUNDUS_CACHE``: where decoded arrays and the synthetic data set are kept; without it, ``~/.cache/fundus``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, cast, get_args

from fundus_lib.errors import ArgumentError, DatasetNotFoundError, naming

Profile = Literal["smoke", "paper"]

SOURCES = {
    "IDRiD": "https://ieee-dataport.org/open-access/indian-diabetic-retinopathy-image-dataset-idrid",
    "DDR": "https://github.com/nkicsl/DDR-dataset",
    "DiaRetDB1": "https://www.it.lut.fi/project/imageret/diaretdb1/index.html",
}
"""Where each data set can be got."""

DATASETS = tuple(SOURCES)
"""Names of the folders that `FUNDUS_DATA` may hold."""


OTHER_CACHE = "set FUNDUS_CACHE to a folder with room that you may write to"
"""What to do where the cache cannot be written."""


def profile() -> Profile:
    """The profile named by `FUNDUS_PROFILE`, `"smoke"` if it is not set.

    Raises:
        ArgumentError: The variable holds neither `smoke` nor `paper`.
    """
    value = os.environ.get("FUNDUS_PROFILE") or "smoke"
    for known in get_args(Profile):
        if value == known:
            return cast(Profile, known)
    raise ArgumentError(
        "FUNDUS_PROFILE",
        "there is no such profile",
        found=repr(value),
        expected="'smoke' or 'paper'",
        remedy="set the variable to one of the two, or unset it for 'smoke'",
    )


def data_home() -> Path | None:
    """The folder named by `FUNDUS_DATA`, or None if the variable is not set.

    Raises:
        DatasetNotFoundError: The folder does not exist or holds none of the data sets.
    """
    value = os.environ.get("FUNDUS_DATA")
    if not value:
        return None
    home = Path(value).expanduser()
    if any((home / name).is_dir() for name in DATASETS):
        return home
    found = sorted(p.name for p in home.iterdir())[:8] if home.is_dir() else "no such folder"
    raise DatasetNotFoundError(
        home,
        "FUNDUS_DATA names a folder without a data set",
        found=found or "an empty folder",
        expected=f"at least one folder among {', '.join(DATASETS)}",
        remedy="name the folder that holds IDRiD/ (not IDRiD itself), or unset FUNDUS_DATA to use the synthetic data",
    )


def cache_home() -> Path:
    """The folder for everything that can be computed again; made if it is not there.

    Raises:
        FileAccessError: It cannot be made.
    """
    home = Path(os.environ.get("FUNDUS_CACHE") or Path.home() / ".cache" / "fundus").expanduser()
    with naming(home, OTHER_CACHE):
        home.mkdir(parents=True, exist_ok=True)
    return home
