"""How segmentation of lesions is scored on the middle of images at full size: exactly, in memory for one image."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fundus_lib.data.centre_crop import scale_middle
from fundus_lib.errors import naming
from fundus_lib.metrics import LesionRecall, lesion_recall
from fundus_lib.metrics.threshold_counts import ThresholdCounts, count_at_edges
from fundus_lib.processes import gather_all, process_rank, share_buffers
from fundus_lib.protocols.base import Scores
from fundus_lib.protocols.lesions import SIZES_IN_WORDS, THRESHOLD, name_recall, score_quickly, size_edges
from fundus_lib.protocols.stored import resize_prediction

if TYPE_CHECKING:
    from fundus_lib.data.image_set import ImageSet
    from fundus_lib.tasks.base import FundusTask

MAIN = "logits"
BRANCHES = {"global_logits": "global branch", "local_logits": "local branch"}
"""What a prediction may hold besides, and what the record calls it."""


@dataclass(frozen=True)
class WholeCrops:
    """The middle of each test image, at the size of the images on disk; all pixels pooled.

    Predictions of all images are kept on disk while they are scored, and read one at a time.

    Attributes:
        recipe: What was trained, with `lesions`, `size`, `middle` and `crop`.
        test: The test images: their middle, and their masks at full size.
    """

    recipe: Any
    test: ImageSet

    def describe(self, weights: str) -> str:
        """The protocol in words."""
        recipe = self.recipe
        read, middle = ("×".join(map(str, size)) for size in (recipe.size, recipe.middle))
        return (
            f"{len(self.test)} test images of {self.test.title}, read at {read}; their middle, {middle}, predicted in "
            f"patches of {recipe.crop}² that overlap by {recipe.overlap}; logits resized bilinearly to the size of the "
            "masks on disk; masks as published. aupr: exact average precision over all distinct logits, all pixels of "
            "the middle of all images pooled; aupr_whole: the same of whole images, where what the middle leaves out "
            "is predicted as background, last of all; aupr_present: of the images that have the lesion, pooled; "
            f"f1, iou, sensitivity, ppv: at probability {THRESHOLD}; breakeven: sensitivity (and PPV) at the highest "
            "logit of a lesion pixel at which at least as many pixels are predicted as lesion as are lesion; recall: "
            "lesions (8-connected) of which at least one pixel is found, pixel_recall: their pixels found, at "
            f"probability {THRESHOLD} and at break-even; {SIZES_IN_WORDS} Predictions hold aupr image by image. "
            f"{weights}"
        )

    def quick(self, task: FundusTask, images: ImageSet) -> dict[str, float]:
        """`EX_f1` at a probability of 0.5 and exact `EX_aupr`, pooled, at the size that is predicted."""
        return score_quickly(task, images)

    def full(self, task: FundusTask, variants: bool = True) -> Scores:
        """Score the test images.

        Returns:
            Of each lesion, such as EX, `EX_aupr`, `EX_aupr_whole`, `EX_aupr_present`, `EX_prevalence`, `EX_f1`,
            `EX_iou`, `EX_sensitivity`, `EX_ppv`, `EX_breakeven`, and recall by lesion size as in
            :meth:`fundus_lib.protocols.lesions.AtTrainingSize.score`; as variants the scores of the branches and of
            what the task's `predict_variants` gives; and as predictions `EX_aupr` of each image, None without lesion,
            and that of each variant, such as `EX_aupr (global branch)`.

        Raises:
            FileAccessError: There is no room for the predictions.
        """
        rank, processes = process_rank()
        share_buffers(task.model)
        predict_variants: Callable[..., Mapping[str, Tensor]] | None = getattr(task, "predict_variants", None)
        own = range(rank, len(self.test), processes)
        with tempfile.TemporaryDirectory(prefix="fundus-") as folder:
            kept = KeptLogits(Path(folder))
            for index in own:
                image, statistics = self.test.images[index], self.test.statistics[index]
                output = task.predict(image, statistics)
                kept.put(index, MAIN, output[MAIN])
                if variants:
                    more = {name: output[key] for key, name in BRANCHES.items() if key in output}
                    more |= predict_variants(image, statistics) if predict_variants else {}
                    for name, logits in more.items():
                        kept.put(index, name, logits)
            names = max(gather_all(kept.names or [MAIN]), key=len)  # a process may have no image of its own
            tests = {(name, lesion): CropTest() for name in names for lesion in self.recipe.lesions}
            for visit in (CropTest.collect, CropTest.count, CropTest.recall):
                for index in own:
                    for channel, (lesion, mask, outside) in enumerate(self.read_masks(index)):
                        for name in names:
                            resized = resize_prediction(kept.get(index, name)[channel], mask.shape)
                            visit(tests[name, lesion], index, torch.from_numpy(resized), mask, outside)
                for one in tests.values():
                    one.merge(visit, gather_all(one))
        scores: dict[str, dict[str, float]] = {name: {} for name in names}
        predictions: dict[str, list[Any]] = {"names": list(self.test.names)}
        for (name, lesion), one in tests.items():
            scores[name] |= {f"{lesion}_{score}": value for score, value in one.scores().items()}
            key = f"{lesion}_aupr" if name == MAIN else f"{lesion}_aupr ({name})"
            predictions[key] = [one.singly[index] for index in range(len(self.test))]
        return Scores(scores.pop(MAIN), scores, predictions)

    def read_masks(self, index: int) -> Iterator[tuple[str, NDArray[np.uint8], NDArray[np.uint8]]]:
        """Name, mask of the middle (h, w), and what the middle leaves out (K,), of each lesion of an image."""
        reader = self.test.full_masks[index]
        assert reader is not None, "images with masks are tested on"
        for lesion, full in zip(self.recipe.lesions, reader(), strict=True):
            middle = scale_middle(self.recipe.size, self.recipe.middle, full.shape)
            left_out = np.ones(full.shape, np.bool_)
            left_out[middle] = False
            yield lesion, np.ascontiguousarray(full[middle]), full[left_out]


@dataclass
class CropTest:
    """The scores of one lesion, added up over images in three visits: `collect` all, then `count`, then `recall`.

    Attributes:
        lesion_scores: The distinct logits of the lesion pixels of each image; taken together after the first visit.
        edges: Those of all, and 0, ascending.
        middle: Counts at these, of the middle of all images.
        present: Those of the images that have the lesion.
        outside: Pixels that the middle leaves out: background, lesion.
        found: Lesions that are found, at a probability of 0.5 and at break-even.
        singly: Average precision of each image, None without lesion.
    """

    lesion_scores: list[NDArray[np.float32]] = field(default_factory=list)
    edges: Tensor = field(default_factory=lambda: torch.zeros(1))
    middle: ThresholdCounts | None = None
    present: ThresholdCounts | None = None
    outside: tuple[int, int] = (0, 0)
    found: dict[str, LesionRecall] = field(default_factory=lambda: {"": LesionRecall(), "breakeven_": LesionRecall()})
    singly: dict[int, float | None] = field(default_factory=dict)

    def collect(self, index: int, logits: Tensor, mask: NDArray[np.uint8], outside: NDArray[np.uint8]) -> None:
        """The first visit: float32 logits and mask {0, 1}, (h, w) each, and mask of what is left out, (K,)."""
        self.lesion_scores.append(np.unique(logits.numpy()[mask > 0]))

    def count(self, index: int, logits: Tensor, mask: NDArray[np.uint8], outside: NDArray[np.uint8]) -> None:
        """The second visit, when the edges are known."""
        lesion = torch.from_numpy(mask > 0).flatten()
        counts = count_at_edges(logits.flatten(), lesion, self.edges)
        self.middle = _sum((self.middle, counts))
        if counts.positives:
            self.present = _sum((self.present, counts))
        left_out = int(np.count_nonzero(outside))
        self.outside = self.outside[0] + len(outside) - left_out, self.outside[1] + left_out
        precision = counts.auprc(interpolation="step") if counts.positives else None
        self.singly[index] = None if precision is None else round(precision, 6)

    def recall(self, index: int, logits: Tensor, mask: NDArray[np.uint8], outside: NDArray[np.uint8]) -> None:
        """The third visit, when the break-even logit is known."""
        edges = size_edges(1, mask.size + len(outside))
        for name, lowest in (("", 0.0), ("breakeven_", self.breakeven)):
            new = lesion_recall(logits.numpy() >= lowest, mask, edges)
            self.found[name] += replace(new, edges=())  # images may differ in size

    def merge(self, visit: Callable[..., None], parts: list[CropTest]) -> None:
        """Take together what the processes of a run have found in a visit."""
        if visit is CropTest.collect:
            found = [scores for part in parts for scores in part.lesion_scores]
            self.edges = torch.from_numpy(np.unique(np.concatenate([np.zeros(1, np.float32), *found])))
            self.lesion_scores = []
        elif visit is CropTest.count:
            self.middle, self.present = (_sum(getattr(part, name) for part in parts) for name in ("middle", "present"))
            self.outside = sum(part.outside[0] for part in parts), sum(part.outside[1] for part in parts)
            self.singly = {index: value for part in parts for index, value in part.singly.items()}
        else:
            self.found = {name: sum((part.found[name] for part in parts), LesionRecall()) for name in self.found}

    @property
    def breakeven(self) -> float:
        """The highest edge that at least as many pixels reach as are lesion; infinite if none is lesion."""
        assert self.middle is not None, "count comes first"
        reach = self.middle.tp + self.middle.fp >= self.middle.positives
        return float(self.middle.thresholds[int(np.argmax(reach))]) if self.middle.positives else float("inf")

    def scores(self) -> dict[str, float]:
        """All scores by name, see :meth:`WholeCrops.full`."""
        assert self.middle is not None, "count comes first"
        counts, (background, lesion) = self.middle, self.outside
        whole = counts.with_last(lesion, background)
        half = counts[int(np.flatnonzero(counts.thresholds == 0)[0])]
        even = int(np.argmax(counts.tp + counts.fp >= counts.positives))
        found = {
            "aupr": counts.auprc(interpolation="step"),
            "aupr_whole": whole.auprc(interpolation="step"),
            "aupr_present": self.present.auprc(interpolation="step") if self.present else float("nan"),
            "prevalence": counts.positives / (counts.positives + counts.negatives),
            "left_out": lesion / whole.positives if whole.positives else float("nan"),
            "f1": half.f1,
            "iou": half.iou,
            "sensitivity": half.sensitivity,
            "ppv": half.ppv,
            "breakeven": float(counts.sensitivity[even]),
            "breakeven_ppv": float(counts.ppv[even]),
        }
        return found | name_recall(self.found)


class KeptLogits:
    """Predictions in files, one for each image and name."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.names: list[str] = []

    def put(self, index: int, name: str, logits: Tensor) -> None:
        """Keep logits (L, h, w)."""
        if name not in self.names:
            self.names.append(name)
        path = self._path(index, name)
        with naming(path):
            np.save(path, logits.float().cpu().numpy())

    def get(self, index: int, name: str) -> NDArray[np.float32]:
        """What was kept, mapped into memory."""
        kept: NDArray[np.float32] = np.load(self._path(index, name), mmap_mode="c")  # a tensor must be writable
        return kept

    def _path(self, index: int, name: str) -> Path:
        return self.folder / f"{index}-{self.names.index(name)}.npy"


def _sum(parts: Iterable[ThresholdCounts | None]) -> ThresholdCounts | None:
    total: ThresholdCounts | None = None
    for part in parts:
        total = part if total is None else total if part is None else total + part
    return total
