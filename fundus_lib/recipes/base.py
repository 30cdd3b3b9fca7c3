"""The recipe: everything that a run needs, and nothing from the environment."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from fundus_lib.errors import ArgumentError

if TYPE_CHECKING:
    from fundus_lib.tasks.base import FundusTask
    from fundus_lib.tasks.experiment import Experiment

LATER: Mapping[str, Any] = {"loss": "crossentropy", "loss_args": {}, "kind": "segmentation"}
"""Settings that recipes did not have from the start, with what older runs did. At this value they do not enter the
digest, so that a run made before there was the setting is known as the same."""


@dataclass(frozen=True)
class Recipe(ABC):
    """One row of one table; each kind of experiment has its own class, with the settings that it needs.

    Attributes:
        paper: Name of the paper or chapter.
        table: Which of its tables.
        row: Which row of the table.
        epochs: Number of blocks of training; a checkpoint is written after each.
        seed: Of everything that is random.
        batch: Images or pairs in a step, over all processes together.
    """

    kind: ClassVar[str]
    """Name of the class, as records write it; see :func:`fundus_lib.recipes.from_dict`."""

    paper: str
    table: str
    row: str
    epochs: int = 20
    seed: int = 0
    batch: int = 8

    @property
    def dataset(self) -> str:
        """The folder under `FUNDUS_DATA` that it is tested on."""
        return "IDRiD"

    @property
    def stem(self) -> str:
        """With what the names of its runs and records begin."""
        return f"{self.paper}-{self.table}-{self.row}-seed{self.seed}"

    @abstractmethod
    def smoke(self) -> Self:
        """The same experiment shrunk to seconds on a CPU: every code path, no result worth quoting."""

    @abstractmethod
    def test_fingerprint(self, root: Path) -> str:
        """Digits that change with the test data under `root`; takes no more than tenths of a second."""

    @abstractmethod
    def task(self, *, start: bool = True) -> FundusTask:
        """The network and what happens in a step.

        Args:
            start: Load what the recipe starts from, such as weights from ImageNet; no need where a checkpoint follows.
        """

    @abstractmethod
    def experiment(self, root: Path) -> Experiment:
        """Read the data under `root` and build what is trained."""

    def replace(self, **changes: Any) -> Self:
        """The same recipe with some settings changed."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """The recipe as plain numbers, texts and lists, for JSON, with its kind."""
        plain: dict[str, Any] = json.loads(json.dumps({"kind": self.kind, **dataclasses.asdict(self)}))
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_dict`, for a recipe of this very class.

        Raises:
            ArgumentError: There are settings that a recipe does not have, or some are missing.
        """
        try:
            values: dict[str, Any] = {
                name: tuple(v) if isinstance(v, list) else v for name, v in plain.items() if name != "kind"
            }
            return cls(**values)
        except TypeError as error:
            raise ArgumentError(
                f"{cls.__name__}.from_dict",
                "this is not such a recipe",
                found=str(error),
                expected=", ".join(f.name for f in dataclasses.fields(cls)),
                remedy="use the version of the library that wrote it",
            ) from error

    @property
    def digest(self) -> str:
        """Eight digits that differ for any two different recipes."""
        return digest(self.to_dict())


def digest(plain: Mapping[str, Any]) -> str:
    """Digits of a recipe as plain values: of :meth:`Recipe.to_dict`, or as a record of any age holds it."""
    settings = {name: value for name, value in plain.items() if name not in LATER or value != LATER[name]}
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]


def check_together(recipe: Recipe, problem: str | None) -> None:
    """Refuse a recipe with a problem.

    Raises:
        ArgumentError: `problem` is not None.
    """
    if problem:
        raise ArgumentError(
            f"recipe {recipe.row!r}",
            "settings that do not go together",
            found=problem,
            expected=f"see help(fundus_lib.recipes.{type(recipe).__name__})",
            remedy="correct the setting with recipe.replace(…)",
        )
