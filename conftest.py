"""In which order the workers take the files: the long ones first, so that none is left with one when all else is done.

pytest-xdist (`--dist=loadfile`) hands out whole files, by default those with most tests first, and the longest files
have few: the site in a browser, statistics of all of IDRiD. A page says itself how long it takes.
"""

from pathlib import Path

import notebook_store
import pytest

ROOT = Path(__file__).parent

SECONDS = {
    "tests/test_contract.py": 200,
    "tests/data/test_idrid_real.py": 150,
    "tests/browser/test_site.py": 100,
    "tests/published/test_dual_branch_readings.py": 50,
    "tests/data/test_synthetic_make.py": 45,
    "tests/data/test_synthetic_statistics.py": 40,
    "tests/metrics/test_real_masks.py": 30,
    "tests/test_cli.py": 30,
    "tests/metrics/test_classes.py": 25,
    "tests/benchmarks/test_training_step_speed.py": 25,
    "tests/losses/test_dsm_criterion.py": 25,
    "tests/test_run.py": 20,
    "tests/notebooks/test_checks.py": 20,
    "tests/data/test_synthetic.py": 20,
    "tests/data/test_image_set.py": 20,
}
"""About what a file takes of one core; files that are not named take less."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, the others in the order in which they were found."""
    if stale := [name for name in SECONDS if not (ROOT / name).is_file()]:
        raise pytest.UsageError(f"conftest.py names files that are not there: {', '.join(stale)}")
    seconds = {path: estimate(file) for path, file in {item.path: item.parent for item in items}.items()}
    items.sort(key=lambda item: -seconds[item.path])


def estimate(file: pytest.Collector | None) -> int:
    """Seconds that a file takes: of a page those that it states, of other tests those of `SECONDS`."""
    if (notebook := getattr(file, "nb", None)) is not None:  # of nbval
        stated = notebook_store.TIME_LINE.search(notebook.cells[0].source)
        return int(stated["seconds"] or 0) if stated else 0
    path = getattr(file, "path", ROOT)
    return SECONDS.get(path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else "", 0)
