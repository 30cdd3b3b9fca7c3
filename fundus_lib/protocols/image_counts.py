"""Counts of pixels at full size, image by image, and what follows from them: the middle of all images, and bins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from fundus_lib.data.centre_crop import scale_middle
from fundus_lib.metrics.score_bins import BIN_EDGES, write_counts
from fundus_lib.processes import gather_all
from fundus_lib.protocols.image_means import RATIOS
from fundus_lib.protocols.stored import count_at, count_values, store_steps

WHOLE_SIZE, MIDDLE_SIZE = (2848, 4288), (2816, 3328)
"""(height, width) in pixels of IDRiD's images and of the middle of them that is divided into patches."""

POOLED = ("aupr", "aupr_8bit", "aupr_11", "aupr_33", "f1", "iou", "sensitivity", "ppv", "region_f1_0.5")
"""Scores of which there is a mean over the lesions, such as `mean_aupr`; of the variants those that they have."""

_HALF = int(store_steps(torch.zeros(1))[0])
_STARTS = np.concatenate([[0], store_steps(torch.from_numpy(BIN_EDGES)).astype(np.int64)])
"""The first step of each bin."""


class ImageBins:
    """Predictions at full size counted in bins, image by image."""

    def __init__(self) -> None:
        self.bins: dict[tuple[int, str], NDArray[np.int64]] = {}

    def see(self, index: int, lesion: str, steps: NDArray[np.uint16], mask: NDArray[np.uint8]) -> None:
        """Count one lesion of an image: uint16 logits as `store_steps` gives them and mask {0, 1}, (H, W) each."""
        self._count(index, lesion, steps, mask)

    def _count(self, index: int, lesion: str, steps: NDArray[np.uint16], mask: NDArray[np.uint8]) -> NDArray[np.int64]:
        """The pixels of background and of lesion at each step, (2, 65536), after they went into bins."""
        everywhere = count_values(steps, mask)
        self.bins[index, lesion] = np.add.reduceat(everywhere, _STARTS, axis=1)
        return everywhere

    def texts(self, lesions: Sequence[str], count: int) -> dict[str, list[str]]:
        """`EX_counts` and so on: the bins of each image, see :func:`fundus_lib.metrics.score_bins.read_counts`."""
        known = {key: bins for part in gather_all(self.bins) for key, bins in part.items()}
        return {f"{one}_counts": [write_counts(known[index, one]) for index in range(count)] for one in lesions}


class ImageCounts(ImageBins):
    """The same, and besides the middle of all images of IDRiD."""

    def __init__(self) -> None:
        super().__init__()
        self.middle: dict[str, NDArray[np.int64]] = {}
        self.outside: dict[str, NDArray[np.int64]] = {}

    def see(self, index: int, lesion: str, steps: NDArray[np.uint16], mask: NDArray[np.uint8]) -> None:
        """Count the middle, too."""
        everywhere = self._count(index, lesion, steps, mask)
        place = scale_middle(WHOLE_SIZE, MIDDLE_SIZE, mask.shape)
        middle = count_values(np.ascontiguousarray(steps[place]), np.ascontiguousarray(mask[place]))
        self.middle[lesion] = self.middle.get(lesion, 0) + middle
        self.outside[lesion] = self.outside.get(lesion, 0) + (everywhere - middle).sum(1)

    def score_middle(self, lesions: Sequence[str]) -> dict[str, float]:
        """The scores of local_global, pooled over the images of all processes."""
        parts, found = gather_all((self.middle, self.outside)), dict[str, float]()
        for lesion in lesions:
            middle = np.sum([own[lesion] for own, _ in parts if lesion in own], axis=0)
            outside = np.sum([own[lesion] for _, own in parts if lesion in own], axis=0)
            background, left_out = (int(number) for number in outside)
            counts = count_at(middle, np.arange(middle.shape[1] - 1, -1, -1))
            half, whole = count_at(middle, [_HALF])[0], counts.with_last(left_out, background)
            scores = {
                "aupr": counts.auprc(interpolation="step"),
                "aupr_whole": whole.auprc(interpolation="step"),
                "left_out": left_out / whole.positives if whole.positives else float("nan"),
                **{name: getattr(half, name) for name in RATIOS},
            }
            found |= {f"{lesion}_{name}": value for name, value in scores.items()}
        return found | add_means(found, lesions, ("aupr", "aupr_whole", *RATIOS))


def add_means(metrics: Mapping[str, float], lesions: Sequence[str], names: Sequence[str] = POOLED) -> dict[str, float]:
    """Means of scores over the lesions, such as `mean_aupr`; NaN where one of them is."""
    return {f"mean_{name}": float(np.mean([metrics[f"{lesion}_{name}"] for lesion in lesions])) for name in names}
