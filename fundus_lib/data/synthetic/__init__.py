"""Synthetic fundus images: without any data set, everything else in this library runs on these."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fundus_lib.data.synthetic.dataset import SyntheticFundus as SyntheticFundus
    from fundus_lib.data.synthetic.fundus import Fundus as Fundus
    from fundus_lib.data.synthetic.fundus import draw as draw
    from fundus_lib.data.synthetic.grades import Lesion as Lesion
    from fundus_lib.data.synthetic.grades import edema_risk as edema_risk
    from fundus_lib.data.synthetic.grades import retinopathy_grade as retinopathy_grade
    from fundus_lib.data.synthetic.make import make_idrid as make_idrid

_HOME = {
    "Fundus": "fundus",
    "Lesion": "grades",
    "SyntheticFundus": "dataset",
    "draw": "fundus",
    "edema_risk": "grades",
    "make_idrid": "make",
    "retinopathy_grade": "grades",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    """Import torch for the data set only: worker processes do not need it."""
    if name in _HOME:
        return getattr(import_module(f"fundus_lib.data.synthetic.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
