"""Fixtures that several test folders share."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def idrid_root() -> Path:
    """The real IDRiD, where FUNDUS_DATA holds it; tests that ask for it carry the mark `real_data`."""
    home = os.environ.get("FUNDUS_DATA")
    if not home:
        pytest.skip("FUNDUS_DATA is not set: no real data on this machine")
    root = Path(home) / "IDRiD"
    if not (root / "A. Segmentation").is_dir():
        pytest.skip(f"{root} holds no IDRiD (no folder 'A. Segmentation')")
    return root


@pytest.fixture(scope="session")
def for_all(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of this run share."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "for_all"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def synthetic_root(for_all: Path) -> Path:
    """A small synthetic data set in IDRiD's layout."""
    return _draw_once(for_all / "synthetic", size=(240, 360), seed=0, segmentation=(4, 3), grading=(6, 4))


@pytest.fixture(scope="session")
def graded_root(for_all: Path) -> Path:
    """A drawn data set with more grades: some of its photographs have masks too, leak, or come twice."""
    return _draw_once(for_all / "graded", size=(96, 144), seed=0, segmentation=(6, 3), grading=(24, 6), progress=False)


def _draw_once(folder: Path, **settings: Any) -> Path:
    """The data set of `make_idrid` with these settings, drawn by the worker that comes first."""
    from filelock import FileLock

    from fundus_lib.data.synthetic import make_idrid

    folder.mkdir(exist_ok=True)
    with FileLock(folder / "lock"):
        root = folder / "IDRiD"
        return root if root.is_dir() else make_idrid(root, **settings)


@pytest.fixture(autouse=True, scope="session")
def _own_cache(for_all: Path) -> None:
    """Tests never read or fill the user's cache, unless the run names one; all workers fill the same."""
    os.environ.setdefault("FUNDUS_CACHE", str(for_all / "cache"))


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Sums in another order round differently: equal results need equal numbers of threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
