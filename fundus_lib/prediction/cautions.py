"""Cautions: unlike or no colours, too few pixels, two eyes in an image, a field of view that fills the frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fundus_lib.checkpoints import Checkpoint
from fundus_lib.data.field_of_view import count_fields

FAR = 5.0
"""A distance from the colours of training from which on a caution is given.

Of IDRiD's 516 graded images 3 lie so far from its 54 training images with masks; noise, a white page and one of nearly
uniform grey do (5.6 and more).
"""

LEAST_SPREAD = 3.0
"""Grey levels; a spread among the training images of less than this counts as this."""

FULL_FRAME = 0.95
"""Fraction of the frame from which on a field of view fills it."""

ENLARGED = 2.0
"""An image that has to be enlarged by more than this is cautioned: its small lesions have too few pixels to be seen."""

COLOURLESS = 2.0
"""Grey levels; red, green and blue that differ by less on average are those of a grey image."""

_NAMES = tuple(f"{what} of {colour}" for what in ("mean", "contrast") for colour in ("red", "green", "blue"))


def measure_distance(own: Tensor, colours: Tensor) -> tuple[float, str]:
    """How far the colours of an image lie from those of the training images.

    Args:
        own: Its channel means and standard deviations in the field of view, (2, 3).
        colours: Mean and spread of these six values over the training images, (2, 2, 3).

    Returns:
        The largest of the six distances, each in spreads of its value, and which value it is.
    """
    distances = ((own.cpu() - colours[0]).abs() / colours[1].clamp(min=LEAST_SPREAD)).flatten()
    largest = int(distances.argmax())
    return float(distances[largest]), _NAMES[largest]


def find_cautions(
    model: Checkpoint, own: Tensor, image: NDArray[np.uint8], field: NDArray[np.uint8], enlarged: float = 1.0
) -> tuple[str, ...]:
    """The cautions on an image, in words.

    Args:
        model: What predicts.
        own: Channel means and standard deviations of the image as the model sees it, (2, 3).
        image: uint8 (H, W, 3).
        field: Its field of view, {0, 1} (H, W).
        enlarged: By how much it is brought to the scale of training.
    """
    found = []
    if model.trained_on.startswith("synthetic"):
        found.append("the model was trained on synthetic images alone: what it finds in an eye means nothing")
    if enlarged > ENLARGED:
        found.append(
            f"few pixels: the image is enlarged {enlarged:.1f} times to the scale of training (cautioned from "
            f"{ENLARGED:g} on); small lesions cannot be seen in it, and vessels may be taken for lesions"
        )
    inside = image[::4, ::4][field[::4, ::4] > 0].astype(np.int16)  # (pixels, 3)
    if len(inside) and float(np.ptp(inside, axis=1).mean()) < COLOURLESS:
        found.append("the image has no colour: the model was trained on colour images, and misses lesions without it")
    if model.colours is not None:
        distance, what = measure_distance(own, model.colours)
        if distance > FAR:
            found.append(
                f"colours unlike those of the training images: the {what} lies {distance:.1f} standard deviations from "
                f"theirs (cautioned from {FAR:g} on)"
            )
    if (eyes := count_fields(image)) > 1:
        found.append(
            f"{eyes} regions are large enough to be an eye: only the largest was looked at; crop the others out"
        )
    if float(field.mean()) > FULL_FRAME:
        found.append("the field of view fills the frame: without a dark border its size, and so the scale, is a guess")
    return tuple(found)


def unknown_colours(model: Checkpoint) -> Sequence[str]:
    """What to say of a model that does not know the colours of its training images."""
    return () if model.colours is not None else ("The colours of the training images are not known: none is checked.",)
