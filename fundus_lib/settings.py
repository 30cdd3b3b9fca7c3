"""The two switches of every notebook and command, in one place: which data, and how much computing.

- ``FUNDUS_DATA``: the folder that holds ``IDRiD/``, ``DDR/``, ``DiaRetDB1/``; without it, the synthetic data set.
- ``FUNDUS_PROFILE``: ``smoke`` (seconds on a CPU, every code path) or ``paper`` (the full experiment); without it,
  ``smoke``.
- ``FUNDUS_CACHE``: where decoded arrays and the synthetic data set are kept; without it, ``~/.cache/fundus``.

Recipes and models read none of them: what a run does is written in its recipe.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from importlib.metadata import metadata
from pathlib import Path
from typing import Literal, cast, get_args

from fundus_lib.errors import ArgumentError, DatasetNotFoundError

Profile = Literal["smoke", "paper"]

DATASETS = ("IDRiD", "DDR", "DiaRetDB1")
"""Names of the folders that `FUNDUS_DATA` may hold."""

SYNTHETIC_SEED = 2018
"""Seed of the synthetic data set that stands in for IDRiD (the year in which IDRiD was published)."""

SYNTHETIC_SIZE = (480, 720)
"""(height, width) in pixels of its photographs."""


@dataclass(frozen=True)
class Edition:
    """Which data stands behind the figures of a notebook.

    Attributes:
        name: What to print beside a figure: `"synthetic"`, `"IDRiD"` or `"IDRiD, shrunk to 960×1440"`.
        root: The folder to open with `IDRiDSegmentation` and `IDRiDGrading`.
        real: Whether the photographs show human eyes.
        note: Why it is this one and how to get the other.
    """

    name: str
    root: Path
    real: bool
    note: str


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
    """The folder for everything that can be computed again; made if it is not there."""
    home = Path(os.environ.get("FUNDUS_CACHE") or Path.home() / ".cache" / "fundus").expanduser()
    home.mkdir(parents=True, exist_ok=True)
    return home


def edition() -> Edition:
    """The data behind the notebooks: IDRiD under `FUNDUS_DATA`, else the synthetic stand-in.

    The synthetic one is drawn on first use, in about a minute on two cores, and kept in the cache.

    Raises:
        DatasetNotFoundError: `FUNDUS_DATA` names a folder without a data set.
    """
    from fundus_lib.data.inventory import read_manifest

    home = data_home()
    if home is None or not (home / "IDRiD").is_dir():
        if home is None:
            note = "FUNDUS_DATA is not set; set it to a folder that holds IDRiD/ to run on real photographs."
        else:
            note = f"{home} holds no IDRiD/; put it there to run on real photographs."
        return Edition("synthetic", synthetic_root(), real=False, note=note)
    root = home / "IDRiD"
    manifest = read_manifest(root)
    if manifest is None:
        return Edition("IDRiD", root, real=True, note="Porwal et al. 2018, CC BY 4.0")
    if manifest["kind"] == "synthetic":
        return Edition("synthetic", root, real=False, note="FUNDUS_DATA holds a data set drawn by `fundus data make`.")
    height, width = manifest["size"]
    return Edition(f"IDRiD, shrunk to {height}×{width}", root, real=True, note="Porwal et al. 2018, CC BY 4.0")


def roots() -> dict[str, Path]:
    """Where each data set is that a run can be on: those under `FUNDUS_DATA`, or the synthetic stand-in for each.

    Raises:
        DatasetNotFoundError: `FUNDUS_DATA` names a folder without a data set.
    """
    home = data_home()
    if home is None:
        return dict.fromkeys(DATASETS, synthetic_root())
    return {name: home / name for name in DATASETS if (home / name).is_dir()}


def synthetic_root() -> Path:
    """The root of the synthetic stand-in for IDRiD, drawn into the cache on first use.

    Safe for several processes. Drawn anew when the code that draws has changed.
    """
    from filelock import FileLock

    from fundus_lib.data.synthetic import make_idrid

    sources = sorted((Path(__file__).parent / "data" / "synthetic").glob("*.py"))
    style = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:8]
    height, width = SYNTHETIC_SIZE
    home = cache_home() / f"synthetic-{height}x{width}-seed{SYNTHETIC_SEED}-{style}"
    with FileLock(f"{home}.lock"):
        if not (home / "IDRiD").is_dir():
            make_idrid(home / "IDRiD", size=SYNTHETIC_SIZE, seed=SYNTHETIC_SEED)
    return home / "IDRiD"


def repository() -> str:
    """The address of the project's repository, as set in pyproject.toml."""
    for entry in metadata("fundus_lib").get_all("Project-URL") or ():
        label, _, url = entry.partition(", ")
        if label == "Repository":
            return str(url)
    raise RuntimeError("the installed package names no Repository in its metadata; install it again with pip")


class Banner:
    """What a notebook prints first: which data, which profile, which machine.

    Shows as a coloured box in a browser and as plain text elsewhere.
    """

    def __init__(self) -> None:
        import torch

        self.edition, self.profile = edition(), profile()
        self.device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"

    def __repr__(self) -> str:
        return f"edition: {self.edition.name} | profile: {self.profile} | device: {self.device}\n{self.edition.note}"

    def _repr_html_(self) -> str:
        colour = "#0072B2" if self.edition.real else "#E69F00"
        what = "real photographs" if self.edition.real else "drawn by the program, no patient"
        return (
            f'<div style="border-left:.5rem solid {colour};padding:.4rem .8rem;background:rgba(128,128,128,.1)">'
            f"<b>Edition: {self.edition.name}</b> ({what}) · profile: {self.profile} · device: {self.device}<br>"
            f"<small>{self.edition.note}</small></div>"
        )


def banner() -> Banner:
    """The edition banner of a notebook, to stand as the last line of its set-up cell."""
    return Banner()
