"""What the contrastive terms of hecl change in a network: its features, its errors at edges, its decisions.

`measured` holds what `measure` found on the 27 test images of the real IDRiD, of the networks that ship with the
library. It is no pixel of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fundus_lib.checkpoints import load_model
from fundus_lib.data.field_of_view import field_of_view
from fundus_lib.data.idrid import IDRiDSegmentation
from fundus_lib.experiment import create_task
from fundus_lib.losses.hecl import HECLCriterion
from fundus_lib.metrics import average_precision, pixel_counts
from fundus_lib.protocols.lesions import breakeven_threshold
from fundus_lib.published.hecl_edges import compare, compare_edges, count_by_distance, measure_distance, measure_lesions
from fundus_lib.published.measured import read_measured
from fundus_lib.weights import load

if TYPE_CHECKING:
    from fundus_lib.tasks.base import FundusTask

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Whole = NDArray[np.int64]

NETWORKS = {"without": "hecl/unet", "with": "hecl/unet_hecl"}
"""The pair: one recipe, one seed, without and with both terms."""

CROP = 256
"""Side of the crops of training, in pixels."""


@dataclass(frozen=True)
class Seen:
    """What a network computes of images.

    Attributes:
        probability: Of lesion, float32 (N, H, W).
        patches: Mean features of patches, (P, C).
        density: Their fractions of lesion pixels, (P,).
        patch_images: The image of each, int64 (P,).
        contours: Mean features of contours, (Q, C).
        inner: Whether each is an inner one, bool (Q,).
        contour_images: The image of each, int64 (Q,).
    """

    probability: Floats
    patches: Floats
    density: Floats
    patch_images: Whole
    contours: Floats
    inner: Bools
    contour_images: Whole


def start_again(task: FundusTask) -> FundusTask:
    """The network of a task as it was before training, with the seed of its recipe."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(task.recipe.seed)
        made = create_task(task.recipe, start=False)
    made.statistics = task.statistics
    return made


@torch.no_grad()
def look(task: FundusTask, samples: Sequence[Mapping[str, Any]], *, trained: bool = True) -> Seen:
    """Run a network on images, and take the vectors that the terms compare.

    The middle of each image is cut into crops of the side of training, and these into patches and contours as the
    criterion has them. Patches of which more than half is outside the field of view are left out.

    Args:
        task: With a model that has a feature map ``"features"``.
        samples: With ``"image"``, uint8 (3, H, W), and ``"mask"``, {0, 1} (1, H, W), all of one size.
        trained: An untrained network normalises by the image itself, as in its first step of training.
    """
    criterion, found = HECLCriterion(), []
    task.model.train(not trained)
    for number, sample in enumerate(samples):
        image = torch.as_tensor(sample["image"]).as_subclass(Tensor)
        mask = torch.as_tensor(sample["mask"]).as_subclass(Tensor)
        output = task.model(task.prepare(image[None]), keep=("features",))
        lesion = cut(mask)[:, 0] > 0  # (K, 256, 256)
        density = criterion.measure_density(lesion)
        contours = criterion.find_contours(lesion, density >= criterion.dense)
        patches, edges, lines = criterion.pool(cut(output["features"][0].float()), contours)
        field = torch.from_numpy(field_of_view(image.permute(1, 2, 0).numpy()))
        inside = (criterion.measure_density(cut(field[None])[:, 0]) >= 0.5).flatten()
        there = (lines > 0).flatten()
        inner = (torch.arange(2) == 0).expand_as(lines).flatten()[there]
        found.append(
            (
                output["logits"][0, 0].float().sigmoid(),
                patches.flatten(0, 2)[inside],
                density.flatten()[inside],
                torch.full((int(inside.sum()),), number),
                edges.flatten(0, 1)[there],
                inner,
                torch.full((int(there.sum()),), number),
            )
        )
    task.model.eval()
    columns = list(zip(*found, strict=True))
    return Seen(torch.stack(columns[0]).numpy(), *(torch.cat(column).numpy() for column in columns[1:]))


