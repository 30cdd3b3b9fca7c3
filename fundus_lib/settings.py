"""The two switches of every notebook and command, in one place: which data, and how much computing.

- ``FUNDUS_DATA``: the folder that holds ``IDRiD/``, ``DDR/``, ``DiaRetDB1/``; without it, the synthetic data set.
- ``FUNDUS_PROFILE``: ``smoke`` (seconds on a CPU, every code path) or ``paper`` (the full experiment); without it,
  ``smoke``.
- ``FUNDUS_CACHE``: where decoded arrays and the synthetic data set are kept; without it, ``~/.cache/fundus``.
- ``FUNDUS_COMMIT``: the commit of the library, where only an export of the repository is; records name it.

Recipes and models read none of them: what a run does is written in its recipe.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from fundus_lib.environment import DATASETS as DATASETS
from fundus_lib.environment import Profile as Profile
from fundus_lib.environment import cache_home as cache_home
from fundus_lib.environment import data_home as data_home
from fundus_lib.environment import profile as profile

SYNTHETIC_SEED = 2018
"""Seed of the synthetic data set that stands in for IDRiD (the year in which IDRiD was published)."""

SYNTHETIC_SIZE = (480, 720)
"""(height, width) in pixels of its images."""


@dataclass(frozen=True)
class Edition:
    """Which data stands behind the figures of a notebook.

    Attributes:
        name: What to print beside a figure: `"synthetic"`, `"IDRiD"` or `"IDRiD, shrunk to 960×1440"`.
        root: The folder to open with `IDRiDSegmentation` and `IDRiDGrading`.
        real: Whether the images show human eyes.
        note: Why it is this one and how to get the other.
    """

    name: str
    root: Path
    real: bool
    note: str

    def show_names(self, text: str) -> str:
        """Name images as a page shows them.

        A synthetic copy of IDRiD has IDRiD's file names, and other images behind them; on a page they are called
        "synthetic image 7" instead.

        Args:
            text: The name of an image, or a text that contains such names.

        Returns:
            The same with names that no real image has; unchanged if the images are real.
        """
        return text if self.real else re.sub(r"(?:IDRiD|synthetic)_0*(\d+)", r"synthetic image \1", text)


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
            note = "FUNDUS_DATA is not set; set it to a folder that holds IDRiD/ to run on real images."
        else:
            note = f"{home} holds no IDRiD/; put it there to run on real images."
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
        what = "real images" if self.edition.real else "synthetic images, no patient"
        return (
            f'<div style="border-left:.5rem solid {colour};padding:.4rem .8rem;background:rgba(128,128,128,.1)">'
            f"<b>Edition: {self.edition.name}</b> ({what}) · profile: {self.profile} · device: {self.device}<br>"
            f"<small>{self.edition.note}</small></div>"
        )


def banner() -> Banner:
    """The edition banner of a notebook, to stand as the last line of its set-up cell."""
    return Banner()
