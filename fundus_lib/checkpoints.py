"""Trained models on disk: weights and the recipe that they belong to, loaded without running any code from the file."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fundus_lib.atomic import write_atomically
from fundus_lib.errors import CheckpointError, MissingPackageError
from fundus_lib.experiment import create_task
from fundus_lib.image_verdicts import Rule
from fundus_lib.recipes import from_dict

if TYPE_CHECKING:
    from fundus_lib.tasks.base import FundusTask

_PARTS = {"callbacks", "epoch", "global_step", "loops", "lr_schedulers", "optimizer_states", "state_dict"}
"""What a checkpoint must hold for a run to go on from it to the same result."""

KIND = "fundus_lib model"
OLD_KIND = "fundus_lib segmentation"
"""Of models without a digest, which do not know the colours of their training images either."""

EXPECTED = "a model.pt that `fundus run` wrote"
REMEDY = "name the model.pt in the folder of a finished run"


@dataclass(frozen=True)
class Checkpoint:
    """A trained model.

    Attributes:
        path: Where it was read.
        task: The model with its recipe, in evaluation mode, on the CPU. It has the `statistics` that images are
            normalised by (None: each image's own), and the `field_width` of the training images.
        trained_on: What data it was trained on.
        digest: Twelve hexadecimal digits of a hash of all that is in it.
        origin: Which run it is of, as plain values: `record`, `paper`, `table`, `row`, `seed`, `trained_images`,
            `commit`, `date`; of an older file what its recipe tells.
        colours: Mean and spread, over the training images, of the channel means and standard deviations in their field
            of view, (2, 2, 3); None in an older file.
        rules: By which areas become verdicts.
    """

    path: Path
    task: FundusTask
    trained_on: str
    digest: str
    origin: dict[str, Any]
    colours: Tensor | None = None
    rules: tuple[Rule, ...] = ()

    def describe(self) -> str:
        """The model in one line: which run, and what it was trained on."""
        origin = self.origin
        count = f"{origin['trained_images']} images of " if "trained_images" in origin else ""
        made = [f"on {origin['date'][:10]}"] if origin.get("date") else []
        made += [f"at commit {origin['commit'][:12]}"] if origin.get("commit") else []
        when = f" ({', '.join(made)})" if made else ""
        name = origin.get("record") or self.task.recipe.stem
        return f"model {self.digest}: {name}, trained on {count}{self.trained_on}{when}"


def save_model(
    path: Path,
    task: FundusTask,
    *,
    trained_on: str,
    origin: Mapping[str, Any] | None = None,
    image_statistics: Tensor | None = None,
    colours: Tensor | None = None,
    rules: Sequence[Rule] = (),
) -> None:
    """Write a trained model atomically; see :class:`Checkpoint` for what is written.

    Args:
        path: Where.
        task: The model with its recipe.
        trained_on: What data it was trained on.
        origin: Which run it is of, as plain values.
        image_statistics: Channel means and standard deviations of the training images, (N, 2, 3).
        colours: What :func:`measure_colours` gives of these, where they themselves are not at hand.
        rules: By which areas become verdicts.
    """
    if image_statistics is not None:
        colours = measure_colours(image_statistics)
    content = {
        "kind": KIND,
        "recipe": task.recipe.to_dict(),
        "weights": {name: value.cpu() for name, value in task.model.state_dict().items()},
        "statistics": None if task.statistics is None else task.statistics.cpu().clone(),
        "field_width": task.field_width,
        "trained_on": trained_on,
        "origin": dict(origin or {}),
        "colours": colours,
        "rules": [rule.to_dict() for rule in rules],
    }
    _write(path, content)


def shrink_model(path: str | Path, to: Path) -> None:
    """Write a trained model with 16-bit weights: half the size, and predictions that differ in the fourth digit.

    Vectors, such as those of normalisation, keep their 32 bits.

    Args:
        path: A `model.pt`.
        to: Where the small one is written, atomically.

    Raises:
        CheckpointError: There is no such model, it is damaged, or a weight has no 16-bit number.
    """
    load_model(path)
    content = {name: value for name, value in _read(Path(path)).items() if name != "digest"}
    weights = content["weights"]
    small = {n: v.half() if v.is_floating_point() and v.ndim > 1 else v for n, v in weights.items()}
    large = [name for name, value in small.items() if not bool(torch.isfinite(value).all())]
    if large:
        raise CheckpointError(
            Path(path),
            "a weight of this model has no 16-bit number",
            found=f"more than 65504 in {large[0]}",
            expected="weights of at most 65504",
            remedy="keep the model as it is",
        )
    _write(to, {**content, "weights": small})


def load_model(path: str | Path) -> Checkpoint:
    """Read a trained model, weights only: a file from elsewhere cannot run code.

    Raises:
        CheckpointError: There is no such file, it is damaged, it is not a model of this library, or a weight is no
            finite number.
    """
    path = Path(path)
    content = _read(path)
    missing = [name for name in _needed(content) if name not in content]
    if missing:
        raise _damaged(path, f"no {', '.join(missing)}")
    digest = hash_content({name: value for name, value in content.items() if name != "digest"})
    if content["kind"] == KIND and content["digest"] != digest:
        raise _damaged(path, f"the digest {digest[:12]} of its content, where it says {str(content['digest'])[:12]}")
    try:
        task = create_task(from_dict(content["recipe"]), start=False)
        task.model.load_state_dict(content["weights"])
        task.statistics, task.field_width = content["statistics"], float(content["field_width"])
        rules = tuple(Rule(**plain) for plain in content.get("rules", ()))
        recipe, origin, colours = content["recipe"], dict(content.get("origin", {})), content.get("colours")
        if colours is not None and (colours.shape != (2, 2, 3) or not bool(torch.isfinite(colours).all())):
            raise ValueError(f"colours {colours}")
    except MissingPackageError:  # says itself what to install
        raise
    except Exception as error:  # whatever a file from elsewhere holds, it is not what this library can use
        raise CheckpointError(
            path,
            "this checkpoint does not fit this version of the library",
            found=_first_line(error),
            expected="recipe, weights and model that belong together",
            remedy="use the version of the library that wrote it, or train again",
        ) from error
    _check_numbers(path, task)
    origin = {name: recipe[name] for name in ("paper", "table", "row", "seed") if name in recipe} | origin
    return Checkpoint(path, task.eval(), str(content["trained_on"]), digest[:12], origin, colours, rules)


def measure_colours(statistics: Tensor) -> Tensor:
    """Mean and spread of the channel means and standard deviations of images, (N, 2, 3), as (2, 2, 3).

    The spread of a single image is 0.
    """
    return torch.stack([statistics.mean(0), statistics.std(0, correction=0)]).cpu()


def hash_content(content: Mapping[str, Any]) -> str:
    """Hash of nested mappings and lists of tensors and plain values, whatever the order of the mappings' names."""
    hashed = hashlib.sha256()
    _hash(content, hashed)
    return hashed.hexdigest()


def _hash(value: Any, hashed: Any) -> None:
    if isinstance(value, Mapping):
        hashed.update(f"mapping {len(value)}".encode())
        for name in sorted(value, key=str):
            _hash(str(name), hashed)
            _hash(value[name], hashed)
    elif isinstance(value, list | tuple):
        hashed.update(f"list {len(value)}".encode())
        for part in value:
            _hash(part, hashed)
    elif isinstance(value, Tensor):
        hashed.update(f"tensor {value.dtype} {tuple(value.shape)}".encode())
        hashed.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    else:
        hashed.update(json.dumps(value, default=repr).encode())
    hashed.update(b"\n")


def _write(path: Path, content: Mapping[str, Any]) -> None:
    buffer = io.BytesIO()
    torch.save({**content, "digest": hash_content(content)}, buffer)
    write_atomically(path, buffer.getvalue())


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no file"
        raise CheckpointError(path, "there is no such checkpoint", found=found, expected=EXPECTED, remedy=REMEDY)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's own text advises to load without care
        found = f"{path.stat().st_size} bytes that are no weights and plain values ({type(error).__name__})"
        if isinstance(error, OSError):
            found = _first_line(error)
        raise CheckpointError(
            path, "this is no checkpoint, or a damaged one", found=found, expected=EXPECTED, remedy=REMEDY
        ) from error
    if isinstance(content, dict) and content.get("kind") in (KIND, OLD_KIND):
        return content
    found = f"the keys {', '.join(map(str, content))[:200]}" if isinstance(content, dict) else str(type(content))
    raise CheckpointError(path, "this checkpoint is of another kind", found=found, expected=EXPECTED, remedy=REMEDY)


def _needed(content: Mapping[str, Any]) -> list[str]:
    """What a checkpoint of its kind must hold."""
    names = ["recipe", "weights", "statistics", "field_width", "trained_on"]
    return names if content["kind"] == OLD_KIND else [*names, "origin", "colours", "rules", "digest"]


def _check_numbers(path: Path, task: FundusTask) -> None:
    """See to it that all that is computed with is finite."""
    values = {"statistics": task.statistics, "field_width": torch.tensor(task.field_width), **task.model.state_dict()}
    bad = [n for n, value in values.items() if isinstance(value, Tensor) and not bool(torch.isfinite(value).all())]
    if bad:
        raise CheckpointError(
            path,
            "this model holds values that are no numbers",
            found=f"NaN or infinity in {len(bad)} of {len(values)} parts, the first of them {bad[0]}",
            expected="finite weights",
            remedy="train again, at a lower learning rate if the loss became NaN; or use another model",
        )
    if task.statistics is not None and (task.statistics.shape != (2, 3) or bool((task.statistics[1] <= 0).any())):
        raise _damaged(path, f"statistics {task.statistics.tolist()}")
    if task.field_width < 1:
        raise _damaged(path, f"a field of view {task.field_width:g} pixels wide")


def _damaged(path: Path, found: str) -> CheckpointError:
    return CheckpointError(
        path,
        "this checkpoint is damaged or incomplete",
        found=found,
        expected="what `fundus run` wrote, unchanged",
        remedy="copy the file again from where it was trained, or train again",
    )


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__


def check_whole(last: Path) -> None:
    """Refuse a checkpoint that was cut short or altered, by the checksums with which torch writes its parts.

    Raises:
        OSError, EOFError, KeyError, RuntimeError, BadZipFile, UnpicklingError: It was; the run machine names the file.
    """
    with zipfile.ZipFile(last) as archive:
        damaged = archive.testzip()
    if damaged:
        raise zipfile.BadZipFile(f"{damaged} is not as it was written")
    content = torch.load(last, map_location="cpu", mmap=True, weights_only=True)
    missing = _PARTS - set(content) if isinstance(content, dict) else _PARTS
    if missing:
        raise KeyError(f"no {', '.join(sorted(missing))}")
