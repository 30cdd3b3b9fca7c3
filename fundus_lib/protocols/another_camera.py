"""A network tested on images of a camera that it was not trained on, beside the test on its own camera's."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fundus_lib.metrics import roc_auc
from fundus_lib.metrics.score_bins import BIN_EDGES, read_counts
from fundus_lib.protocols.base import Scores
from fundus_lib.protocols.benchmark import Benchmark, StoredLazily, predict_to_disk
from fundus_lib.protocols.full_size import COMBINED, pool_at_full_size
from fundus_lib.protocols.image_counts import POOLED, ImageBins, add_means

if TYPE_CHECKING:
    from fundus_lib.data.image_set import ImageSet
    from fundus_lib.tasks.base import FundusTask

AS_MASKS = "regions as masks"
"""Name of the variant in which coarse regions are scored as if they were masks."""

OF_REGIONS = ("image_auc", "ppv", "recall_", "lesions_")
"""With what the names of the scores begin that coarse regions allow."""

_PROBABILITIES = 1 / (1 + np.exp(-np.concatenate([[-16], (BIN_EDGES[:-1] + BIN_EDGES[1:]) / 2, BIN_EDGES[-1:]])))
"""The probability in the middle of each bin."""


@dataclass(frozen=True)
class AnotherCamera(Benchmark):
    """All four lesions in the square around the field of view, as wide as in training.

    Attributes:
        recipe: What was trained, with `lesions` (all four).
        test: The test images of the other camera, all of one size, with their masks at that size.
        own: Those of the camera of training, likewise.
        regions: Whether the masks of the other camera are coarse regions, each around a group of lesions and the retina
            between them. How many of their pixels are predicted says little then, and neither does average precision:
            a perfect network has a low one. What is scored is whether an image has the lesion, whether predicted pixels
            lie within regions, and whether a region has a predicted pixel.
    """

    own: ImageSet
    regions: bool

    def describe(self, weights: str) -> str:
        """The protocol in words."""
        side = self.test.images[0].shape[-1] if len(self.test) else 0
        coarse = (
            " Masks are coarse regions that experts marked, so that metrics are image_auc, ppv (predicted pixels that "
            "lie within regions) and recall (regions with a predicted pixel) alone; the other scores, lower bounds "
            f"which compare rows but do not tell how good one is, are in the variant “{AS_MASKS}”."
        )
        return (
            f"{len(self.test)} whole test images of {self.test.title}, a camera that was not trained on, each as the "
            f"square around its field of view at {side}×{side}, where the field of view is as wide as the median one "
            f"in training; masks likewise (lesion: at least half of a pixel). {weights} At this size, all images "
            "pooled: scores as in the other tables of the benchmark; image_auc: area under the ROC curve of images "
            f"with the lesion against those without, by the sum of probabilities.{coarse if self.regions else ''} "
            f"Variant “{self.own.title}”: {len(self.own)} test images of the camera of training in the same way. "
            "mean_…: mean over the lesions. Predictions: …_counts, pixels of background and of lesion of each image by "
            "logit, in bins."
        )

    def full(self, task: FundusTask, variants: bool = True) -> Scores:
        """Score the test images of the other camera.

        Returns:
            As metrics those of :class:`~fundus_lib.protocols.benchmark.Benchmark` at the size that is predicted, with
            `EX_image_auc` and means over the lesions, or of coarse regions what they allow; as variants the same for
            the camera of training, and for coarse regions all scores; as predictions `EX_counts`.

        Raises:
            FileAccessError: There is no room for the predictions on the disk.
        """
        metrics, predictions = self._score(task, self.test)
        kept = {name: value for name, value in metrics.items() if _is_of_regions(name)} if self.regions else metrics
        if not variants:
            return Scores(kept)
        others = {AS_MASKS: metrics} if self.regions else {}
        return Scores(kept, others | {self.own.title: self._score(task, self.own)[0]}, predictions)

    def _score(self, task: FundusTask, images: ImageSet) -> tuple[dict[str, float], dict[str, list[Any]]]:
        """All scores of some images, and their pixels counted image by image."""
        lesions, counts = self.recipe.lesions, ImageBins()
        with tempfile.TemporaryDirectory(prefix="fundus-") as folder:
            stored = StoredLazily(predict_to_disk(task, images, Path(folder))[COMBINED])
            metrics = pool_at_full_size(images, lesions, stored, watch=counts.see)[COMBINED]
        texts = counts.texts(lesions, len(images))
        for lesion in lesions:
            metrics[f"{lesion}_image_auc"] = score_presence(texts[f"{lesion}_counts"])
        return metrics | add_means(metrics, lesions, (*POOLED, "image_auc")), {"names": list(images.names), **texts}


def score_presence(texts: list[str]) -> float:
    """How well the predicted area tells images with a lesion from those without.

    The area is the sum of the probabilities of all pixels: where a network finds a rare lesion, but with no pixel above
    0.5, images still differ by it.

    Args:
        texts: Pixels of each image in bins, see :func:`~fundus_lib.metrics.score_bins.write_counts`.

    Returns:
        Area under the ROC curve; NaN where all images have the lesion or none has.
    """
    counts = read_counts(texts)  # (N, 2, K)
    return roc_auc(counts.sum(1) @ _PROBABILITIES, counts[:, 1].sum(1) > 0)


def _is_of_regions(name: str) -> bool:
    return name.split("_", 1)[1].startswith(OF_REGIONS)
