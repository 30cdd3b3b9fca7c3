"""Data sets of fundus images, real and synthetic; what is imported here loads when it is used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fundus_lib.data.ddr import DDRGrading as DDRGrading
    from fundus_lib.data.ddr import DDRSegmentation as DDRSegmentation
    from fundus_lib.data.diaretdb1 import DiaRetDB1 as DiaRetDB1
    from fundus_lib.data.idrid import IDRiDGrading as IDRiDGrading
    from fundus_lib.data.idrid import IDRiDSegmentation as IDRiDSegmentation
    from fundus_lib.data.sample import LESION_NAMES as LESION_NAMES
    from fundus_lib.data.sample import LESIONS as LESIONS
    from fundus_lib.data.sample import Sample as Sample

_HOME = {
    "IDRiDSegmentation": "idrid",
    "IDRiDGrading": "idrid",
    "DDRSegmentation": "ddr",
    "DDRGrading": "ddr",
    "DiaRetDB1": "diaretdb1",
    "LESIONS": "sample",
    "LESION_NAMES": "sample",
    "Sample": "sample",
    "SyntheticFundus": "synthetic",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"fundus_lib.data.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