def cut(values: Tensor, side: int = CROP) -> Tensor:
    """Crops that cover the middle of an image as far as whole ones do: (C, H, W) to (K, C, side, side)."""
    rows, columns = (length // side for length in values.shape[1:])
    top, left = (values.shape[1] - rows * side) // 2, (values.shape[2] - columns * side) // 2
    middle = values[:, top : top + rows * side, left : left + columns * side]
    return middle.unfold(1, side, side).unfold(2, side, side).flatten(1, 2).transpose(0, 1)


def direct(vectors: Floats) -> Floats:
    """The directions of vectors (N, C): the terms compare nothing else."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))


def project(vectors: Floats) -> Floats:
    """The first two principal components of the directions of vectors: (N, C) to (N, 2)."""
    from sklearn.decomposition import PCA

    return np.asarray(PCA(2, svd_solver="full").fit_transform(direct(vectors)), np.float32)


def separate(vectors: Floats, labels: Bools, images: Whole) -> dict[str, float]:
    """How well two kinds of vectors are apart.

    Args:
        vectors: (N, C).
        labels: bool (N,).
        images: The image of each, (N,).

    Returns:
        The `silhouette` of the directions by their cosines, 1 for two points, 0 for kinds that lie within each other;
        and as `auc` the area under the ROC curve of a logistic regression on the directions, for images that it was not
        fitted to, in five parts of whole images. NaN if fewer than two images have vectors of a kind.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score, silhouette_score
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    along = direct(vectors)
    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    parts = StratifiedGroupKFold(min(5, len(np.unique(images))))
    if min(len(np.unique(images[kind])) for kind in (labels, ~labels)) < 2:
        return {"silhouette": float("nan"), "auc": float("nan")}
    scores = cross_val_predict(linear, along, labels, groups=images, cv=parts, method="decision_function")
    return {
        "silhouette": float(silhouette_score(along, labels, metric="cosine")),
        "auc": float(roc_auc_score(labels, scores)),
    }


def measure(root: str | Path, again: str | Path, count: int | None = None, points: int = 250) -> dict[str, Any]:
    """Measure the networks that ship on the test images of a copy of IDRiD; takes some minutes.

    Args:
        root: Root of a copy.
        again: `model.pt` of the run without terms with another seed: what changes between two seeds is what the change
            between without and with must be compared with.
        count: Only the first so many images.
        points: Vectors of each kind that are kept for a figure, at most.

    Returns:
        Nested plain values, with four digits.

        - `patches`, `contours`: how many, of the kind that is dense, or inner, and of the other;
        - `networks`: of the `untrained` network and of those `without`, `with` and of the `other_seed`: `aupr`,
          `breakeven`, and at a probability of one half and at break-even `f1` and `errors` by distance; what
          :func:`separate` says of `patches` and `contours`, and `points`, some of them, projected, by kind;
        - `pixels`: by distance to the nearest edge;
        - `edges`: see :func:`~fundus_lib.published.hecl_edges.compare_edges`, at break-even;
        - `changes`: see :func:`~fundus_lib.published.hecl_edges.compare`, of `terms` and
          of `seed`, at one half and at break-even.
    """
    runs = {name: load(shipped) for name, shipped in NETWORKS.items()} | {"other_seed": load_model(again)}
    recipe = runs["without"].task.recipe
    data = IDRiDSegmentation(root, "test", lesions=("EX",), size=recipe.size)
    samples = [data[index] for index in range(len(data))[:count]]
    target = np.stack([sample["mask"][0].numpy() for sample in samples]) > 0
    distances = [measure_distance(mask) for mask in target]
    tasks = {"untrained": start_again(runs["without"].task)} | {name: run.task for name, run in runs.items()}
    seen = {name: look(task, samples, trained=name != "untrained") for name, task in tasks.items()}
    lesion = torch.from_numpy(target)
    even = {name: breakeven_threshold(torch.from_numpy(s.probability), lesion) for name, s in seen.items()}
    cuts = {name: {"half": 0.5, "even": threshold} for name, threshold in even.items()}
    decisions = {
        name: {at: s.probability >= threshold for at, threshold in cuts[name].items()} for name, s in seen.items()
    }
    networks: dict[str, Any] = {}
    for name, s in seen.items():
        made = decisions[name].items()
        networks[name] = {
            "aupr": average_precision(s.probability, target),
            "breakeven": cuts[name]["even"],
            "f1": {at: pixel_counts(decision, target).f1 for at, decision in made},
            "errors": {
                at: np.sum([count_by_distance(*each) for each in zip(decision != target, distances, strict=True)], 0)
                for at, decision in made
            },
            "patches": separate(s.patches, s.density >= HECLCriterion().dense, s.patch_images),
            "contours": separate(s.contours, s.inner, s.contour_images),
            "points": {
                "patches": choose_points(s.patches, s.density >= HECLCriterion().dense, points),
                "contours": choose_points(s.contours, s.inner, points),
            },
        }
    wrong = [decisions[name]["even"] != target for name in ("without", "with")]
    lesions = [
        measure_lesions(sample["image"].numpy(), mask, [each[k] for each in wrong])
        for k, (sample, mask) in enumerate(zip(samples, target, strict=True))
    ]
    first = seen["without"]
    everywhere = np.ones_like(target[0])
    found: dict[str, Any] = round_all(
        {
            "images": len(samples),
            "models": {name: run.digest for name, run in runs.items()},
            "patches": [int((first.density >= HECLCriterion().dense).sum()), len(first.density)],
            "contours": [int(first.inner.sum()), len(first.inner)],
            "networks": networks,
            "pixels": np.sum([count_by_distance(everywhere, distance) for distance in distances], 0),
            "edges": compare_edges(lesions),
            "changes": {
                "terms": {
                    at: compare(decisions["without"][at], decisions["with"][at], target) for at in ("half", "even")
                },
                "seed": {
                    at: compare(decisions["without"][at], decisions["other_seed"][at], target)
                    for at in ("half", "even")
                },
            },
        }
    )
    return found


def choose_points(vectors: Floats, labels: Bools, count: int) -> list[Floats]:
    """Projections of vectors of the one kind and of the other, at most so many of each, evenly chosen: (n, 2) twice."""
    flat = project(vectors)
    return [kind[:: -(-len(kind) // count) or 1] for kind in (flat[labels], flat[~labels])]


def round_all(value: Any, digits: int = 4) -> Any:
    """Nested values with so many significant digits, as plain lists and numbers; counts stay as they are."""
    if isinstance(value, Mapping):
        return {name: round_all(part, digits) for name, part in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [round_all(part, digits) for part in value]
    if isinstance(value, float | np.floating):
        return float(f"{value:.{digits}g}")
    return int(value) if isinstance(value, np.integer) else value


def measured() -> dict[str, Any]:
    """What :func:`measure` found on the real IDRiD."""
    return read_measured(__name__)
