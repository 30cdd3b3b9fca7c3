"""Imports of the library point one way. `python tests/test_layers.py` draws the layers and lists what breaks a rule."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from helpers.imports import LIBRARY, ROOT, arrows, modules
from helpers.layers import (
    ALLOWED,
    bound_protocols,
    circles_of_modules,
    circles_of_packages,
    draw,
    impure_recipes,
    layer,
    mentions,
    missing_files,
    unit,
    upward,
)


def test_every_module_has_a_layer() -> None:
    assert sorted({unit(name) for name in modules() if layer(name) < 0}) == []


def test_no_circle() -> None:
    assert circles_of_modules() == []
    assert circles_of_packages() == []


def test_imports_point_down() -> None:
    assert list(map(str, upward())) == []
    lazy = {(arrow.source, arrow.target) for arrow in arrows() if arrow.kind == "lazy"}
    assert set(ALLOWED) <= lazy, "an exception that nothing needs"


def test_recipes_are_pure_data() -> None:
    assert list(map(str, impure_recipes())) == []


def test_recipes_load_without_pytorch() -> None:
    loaded = "import sys, fundus_lib.recipes; print(sorted({'torch', 'cv2', 'pandas'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_protocols_know_no_task() -> None:
    assert list(map(str, bound_protocols())) == []


def test_a_paper_has_its_files() -> None:
    from fundus_lib.recipes import PAPERS

    assert missing_files(tuple(PAPERS)) == []


def test_only_its_own_files_speak_of_a_paper() -> None:
    assert mentions() == []


HOUSE = {
    "data/a.py": "from fundus_lib.viz import b\n",
    "viz/b.py": "def f():\n    from fundus_lib import recipes\n",
    "recipes/__init__.py": "import torch\nfrom typing import TYPE_CHECKING\n"
    "if TYPE_CHECKING:\n    from fundus_lib.tasks import base\n",
    "recipes/sunet.py": "from . import other\n",
    "recipes/other.py": "def f(paper):\n    from .sunet import x\n    return paper in ('hecl', 'x')\n",
    "tasks/base.py": "from fundus_lib.models.net import Net\n",
    "models/net.py": "NET = {'hed': 'fundus_lib.losses.dice:Dice'}\n",
    "losses/dice.py": "",
    "protocols/lesions.py": "from fundus_lib.tasks.base import FundusTask, other\n",
    "run.py": "from importlib import import_module\nimport_module(f'fundus_lib.c{1}')\n",
    "cli.py": "",
    "new.py": "",
}


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A library that breaks every rule once."""
    for name, text in HOUSE.items():
        file = tmp_path / LIBRARY / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    return tmp_path


def test_a_house_that_breaks_every_rule(house: Path) -> None:
    assert {unit(name) for name in modules(house) if layer(name) < 0} == {"new"}
    assert list(map(str, upward(house))) == [
        "data.a:1 imports viz.b",
        "models.net:1 imports losses.dice (lazy)",
        "run:2 imports cli (lazy)",
        "viz.b:2 imports recipes (lazy)",
    ]
    assert circles_of_modules(house) == [("recipes.other", "recipes.sunet")]
    assert circles_of_packages(house) == []
    assert list(map(str, impure_recipes(house))) == [
        "recipes:1 imports :torch",
        "recipes:4 imports tasks.base (typing)",
    ]
    assert [arrow.name for arrow in bound_protocols(house)] == ["other"]
    assert mentions(house) == [  # run's pattern names nobody
        "recipes.other:2 imports recipes.sunet (lazy)",
        "recipes.other:3 compares with 'hecl'",
    ]
    assert "recipes/hecl.py" in missing_files(("hecl", "sunet"), house)
    assert "recipes/sunet.py" not in missing_files(("hecl", "sunet"), house)
    assert "data (1 files) → ↑ viz 1" in draw(house)


if __name__ == "__main__":
    sys.stdout.write(draw() + "\n")
