"""Grades and lesions of an image of one's own."""

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

from fundus_lib.atomic import write_atomically
from fundus_lib.checkpoints import load_model
from fundus_lib.data.field_of_view import bounding_box, field_of_view, statistics
from fundus_lib.data.field_square import FieldSquare
from fundus_lib.data.images import read_image, resize_image
from fundus_lib.data.sample import Size
from fundus_lib.devices import choose_device
from fundus_lib.errors import ArgumentError, UnreadableImageError
from fundus_lib.grades import GRADES
from fundus_lib.viz.overlays import overlay

if TYPE_CHECKING:
    import pandas as pd

    from fundus_lib.tasks.base import FundusTask


@dataclass(frozen=True)
class Prediction:
    """What a model predicts for one image. A model that only grades gives no lesions: L is 0.

    Attributes:
        lesions: The lesions, in the order of the channels below.
        scores: float32 (L, H, W), probabilities at the image's size; 0 outside the field of view.
        mask: bool (L, H, W): scores at or above the threshold.
        overlay: uint8 (H, W, 3), the image with the lesions outlined.
        counts: One row per lesion: `lesion`, `components` (8-connected), `area_px`, and `area_percent`, of the field of
            view.
        grades: One row per disease: `disease` (`"dr"`, `"dme"`), the `grade` that is most probable, and `p0`, `p1`, …,
            the probabilities of the grades. No row if the model does not grade.
    """

    lesions: tuple[str, ...]
    scores: NDArray[np.float32]
    mask: NDArray[np.bool_]
    overlay: NDArray[np.uint8]
    counts: pd.DataFrame
    grades: pd.DataFrame

    def save(self, folder: str | Path) -> list[Path]:
        """Write what there is to a folder.

        Of grades `grades.csv`. Of lesions `overlay.png`, `counts.csv` and, for each, `<lesion>_mask.png` (0 and 255)
        and `<lesion>_scores.png`, which has grey levels: 255 for a probability of one.

        Returns:
            The files, each written atomically.
        """
        pictures = {"overlay.png": np.asarray(self.overlay[..., ::-1])} if self.lesions else {}
        for channel, lesion in enumerate(self.lesions):
            pictures[f"{lesion}_mask.png"] = self.mask[channel].astype(np.uint8) * 255
            pictures[f"{lesion}_scores.png"] = np.round(self.scores[channel] * 255).astype(np.uint8)
        files = {name: cv2.imencode(".png", picture)[1].tobytes() for name, picture in pictures.items()}
        for name, table in (("counts", self.counts), ("grades", self.grades)):
            if len(table):
                files[f"{name}.csv"] = table.to_csv(index=False).encode()
        for name, content in files.items():
            write_atomically(Path(folder) / name, content)
        return [Path(folder) / name for name in files]


def predict(
    image_path: str | Path, checkpoint: str | Path, *, threshold: float = 0.5, device: str = "auto"
) -> Prediction:
    """Grade an image, or segment its lesions: whatever the model was trained for.

    For lesions, the black border is cropped, and the image is brought to the scale at which the model was trained:
    such that the field of view is as wide as it was there. For grades, the square about the field of view is brought to
    the size of training. Both suppose a like angle of view (IDRiD: 50°).

    Args:
        image_path: A fundus image in any format that Pillow reads.
        checkpoint: A `model.pt` that `fundus run` wrote.
        threshold: Probability from which on a pixel is predicted as lesion.
        device: `"cpu"`, `"cuda"`, or `"auto"`.

    Raises:
        MissingFileError: There is no such image.
        UnreadableImageError: The image cannot be decoded, or shows no field of view.
        CheckpointError: The checkpoint is missing, damaged, or not a model of this library.
        ArgumentError: The threshold does not lie between 0 and 1, or there is no such device.
    """
    if not 0 <= threshold <= 1:
        raise ArgumentError(
            "threshold",
            "this is not a probability",
            found=threshold,
            expected="a number from 0 to 1",
            remedy="0.5 is where a lesion is as probable as none",
        )
    task = load_model(checkpoint).task.to(choose_device(device))
    image = read_image(Path(image_path))  # (H, W, 3)
    try:
        field = field_of_view(image)
    except ArgumentError as error:
        raise UnreadableImageError(
            image_path, error.problem, found=error.found, expected=error.expected, remedy=error.remedy
        ) from error
    place = _place_square(task, image, field) if task.square else _place_field(task, image, field)
    output = task.predict(torch.tensor(place.pixels).permute(2, 0, 1), place.statistics)
    grades = {name: output[name].softmax(0).cpu().numpy() for name in GRADES if name in output}
    scores = np.zeros((0, *field.shape), np.float32)
    if task.segments and "logits" in output:
        scores = place.put_back(output["logits"].sigmoid().cpu().numpy(), field)
    lesions = task.recipe.lesions if len(scores) else ()
    least = float(np.finfo(np.float32).tiny)  # never outside the field of view, even at threshold 0
    mask = scores >= max(threshold, least)
    outlined = overlay(image, mask, lesions) if lesions else image
    return Prediction(lesions, scores, mask, outlined, _counts(lesions, mask, field), _table(grades))


