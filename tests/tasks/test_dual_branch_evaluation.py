"""The paper's test against a slow one that keeps every enlarged map and counts its pixels, threshold by threshold."""

from itertools import pairwise
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from scipy import ndimage
from sklearn.metrics import average_precision_score

from fundus_lib.models.dualbranch import mean_of_probabilities
from fundus_lib.tasks.dual_branch_evaluation import as_levels, as_steps, at_full_size, enlarge
from fundus_lib.tasks.experiment import Source
from fundus_lib.tasks.whole_images import Photographs

SIGMAS = ("0.2", "0.35", "0.5", "0.65", "0.8")
SIZES = {"small": (0, 2e-5), "medium": (2e-5, 1e-4), "large": (1e-4, 2)}
"""Smallest share of the photograph's area, and where the next class begins."""


def slowly(maps, masks, logits=None):
    """All scores of one lesion.

    Args:
        maps: Predictions as 8 bit, (h, w) each.
        masks: The truth, (H, W) each.
        logits: The same predictions as logits; None for those that `Network` gives.
    """
    fine = [as_steps(torch.as_tensor(x)) for x in ([logit(m) for m in maps] if logits is None else logits)]
    large, large_steps = (
        [cv2.resize(m, mask.shape[::-1], interpolation=cv2.INTER_LINEAR) for m, mask in zip(of, masks, strict=True)]
        for of in (maps, fine)
    )
    score, step, lesion = (np.concatenate([part.ravel() for part in parts]) for parts in (large, large_steps, masks))
    lesion = lesion == 1
    tp, fp, fn = counts(score > 128, lesion)
    found = {
        "sensitivity": share(tp, tp + fn),
        "ppv": share(tp, tp + fp),
        "f1": share(2 * tp, 2 * tp + fp + fn),
        "iou": share(tp, tp + fp + fn),
        "aupr": average_precision_score(lesion, step) if lesion.any() else np.nan,
        "aupr_8bit": average_precision_score(lesion, score) if lesion.any() else np.nan,
        "aupr_11": eleven_points(score, lesion),
        "prevalence": lesion.mean(),
    }
    for sigma in SIGMAS:
        hit, false, missed = np.sum(
            [regions(m > 128, t == 1, float(sigma)) for m, t in zip(large, masks, strict=True)], 0
        )
        found[f"region_f1_{sigma}"] = share(2 * hit, 2 * hit + false + missed)
    even = np.sort(step)[-lesion.sum()] if lesion.any() else 65536
    tp, fp, fn = counts(step >= even, lesion)
    found["breakeven"], found["breakeven_ppv"] = share(tp, tp + fn), share(tp, tp + fp)
    for prefix, at, lowest in (("", large, 129), ("breakeven_", large_steps, even)):
        for size, (low, high) in SIZES.items():
            rows = [
                (pixels.size, (m[pixels] >= lowest).sum())
                for m, t in zip(at, masks, strict=True)
                for pixels in lesions(t)
                if low * t.size <= pixels.size < high * t.size
            ]
            area, seen = np.array(rows, int).reshape(-1, 2).T
            found[f"{prefix}recall_{size}"] = share((seen > 0).sum(), len(rows))
            found[f"{prefix}pixel_recall_{size}"] = share(seen.sum(), area.sum())
            found[f"lesions_{size}"] = len(rows)
    return found


def counts(called, lesion):
    return (called & lesion).sum(), (called & ~lesion).sum(), (~called & lesion).sum()


def share(part, whole):
    return part / whole if whole else np.nan


def eleven_points(score, lesion):
    """Area under eleven points of the curve and (0, 1), by trapezoids from right to left."""
    if not lesion.any():
        return np.nan
    points = []
    for tenth in range(11):
        tp, fp, fn = counts(score > tenth * 256 / 10, lesion)
        points.append((tp / (tp + fn), tp / (tp + fp) if tp + fp else 1.0))
    points.append((0.0, 1.0))
    return sum((r1 - r0) * (p1 + p0) / 2 for (r1, p1), (r0, p0) in pairwise(points))


class Pixels(tuple):
    """Index of a component's pixels."""

    @property
    def size(self):
        return len(self[0])


def lesions(mask):
    """Every 8-connected component."""
    label, _ = ndimage.label(mask, np.ones((3, 3)))
    found = []
    for number, box in enumerate(ndimage.find_objects(label), start=1):
        rows, columns = np.nonzero(label[box] == number)
        found.append(Pixels((rows + box[0].start, columns + box[1].start)))
    return found


