"""Both terms of hecl in one pass over the features, against loops over images and patches: forward and backward.

The loops are the authors' way of computing them; with `extremes` they send a gradient through six patches alone. Both
have two threads, which help ours alone: the loops' tensors are small.
`pytest tests/benchmarks/test_hecl_speed.py --benchmark-only --dist=no`.
"""

import time

import pytest
import torch
from torch.nn import functional as F

from fundus_lib.losses import HECLCriterion, NTXentLoss
from helpers import slow_hecl

SPEED = {None: 20, 3: 3}
"""Times as fast as loops it is at least, with all patches and with three of each kind."""


def as_tensors(features, labels):
    return NTXentLoss()(torch.stack(features), torch.tensor(labels, dtype=torch.long))


@pytest.mark.parametrize("extremes", [None, 3], ids=["all patches", "three of each kind"])
def test_terms(benchmark, compare, extremes):
    benchmark.group = "both terms of hecl, 6x32x512x512, forward and backward"
    torch.set_num_threads(2)  # `compare` restores it
    side = 64 if benchmark.disabled else 512
    draw = torch.Generator().manual_seed(0)
    features = torch.rand(6, 32, side, side, generator=draw)
    mask = (F.avg_pool2d(torch.randn(6, 1, side, side, generator=draw), 31, 1, 15) > 0.02).to(torch.uint8)
    own = features.contiguous(memory_format=torch.channels_last).requires_grad_()  # as networks give it
    theirs = features.clone().requires_grad_()
    criterion = HECLCriterion(contrast="ntxent", extremes=extremes, borders="edge", strip="left out")

    def ours():
        own.grad = None
        terms = criterion.compute_terms(own, mask)
        sum(terms.values()).backward()
        return [term.item() for term in terms.values()]

    def loops():
        theirs.grad = None
        terms = slow_hecl.compute_terms(
            theirs, mask[:, 0], as_tensors, extremes=extremes, borders="edge", strip="left out"
        )
        sum(terms).backward()
        return [term.item() for term in terms]

    allowed = {"loops": 1 / SPEED[extremes]}
    found = compare(ours, {"loops": loops}, allowed, rounds=4, timer=time.perf_counter)
    assert found["ours"] == pytest.approx(found["loops"], rel=1e-3)
