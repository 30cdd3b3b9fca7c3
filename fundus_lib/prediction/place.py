"""Which part of an image a network sees, at which size, and how what it says is put back where it belongs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision import tv_tensors

from fundus_lib.data.field_of_view import bounding_box, check_field, field_of_view, statistics
from fundus_lib.data.field_square import FieldSquare
from fundus_lib.data.images import resize_image
from fundus_lib.data.sample import Size
from fundus_lib.errors import ArgumentError, UnreadableImageError

if TYPE_CHECKING:
    from fundus_lib.tasks.base import FundusTask


CUT_OFF = 1.05
"""A field of view that is so much wider than tall is cut off above and below, as all of IDRiD's are (by 6 to 33 %)."""

FRAME_WIDTH, FIELD_CENTRE = 4288 / 2848, 1980 / 2848
"""IDRiD's frame: its width, and where the field of view has its middle column, both in heights of the frame."""


@dataclass(frozen=True)
class Place:
    """A part of an image as a network takes it.

    Attributes:
        pixels: uint8 (h, w, 3).
        statistics: Channel mean and standard deviation, (2, 3).
        top: First row of the part in the image; may be negative.
        left: First column.
        size: (height, width) of the part in the image.
    """

    pixels: NDArray[np.uint8]
    statistics: Tensor
    top: int
    left: int
    size: Size

    @property
    def enlarged(self) -> float:
        """By how much the part is enlarged; below 1 it is shrunk."""
        return float(self.pixels.shape[1] / self.size[1])

    def put_back(self, probability: NDArray[np.float32], field: NDArray[np.uint8]) -> NDArray[np.float32]:
        """A map (h, w) of the part, put where it was cut out; 0 outside the field of view (H, W)."""
        rows, columns = (
            slice(max(start, 0), min(start + edge, whole))
            for start, edge, whole in zip((self.top, self.left), self.size, field.shape, strict=True)
        )
        score = np.zeros(field.shape, np.float32)
        back = cv2.resize(probability, self.size[::-1], interpolation=cv2.INTER_LINEAR)
        part = back[rows.start - self.top : rows.stop - self.top, columns.start - self.left : columns.stop - self.left]
        np.multiply(part, field[rows, columns], out=score[rows, columns])
        return score


def find_field(path: Path, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The field of view of an image (H, W, 3), uint8 {0, 1} (H, W).

    Raises:
        UnreadableImageError: It shows none, see :func:`~fundus_lib.data.field_of_view.check_field`.
    """
    try:
        field = field_of_view(image)
        check_field(image, field)
    except ArgumentError as error:
        raise UnreadableImageError(
            path, error.problem, found=error.found, expected=error.expected, remedy=error.remedy
        ) from error
    return field


def place(task: FundusTask, image: NDArray[np.uint8], field: NDArray[np.uint8]) -> Place:
    """What a network sees of an image (H, W, 3) with its field of view (H, W)."""
    return _place_square(task, image, field) if task.square else _place_field(task, image, field)


def _place_field(task: FundusTask, image: NDArray[np.uint8], field: NDArray[np.uint8]) -> Place:
    """The box around the field of view, as wide as in training."""
    box = bounding_box(field)
    inside = image[box]
    scale = task.field_width / inside.shape[1]
    size = max(1, round(inside.shape[0] * scale)), max(1, round(inside.shape[1] * scale))
    small = resize_image(np.ascontiguousarray(inside), size)  # (h, w, 3)
    own = statistics(small, resize_image(np.ascontiguousarray(field[box]), size))
    return Place(small, own, box[0].start, box[1].start, inside.shape[:2])


def _place_square(task: FundusTask, image: NDArray[np.uint8], field: NDArray[np.uint8]) -> Place:
    """The square around the field of view, at the size of training.

    A field of view that is cut off above and below is read in a frame like IDRiD's, whatever the frame it has, so that
    its pixels fall on those that the graders learned: half a pixel of them moves a probability by up to a quarter. A
    single dark row above or below tells that a frame is not its own, since none of IDRiD's images has one.
    """
    square = FieldSquare(round(task.field_width))
    rows, columns = bounding_box(field)
    if rows.stop - rows.start == field.shape[0]:
        rows, columns = square.frame(field)
    tall, wide = rows.stop - rows.start, columns.stop - columns.start
    if (tall, wide) != field.shape and CUT_OFF * tall < wide <= FRAME_WIDTH * tall:
        frame = round(FRAME_WIDTH * tall)
        left = round((columns.start + columns.stop) / 2 - FIELD_CENTRE * tall)
        left = min(max(left, columns.stop - frame), columns.start)
        columns = slice(left, left + frame)
    before, after = max(-columns.start, 0), max(columns.stop - field.shape[1], 0)
    part = np.pad(image[rows, max(columns.start, 0) : columns.stop], ((0, 0), (before, after), (0, 0)))
    height, width = square.read_size(part.shape[:2])
    small = part if height > part.shape[0] else resize_image(part, (height, width))  # not enlarged twice
    sample = tv_tensors.Image(torch.tensor(small).permute(2, 0, 1))
    seen = square({"image": sample})["image"].permute(1, 2, 0).numpy()  # (S, S, 3)
    down, across = part.shape[0] / small.shape[0], part.shape[1] / small.shape[1]
    top, left, edge = square.place(sample)
    return Place(
        seen,
        statistics(seen),
        rows.start + round(top * down),
        columns.start + round(left * across),
        (round(edge * down), round(edge * across)),
    )