@dataclass(frozen=True)
class _Place:
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

    def put_back(self, probabilities: NDArray[np.float32], field: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Maps (L, h, w) of the part, put where it was cropped; 0 outside the field of view (H, W)."""
        rows, columns = (
            slice(max(start, 0), min(start + edge, whole))
            for start, edge, whole in zip((self.top, self.left), self.size, field.shape, strict=True)
        )
        scores = np.zeros((len(probabilities), *field.shape), np.float32)
        for channel, probability in enumerate(probabilities):
            back = cv2.resize(probability, self.size[::-1], interpolation=cv2.INTER_LINEAR)
            part = back[rows.start - self.top : rows.stop - self.top, columns.start - self.left :][
                :, : columns.stop - columns.start
            ]
            scores[channel, rows, columns] = part * field[rows, columns]
        return scores


def _place_field(task: FundusTask, image: NDArray[np.uint8], field: NDArray[np.uint8]) -> _Place:
    """The box around the field of view, as wide as in training."""
    box = bounding_box(field)
    inside = image[box]
    scale = task.field_width / inside.shape[1]
    size = max(1, round(inside.shape[0] * scale)), max(1, round(inside.shape[1] * scale))
    small = resize_image(np.ascontiguousarray(inside), size)  # (h, w, 3)
    own = statistics(small, resize_image(np.ascontiguousarray(field[box]), size))
    return _Place(small, own, box[0].start, box[1].start, inside.shape[:2])


def _place_square(task: FundusTask, image: NDArray[np.uint8], field: NDArray[np.uint8]) -> _Place:
    """The square around the field of view, at the size of training."""
    square = FieldSquare(round(task.field_width))
    small = resize_image(image, _read_size(square, field))  # as the training set was read, and then cropped
    sample = tv_tensors.Image(torch.tensor(small).permute(2, 0, 1))
    seen = square({"image": sample})["image"].permute(1, 2, 0).numpy()  # (S, S, 3)
    down, across = field.shape[0] / small.shape[0], field.shape[1] / small.shape[1]
    top, left, edge = square.place(sample)
    return _Place(
        seen, statistics(seen), round(top * down), round(left * across), (round(edge * down), round(edge * across))
    )


def _read_size(square: FieldSquare, field: NDArray[np.uint8]) -> Size:
    """(height, width) at which to read an image before the square is cut out of it.

    That of the training set for an image of IDRiD's shape, so that the network sees the very pixels that it was
    tested on: small differences can turn a grade. Otherwise such that the field of view is a fifth wider than the
    square, as it is there, or as it is on disk if that is less.
    """
    height, width = field.shape
    if abs(width / height - 1.5) < 0.02:
        return square.source_size
    rows, columns = bounding_box(field)
    scale = min(1.0, 1.2 * square.side / max(rows.stop - rows.start, columns.stop - columns.start))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _counts(lesions: tuple[str, ...], mask: NDArray[np.bool_], field: NDArray[np.uint8]) -> pd.DataFrame:
    import pandas as pd

    rows = []
    for lesion, found in zip(lesions, mask, strict=True):
        binary = found.astype(np.uint8)
        rows.append(
            {
                "lesion": lesion,
                "components": cv2.connectedComponents(binary, connectivity=8)[0] - 1,
                "area_px": int(binary.sum()),
                "area_percent": 100 * float(binary.sum()) / float(field.sum()),
            }
        )
    return pd.DataFrame(rows, columns=["lesion", "components", "area_px", "area_percent"])


def _table(grades: dict[str, NDArray[np.float32]]) -> pd.DataFrame:
    import pandas as pd

    names = [f"p{k}" for k in range(max((len(shares) for shares in grades.values()), default=0))]
    rows = [
        {"disease": name, "grade": int(shares.argmax()), **dict(zip(names, shares.tolist(), strict=False))}
        for name, shares in grades.items()
    ]
    return pd.DataFrame(rows, columns=["disease", "grade", *names])
