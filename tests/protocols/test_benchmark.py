"""The benchmark: what it finds under a paper's protocol is what the chapter's own protocol finds."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fundus_lib.data import IDRiDSegmentation
from fundus_lib.data.field_square import FieldSquare
from fundus_lib.data.fused import FusedIDRiD
from fundus_lib.data.image_set import ImageSet
from fundus_lib.data.sample import LESIONS
from fundus_lib.errors import ArgumentError
from fundus_lib.metrics import average_precision
from fundus_lib.metrics.score_bins import average_precision_from_bins, read_counts
from fundus_lib.protocols import benchmark, image_counts
from fundus_lib.protocols.benchmark import IMAGE_MEANS, MIDDLE, Benchmark, cut_squares
from fundus_lib.protocols.full_size import AtFullSize
from fundus_lib.protocols.fused_lesions import FusedLesions
from fundus_lib.protocols.image_counts import ImageCounts
from fundus_lib.protocols.image_means import ImageMeans
from fundus_lib.protocols.stored import count_values, store_steps
from fundus_lib.protocols.whole_crops import WholeCrops
from fundus_lib.recipes import LocalGlobalRecipe
from helpers.images import image_set

SIZE, FULL = (89, 134), (89, 134)
"""1/32 of IDRiD's images: their middle is 88×104."""

RECIPE = SimpleNamespace(lesions=LESIONS, size=SIZE, square=0, masks="half", test_flips=False, model_args={})


class Known:
    """A task whose logits are told by the first pixel of an image."""

    def __init__(self, logits):
        self.logits, self.model, self.recipe = logits, torch.nn.Identity(), RECIPE

    def predict(self, image, statistics=None):
        return {"logits": self.logits[int(image[0, 0, 0])]}