def regions(called, lesion, sigma):
    """Hits, false alarms and misses where a component that is right for the most part is right altogether."""
    hit = called & lesion
    for mask, other in ((called, lesion), (lesion, called)):
        for pixels in lesions(mask):
            if other[pixels].sum() / pixels.size > sigma:
                hit[pixels] = True
    return hit.sum(), (called & ~hit).sum(), (lesion & ~hit).sum()


class Network:
    """Gives logits whose stored levels are known, one photograph after the other."""

    def __init__(self, levels, lesions):
        self.levels, self.recipe = levels, SimpleNamespace(lesions=lesions, model_args={})

    def branches(self, image):
        """The image's first pixel is its number."""
        given = self.levels[int(image[0, 0, 0])]
        return {name: torch.from_numpy(np.stack([logit(m) for m in maps])) for name, maps in given.items()}


def logit(levels):
    """Logits (h, w) that are stored as these levels, and differ where the levels do not."""
    within = np.random.default_rng(0).uniform(-0.3, 0.3, levels.shape)
    p = np.clip(levels + within, 1e-3, 254.999) / 255
    return np.log(p / (1 - p)).astype(np.float32)


def photographs(masks):
    images = [torch.full((3, 4, 4), number, dtype=torch.uint8) for number in range(len(masks))]
    return Photographs(images, images, lambda number: masks[number], Source("test", "", len(masks)))


def blobs(rng, size, share_of_area):
    """A mask of round patches of all sizes."""
    noise = cv2.GaussianBlur(rng.random(size, dtype=np.float32), (0, 0), rng.uniform(0.6, 4))
    return (noise > np.quantile(noise, 1 - share_of_area)).astype(np.uint8)


def prediction(rng, mask, size):
    """A stored map of another size that has to do with the mask."""
    seen = cv2.GaussianBlur(mask * np.float32(255), (0, 0), rng.uniform(0.5, 3))
    seen = cv2.resize(np.roll(seen, rng.integers(-2, 3), axis=1), size[::-1], interpolation=cv2.INTER_AREA)
    noise = rng.normal(0, rng.choice([5, 40]), size)
    return np.clip(seen * rng.choice([0.7, 1, 2]) + noise + rng.choice([0, 40]), 0, 255).astype(np.uint8)


def same(found, wanted):
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert found[name] == pytest.approx(value, nan_ok=True, rel=1e-9), name


def of_lesion(scores, lesion):
    return {name.removeprefix(f"{lesion}_"): value for name, value in scores.items() if name.startswith(f"{lesion}_")}


@pytest.mark.parametrize("seed", range(12))
def test_all_scores_of_random_photographs(seed):
    rng = np.random.default_rng(seed)
    names = ("EX", "MA")
    full = [(int(h), int(w)) for h, w in rng.integers(230, 330, (3, 2))]  # as in DDR, sizes differ
    masks = [np.stack([blobs(rng, size, rng.choice([0.002, 0.03])) for _ in names]) for size in full]
    if seed % 3 == 0:
        masks[1][:] = 0
    small = [(int(h), int(w)) for h, w in rng.integers(80, 400, (3, 2))]
    levels = [
        {"logits": np.stack([prediction(rng, m, size) for m in mask])} for mask, size in zip(masks, small, strict=True)
    ]
    scores = at_full_size(Network(levels, names), photographs(masks))
    assert scores.variants == {}
    for channel, lesion in enumerate(names):
        wanted = slowly([given["logits"][channel] for given in levels], [mask[channel] for mask in masks])
        same(of_lesion(scores.metrics, lesion), wanted)


EXTREMES = {
    "nothing there, nothing called": (np.zeros((240, 260)), 0),
    "nothing there, all called": (np.zeros((240, 260)), 255),
    "all lesion, nothing called": (np.ones((240, 260)), 0),
    "all lesion, all called": (np.ones((240, 260)), 255),
    "one pixel, just not called": (np.eye(240, 1)[:, :1] @ np.eye(1, 260), 128),
    "one pixel, just called": (np.eye(240, 1)[:, :1] @ np.eye(1, 260), 129),
}


@pytest.mark.parametrize("case", EXTREMES)
def test_extremes(case):
    mask, level = EXTREMES[case]
    mask = mask.astype(np.uint8)
    levels = [{"logits": np.full((1, 50, 70), level, np.uint8)}]
    scores = at_full_size(Network(levels, ("EX",)), photographs([mask[None]]))
    same(of_lesion(scores.metrics, "EX"), slowly([levels[0]["logits"][0]], [mask]))


