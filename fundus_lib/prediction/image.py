"""Grades and lesions of one image."""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from fundus_lib.atomic import write_atomically
from fundus_lib.checkpoints import Checkpoint
from fundus_lib.data.images import image_size, read_image
from fundus_lib.data.sample import LESION_NAMES
from fundus_lib.devices import choose_device
from fundus_lib.errors import ArgumentError, CheckpointError, UnreadableImageError
from fundus_lib.grades import GRADES
from fundus_lib.prediction.about import NO_DEVICE, averages_views, check_unmixed, describe
from fundus_lib.prediction.cautions import find_cautions
from fundus_lib.prediction.place import Place, find_field, place
from fundus_lib.prediction.tables import AS_CSV, count_lesions, list_regions, table_grades
from fundus_lib.viz.overlays import add_legend, overlay
from fundus_lib.weights import DEFAULT, find

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Prediction:
    """What a model predicts for one image. A model that only grades gives no lesions: L is 0.

    Attributes:
        name: Of the image's file.
        sha256: Hash of the file's content.
        about: The model, the settings and the limits, see `fundus_lib.prediction.about.describe`.
        lesions: The lesions, in the order of the channels below.
        image: uint8 (H, W, 3), upright as viewers show it.
        field: The field of view, uint8 {0, 1} (H, W).
        probabilities: float32 (L, h, w), at the size at which the network saw the image.
        place: Where in the image that is.
        mask: bool (L, H, W): scores at or above the threshold.
        counts: One row per lesion: `lesion`, `verdict` (`"likely"`, `"unclear"`, `"unlikely"`, `"not calibrated"`),
            `components` (8-connected), `area_px`, and `area_percent`, of the field of view.
        grades: One row per disease: `disease` (`"dr"`, `"dme"`), the `grade` that is most probable, and `p0`, `p1`, …,
            the probabilities of the grades. No row if the model does not grade.
        cautions: What speaks against relying on it, in words.
        seconds: Wall-clock time of reading, predicting and counting.
    """

    name: str
    sha256: str
    about: dict[str, Any]
    lesions: tuple[str, ...]
    image: NDArray[np.uint8]
    field: NDArray[np.uint8]
    probabilities: NDArray[np.float32]
    place: Place
    mask: NDArray[np.bool_]
    counts: pd.DataFrame
    grades: pd.DataFrame
    cautions: tuple[str, ...]
    seconds: float

    @property
    def scores(self) -> NDArray[np.float32]:
        """float32 (L, H, W), probabilities at the image's size; 0 outside the field of view. Made at every call."""
        scores = np.zeros((len(self.lesions), *self.field.shape), np.float32)
        for channel, score in enumerate(_put_back(self.probabilities, self.place, self.field)):
            scores[channel] = score
        return scores

    @property
    def overlay(self) -> NDArray[np.uint8]:
        """uint8 (H, W, 3), the image with the lesions outlined; the saved one has a legend below."""
        return overlay(self.image, self.mask, self.lesions) if self.lesions else self.image

    @cached_property
    def regions(self) -> pd.DataFrame:
        """One row per region, see `fundus_lib.prediction.tables.list_regions`."""
        return list_regions(self.lesions, self.mask, self.field)

    def to_dict(self) -> dict[str, Any]:
        """All but pictures and regions, as plain values."""
        height, width = self.field.shape
        return {
            "image": self.name,
            "sha256": self.sha256,
            "height": height,
            "width": width,
            "field_px": int(self.field.sum()),
            "grades": [{k: v for k, v in row.items() if v == v} for row in self.grades.to_dict("records")],
            "lesions": self.counts.to_dict("records"),
            "cautions": list(self.cautions),
            "seconds": round(self.seconds, 2),
            "about": self.about,
        }

    def save(self, folder: str | Path) -> list[Path]:
        """Write what there is to a folder.

        Of lesions `overlay.png`, with a legend below the image, `regions.csv`, and for each `<lesion>_mask.png` (0 and
        255) and `<lesion>_scores.png`, whose grey level is 255 for a probability of one. At last `prediction.json`:
        grades, counts, cautions, the model and its limits. Each names the image and the model, pictures in their text.

        Returns:
            The files, each written atomically.

        Raises:
            ArgumentError: The folder holds the prediction of another image or by another model.
        """
        folder, written = Path(folder), []
        check_unmixed(folder, self.name, self.sha256, self.about["digest"])

        def write(name: str, content: bytes) -> None:
            write_atomically(folder / name, content)
            written.append(folder / name)

        if self.lesions:
            for channel, score in enumerate(_put_back(self.probabilities, self.place, self.field)):
                lesion = self.lesions[channel]
                write(f"{lesion}_mask.png", self._encode(self.mask[channel].astype(np.uint8) * 255))
                write(f"{lesion}_scores.png", self._encode(np.round(score * 255).astype(np.uint8)))
            write("overlay.png", self._encode(self._draw()))
            named = self.regions.assign(image=self.name, model=self.about["digest"])
            write("regions.csv", named[["image", *self.regions.columns, "model"]].to_csv(**AS_CSV).encode())
        write("prediction.json", (json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n").encode())
        return written

    def _draw(self) -> NDArray[np.uint8]:
        labels = {}
        for row in self.counts.itertuples():
            named = f"{LESION_NAMES.get(str(row.lesion), str(row.lesion))}: {row.components} regions"
            labels[str(row.lesion)] = f"{named}, {row.area_percent:.2g} % of the field of view; {row.verdict}"
        cautions = (f"Caution: {caution}" for caution in self.cautions)
        return add_legend(self.overlay, labels, (self.name, *cautions, self.about["model"], NO_DEVICE))

    def _encode(self, picture: NDArray[np.uint8]) -> bytes:
        text = PngInfo()
        text.add_itxt("Title", self.name)
        text.add_itxt("Source", self.about["model"])
        text.add_itxt("Disclaimer", NO_DEVICE)
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "PNG", compress_level=1, pnginfo=text)
        return buffer.getvalue()


def predict(
    image_path: str | Path,
    checkpoint: str | Path | Checkpoint = DEFAULT,
    *,
    threshold: float = 0.5,
    mirror: bool = True,
    device: str = "auto",
) -> Prediction:
    """Grade an image, or segment its lesions: whatever the model was trained for.

    An EXIF orientation is applied. For lesions, the black border is cropped, and the image is brought to the scale at
    which the model was trained: such that the field of view is as wide as it was there. For grades, the square about
    the field of view is brought to the size of training. Both suppose a like angle of view (IDRiD: 50°).

    Args:
        image_path: A fundus image in any format that Pillow reads.
        checkpoint: A network that ships, see :func:`~fundus_lib.weights.list_weights`; the `model.pt` that `fundus run`
            wrote; or what `load_model` gave, to load it once for many images.
        threshold: Probability from which on a pixel is predicted as lesion.
        mirror: Average over the mirrored views that the model is tested with, if it has any. Without, one view is
            predicted, which takes a quarter of the time where there are four.
        device: `"cpu"`, `"cuda"`, or `"auto"`.

    Returns:
        Tables of counts, regions and grades, masks and probabilities at the image's own size, cautions, and what is
        known of the model. Its `save` writes all of it into a folder.

    Raises:
        MissingFileError: There is no such image.
        UnreadableImageError: The image cannot be decoded, or shows no field of view.
        UnknownNameError: No network of that name ships, and there is no such file.
        CheckpointError: The checkpoint is missing, damaged, or not a model of this library; or it gives no numbers.
        ArgumentError: The threshold does not lie between 0 and 1, or there is no such device.

    Example:
        >>> found = predict("eye.jpg")  # doctest: +SKIP
        >>> found.counts[["lesion", "verdict", "area_percent"]]  # doctest: +SKIP
    """
    check_threshold(threshold)
    if not isinstance(image_path, str | Path):
        raise ArgumentError(
            "image_path",
            "an image is read from a file",
            found=type(image_path).__name__,
            expected="the path of an image",
            remedy='write an array with PIL.Image.fromarray(array).save("eye.png"), and predict "eye.png"',
        )
    path, start = Path(image_path), time.perf_counter()
    model = find(checkpoint)
    mirror = averages_views(model, mirror)
    task = model.task.to(choose_device(device))
    image = read_image(path, upright=True)  # (H, W, 3)
    field = find_field(path, image)
    where = place(task, image, field)
    views = task.mirrored
    try:
        task.mirrored = views if mirror else ((),)
        output = task.predict(torch.tensor(where.pixels).permute(2, 0, 1), where.statistics)
    finally:
        task.mirrored = views
    for name, value in output.items():
        if not bool(torch.isfinite(value).all()):
            raise CheckpointError(
                model.path,
                "the model gives no numbers",
                found=f"NaN or infinity among its {name} for {path}",
                expected="finite values",
                remedy="train again, or use another model; this one overflows",
            )
    grades = {name: output[name].softmax(0).cpu().numpy() for name in GRADES if name in output}
    segments = task.segments and "logits" in output
    lesions: tuple[str, ...] = task.recipe.lesions if segments else ()
    probabilities = output["logits"].sigmoid().cpu().numpy() if segments else np.zeros((0, 1, 1), np.float32)
    del output
    least = float(np.finfo(np.float32).tiny)  # never outside the field of view, even at threshold 0
    mask = np.zeros((len(lesions), *field.shape), bool)
    for channel, score in enumerate(_put_back(probabilities, where, field)):
        np.greater_equal(score, max(threshold, least), out=mask[channel])
    return Prediction(
        path.name,
        hash_file(path),
        describe(model, threshold=threshold, mirrored=mirror),
        lesions,
        image,
        field,
        probabilities,
        where,
        mask,
        count_lesions(lesions, mask, field, model.rules, threshold=threshold, mirrored=mirror),
        table_grades(grades),
        (*find_cautions(model, where.statistics, image, field, where.enlarged), *_say_if_reduced(path, image)),
        time.perf_counter() - start,
    )


def _say_if_reduced(path: Path, image: NDArray[np.uint8]) -> tuple[str, ...]:
    """A caution on a large JPEG that was read at a fraction of its size."""
    height, width = image_size(path)
    if image.size // 3 >= height * width:
        return ()
    read = f"{image.shape[0]}×{image.shape[1]}"
    return (f"read at {read} pixels, a fraction of the file's size: areas and places in pixels are of that size",)


def check_threshold(threshold: float) -> None:
    """See to it that a threshold is a probability.

    Raises:
        ArgumentError: It is not.
    """
    if not 0 <= threshold <= 1:
        raise ArgumentError(
            "threshold",
            "this is not a probability",
            found=threshold,
            expected="a number from 0 to 1",
            remedy="0.5 is where a lesion is as probable as none",
        )


def hash_file(path: Path) -> str:
    """SHA-256 of a file's content.

    Raises:
        UnreadableImageError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UnreadableImageError(
            path,
            "this file cannot be opened",
            found=error.strerror or type(error).__name__,
            expected="an image that you may read",
            remedy="correct the path, or the permissions of the file",
        ) from error


def _put_back(
    probabilities: NDArray[np.float32], where: Place, field: NDArray[np.uint8]
) -> Iterator[NDArray[np.float32]]:
    """The scores at the image's size, one lesion after the other: four at once take 200 MB of 12 million pixels."""
    return (where.put_back(np.ascontiguousarray(probability), field) for probability in probabilities)
