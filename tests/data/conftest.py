"""Data sets in small, in the layouts in which they are published."""

from pathlib import Path

import pytest

from helpers import small_ddr, small_diaretdb1


@pytest.fixture
def ddr_root(tmp_path: Path) -> Path:
    small_ddr.write_both_parts(tmp_path / "DDR")
    return tmp_path / "DDR"


@pytest.fixture
def v21(tmp_path: Path) -> Path:
    small_diaretdb1.write_v21(tmp_path / "ddb1_v02_01")
    return tmp_path / "ddb1_v02_01"


@pytest.fixture
def v11(tmp_path: Path) -> Path:
    small_diaretdb1.write_v11(tmp_path / "diaretdb1_v_1_1")
    return tmp_path / "diaretdb1_v_1_1"
