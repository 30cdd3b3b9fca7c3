"""Lesions on a photograph of one's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from fundus_lib.atomic import write_atomically
from fundus_lib.checkpoints import load_model
from fundus_lib.data.field_of_view import bounding_box, field_of_view, statistics
from fundus_lib.data.images import read_image, resize_image
from fundus_lib.devices import choose_device
from fundus_lib.errors import ArgumentError, CheckpointError, UnreadableImageError
from fundus_lib.tasks.lesions import LesionTask
from fundus_lib.viz.overlays import overlay

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Prediction:
    """What a model sees on one photograph.

    Attributes:
        lesions: The lesions, in the order of the channels below.
        scores: float32 (L, H, W), probabilities at the photograph's size; 0 outside the field of view.
        mask: bool (L, H, W): scores at or above the threshold.
        overlay: uint8 (H, W, 3), the photograph with the lesions outlined.
        counts: One row per lesion: `lesion`, `components` (8-connected), `area_px`, and `area_percent`, of the field of
            view.
    """

    lesions: tuple[str, ...]
    scores: NDArray[np.float32]
    mask: NDArray[np.bool_]
    overlay: NDArray[np.uint8]
    counts: pd.DataFrame

    def save(self, folder: str | Path) -> list[Path]:
        """Write `overlay.png`, `counts.csv` and per lesion `<lesion>_mask.png` (0 and 255) and `<lesion>_scores.png`.

        Scores are stored as grey levels, 255 for a probability of one.

        Returns:
            The files, each written atomically.
        """
        pictures = {"overlay.png": np.asarray(self.overlay[..., ::-1])}
        for channel, lesion in enumerate(self.lesions):
            pictures[f"{lesion}_mask.png"] = self.mask[channel].astype(np.uint8) * 255
            pictures[f"{lesion}_scores.png"] = np.round(self.scores[channel] * 255).astype(np.uint8)
        files = {name: cv2.imencode(".png", picture)[1].tobytes() for name, picture in pictures.items()}
        files["counts.csv"] = self.counts.to_csv(index=False).encode()
        for name, content in files.items():
            write_atomically(Path(folder) / name, content)
        return [Path(folder) / name for name in files]


def predict(
    image_path: str | Path, checkpoint: str | Path, *, threshold: float = 0.5, device: str = "auto"
) -> Prediction:
    """Find lesions on a photograph.

    The black border is cut off, and the photograph is brought to the scale at which the model was trained: such that
    the field of view is as wide as it was there. This supposes a like angle of view (IDRiD: 50°).

    Args:
        image_path: A fundus photograph in any format that Pillow reads.
        checkpoint: A `model.pt` that `fundus run` wrote.
        threshold: Probability from which on a pixel is called lesion.
        device: `"cpu"`, `"cuda"`, or `"auto"`.

    Raises:
        MissingFileError: There is no such photograph.
        UnreadableImageError: The photograph cannot be decoded, or shows no field of view.
        CheckpointError: The checkpoint is missing, damaged, or not a model of this library.
        ArgumentError: The threshold does not lie between 0 and 1, or there is no such device.
    """
    import pandas as pd

    if not 0 <= threshold <= 1:
        raise ArgumentError(
            "threshold",
            "this is not a probability",
            found=threshold,
            expected="a number from 0 to 1",
            remedy="0.5 is where the model thinks a lesion as likely as not",
        )
    model = load_model(checkpoint)
    task = model.task
    if not isinstance(task, LesionTask):
        raise CheckpointError(
            checkpoint,
            "this model grades photographs",
            found=f"a model of {task.recipe.paper}",
            expected="a model that finds lesions",
            remedy="name a model.pt of first_segmenter or dual_branch",
        )
    photograph = read_image(Path(image_path))  # (H, W, 3)
    try:
        field = field_of_view(photograph)
    except ArgumentError as error:
        raise UnreadableImageError(
            image_path, error.problem, found=error.found, expected=error.expected, remedy=error.remedy
        ) from error
    box = bounding_box(field)
    inside = photograph[box]
    scale = model.field_width / inside.shape[1]
    size = max(1, round(inside.shape[0] * scale)), max(1, round(inside.shape[1] * scale))
    small = resize_image(np.ascontiguousarray(inside), size)  # (h, w, 3), the scale of training
    colours = model.statistics
    if colours is None:
        colours = statistics(small, resize_image(np.ascontiguousarray(field[box]), size))
    task = task.to(choose_device(device))
    logits = task.logits(torch.tensor(small).permute(2, 0, 1), colours)  # (L, h, w)
    probabilities = logits.sigmoid().numpy()
    scores = np.zeros((len(probabilities), *field.shape), np.float32)
    for channel, probability in enumerate(probabilities):
        back = cv2.resize(probability, inside.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        scores[(channel, *box)] = back * field[box]
    mask = scores >= max(threshold, np.finfo(np.float32).tiny)  # never outside the field of view, even at threshold 0
    rows = []
    for lesion, found in zip(task.recipe.lesions, mask, strict=True):
        binary = found.astype(np.uint8)
        rows.append(
            {
                "lesion": lesion,
                "components": cv2.connectedComponents(binary, connectivity=8)[0] - 1,
                "area_px": int(binary.sum()),
                "area_percent": 100 * float(binary.sum()) / float(field.sum()),
            }
        )
    return Prediction(
        task.recipe.lesions, scores, mask, overlay(photograph, mask, task.recipe.lesions), pd.DataFrame(rows)
    )