def case(size=SIZE, full_size=FULL, count=3):
    """Images, masks and logits in whole steps; the last image has no exudate."""
    rng = np.random.default_rng(0)
    images, masks, full, logits = [], [], [], []
    for number in range(count):
        image = torch.full((3, *size), 140, dtype=torch.uint8)
        image[:, 0, 0] = number
        large = np.zeros((4, *full_size), np.uint8)
        for lesion in large:
            for top, left in rng.integers(2, full_size[0] - 12, (4, 2)):
                lesion[top : top + 9, left : left + rng.integers(2, 30)] = 1
        if number == count - 1:
            large[2] = 0
        rows, columns = (np.arange(n) * m // n for n, m in zip(size, full_size, strict=True))
        small = torch.from_numpy(large[:, rows[:, None], columns])
        noisy = torch.from_numpy(rng.normal(size=small.shape).astype(np.float32)) + 3.0 * small - 2
        images.append(image)
        masks.append(small)
        full.append(large)
        logits.append((noisy * 1023).round() / 1023)
    return image_set(images, masks, full=full), logits


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(benchmark, "FUSED_SIDE", 64)
    monkeypatch.setattr(benchmark, "GRADING_SIDE", 48)


def test_the_scores_are_those_of_the_chapters(small):
    images, logits = case()
    found = Benchmark(RECIPE, images).full(Known(logits))
    full = AtFullSize(RECIPE, images).full(Known(logits)).metrics
    assert {name: found.metrics[name] for name in full} == pytest.approx(full, nan_ok=True)
    assert found.metrics["mean_aupr"] == np.mean([full[f"{lesion}_aupr"] for lesion in LESIONS])

    means = ImageMeans(RECIPE, images).full(Known(logits), variants=False)
    at_512 = [f"{ratio}_mean" for ratio in ("iou", "f1", "sensitivity", "ppv")] + ["auc_255"]
    own = {name: value for name, value in means.metrics.items() if name.split("_", 1)[1] in at_512}
    assert len(own) == 20 and {n: found.variants[IMAGE_MEANS][n] for n in own} == pytest.approx(own)
    assert {name: found.predictions[name] for name in means.predictions} == means.predictions
    ious = means.predictions["EX_iou"]
    assert found.variants[IMAGE_MEANS]["EX_iou_mean_empty_1"] == np.mean([1 if one is None else one for one in ious])

    recipe = SimpleNamespace(lesions=LESIONS, size=(2848, 4288), middle=(2816, 3328), crop=8, overlap=0)
    middle = [logit[:, :88, 15:119] for logit in logits]
    crops = WholeCrops(recipe, images).full(Known(middle), variants=False).metrics
    for lesion in LESIONS:
        for name in ("aupr", "aupr_whole", "left_out", "iou", "f1", "sensitivity", "ppv"):
            key = f"{lesion}_{name}"
            assert found.variants[MIDDLE][key] == pytest.approx(crops[key], abs=1e-9), key


def test_each_of_two_branches_is_scored_as_their_mean_is(small):
    images, logits = case()
    task = Known(logits)
    task.predict = lambda image, statistics=None: {
        "logits": logits[int(image[0, 0, 0])],
        "large_logits": logits[int(image[0, 0, 0])] + 1,
        "small_logits": -logits[int(image[0, 0, 0])],
    }
    found = Benchmark(RECIPE, images).full(task)
    assert [*found.variants][-2:] == ["large branch", "small branch"]
    for branch, own in (("large branch", [one + 1 for one in logits]), ("small branch", [-one for one in logits])):
        alone = Benchmark(RECIPE, images).full(Known(own)).metrics
        assert found.variants[branch] == pytest.approx(alone, nan_ok=True)
    assert found.metrics == pytest.approx(Benchmark(RECIPE, images).full(Known(logits)).metrics, nan_ok=True)


def test_counts_of_images_pool_to_the_scores(small):
    images, logits = case()
    found = Benchmark(RECIPE, images).full(Known(logits))
    for channel, lesion in enumerate(LESIONS):
        counts = read_counts(found.predictions[f"{lesion}_counts"])
        masks = np.stack([reader()[channel] for reader in images.full_masks])
        assert (counts[:, 1].sum(1) == masks.sum((1, 2))).all() and (counts.sum((1, 2)) == 89 * 134).all()
        assert average_precision_from_bins(counts.sum(0)) == pytest.approx(found.metrics[f"{lesion}_aupr"], abs=0.01)
        some = average_precision(torch.stack(logits[:2])[:, channel], masks[:2])
        assert average_precision_from_bins(counts[:2].sum(0)) == pytest.approx(some, abs=0.01)
    alone = Benchmark(RECIPE, images).full(Known(logits), variants=False)
    assert not alone.variants and not alone.predictions and alone.metrics == pytest.approx(found.metrics, nan_ok=True)


def test_squares_are_those_that_the_chapters_read_and_score(small, synthetic_root):
    square = FieldSquare(64)
    data = IDRiDSegmentation(synthetic_root, "test", size=square.source_size)
    full = IDRiDSegmentation(synthetic_root, "test", cache=False).mask
    test = ImageSet.read(data, "synthetic", "0", full=full, count=3)
    logits = [torch.from_numpy(np.random.default_rng(n).normal(size=(4, 64, 96)).astype(np.float32)) for n in range(3)]
    fused = FusedIDRiD(synthetic_root, "test", 64)
    highest = []
    for index, (scores, masks) in enumerate(cut_squares(test, logits, 64, union=True)):
        assert torch.equal(masks, fused[index]["mask"].as_subclass(torch.Tensor))
        top, left, edge = square.place(test.images[index])
        padded = torch.nn.functional.pad(logits[index].sigmoid(), (99,) * 4)[:, 99 + top :, 99 + left :]
        padded = padded[:, :edge, :edge][None]
        own = torch.nn.functional.interpolate(padded, (64, 64), mode="bilinear", antialias=True)[0]
        assert torch.allclose(scores.float(), own.clamp(0, 1), atol=1e-6)
        highest.append(own.clamp(0, 1).amax(0, keepdim=True).logit())
    squares = ImageSet.read(fused, "synthetic", "0", count=3)
    for number, image in enumerate(squares.images):
        image[:, 0, 0] = number
    recipe = SimpleNamespace(lesions=("ANY",), side=64, grades=False)
    own = FusedLesions(recipe, squares, {}, "").full(Known(highest)).metrics
    assert benchmark.score_fused(test, logits) == pytest.approx(own, nan_ok=True)
    scores, masks = map(torch.stack, zip(*cut_squares(test, logits, 48), strict=True))
    assert benchmark.score_square(test, LESIONS, logits)["EX_aupr"] == average_precision(scores[:, 2], masks[:, 2])


def test_large_logits_keep_their_order_in_the_square(small):
    images, logits = case()
    large = [20 + 2 * one for one in logits]  # nearly all probabilities are 1 in 32 bits
    found = [Benchmark(RECIPE, images).full(Known(one)).variants[benchmark.SQUARE] for one in (logits, large)]
    assert found[1]["mean_aupr"] > 0.75 * found[0]["mean_aupr"] > 0.5


def test_processes_join_what_each_of_them_has_counted(monkeypatch):
    images, logits = case()
    alone, parts = ImageCounts(), [ImageCounts(), ImageCounts(), ImageCounts()]
    for index, reader in enumerate(images.full_masks):
        for channel, lesion in enumerate(LESIONS):
            for one in (alone, parts[index % 2]):
                one.see(index, lesion, store_steps(logits[index][channel]), reader()[channel])
    scores, texts = alone.score_middle(LESIONS), alone.texts(LESIONS, 3)

    def gather(own):
        return [one.bins if isinstance(own, dict) else (one.middle, one.outside) for one in parts]

    monkeypatch.setattr(image_counts, "gather_all", gather)
    assert parts[1].score_middle(LESIONS) == pytest.approx(scores, nan_ok=True)
    assert parts[2].texts(LESIONS, 3) == texts


def test_values_are_counted_in_blocks_as_numpy_counts_them():
    rng = np.random.default_rng(0)
    score = rng.integers(0, 65536, (97, 113)).astype(np.uint16)
    mask = (rng.random((97, 113)) < 0.2).astype(np.uint8)
    expected = np.stack([np.bincount(score[mask == part], minlength=65536) for part in (0, 1)])
    assert (count_values(score, mask) == expected).all()
    flat = np.full((4100, 4100), 7, np.uint16)  # more than 2**24 pixels of one value
    assert count_values(flat, np.zeros(flat.shape, np.uint8))[0, 7] == 4100**2


def test_the_middle_is_that_of_the_chapter():
    assert (LocalGlobalRecipe.size, LocalGlobalRecipe.middle) == (image_counts.WHOLE_SIZE, image_counts.MIDDLE_SIZE)


def test_it_is_one_of_all_four_lesions():
    images, _ = case()
    with pytest.raises(ArgumentError, match="four lesions"):
        Benchmark(SimpleNamespace(lesions=("EX",), size=SIZE), images)
    assert "89×134" in Benchmark(RECIPE, images).describe("Last epoch.")
    assert Benchmark(RECIPE, images.part([])).quick(Known([]), images.part([])) == {}
