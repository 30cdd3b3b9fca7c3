"""The middle of images at full size: exact, with and without what it leaves out, on any number of processes."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fundus_lib.data.centre_crop import find_middle
from fundus_lib.errors import FileAccessError
from fundus_lib.metrics import average_precision, lesion_recall, pixel_counts
from fundus_lib.protocols import whole_crops
from fundus_lib.protocols.lesions import size_edges
from fundus_lib.protocols.stored import resize_prediction
from fundus_lib.protocols.whole_crops import CropTest, WholeCrops
from helpers.images import image_set
from helpers.memory import SCORE_CROPS, measure_process

SIZE, MIDDLE, FULL = (32, 48), (28, 40), (64, 96)
RECIPE = SimpleNamespace(lesions=("EX", "MA"), size=SIZE, middle=MIDDLE, crop=8, overlap=0)
PLACE = find_middle(FULL, (56, 80))


def made(count=4):
    """Images, the logits that are predicted of them, and their masks on disk; the last has no exudate."""
    rng = np.random.default_rng(0)
    full = (rng.random((count, 2, *FULL)) < 0.1).astype(np.uint8)
    full[-1, 0] = 0
    images = [torch.full((3, *MIDDLE), n, dtype=torch.uint8) for n in range(count)]
    small = [torch.zeros(2, *MIDDLE, dtype=torch.uint8) for _ in range(count)]
    logits = torch.from_numpy(rng.normal(size=(count, 2, *MIDDLE)).round(1).astype(np.float32))
    return image_set(images, small, full=list(full)), logits, full


class Task(torch.nn.Module):
    recipe = RECIPE

    def __init__(self, logits, more=True):
        super().__init__()
        self.model, self.logits, self.more = torch.nn.Identity(), logits, more

    def predict(self, image, statistics=None):
        own = self.logits[int(image[0, 0, 0])]
        return {"logits": own} | ({"global_logits": own - 1, "local_logits": own.sign()} if self.more else {})

    def predict_variants(self, image, statistics=None):
        return {"global map zeroed": -self.logits[int(image[0, 0, 0])]} if self.more else {}


def enlarged(logits, channel):
    return np.stack([resize_prediction(one[channel].numpy(), (56, 80)) for one in logits])


def test_scores_are_those_of_all_pixels_at_once():
    test, logits, full = made()
    found = WholeCrops(RECIPE, test).full(Task(logits))
    assert list(found.variants) == ["global branch", "local branch", "global map zeroed"]
    for channel, lesion in enumerate(RECIPE.lesions):
        scores, whole = enlarged(logits, channel), full[:, channel]
        mask = whole[:, *PLACE]
        everywhere = np.full(whole.shape, -np.inf, np.float32)
        everywhere[:, *PLACE] = scores
        own = {name.removeprefix(f"{lesion}_"): v for name, v in found.metrics.items() if name.startswith(lesion)}
        assert own["aupr"] == pytest.approx(average_precision(scores, mask), abs=1e-12)
        assert own["aupr_whole"] == pytest.approx(average_precision(everywhere, whole), abs=1e-12)
        assert own["left_out"] == pytest.approx(1 - mask.sum() / whole.sum())
        some = mask.any((1, 2))
        assert own["aupr_present"] == pytest.approx(average_precision(scores[some], mask[some]), abs=1e-12)
        counts = pixel_counts(scores >= 0, mask)
        for name, value in (("f1", counts.f1), ("iou", counts.iou), ("ppv", counts.ppv)):
            assert own[name] == pytest.approx(value)
        assert own["sensitivity"] == pytest.approx(counts.sensitivity) and own["prevalence"] == mask.mean()
        levels = np.unique(scores[mask > 0])[::-1]
        lowest = next(level for level in levels if (scores >= level).sum() >= mask.sum())
        assert own["breakeven"] == pytest.approx(pixel_counts(scores >= lowest, mask).sensitivity)
        for prefix, level in (("", 0), ("breakeven_", lowest)):
            recalls = [lesion_recall(s >= level, m, size_edges(*FULL)) for s, m in zip(scores, mask, strict=True)]
            pooled = sum(recalls[1:], recalls[0])
            names = [f"{prefix}recall_{size}" for size in ("small", "medium", "large")]
            assert [own[name] for name in names] == pytest.approx(list(pooled.recall), nan_ok=True)
        singly = [average_precision(s, m) if m.any() else None for s, m in zip(scores, mask, strict=True)]
        assert found.predictions[f"{lesion}_aupr"] == [None if v is None else round(v, 6) for v in singly]
        zeroed = [average_precision(-s, m) if m.any() else None for s, m in zip(scores, mask, strict=True)]
        one_by_one = found.predictions[f"{lesion}_aupr (global map zeroed)"]
        assert one_by_one == [None if v is None else round(v, 6) for v in zeroed]
        zeroed = found.variants["global map zeroed"][f"{lesion}_aupr"]
        assert zeroed == pytest.approx(average_precision(-scores, mask), abs=1e-12)
        assert found.variants["global branch"][f"{lesion}_aupr"] == pytest.approx(own["aupr"], abs=1e-4)
    assert found.predictions["names"] == list(test.names) and found.predictions["EX_aupr"][-1] is None


def test_it_is_the_average_precision_of_the_library_over_all_maps_together():
    test, logits, full = made()
    found = WholeCrops(RECIPE, test).full(Task(logits), variants=False)
    pooled = average_precision(enlarged(logits, 0), full[:, 0][:, *PLACE])
    assert found.metrics["EX_aupr"] == pooled and found.variants == {}


def test_a_lesion_that_no_image_has_is_no_number():
    test, logits, full = made()
    full[:, 1] = 0
    found = WholeCrops(RECIPE, test).full(Task(logits, more=False)).metrics
    for name in ("MA_aupr", "MA_aupr_whole", "MA_aupr_present", "MA_left_out", "MA_recall_small"):
        assert np.isnan(found[name]), name
    assert found["MA_prevalence"] == 0


@pytest.mark.parametrize("shares", [[[0, 1], [2, 3]], [[0, 1, 2, 3], []], [[3], [0, 1, 2]]])
def test_processes_pool_what_each_of_them_has_seen(shares):
    _, logits, full = made()
    scores, masks = torch.from_numpy(enlarged(logits, 0)), full[:, 0][:, *PLACE]
    outside = np.array([1, 0, 0], np.uint8)

    def score(parts):
        tests = [CropTest() for _ in parts]
        for visit in (CropTest.collect, CropTest.count, CropTest.recall):
            for one, part in zip(tests, parts, strict=True):
                for index in part:
                    visit(one, index, scores[index], np.ascontiguousarray(masks[index]), outside)
            gathered = [CropTest(**vars(one)) for one in tests]  # each process has copies of all
            for one in tests:
                one.merge(visit, [CropTest(**vars(part)) for part in gathered])
        return [(one.scores(), one.singly) for one in tests]

    (alone,) = score([range(4)])
    for found, singly in score(shares):
        assert found == pytest.approx(alone[0], nan_ok=True) and singly == alone[1]


def test_a_full_disk_is_said_with_the_file(monkeypatch):
    test, logits, _ = made()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(whole_crops.np, "save", full)
    with pytest.raises(FileAccessError, match=r"no room.*\n?.*"):
        WholeCrops(RECIPE, test).full(Task(logits))


def test_a_few_images_of_12_million_pixels_take_less_than_a_gigabyte():
    """27 of them take less than two: `tests/benchmarks/test_patches_speed.py`."""
    assert measure_process(SCORE_CROPS, 2) < 1000
