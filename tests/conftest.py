"""Fixtures that several test folders share."""

import os
from collections.abc import Iterator
from pathlib import Path

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
def synthetic_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small synthetic data set in IDRiD's layout."""
    from fundus_lib.data.synthetic import make_idrid

    root = tmp_path_factory.mktemp("synthetic") / "IDRiD"
    return make_idrid(root, size=(240, 360), seed=0, segmentation=(4, 3), grading=(6, 4))


@pytest.fixture(scope="session")
def graded_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn data set with more grades: some of its photographs have masks too, leak, or come twice."""
    from fundus_lib.data.synthetic import make_idrid

    root = tmp_path_factory.mktemp("graded") / "IDRiD"
    return make_idrid(root, size=(96, 144), seed=0, segmentation=(6, 3), grading=(24, 6), progress=False)


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests never read or fill the user's cache, unless the run names one."""
    os.environ.setdefault("FUNDUS_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Sums in another order round differently: equal results need equal numbers of threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