def test_each_prediction_of_two_branches_is_scored_as_its_own():
    rng = np.random.default_rng(5)
    masks = [blobs(rng, (240, 300), 0.01)[None] for _ in range(2)]
    levels = []
    for mask in masks:
        large, small = (prediction(rng, mask[0], (120, 150))[None] for _ in range(2))
        levels.append({"large_logits": large, "small_logits": small})
    network = Network(levels, ("EX",))
    logits = [network.branches(torch.full((3, 4, 4), k)) for k in range(2)]
    for x in logits:
        x["logits"] = (x["large_logits"] + x["small_logits"]) / 2
    network.branches = lambda image: logits[int(image[0, 0, 0])]
    scores = at_full_size(network, photographs(masks))
    probabilities = [{name: 1 / (1 + np.exp(-x.double().numpy())) for name, x in given.items()} for given in logits]
    means = {
        "mean of probabilities": [(p["large_logits"] + p["small_logits"]) / 2 for p in probabilities],
        "mean of logits": [
            1 / (1 + np.exp(-(x["large_logits"].double() + x["small_logits"].double()).numpy() / 2)) for x in logits
        ],
    }
    wanted = {
        "large branch": [given["large_logits"][0] for given in levels],
        "small branch": [given["small_logits"][0] for given in levels],
        **{name: [np.round(p[0] * 255).astype(np.uint8) for p in maps] for name, maps in means.items()},
    }
    assert scores.variants.keys() == wanted.keys() and scores.metrics == scores.variants["mean of logits"]
    pairs = [(x["large_logits"][0], x["small_logits"][0]) for x in logits]
    fine = {
        "mean of logits": [(a + b) / 2 for a, b in pairs],
        "mean of probabilities": [mean_of_probabilities(a, b) for a, b in pairs],
    }
    for name, maps in wanted.items():
        same(of_lesion(scores.variants[name], "EX"), slowly(maps, [mask[0] for mask in masks], fine.get(name)))


def test_logits_are_told_apart_where_levels_are_not():
    logits = torch.tensor([-200.0, -0.001, 0.0, 8.0, 8.001, 31.0, 200.0])
    assert as_levels(logits).tolist() == [0, 127, 128, 255, 255, 255, 255]
    assert as_steps(logits).tolist() == [0, 32735, 32736, 40920, 40921, 64449, 65472]
    assert enlarge(as_steps(logits)[None, :2], (1, 4)).tolist() == [[0, 8184, 24551, 32735]]


def test_breakeven_calls_as_many_pixels_as_are_lesion_however_sure_the_network_is():
    rng = np.random.default_rng(0)
    mask = blobs(rng, (240, 300), 0.02)
    sure = torch.from_numpy(12 + 3 * mask + rng.standard_normal(mask.shape)).float()
    recipe = SimpleNamespace(lesions=("EX",), model_args={})
    task = SimpleNamespace(branches=lambda image: {"logits": sure[None]}, recipe=recipe)
    found = at_full_size(task, photographs([mask[None]])).metrics
    assert found["EX_ppv"] == pytest.approx(mask.mean())  # at 8 bit all are alike
    assert 0.3 < found["EX_breakeven"] < 0.8 and found["EX_breakeven_ppv"] == pytest.approx(
        found["EX_breakeven"], rel=0.02
    )
    assert found["EX_aupr"] > 0.3


def test_levels_are_rounded_and_enlarged_as_8_bit():
    levels = np.arange(256, dtype=np.uint8)
    p = np.clip(levels, 1e-3, 254.999) / 255
    assert np.array_equal(as_levels(torch.from_numpy(np.log(p / (1 - p)))), levels)
    assert as_levels(torch.tensor([-200.0, 200.0])).tolist() == [0, 255]
    steps = np.repeat(np.array([[0, 100]], np.uint8), 2, axis=0)
    assert enlarge(steps, (2, 4)).tolist() == [[0, 25, 75, 100]] * 2
    assert enlarge(steps, (3, 2)).shape == (3, 2)


@pytest.mark.real_data
def test_a_real_mask(idrid_root):
    from fundus_lib.data import IDRiDSegmentation

    data = IDRiDSegmentation(idrid_root, "test", lesions=("EX",), cache=False)
    rng = np.random.default_rng(0)
    masks = [data.mask(number) for number in (0,)]
    levels = [{"logits": prediction(rng, mask[0], (320, 480))[None]} for mask in masks]
    scores = at_full_size(Network(levels, ("EX",)), photographs(masks))
    wanted = slowly([given["logits"][0] for given in levels], [mask[0] for mask in masks])
    assert 0.2 < wanted["f1"] < 0.95
    assert min(wanted[f"lesions_{size}"] for size in SIZES) > 10
    same(of_lesion(scores.metrics, "EX"), wanted)
