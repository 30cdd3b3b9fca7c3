"""Trained networks that ship with the library, so that a page can show what hours of training have led to.

They are what `fundus run` wrote, with 16-bit weights. `LICENSE.txt` says what they were trained on.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fundus_lib.errors import UnknownNameError

if TYPE_CHECKING:
    from fundus_lib.checkpoints import Checkpoint

FOLDER = Path(__file__).parent


def list_weights() -> list[str]:
    """Names of the networks that ship, a paper and a row of its recipes: `"hecl/unet"`."""
    return sorted(path.stem.replace("-", "/", 1) for path in FOLDER.glob("*.pt"))


def load(name: str) -> Checkpoint:
    """Load a network that ships.

    Args:
        name: One of :func:`list_weights`.

    Returns:
        The network in evaluation mode, on the CPU, with float32 weights; `origin` says which run it is of.

    Raises:
        UnknownNameError: None of that name ships.
        CheckpointError: The file is damaged.
    """
    from fundus_lib.checkpoints import load_model

    if name not in (known := list_weights()):
        raise UnknownNameError(
            "weights.load",
            "no network of that name ships with the library",
            found=repr(name),
            expected=", ".join(known),
            remedy="load the model.pt of a run of your own with fundus_lib.checkpoints.load_model",
        )
    return load_model(FOLDER / f"{name.replace('/', '-', 1)}.pt")


def add(path: str | Path, folder: Path = FOLDER) -> str:
    """Let the model of a finished run ship, under the names of its paper and row.

    Args:
        path: The `model.pt` of a run.
        folder: Where to.

    Returns:
        The name for :func:`load`.

    Raises:
        CheckpointError: It is no model, or a damaged one.
    """
    from fundus_lib.checkpoints import load_model, shrink_model

    origin = load_model(path).origin
    shrink_model(path, folder / f"{origin['paper']}-{origin['row']}.pt")
    return f"{origin['paper']}/{origin['row']}"
