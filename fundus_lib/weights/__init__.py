"""Trained networks that ship with the library, so that a page can show what hours of training have led to.

They are what `fundus run` wrote, with 16-bit weights. `LICENSE.txt` says what they were trained on.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fundus_lib.errors import ArgumentError, UnknownNameError, suggest

if TYPE_CHECKING:
    from fundus_lib.checkpoints import Checkpoint

FOLDER = Path(__file__).parent
DEFAULT = "first_segmenter/unet_four_lesions"
"""What predicts where no other network is named."""


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
            remedy=suggest(name, known, "name one of these, or the model.pt of a run of your own"),
        )
    return load_model(FOLDER / f"{name.replace('/', '-', 1)}.pt")


def find(model: str | Path | Checkpoint = DEFAULT) -> Checkpoint:
    """A network by any of its names.

    Args:
        model: A network of :func:`list_weights`; the path of a `model.pt`; or what is loaded already.

    Returns:
        The network in evaluation mode, on the CPU.

    Raises:
        ArgumentError: It is of another type.
        UnknownNameError: It is neither the name of a network that ships, nor that of a file.
        CheckpointError: The file is not there, no model of this library, or damaged.
    """
    from fundus_lib.checkpoints import Checkpoint, load_model

    if isinstance(model, Checkpoint):
        return model
    if not isinstance(model, str | Path):
        raise ArgumentError(
            "model",
            "a network is named, or loaded from a file",
            found=type(model).__name__,
            expected="a name, the path of a model.pt, or what load_model gave",
            remedy=f"one of {', '.join(list_weights())}, or the model.pt of a run of your own",
        )
    if isinstance(model, Path) or model.endswith(".pt") or Path(model).exists():
        return load_model(model)
    return load(model)


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
