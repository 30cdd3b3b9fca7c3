"""How lesions are scored: the paper's test against a slow one that keeps every resized map and counts its pixels."""

from itertools import pairwise
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from scipy import ndimage
from sklearn.metrics import average_precision_score

from fundus_lib.data.image_set import ImageSet
from fundus_lib.metrics import average_precision, pixel_counts
from fundus_lib.models.dualbranch import average_probabilities
from fundus_lib.protocols.base import Scores
from fundus_lib.protocols.full_size import AtFullSize
from fundus_lib.protocols.lesions import AtTrainingSize, breakeven_threshold, score_quickly, size_edges
from fundus_lib.protocols.stored import read_steps, resize_prediction, store_levels, store_steps
from helpers.images import image_set

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
    fine = [store_steps(torch.as_tensor(x)) for x in ([logit(m) for m in maps] if logits is None else logits)]
    large, large_steps = (
        [cv2.resize(m, mask.shape[::-1], interpolation=cv2.INTER_LINEAR) for m, mask in zip(of, masks, strict=True)]
        for of in ([m.astype(np.float32) for m in maps], fine)
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
        "aupr_8bit": average_precision_score(lesion, np.ceil(score * 256)) if lesion.any() else np.nan,
        "aupr_11": eleven_points(score, lesion),
        "aupr_33": challenge_points(score, lesion),
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
    for prefix, at, predicts in (("", large, lambda m: m > 128), ("breakeven_", large_steps, lambda m: m >= even)):
        for size, (low, high) in SIZES.items():
            rows = [
                (pixels.size, predicts(m[pixels]).sum())
                for m, t in zip(at, masks, strict=True)
                for pixels in lesions(t)
                if low * t.size <= pixels.size < high * t.size
            ]
            area, seen = np.array(rows, int).reshape(-1, 2).T
            found[f"{prefix}recall_{size}"] = share((seen > 0).sum(), len(rows))
            found[f"{prefix}pixel_recall_{size}"] = share(seen.sum(), area.sum())
            found[f"lesions_{size}"] = len(rows)
    return found


def counts(predicted, lesion):
    return (predicted & lesion).sum(), (predicted & ~lesion).sum(), (~predicted & lesion).sum()


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


def challenge_points(score, lesion):
    """Area under the curve at 33 thresholds from 1 to 0, by trapezoids; levels in steps of 1/256."""
    if not lesion.any():
        return np.nan
    points = [(0.0, 1.0)]
    for k in range(32, -1, -1):
        tp, fp, fn = counts(np.ceil(score * 256) >= k * 2040, lesion)
        points.append((tp / (tp + fn), tp / (tp + fp) if tp + fp else 1.0))
    return sum((r1 - r0) * (p1 + p0) / 2 for (r0, p0), (r1, p1) in pairwise(points))


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


def regions(predicted, lesion, sigma):
    """Hits, false alarms and misses where a component that is right for the most part is right altogether."""
    hit = predicted & lesion
    for mask, other in ((predicted, lesion), (lesion, predicted)):
        for pixels in lesions(mask):
            if other[pixels].sum() / pixels.size > sigma:
                hit[pixels] = True
    return hit.sum(), (predicted & ~hit).sum(), (lesion & ~hit).sum()


class Network:
    """Gives logits whose stored levels are known, one photograph after the other."""

    def __init__(self, levels, lesions):
        self.levels, self.recipe = levels, SimpleNamespace(lesions=lesions, model_args={})

    model = None

    def predict(self, image, statistics=None):
        """The image's first pixel is its number."""
        given = self.levels[int(image[0, 0, 0])]
        return {name: torch.from_numpy(np.stack([logit(m) for m in maps])) for name, maps in given.items()}


def logit(levels):
    """Logits (h, w) that are stored as these levels, and differ where the levels do not."""
    within = np.random.default_rng(0).uniform(0.2, 0.8, levels.shape)
    p = np.clip(levels + within, 1e-3, 255 - 1e-6) / 255
    return np.log(p / (1 - p)).astype(np.float32)


def image_of(number):
    return torch.full((3, 4, 4), number, dtype=torch.uint8)


def at_full_size(network, masks) -> Scores:
    """The paper's test of a network on images whose masks at full size are these, (L, H, W) each."""
    images = [image_of(number) for number in range(len(masks))]
    return AtFullSize(network.recipe, image_set(images, images, full=masks)).full(network)


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
    scores = at_full_size(Network(levels, names), masks)
    assert scores.variants == {}
    for channel, lesion in enumerate(names):
        wanted = slowly([given["logits"][channel] for given in levels], [mask[channel] for mask in masks])
        same(of_lesion(scores.metrics, lesion), wanted)


EXTREMES = {
    "nothing there, nothing predicted": (np.zeros((240, 260)), 0),
    "nothing there, all predicted": (np.zeros((240, 260)), 255),
    "all lesion, nothing predicted": (np.ones((240, 260)), 0),
    "all lesion, all predicted": (np.ones((240, 260)), 255),
    "one pixel, just not predicted": (np.eye(240, 1)[:, :1] @ np.eye(1, 260), 128),
    "one pixel, just predicted": (np.eye(240, 1)[:, :1] @ np.eye(1, 260), 129),
}


@pytest.mark.parametrize("case", EXTREMES)
def test_extremes(case):
    mask, level = EXTREMES[case]
    mask = mask.astype(np.uint8)
    levels = [{"logits": np.full((1, 50, 70), level, np.uint8)}]
    scores = at_full_size(Network(levels, ("EX",)), [mask[None]])
    same(of_lesion(scores.metrics, "EX"), slowly([levels[0]["logits"][0]], [mask]))


def test_each_prediction_of_two_branches_is_scored_as_its_own():
    rng = np.random.default_rng(5)
    masks = [blobs(rng, (240, 300), 0.01)[None] for _ in range(2)]
    levels = []
    for mask in masks:
        large, small = (prediction(rng, mask[0], (120, 150))[None] for _ in range(2))
        levels.append({"large_logits": large, "small_logits": small})
    network = Network(levels, ("EX",))
    logits = [network.predict(image_of(k)) for k in range(2)]
    for x in logits:
        x["logits"] = (x["large_logits"] + x["small_logits"]) / 2
    network.predict = lambda image, statistics: logits[int(image[0, 0, 0])]
    scores = at_full_size(network, masks)
    pairs = [(x["large_logits"][0], x["small_logits"][0]) for x in logits]
    fine = {
        "mean of logits": [(a + b) / 2 for a, b in pairs],
        "mean of probabilities": [average_probabilities(a, b) for a, b in pairs],
    }
    for mean, (a, b) in zip(fine["mean of probabilities"], pairs, strict=True):
        torch.testing.assert_close(mean.sigmoid(), (a.sigmoid() + b.sigmoid()) / 2)
    wanted = {
        "large branch": [given["large_logits"][0] for given in levels],
        "small branch": [given["small_logits"][0] for given in levels],
        **{name: [(x.sigmoid().numpy() * 255).astype(np.uint8) for x in maps] for name, maps in fine.items()},
    }
    assert scores.variants.keys() == wanted.keys() and scores.metrics == scores.variants["mean of logits"]
    for name, maps in wanted.items():
        same(of_lesion(scores.variants[name], "EX"), slowly(maps, [mask[0] for mask in masks], fine.get(name)))


def test_logits_are_told_apart_where_levels_are_not():
    logits = torch.tensor([-200.0, -0.001, 0.0, 8.0, 8.001, 31.0, 200.0])
    assert store_levels(logits).tolist() == [0, 127, 127, 254, 254, 255, 255]
    assert store_steps(logits).tolist() == [9, 32735, 32736, 40920, 40921, 64449, 65463]
    large = store_steps(torch.cat([torch.arange(-31, 31, 0.001), torch.arange(31, 200, 0.2)])).astype(int)
    assert (np.diff(large) >= 1).all()  # none of Dice's are equal
    every = torch.cat([torch.arange(-200, 200, 0.37), torch.tensor([-31.0, 0, 31])])
    np.testing.assert_allclose(read_steps(store_steps(every)), every, atol=1 / 12 + 1e-4)
    np.testing.assert_allclose(read_steps(store_steps(every / 7)), every / 7, atol=1 / 2000)
    assert resize_prediction(store_steps(logits)[None, :2], (1, 4)).tolist() == [[9, 8190, 24554, 32735]]


def test_large_logits_are_enlarged_as_logits():
    rng = np.random.default_rng(0)
    mask = blobs(rng, (240, 300), 0.02)
    small = cv2.resize((rng.normal(-9, 3, mask.shape) + 60 * mask).astype(np.float32), (75, 60))
    recipe = SimpleNamespace(lesions=("EX",), model_args={})
    logits = torch.from_numpy(small)[None]
    task = SimpleNamespace(predict=lambda image, statistics: {"logits": logits}, recipe=recipe, model=None)
    found = at_full_size(task, [mask[None]]).metrics["EX_aupr"]
    large = cv2.resize(small, (300, 240), interpolation=cv2.INTER_LINEAR)
    assert large.max() > 40 and found == pytest.approx(average_precision_score(mask.ravel(), large.ravel()), abs=1e-3)


def test_breakeven_predicts_as_many_pixels_as_are_lesion_however_sure_the_network_is():
    rng = np.random.default_rng(0)
    mask = blobs(rng, (240, 300), 0.02)
    sure = torch.from_numpy(12 + 3 * mask + rng.standard_normal(mask.shape)).float()
    recipe = SimpleNamespace(lesions=("EX",), model_args={})
    task = SimpleNamespace(predict=lambda image, statistics: {"logits": sure[None]}, recipe=recipe, model=None)
    found = at_full_size(task, [mask[None]]).metrics
    assert found["EX_ppv"] == pytest.approx(mask.mean())  # at 8 bit all are alike
    assert 0.3 < found["EX_breakeven"] < 0.8 and found["EX_breakeven_ppv"] == pytest.approx(
        found["EX_breakeven"], rel=0.02
    )
    assert found["EX_aupr"] > 0.3


def test_levels_are_truncated_and_resized_as_numbers():
    levels = np.arange(255, dtype=np.uint8)
    for within in (0.01, 0.5, 0.99):
        p = (levels + within) / 255
        assert np.array_equal(store_levels(torch.from_numpy(np.log(p / (1 - p)))), levels)
    assert store_levels(torch.tensor([-200.0, 200.0])).tolist() == [0, 255]
    steps = np.repeat(np.array([[0, 101]], np.float32), 2, axis=0)
    assert resize_prediction(steps, (2, 4)).tolist() == [[0, 25.25, 75.75, 101]] * 2
    assert resize_prediction(steps, (3, 2)).shape == (3, 2)


def smooth_logits(rng, mask, size):
    """Logits that have to do with a mask, of another size."""
    seen = cv2.resize(cv2.GaussianBlur(mask * np.float32(8), (0, 0), 2), size[::-1], interpolation=cv2.INTER_AREA)
    return torch.from_numpy(seen + rng.normal(-3, 2, size)).float()


@pytest.mark.parametrize("seed", range(3))
def test_the_order_is_that_of_the_authors_code_and_near_the_one_of_older_records(seed):
    """They truncate to 8 bit, resize as floats and threshold at 128; older records rounded twice, the second time after
    resizing."""
    rng = np.random.default_rng(seed)
    masks = [blobs(rng, (240, 330), 0.03) for _ in range(4)]
    logits = [smooth_logits(rng, mask, (120, 160)) for mask in masks]
    network = SimpleNamespace(
        recipe=SimpleNamespace(lesions=("EX",), model_args={}),
        predict=lambda image, statistics: {"logits": logits[int(image[0, 0, 0])][None]},
        model=None,
    )
    found = at_full_size(network, [mask[None] for mask in masks]).metrics
    theirs, older = [], []
    for logit_map, mask in zip(logits, masks, strict=True):
        p = logit_map.sigmoid().numpy() * 255
        stored = p.astype(np.uint8).astype(np.float32)
        theirs.append(cv2.resize(stored, mask.shape[::-1], interpolation=cv2.INTER_LINEAR) > 128)
        older.append(cv2.resize(np.round(p).astype(np.uint8), mask.shape[::-1], interpolation=cv2.INTER_LINEAR) > 128)
    truth = np.stack(masks)
    for name, exact, near in zip(
        ("f1", "iou", "sensitivity", "ppv"), *(scores(m, truth) for m in (theirs, older)), strict=True
    ):
        assert found[f"EX_{name}"] == exact
        assert found[f"EX_{name}"] == pytest.approx(near, abs=2e-3)
    assert not np.array_equal(theirs, older), "the order counts for some pixels"


def scores(predicted, truth):
    counts = pixel_counts(np.stack(predicted), truth)
    return counts.f1, counts.iou, counts.sensitivity, counts.ppv


class Painted:
    """A task whose logits are the first channel of the image, so that a test says what was found."""

    recipe = SimpleNamespace(lesions=("EX",), size=(480, 720), test_flips=False)
    model = None

    def predict(self, image, statistics):
        return {"logits": image[:1].float() - 100}


def painted(scores, masks) -> ImageSet:
    return image_set([image.expand(3, -1, -1) for image in scores], list(masks))


def test_recall_by_size_and_the_break_even_threshold():
    """On 480×720, where lesions of 7 pixels are medium and of 35 large: three lesions, one of each size."""
    masks = torch.zeros(2, 1, 480, 720, dtype=torch.uint8)
    scores = torch.full((2, 1, 480, 720), 40, dtype=torch.uint8)
    masks[0, 0, 10, 10:16] = 1  # small: 6 pixels, all below one half, one above every pixel of background
    scores[0, 0, 10, 10:16] = torch.tensor([90, 60, 41, 41, 41, 41])
    masks[0, 0, 100, 20:27] = 1  # medium: 7 pixels, 3 above one half
    scores[0, 0, 100, 20:27] = torch.tensor([130, 130, 130, 41, 41, 41, 41])
    masks[1, 0, 200:205, 30:37] = 1  # large: 35 pixels, all above
    scores[1, 0, 200:205, 30:37] = 200
    scores[1, 0, 300, 0:3] = 120  # false alarms
    found = AtTrainingSize(Painted.recipe, painted(scores, masks)).full(Painted()).metrics
    sizes = ("small", "medium", "large")
    assert [found[f"EX_lesions_{size}"] for size in sizes] == [1, 1, 1]
    assert [found[f"EX_recall_{size}"] for size in sizes] == [0, 1, 1]
    assert [found[f"EX_pixel_recall_{size}"] for size in sizes] == pytest.approx([0, 3 / 7, 1])
    assert found["EX_sensitivity"] == pytest.approx(38 / 48)
    # 48 pixels are lesion; the 48 highest scores are 35 + 3 + 3 false + 2 of the small lesion + 5 at 41, of which there
    # are 8, and equal scores are predicted alike
    assert found["EX_breakeven"] == 1.0
    assert [found[f"EX_breakeven_pixel_recall_{size}"] for size in sizes] == [1, 1, 1]
    assert breakeven_threshold(torch.from_numpy(scores.numpy().astype(np.float32)), masks) == 41
    assert found["EX_mean_score"] == pytest.approx((scores.double() - 100).sigmoid().mean().item(), abs=1e-6)


def test_break_even_predicts_as_many_pixels_as_are_lesion():
    rng = np.random.default_rng(0)
    scores, mask = torch.from_numpy(rng.normal(size=(2, 40, 50))), torch.from_numpy(rng.random((2, 40, 50)) < 0.1)
    predicted = scores >= breakeven_threshold(scores, mask)
    assert predicted.sum() == mask.sum() > 0
    assert breakeven_threshold(scores, torch.zeros_like(mask)) == float("inf")


def test_size_classes_are_fractions_of_the_image():
    assert size_edges(480, 720) == (7, 35)
    assert size_edges(2848, 4288) == (245, 1222)
    assert size_edges(10, 10) == (1, 2)  # however small the image, one class ends before the next begins


def test_quick_scores_are_pooled_over_images_and_none_without_any():
    rng = np.random.default_rng(0)
    scores = torch.from_numpy(rng.integers(0, 200, (3, 1, 30, 40), dtype=np.uint8))
    masks = torch.from_numpy(rng.random((3, 1, 30, 40)) < 0.2).to(torch.uint8)
    images = painted(scores, masks)
    wanted = {"EX_f1": pixel_counts(scores >= 100, masks).f1, "EX_aupr": average_precision(scores.float(), masks)}
    assert score_quickly(Painted(), images) == pytest.approx(wanted)
    assert AtFullSize(Painted.recipe, images).quick(Painted(), images) == pytest.approx(wanted)
    assert AtTrainingSize(Painted.recipe, images).quick(Painted(), images) == pytest.approx(wanted)
    assert score_quickly(Painted(), images.part([])) == {}


@pytest.mark.real_data
def test_a_real_mask(idrid_root):
    from fundus_lib.data import IDRiDSegmentation

    data = IDRiDSegmentation(idrid_root, "test", lesions=("EX",), cache=False)
    rng = np.random.default_rng(0)
    masks = [data.mask(number) for number in (0,)]
    levels = [{"logits": prediction(rng, mask[0], (320, 480))[None]} for mask in masks]
    scores = at_full_size(Network(levels, ("EX",)), masks)
    wanted = slowly([given["logits"][0] for given in levels], [mask[0] for mask in masks])
    assert 0.2 < wanted["f1"] < 0.95
    assert min(wanted[f"lesions_{size}"] for size in SIZES) > 10
    same(of_lesion(scores.metrics, "EX"), wanted)
