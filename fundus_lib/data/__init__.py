"""Data sets of fundus photographs, real and drawn; what is imported here loads when it is used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fundus_lib.data.idrid import IDRiDGrading as IDRiDGrading
    from fundus_lib.data.idrid import IDRiDSegmentation as IDRiDSegmentation

_HOME = {
    "IDRiDSegmentation": "idrid",
    "IDRiDGrading": "idrid",
    "SyntheticFundus": "synthetic",
    "LESIONS": "sample",
    "LESION_NAMES": "sample",
    "Sample": "sample",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"fundus_lib.data.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
