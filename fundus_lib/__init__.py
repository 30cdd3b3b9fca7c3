"""How diabetic retinopathy is found in fundus images: data, models, losses, metrics and the recipes of five papers.

Importing the package is light; the parts that need torch load when they are used.
"""

from typing import Any

__version__ = "0.1.0"

_LAZY = ("Prediction", "Predictions", "calibrate", "predict", "predict_all")


def __getattr__(name: str) -> Any:
    """`fundus_lib.predict` and its kin, loaded when they are first used."""
    if name in _LAZY:
        from fundus_lib import prediction

        return getattr(prediction, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
