"""Numbers that a module beside this one measured on a real data set, and that are stored as JSON under its name."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any


def read_measured(module: str) -> dict[str, Any]:
    """What the `measure` of a module of this package found, by the module's `__name__`."""
    file = resources.files(__package__).joinpath(f"{module.rpartition('.')[2]}.json")
    found: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return found
