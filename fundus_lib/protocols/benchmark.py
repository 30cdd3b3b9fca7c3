"""One prediction for each test image, scored as each of the five papers does."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision import tv_tensors

from fundus_lib.data.field_square import FieldSquare
from fundus_lib.data.images import resize_image, resize_mask
from fundus_lib.data.sample import ANY, LESIONS
from fundus_lib.errors import ArgumentError
from fundus_lib.metrics import average_precision
from fundus_lib.processes import gather_all, process_rank, share_buffers
from fundus_lib.protocols.base import Scores
from fundus_lib.protocols.full_size import COMBINED, pool_at_full_size
from fundus_lib.protocols.fused_lesions import FusedLesions
from fundus_lib.protocols.image_counts import ImageCounts, add_means
from fundus_lib.protocols.image_means import ImageMeans
from fundus_lib.protocols.lesions import score_quickly
from fundus_lib.protocols.stored import Stored, store
from fundus_lib.protocols.whole_crops import KeptLogits

if TYPE_CHECKING:
    from fundus_lib.data.image_set import ImageSet, MaskReader
    from fundus_lib.tasks.base import FundusTask

IMAGE_MEANS, MIDDLE, SQUARE, FUSED = "image means", "middle", "field square", "lesions fused"
"""Names of the variants: scores as in hecl, local_global, the chapter on sunet, and pldmlt."""

BRANCHES = {"large branch": "large_logits", "small branch": "small_logits"}
PREDICTIONS = {COMBINED: "logits", **BRANCHES}
"""Names of predictions, and of what a task gives."""

GRADING_SIDE, FUSED_SIDE = 512, 1024
"""Sides of the square around the field of view in pixels, at which sunet and pldmlt predict."""


@dataclass(frozen=True)
class Benchmark:
    """All four lesions at the images' full size, and the same prediction under the protocols of the papers.

    Attributes:
        recipe: What was trained, with `lesions` (all four) and `size`.
        test: The test images, with their masks at full size.
    """

    recipe: Any
    test: ImageSet

    def __post_init__(self) -> None:
        if tuple(self.recipe.lesions) != LESIONS:
            raise ArgumentError(
                "Benchmark",
                "the benchmark is one of all four lesions",
                found=f"lesions={tuple(self.recipe.lesions)}",
                expected=f"{LESIONS}",
                remedy="recipe.replace(lesions=…), or AtFullSize as the protocol",
            )

    def describe(self, weights: str) -> str:
        """The protocol in words."""
        height, width = self.recipe.size
        return (
            f"{len(self.test)} whole test images of {self.test.title}, predicted once at {height}×{width}. {weights} "
            "At the images' own size, all images pooled, masks as published, the prediction resized bilinearly: aupr "
            "exact average precision (logits in steps of a thousandth up to ±31, of a sixth up to ±200); sensitivity, "
            "ppv, f1, iou, region_f1_σ, aupr_11 and aupr_8bit as in dual_branch; aupr_33: 33 thresholds from 0 to 1 "
            f"and trapezoids, as in IDRiD's challenge. Variants: “{IMAGE_MEANS}”: means over images at 512² as in "
            "hecl, an image for which a score "
            "is undefined left out, and with empty_1 counted as 1 instead (nothing predicted where nothing is), with "
            "empty_0 as 0; "
            f"“{MIDDLE}”: exact average precision of the middle of the images at full size as in local_global, and of "
            f"whole images with what the middle leaves out as background (aupr_whole); “{SQUARE}”: exact average "
            f"precision, pooled, in the square around the field of view at {GRADING_SIDE}², as sunet's lesions are "
            f"scored here; “{FUSED}”: all lesions as one at {FUSED_SIDE}², with background, as in pldmlt; of two "
            "branches each alone, scored as their mean is. mean_…: mean over the lesions. Predictions hold, image by "
            "image, the scores at 512² and aupr at the size that is predicted; …_counts: pixels of background and of "
            "lesion at full size by logit, in bins."
        )

    def quick(self, task: FundusTask, images: ImageSet) -> dict[str, float]:
        """`EX_f1` and exact `EX_aupr` of each lesion, pooled, at the size that is predicted, and their means."""
        found = score_quickly(task, images)
        return found | add_means(found, self.recipe.lesions, ("f1", "aupr")) if found else {}

    def full(self, task: FundusTask, variants: bool = True) -> Scores:
        """Score the test images.

        Returns:
            As metrics those of :class:`~fundus_lib.protocols.full_size.AtFullSize` and means over the lesions, such as
            `mean_aupr`; as variants the same prediction under the other protocols (see
            :meth:`describe`); as predictions the scores of each image at 512² and
            `EX_counts`, see :mod:`fundus_lib.metrics.score_bins`. Without variants the metrics alone.

        Raises:
            FileAccessError: There is no room for the predictions on the disk.
        """
        lesions = self.recipe.lesions
        with tempfile.TemporaryDirectory(prefix="fundus-") as folder:
            predicted = predict_to_disk(task, self.test, Path(folder))
            logits = predicted[COMBINED]
            test = replace(self.test, full_masks=tuple(map(_keep, self.test.full_masks)))
            stored, counts = StoredLazily(logits), ImageCounts()
            watch = counts.see if variants else None
            metrics = pool_at_full_size(test, lesions, stored, watch=watch)[COMBINED]
            metrics |= add_means(metrics, lesions)
            if not variants:
                return Scores(metrics)
            found = {MIDDLE: counts.score_middle(lesions)}
            found[IMAGE_MEANS], predictions = score_image_means(test, lesions, logits)
            found[SQUARE] = score_square(test, lesions, logits)
            found[FUSED] = score_fused(test, logits)
            for branch in (name for name in BRANCHES if name in predicted):
                own = pool_at_full_size(test, lesions, StoredLazily(predicted[branch]))[COMBINED]
                found[branch] = own | add_means(own, lesions)
        predictions |= counts.texts(lesions, len(test))
        return Scores(metrics, found, predictions)


class StoredLazily(Mapping[int, Mapping[str, Stored]]):
    """Predictions as :func:`~fundus_lib.protocols.stored.store` has them, made when they are asked for."""

    def __init__(self, logits: Sequence[Tensor]):
        self.logits = logits
        rank, processes = process_rank()
        self.own = range(rank, len(logits), processes)

    def __getitem__(self, index: int) -> Mapping[str, Stored]:
        return {COMBINED: store(self.logits[index])}

    def __iter__(self) -> Iterator[int]:
        return iter(self.own)

    def __len__(self) -> int:
        return len(self.own)


def predict_to_disk(task: FundusTask, images: ImageSet, folder: Path) -> dict[str, list[Tensor]]:
    """Logits of all images, (L, h, w) each, mapped into memory; several processes share out the work.

    Of two branches those of each as well, under the names of :data:`BRANCHES`.

    Args:
        task: What predicts.
        images: Of what.
        folder: An empty folder of this process.
    """
    rank, processes = process_rank()
    share_buffers(task.model)
    kept = KeptLogits(folder)
    for first in range(0, len(images), processes):
        index, own = first + rank, None
        if index < len(images):
            output = task.predict(images.images[index], images.statistics[index])
            own = {name: output[key].cpu() for name, key in PREDICTIONS.items() if key in output}
        for place, found in enumerate(gather_all(own)):
            for name, logits in (found or {}).items():
                kept.put(first + place, name, logits)
    return {name: [torch.from_numpy(kept.get(k, name)) for k in range(len(images))] for name in kept.names}


def score_image_means(
    test: ImageSet, lesions: Sequence[str], logits: Sequence[Tensor]
) -> tuple[dict[str, float], dict[str, list[Any]]]:
    """The scores of hecl, and those of each image, see :class:`~fundus_lib.protocols.image_means.ImageMeans`."""
    recipe = SimpleNamespace(lesions=lesions, square=0, masks="half")
    metrics, predictions = ImageMeans(recipe, test).score_means(logits)
    for lesion in lesions:
        for ratio in ("iou", "f1"):
            for value in (0, 1):
                own = [value if one is None else one for one in predictions[f"{lesion}_{ratio}"]]
                metrics[f"{lesion}_{ratio}_mean_empty_{value}"] = float(np.mean(own))
    names = [name.split("_", 1)[1] for name in metrics if name.startswith(f"{lesions[0]}_")]
    return metrics | add_means(metrics, lesions, names), predictions


def score_square(test: ImageSet, lesions: Sequence[str], logits: Sequence[Tensor]) -> dict[str, float]:
    """Exact average precision in the square around the field of view, as lesions of sunet are scored."""
    found = list(cut_squares(test, logits, GRADING_SIDE))
    scores, masks = (torch.stack(parts) for parts in zip(*found, strict=True))  # (N, L, S, S) each
    metrics = {
        f"{lesion}_aupr": average_precision(scores[:, channel], masks[:, channel])
        for channel, lesion in enumerate(lesions)
    }
    return metrics | add_means(metrics, lesions, ("aupr",))


def score_fused(test: ImageSet, logits: Sequence[Tensor]) -> dict[str, float]:
    """The scores of pldmlt: a pixel's score is the highest of its lesions."""
    scores, masks = [], []
    for score, mask in cut_squares(test, logits, FUSED_SIDE, union=True):
        scores.append(score.amax(0).logit().float())
        masks.append(mask)
    squares = replace(test, masks=tuple(masks))
    protocol = FusedLesions(SimpleNamespace(lesions=(ANY,), side=FUSED_SIDE, grades=False), squares, {}, "")
    return protocol.score_lesions(torch.stack(scores))[0]


