"""Another camera: what a trained network loses when images are darker, blurred or at another scale than in training.

`measured` holds what `measure` found of the network that ships, on the 27 test images of the real IDRiD. It is no pixel
of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.v2 import functional as T

from fundus_lib.data.field_of_view import field_of_view, statistics
from fundus_lib.data.images import resize_mask
from fundus_lib.devices import native_bf16
from fundus_lib.metrics.bootstrap import Estimate, bootstrap
from fundus_lib.metrics.score_bins import BIN_EDGES, BINS, average_precision_from_bins
from fundus_lib.published.measured import read_measured
from fundus_lib.tasks.first_segmenter import read_split
from fundus_lib.weights import DEFAULT, find

if TYPE_CHECKING:
    from fundus_lib.tasks.base import FundusTask

TRAINING, OWN = "training set", "own image"
"""By whose colours images are normalised."""


@dataclass(frozen=True)
class Shift:
    """A change that another camera, eye or file format brings.

    Attributes:
        name: In words.
        kind: Of what: `"light"`, `"colour"`, `"sharpness"` or `"scale"`.
        change: uint8 (3, H, W) → the same.
        scale: By how much image and masks are enlarged.
    """

    name: str
    kind: str
    change: Callable[[Tensor], Tensor]
    scale: float = 1.0

    @property
    def of_colours(self) -> bool:
        """Whether channel means and deviations differ afterwards, so that it matters by which one normalises."""
        return self.kind in ("none", "light", "colour")


def tint(image: Tensor, red: float, green: float, blue: float) -> Tensor:
    """Channels of an image (3, H, W) multiplied, uint8."""
    factors = torch.tensor([red, green, blue])[:, None, None]
    return (image * factors).round().clamp(0, 255).to(torch.uint8)


def shade(image: Tensor, left: float, right: float) -> Tensor:
    """An image (3, H, W) multiplied by what grows linearly from its left to its right edge, uint8."""
    return (image * torch.linspace(left, right, image.shape[-1])).round().clamp(0, 255).to(torch.uint8)


def coarsen(image: Tensor, factor: int) -> Tensor:
    """An image (3, H, W) shrunk and enlarged again, as from a camera of fewer pixels, uint8."""
    height, width = image.shape[-2:]
    small = T.resize(image, [height // factor, width // factor], antialias=True)
    coarse: Tensor = T.resize(small, [height, width], antialias=True)
    return coarse


def compress(image: Tensor, quality: int) -> Tensor:
    """An image (3, H, W) stored as JPEG of a quality from 1 to 100 and read again, uint8."""
    pixels = cv2.cvtColor(image.permute(1, 2, 0).contiguous().numpy(), cv2.COLOR_RGB2BGR)
    stored = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    read = cv2.cvtColor(cv2.imdecode(stored, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)  # type: ignore[arg-type]
    return torch.from_numpy(read).permute(2, 0, 1)


def blur(image: Tensor, permille: float) -> Tensor:
    """An image (3, H, W) blurred by a Gaussian whose deviation is so many thousandths of its width, uint8."""
    sigma = image.shape[-1] * permille / 1000
    blurred: Tensor = T.gaussian_blur(image, [2 * round(3 * sigma) + 1] * 2, [sigma] * 2)
    return blurred


SHIFTS = (
    Shift("as it is", "none", lambda image: image),
    Shift("darker (×0.6)", "light", lambda image: tint(image, 0.6, 0.6, 0.6)),
    Shift("brighter (×1.4)", "light", lambda image: tint(image, 1.4, 1.4, 1.4)),
    Shift("uneven light (×0.5 to ×1.2)", "light", lambda image: shade(image, 0.5, 1.2)),
    Shift("half the contrast", "light", lambda image: T.adjust_contrast(image, 0.5)),
    Shift("redder (blue ×0.6)", "colour", lambda image: tint(image, 1.2, 0.9, 0.6)),
    Shift("bluer (red ×0.8)", "colour", lambda image: tint(image, 0.8, 1.0, 1.5)),
    Shift("blurred by 1‰ of the width", "sharpness", lambda image: blur(image, 1)),
    Shift("blurred by 2‰", "sharpness", lambda image: blur(image, 2)),
    Shift("JPEG of quality 30", "sharpness", lambda image: compress(image, 30)),
    Shift("JPEG of quality 10", "sharpness", lambda image: compress(image, 10)),
    Shift("a quarter of the pixels", "sharpness", lambda image: coarsen(image, 2)),
    Shift("a sixteenth of the pixels", "sharpness", lambda image: coarsen(image, 4)),
    Shift("too small by a fifth", "scale", lambda image: image, 0.8),
    Shift("too large by a quarter", "scale", lambda image: image, 1.25),
)
"""Each at a strength that the eye sees at once, the first being no change."""


def predict_shifted(task: FundusTask, image: Tensor, shift: Shift, normalise_by: str) -> Tensor:
    """Logits of an image after a shift.

    Args:
        task: A segmenter that normalises by its training images, in evaluation mode.
        image: uint8 (3, H, W).
        shift: What is done to it first.
        normalise_by: `TRAINING`, as in training; or `OWN`: mean and deviation of each channel in the image's own field
            of view become those that the network has seen on average.

    Returns:
        float32 (L, h, w), at the size of the shifted image.
    """
    seen = shift.change(image)
    if shift.scale != 1:
        seen = T.resize(seen, [round(side * shift.scale) for side in seen.shape[-2:]], antialias=True)
    own = None
    if normalise_by == OWN:
        pixels = np.ascontiguousarray(seen.permute(1, 2, 0).numpy())
        field = field_of_view(np.ascontiguousarray(image.permute(1, 2, 0).numpy()))
        own = statistics(pixels, resize_mask(field, pixels.shape[:2]))
    usual = task.statistics
    try:
        task.statistics = usual if own is None else None
        return task.predict(seen, own)["logits"]
    finally:
        task.statistics = usual


def count_scores(logits: Tensor, masks: Tensor) -> NDArray[np.int64]:
    """Pixels of background and of lesion by logit, in bins.

    Args:
        logits: float32 (L, h, w).
        masks: {0, 1} (L, H, W); brought to the size of the logits.

    Returns:
        int64 (L, 2, BINS), see :mod:`fundus_lib.metrics.score_bins`.
    """
    if masks.shape != logits.shape:
        size = (logits.shape[-2], logits.shape[-1])
        masks = torch.stack([torch.from_numpy(resize_mask(one.numpy(), size)) for one in masks])
    edges = torch.from_numpy(BIN_EDGES).float()
    places = torch.bucketize(logits.contiguous(), edges, right=True) + BINS * masks.long()
    counts = [torch.bincount(one.flatten(), minlength=2 * BINS).reshape(2, BINS).numpy() for one in places]
    return np.stack(counts)


def score(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """AUPR of images pooled, from the counts of each: (N, L, 2, BINS) → (L,)."""
    return average_precision_from_bins(counts.sum(0))


def find_f1(counts: NDArray[np.int64], best: bool = False) -> NDArray[np.float64]:
    """F1 of images pooled, from the counts of each: (N, L, 2, BINS) → (L,).

    Args:
        counts: See :func:`count_scores`.
        best: At the edge of the bins at which it is highest, for each lesion; otherwise at a probability of 0.5.
    """
    pooled = counts.sum(0)
    called = np.cumsum(pooled[..., ::-1], axis=-1)[..., ::-1]  # (L, 2, BINS): from the lower edge of each bin on
    with np.errstate(invalid="ignore"):
        f1: NDArray[np.float64] = 2 * called[:, 1] / (called.sum(1) + pooled[:, 1].sum(-1, keepdims=True))
    return f1.max(-1) if best else f1[:, int(np.searchsorted(BIN_EDGES, 0.0, side="right"))]


def count_shifts(
    task: FundusTask, images: Sequence[Tensor], masks: Sequence[Tensor], shifts: Sequence[Shift] = SHIFTS
) -> dict[tuple[str, str], NDArray[np.int64]]:
    """What a network gives after each shift; where it matters, under both normalisations.

    Args:
        task: As for :func:`predict_shifted`.
        images: uint8 (3, H, W).
        masks: {0, 1} (L, H, W) of each.
        shifts: Which.

    Returns:
        Name of the shift and of the normalisation → counts int64 (N, L, 2, BINS).
    """
    found = {}
    for shift in shifts:
        for by in (TRAINING, OWN) if shift.of_colours else (TRAINING,):
            pairs = zip(images, masks, strict=True)
            counts = [count_scores(predict_shifted(task, i, shift, by), m) for i, m in pairs]
            found[shift.name, by] = np.stack(counts)
    return found


def measure(
    root: Path, network: str = DEFAULT, count: int | None = None, shifts: Sequence[Shift] = SHIFTS
) -> dict[str, Any]:
    """All shifts on the test images of IDRiD, one view of each, in bf16 where the processor multiplies it.

    Args:
        root: Root of a copy of IDRiD.
        network: A segmenter that ships, or the path of one.
        count: Only the first so many images.
        shifts: Which, the first of them no change.

    Returns:
        Plain values for JSON. `"scores"`: for each shift, normalisation and lesion, pooled at the size at which the
        network was trained: `"aupr"` with its 95 % `"interval"` over images; `"f1"`, at a probability of 0.5, and
        `"best_f1"`, at the threshold that is best on these very images; `"change"` of the AUPR against the same network
        on unchanged images normalised as in training, and for `OWN` `"gain"` over `TRAINING` under the same shift, each
        with its paired interval.
    """
    checkpoint = find(network)
    task = checkpoint.task
    task.mirrored = ((),)
    test = read_split(task.recipe, root, "test", count)
    masks = [mask for mask in test.masks if mask is not None]
    with torch.autocast("cpu", torch.bfloat16, enabled=native_bf16(torch.device("cpu"))):
        counts = count_shifts(task, test.images, masks, shifts)
    usual = counts[shifts[0].name, TRAINING]
    scores: dict[str, dict[str, Any]] = {}
    for (name, by), own in counts.items():
        found = {"aupr": bootstrap(own, score), "change": compare(own, usual), "f1": find_f1(own)}
        found |= {"best_f1": find_f1(own, best=True)}
        found |= {"gain": compare(own, counts[name, TRAINING])} if by == OWN else {}
        scores.setdefault(name, {})[by] = {
            lesion: _list_scores(found, k) for k, lesion in enumerate(task.recipe.lesions)
        }
    return {
        "network": checkpoint.describe(),
        "images": len(test),
        "lesions": list(task.recipe.lesions),
        "size": list(task.recipe.size),
        "scores": scores,
    }


def compare(own: NDArray[np.int64], other: NDArray[np.int64]) -> Estimate:
    """Difference of the AUPR (L,) of the same images after two shifts, with its paired interval over images."""
    return bootstrap(np.stack([own, other], 1), lambda some: score(some[:, 0]) - score(some[:, 1]))


def _list_scores(found: Mapping[str, Any], lesion: int) -> dict[str, Any]:
    level = found["aupr"]
    made: dict[str, Any] = {
        "aupr": round(float(level.value[lesion]), 4),
        "interval": [round(float(end[lesion]), 4) for end in (level.low, level.high)],
    }
    made |= {name: round(float(found[name][lesion]), 4) for name in ("f1", "best_f1")}
    for name in {"change", "gain"} & set(found):
        ends = (found[name].value, found[name].low, found[name].high)
        made[name] = [round(float(end[lesion]), 4) for end in ends]
    return made


def measured() -> dict[str, Any]:
    """What `measure` found on the real IDRiD."""
    return read_measured(__name__)
