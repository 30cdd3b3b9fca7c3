"""Verdicts by calibrated areas, against slow counts of the same."""

import numpy as np
import pytest
import torch

from fundus_lib.data.image_set import ImageSet
from fundus_lib.image_verdicts import FEWEST, Areas, Rule, calibrate_on, find_rule, make_rule

HOW = {"threshold": 0.5, "mirrored": True, "source": "tests"}


@pytest.mark.parametrize("seed", range(30))
def test_bounds_keep_their_promise_and_are_the_tightest(seed):
    rng = np.random.default_rng(seed)
    absent = rng.exponential(0.2, rng.integers(FEWEST, 40)).round(2)
    present = rng.exponential(1.0, rng.integers(FEWEST, 40)).round(2)
    rule = make_rule("EX", Areas(list(present), list(absent)), **HOW)

    def bad(values, test):  # of these and one more, which may come out worst
        return (sum(1 for value in values if test(value)) + 1) / (len(values) + 1)

    candidates = sorted({*absent, *present})
    above = min((c for c in absent if bad(absent, lambda v, c=c: v > c) <= 0.1), default=max(absent))
    below = max((c for c in present if bad(present, lambda v, c=c: v < c) <= 0.1), default=min(present))
    assert (rule.images_with, rule.images_without) == (len(present), len(absent))
    for area in [*candidates, 0.0, 100.0]:
        slow = "unclear"
        if area > above and area >= below:
            slow = "likely"
        elif area < below and area <= above:
            slow = "unlikely"
        assert rule.judge(area) == slow


def test_too_few_images_give_no_verdict_and_say_why():
    for present, absent in ((FEWEST - 1, 50), (50, FEWEST - 1), (9, 0)):
        rule = make_rule("EX", Areas([1.0] * present, [0.0] * absent), **HOW)
        assert rule.judge(50.0) == rule.judge(0.0) == "not calibrated"
        assert f"{present} images with EX and {absent} without" in rule.explain()
    assert make_rule("EX", Areas([1.0] * FEWEST, [0.0] * FEWEST), **HOW).judge(1.0) == "likely"


def test_a_rule_counts_at_its_own_settings():
    rule = Rule("EX", 9, 9, 0.1, 0.1, 0.5, True, "tests")
    assert find_rule([rule], "EX", threshold=0.5, mirrored=True) is rule
    assert find_rule([rule], "EX", threshold=0.4, mirrored=True) is None
    assert find_rule([rule], "HE", threshold=0.5, mirrored=True) is None


class Bright:
    """Calls what is brighter than 200 a lesion."""

    segments = True

    class recipe:
        lesions = ("HE", "EX")

    def predict(self, image, statistics):
        return {"logits": (image[:2].float() - 200)}


def test_images_in_memory_are_measured_in_their_field_of_view():
    size, images, masks = (40, 60), [], []
    rng = np.random.default_rng(0)
    shares = []
    for number in range(12):
        image = torch.zeros(3, *size, dtype=torch.uint8)
        image[:, 5:35, 10:50] = 120
        has = number % 2 == 0
        count = int(rng.integers(1, 8)) if has else int(rng.integers(0, 2))
        image[1, 10, 12 : 12 + count] = 250  # EX is the second channel
        shares.append(100 * count / (30 * 40))
        images.append(image)
        mask = torch.zeros(2, *size, dtype=torch.uint8)
        mask[1, 10, 12 : 12 + count * has] = 1
        masks.append(None if number == 11 else mask)
    unknown = torch.full((12,), -1)
    unknown[11] = 0  # without masks, and healthy
    zeros = torch.zeros(12, 2, 3)
    data = ImageSet(
        tuple(map(str, range(12))), tuple(images), tuple(masks), unknown, unknown, zeros, torch.ones(12), (None,) * 12,
        "drawn", "0",
    )  # fmt: skip
    rule = calibrate_on(Bright(), data)[1]
    assert (rule.images_with, rule.images_without) == (6, 6)
    assert rule.above == pytest.approx(max(shares[1::2])) and rule.below == pytest.approx(min(shares[::2]))
    assert "drawn, validation" in rule.explain()
    assert calibrate_on(Bright(), data.part([]))[0].judge(1) == "not calibrated"


def test_the_rule_in_words_is_the_rule_at_its_bounds():
    rule = make_rule("EX", Areas([0.5] * 9, [0.0] * 9), threshold=0.5, mirrored=True, source="s")
    assert "likely from 0.5 % of the field of view on, unlikely up to 0 %" in rule.explain()
    assert [rule.judge(area) for area in (0, 0.2, 0.5)] == ["unlikely", "unclear", "likely"]
    rule = make_rule("EX", Areas([0.2] * 9, [0.5] * 9), threshold=0.5, mirrored=True, source="s")
    assert "likely above 0.5 % of the field of view, unlikely below 0.2 %" in rule.explain()
    assert [rule.judge(area) for area in (0.1, 0.2, 0.5, 0.6)] == ["unlikely", "unclear", "unclear", "likely"]