def cut_squares(
    test: ImageSet, logits: Sequence[Tensor], side: int, union: bool = False
) -> Iterator[tuple[Tensor, Tensor]]:
    """Of each image the square around its field of view.

    Args:
        test: The images, with their masks at full size.
        logits: (L, h, w) each.
        side: Of the square in pixels.
        union: Whether a mask of all lesions together, made at full size, comes before the others.

    Yields:
        Probabilities, double (L, S, S), since single ones are 1 from a logit of 17 on, and masks, uint8 (L, S, S), or
        one channel more. Beyond the image all are 0.
    """
    square = FieldSquare(side)
    for image, reader, logit in zip(test.images, test.full_masks, logits, strict=True):
        assert reader is not None, "images with masks are tested on"
        full = reader()
        size = square.read_size(full.shape[1:])
        small = resize_image(image.permute(1, 2, 0).cpu().numpy(), size)
        lesions = [full.max(0), *full] if union else list(full)
        shrinks = size[0] <= logit.shape[1]
        way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        probabilities = [cv2.resize(one, size[::-1], interpolation=way) for one in logit.double().sigmoid().numpy()]
        sample = {
            "image": tv_tensors.Image(torch.from_numpy(small).permute(2, 0, 1)),
            "mask": tv_tensors.Mask(torch.from_numpy(np.stack([resize_mask(one, size) for one in lesions]))),
            "score": tv_tensors.Image(torch.from_numpy(np.stack(probabilities))),
        }
        cut = square(sample)
        yield cut["score"].as_subclass(Tensor).clamp(0, 1), cut["mask"].as_subclass(Tensor)


def _keep(reader: MaskReader | None) -> MaskReader | None:
    """A reader of masks that decodes them once and keeps them, a bit a pixel."""
    kept: list[tuple[tuple[int, ...], NDArray[np.uint8]]] = []

    def read() -> NDArray[np.uint8]:
        if not kept:
            assert reader is not None, "images with masks are tested on"
            masks = reader()
            kept.append((masks.shape, np.packbits(masks)))
        shape, bits = kept[0]
        return np.unpackbits(bits, count=int(np.prod(shape))).reshape(shape)

    return read if reader else None
