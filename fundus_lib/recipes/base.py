"""The recipe: everything that a run needs, as plain values, and nothing from the environment."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar, Literal, Self, get_args, get_origin, get_type_hints

from fundus_lib.errors import ArgumentError, UnknownNameError, suggest

Precision = Literal["32", "bf16"]


class Settings(Mapping[str, Any]):
    """An immutable, hashable mapping of settings; its values are plain, and immutable too."""

    def __init__(self, values: Mapping[str, Any]):
        self._values = {str(name): freeze(value) for name, value in values.items()}

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return hash(frozenset(self._values.items()))

    def __repr__(self) -> str:
        return repr(self._values)


def freeze(value: Any) -> Any:
    """A plain value with its lists as tuples and its mappings as :class:`Settings`.

    Raises:
        TypeError: It is not plain: no number, text, None, list or mapping of these.
    """
    if isinstance(value, Settings) or value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return Settings(value)
    if isinstance(value, list | tuple):
        return tuple(freeze(part) for part in value)
    raise TypeError(f"{value!r} is no plain value")


def thaw(value: Any) -> Any:
    """The inverse of :func:`freeze` in the types of JSON: tuples as lists, mappings as dictionaries."""
    if isinstance(value, Mapping):
        return {name: thaw(part) for name, part in value.items()}
    return [thaw(part) for part in value] if isinstance(value, list | tuple) else value


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One row of one table. Each kind of experiment has a class of its own with further settings.

    Attributes:
        paper: Name of the paper or chapter.
        table: Which of its tables.
        row: Which row of the table.
        dataset: The folder under `FUNDUS_DATA` that it is trained and tested on.
        lesions: Lesions to segment, one output channel each.
        model: Name for `create_model`.
        model_args: Its settings, other than `lesions`.
        criterion: Settings of the loss.
        imagenet: Start from weights of ImageNet.
        learning_rate: At the start, or at its peak.
        epochs: How often a checkpoint is written and the network scored.
        batch: Images, crops or pairs in a step, over all processes together.
        seed: Of everything that is random.
        precision: What is multiplied: `"32"` bits, or `"bf16"` under autocast. Another precision is another run.
        fold: `(k, n)`: cross-validation. The k-th of n parts of the training images, stratified by grade where grades
            are known, is tested on in place of the test images, and the others are trained on.
        train_images: How many training images; None for all.
        test_images: How many test images; None for all.
        validation: How many training images (1, 2, …), or which fraction of them (below 1), are held out of training
            and scored after each epoch; None for what the data set provides.
        choose_by: The score on the validation images by which the epoch is chosen; empty: the last epoch counts.
        pretraining_images: How many synthetic images to train on first.
        pretraining_epochs: For how many epochs, as a stage of its own before the `epochs`.
        pretraining_optimizer: `"own"`, or `"shared"`: the moments at the end of pre-training go on into training.
    """

    kind: ClassVar[str]
    """Name of the class in records; see :func:`fundus_lib.recipes.from_dict`."""

    RENAMED: ClassVar[Mapping[str, str]] = {}
    """Settings that older records have under another name: today's name, and that one."""

    paper: str
    table: str
    row: str
    dataset: str = "IDRiD"
    lesions: tuple[str, ...] = ("EX",)
    model: str = "unet"
    model_args: Mapping[str, Any] = field(default_factory=dict)
    criterion: Mapping[str, Any] = field(default_factory=dict)
    imagenet: bool = False
    learning_rate: float = 1e-3
    epochs: int = 20
    batch: int = 8
    seed: int = 0
    precision: Precision = "bf16"
    fold: tuple[int, int] | None = None
    train_images: int | None = None
    test_images: int | None = None
    validation: float | None = 0
    choose_by: str = ""
    pretraining_images: int = 0
    pretraining_epochs: int = 0
    pretraining_optimizer: Literal["own", "shared"] = "own"

    def __post_init__(self) -> None:
        for setting in dataclasses.fields(self):
            object.__setattr__(self, setting.name, freeze(getattr(self, setting.name)))
        for name, choices in find_choices(type(self)).items():  # type: ignore[arg-type]
            if getattr(self, name) not in choices:
                raise UnknownNameError(
                    f"recipe {self.row!r}",
                    f"the setting {name} has fixed choices",
                    found=repr(getattr(self, name)),
                    expected=", ".join(map(repr, choices)),
                    remedy=suggest(str(getattr(self, name)), [str(one) for one in choices]),
                )
        if problem := self.problem():
            raise ArgumentError(
                f"recipe {self.row!r}",
                "settings that do not go together",
                found=problem,
                expected=f"see help(fundus_lib.recipes.{type(self).__name__})",
                remedy="correct the setting with recipe.replace(…)",
            )

    def problem(self) -> str | None:
        """What does not go together, in words; None if everything does."""
        if min(self.batch, self.epochs, len(self.lesions)) < 1:
            return "batch, epochs and the number of lesions must be at least 1"
        if self.seed < 0:
            return f"seed={self.seed}: must not be negative"
        if bool(self.pretraining_images) != bool(self.pretraining_epochs):
            return f"pretraining_images={self.pretraining_images}, pretraining_epochs={self.pretraining_epochs}"
        if self.validation is not None and (self.validation < 0 or (self.validation > 1 and self.validation % 1)):
            return f"validation={self.validation}: a number of images, or a fraction below 1"
        if self.fold is not None and not (len(self.fold) == 2 and 1 <= self.fold[0] <= self.fold[1] >= 2):
            return f"fold={self.fold}: (k, n), the k-th of n"
        return None

    @property
    def needs(self) -> tuple[str, ...]:
        """The data sets that it is trained and tested on."""
        return (self.dataset,)

    def every_fold(self) -> tuple[Self, ...]:
        """The same with each of its folds, or alone if it has none."""
        if self.fold is None:
            return (self,)
        return tuple(self.replace(fold=(k + 1, self.fold[1])) for k in range(self.fold[1]))

    @property
    def stem(self) -> str:
        """The start of the names of its runs and records."""
        fold = f"-fold{self.fold[0]}of{self.fold[1]}" if self.fold else ""
        return f"{self.paper}-{self.table}-{self.row}{fold}-seed{self.seed}"

    def smoke(self) -> Self:
        """The same experiment shrunk to seconds on a CPU: every code path, no result worth quoting."""
        return self.replace(
            pretraining_images=min(self.pretraining_images, 8), pretraining_epochs=min(self.pretraining_epochs, 1)
        )

    def replace(self, **changes: Any) -> Self:
        """The same recipe with some settings changed."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """The recipe as plain numbers, texts, lists and dictionaries, for JSON, with its kind."""
        return {"kind": self.kind} | {f.name: thaw(getattr(self, f.name)) for f in dataclasses.fields(self)}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_dict`, for a recipe of this very class and of any age.

        Raises:
            ArgumentError: There are settings that a recipe does not have, or some are missing.
        """
        old = {name: today for today, name in cls.RENAMED.items()}
        values = {old.get(name, name): value for name, value in cls.upgrade(plain).items()}
        settings = {name: value for name, value in {**cls.defaults_of_old(values), **values}.items() if name != "kind"}
        try:
            return cls(**settings)
        except (TypeError, KeyError) as error:
            raise ArgumentError(
                f"{cls.__name__}.from_dict",
                "this is not such a recipe",
                found=str(error),
                expected=", ".join(f.name for f in dataclasses.fields(cls)),
                remedy="use the version of the library that wrote it",
            ) from error

    @classmethod
    def defaults_of_old(cls, plain: Mapping[str, Any]) -> Mapping[str, Any]:
        """What runs did before there was a setting, for each setting that recipes did not have from the start.

        At this value a setting does not enter the digest, so that an older record is known as the same experiment.

        Args:
            plain: The settings of the recipe, under today's names.
        """
        return {}

    @classmethod
    def upgrade(cls, plain: Mapping[str, Any]) -> Mapping[str, Any]:
        """The settings of a record of any age in today's form, but for their names."""
        return plain

    @classmethod
    def downgrade(cls, plain: dict[str, Any]) -> dict[str, Any]:
        """The settings under their oldest names, in the form in which the digest is taken."""
        return plain

    @property
    def digest(self) -> str:
        """Eight hexadecimal digits that differ for any two different recipes and never change with the library."""
        plain = self.to_dict()
        old = thaw(self.defaults_of_old(plain))
        kept = {self.RENAMED.get(n, n): v for n, v in plain.items() if n not in old or v != old[n]}
        return hashlib.sha256(json.dumps(self.downgrade(kept), sort_keys=True).encode()).hexdigest()[:8]


@cache
def find_choices(kind: type[Recipe]) -> dict[str, tuple[Any, ...]]:
    """The settings of a class of recipes that have fixed choices, those that are annotated as `Literal`."""
    return {name: get_args(hint) for name, hint in get_type_hints(kind).items() if get_origin(hint) is Literal}


def before_stages(plain: Mapping[str, Any], precision: Precision = "bf16") -> dict[str, Any]:
    """What runs did before a recipe named its precision, and before pre-training was a stage with its own optimiser.

    Args:
        plain: The settings of the recipe.
        precision: That of those runs.
    """
    shared = "shared" if plain.get("pretraining_epochs") else "own"
    return {"precision": precision, "fold": None, "pretraining_optimizer": shared}
