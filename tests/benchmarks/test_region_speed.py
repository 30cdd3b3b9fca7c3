"""The region metric at full resolution: five sigmas by ours, one by a loop over components, and two labellings alone.

The loop is the usual way to compute it and takes its time for each sigma. Ours cannot be faster than the labellings.
`pytest tests/benchmarks/test_region_speed.py --benchmark-only --dist=no`.
"""

import cv2
import numpy as np
import pytest

from fundus_lib.metrics import region_counts

SIGMAS = (0.2, 0.35, 0.5, 0.65, 0.8)
GROUP = "region metric, 2848x4288, 350 components a side"
SPEED = 80
"""Times as fast as the loop, at least, for five sigmas."""


@pytest.fixture(scope="module")
def masks():
    """Prediction and target: 350 ellipses each, sized as hard exudates are; most overlap their counterpart in part."""
    rng = np.random.default_rng(0)
    pred, target = np.zeros((2, 2848, 4288), np.uint8)
    places = [(x, y) for x in range(80, 4288 - 80, 160) for y in range(80, 2848 - 80, 160)]
    for place in rng.choice(places, size=350, replace=False):
        axes = np.clip(np.exp(rng.normal(2.2, 0.7, size=2)), 2, 50)
        for mask, jitter in ((target, 0), (pred, 0.4 * axes.mean())):
            centre = place + rng.normal(0, 1, size=2) * jitter
            cv2.ellipse(mask, (tuple(map(float, np.clip(centre, place - 25, place + 25))), tuple(2 * axes), 0.0), 1, -1)
    assert [cv2.connectedComponents(mask, connectivity=8)[0] - 1 for mask in (pred, target)] == [350, 350]
    return pred, target


def loop_over_components(pred, target, sigma):
    """Hits, false alarms and misses, each component being compared with the other mask at full size."""
    hit = (pred & target).astype(bool)
    for mask, other in ((pred, target), (target, pred)):
        count, labels = cv2.connectedComponents(mask, connectivity=8)
        for label in range(1, count):
            component = labels == label
            if (component & (other > 0)).sum() / component.sum() > sigma:
                hit |= component
    return int(hit.sum()), int((pred.astype(bool) & ~hit).sum()), int((target.astype(bool) & ~hit).sum())


@pytest.mark.benchmark(group=GROUP)
def test_five_sigmas(benchmark, compare, masks):
    if benchmark.disabled:
        masks = [mask[:1000, :1000].copy() for mask in masks]

    def label():
        return [cv2.connectedComponents(mask, connectivity=8) for mask in masks]

    returned = compare(
        lambda: region_counts(*masks, SIGMAS),
        {"a loop for one sigma": lambda: loop_over_components(*masks, 0.5), "two labellings alone": label},
        at_most={"a loop for one sigma": len(SIGMAS) / SPEED},
        rounds=2,
    )
    counts = returned["ours"]
    assert len({count.tp for count in counts}) == 5
    middle = counts[SIGMAS.index(0.5)]
    assert returned["a loop for one sigma"] == (middle.tp, middle.fp, middle.fn)
