"""The recipe: everything that a run needs, and nothing from the environment."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from fundus_lib.errors import ArgumentError

TrainingData = Literal["IDRiD", "SyntheticFundus"]

LATER: Mapping[str, Any] = {"loss": "crossentropy", "loss_args": {}}
"""Settings that recipes did not have from the start, with what older runs did. At this value they do not enter the
digest, so that a run made before there was the setting is known as the same."""


@dataclass(frozen=True)
class Recipe:
    """One row of one table: what is trained, on what, how, and on what it is tested.

    The same recipe gives the same crops in the same order on every device and for any number of processes, and on one
    kind of processor the same weights.

    Attributes:
        paper: Name of the paper or chapter.
        table: Which of its tables.
        row: Which row of the table.
        lesions: Lesions to find, one output channel each.
        size: (height, width) in pixels at which images are read, trained and tested on.
        train_on: `"IDRiD"` (its training split) or `"SyntheticFundus"` (drawn by the program). The test is always on
            IDRiD's testing split.
        train_images: How many training images; None for all, and a number for SyntheticFundus.
        test_images: How many test images; None for all.
        validation_images: How many training images are kept out of training and scored after each epoch. Settings are
            chosen on these, never on the test images.
        model: Name for `create_model`.
        model_args: Its settings, other than `lesions`.
        loss: Name for `create_loss`.
        loss_args: Its settings.
        crop: Side of the square training crops in pixels.
        lesion_share: Share of the crops that are placed around a random lesion pixel; the others lie anywhere.
        normalise_by: Whose mean and standard deviation colours are brought to: each `"image"`'s own, which evens out
            cameras, or those of the whole `"training set"`, which keeps an image's brightness as a clue.
        colour_jitter: By how much contrast and brightness of a crop vary, in standard deviations of the image.
        batch: Crops in a step, over all processes together.
        epochs: Number of blocks of training; a checkpoint is written after each.
        steps: Steps in an epoch.
        learning_rate: Peak of the one-cycle schedule (Smith & Topin 2017).
        weight_decay: That of AdamW (Loshchilov & Hutter 2019).
        clip: Largest norm of the gradient.
        test_flips: Whether the test averages the logits of an image and its three mirror images.
        seed: Of weights, crops and jitter.
    """

    paper: str
    table: str
    row: str
    lesions: tuple[str, ...] = ("EX",)
    size: tuple[int, int] = (640, 960)
    train_on: TrainingData = "IDRiD"
    train_images: int | None = None
    test_images: int | None = None
    validation_images: int = 0
    model: str = "unet"
    model_args: Mapping[str, Any] = field(default_factory=dict)
    loss: str = "crossentropy"
    loss_args: Mapping[str, Any] = field(default_factory=dict)
    crop: int = 256
    lesion_share: float = 0.9
    normalise_by: Literal["image", "training set"] = "training set"
    colour_jitter: float = 0.0
    batch: int = 8
    epochs: int = 20
    steps: int = 30
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    clip: float = 1.0
    test_flips: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        problem = None
        if min(self.size) < self.crop or self.crop < 1:
            problem = f"crop={self.crop} with size={self.size}: crops must fit into the image"
        elif min(self.batch, self.epochs, self.steps, len(self.lesions)) < 1:
            problem = "batch, epochs, steps and the number of lesions must be at least 1"
        elif not 0 <= self.lesion_share <= 1:
            problem = f"lesion_share={self.lesion_share}: must lie between 0 and 1"
        elif self.train_on == "SyntheticFundus" and self.train_images is None:
            problem = "train_images=None: SyntheticFundus has as many images as one asks for"
        if problem:
            raise ArgumentError(
                f"recipe {self.row!r}",
                "settings that do not go together",
                found=problem,
                expected="see help(fundus_lib.recipes.Recipe)",
                remedy="correct the setting with dataclasses.replace",
            )

    def replace(self, **changes: Any) -> Recipe:
        """The same recipe with some settings changed."""
        return dataclasses.replace(self, **changes)

    def smoke(self) -> Recipe:
        """The same experiment shrunk to seconds on a CPU: every code path, no result worth quoting."""
        return self.replace(
            size=(96, 144),
            train_images=min(self.train_images or 4, 4),
            test_images=min(self.test_images or 3, 3),
            validation_images=min(self.validation_images, 1),
            crop=min(self.crop, 64),
            batch=2,
            epochs=2,
            steps=3,
            model_args={**self.model_args, **({"width": 4, "depth": 2} if self.model == "unet" else {})},
        )

    def to_dict(self) -> dict[str, Any]:
        """The recipe as plain numbers, texts and lists, for JSON."""
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Recipe:
        """The inverse of :meth:`to_dict`.

        Raises:
            ArgumentError: There are settings that a recipe does not have, or some are missing.
        """
        try:
            values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in plain.items()}
            return cls(**values)
        except TypeError as error:
            raise ArgumentError(
                "Recipe.from_dict",
                "this is not a recipe",
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
