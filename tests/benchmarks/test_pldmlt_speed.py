"""What the label network's gradient costs: exact, by the finite difference, and against a plain training step.

The networks are pldmlt's at a quarter of the width. `extra_info` has the peak of allocated memory of each.
`pytest tests/benchmarks/test_pldmlt_speed.py --benchmark-only --dist=no`.
"""

import torch

from fundus_lib.losses import LabelUpdate, PLDMLTCriterion
from fundus_lib.models import create_model
from helpers.memory import measure_tensors

LIMITS = {"first": 1.3, "plain": 4}
"""Of their time the exact gradient takes this much at most. Measured: 1.12 and 3.05."""
MEMORY = {"first": 2, "ours": 4}
"""As many times the memory of a plain step at most. Measured: 1.5 and 2.9."""


def test_label_gradient(benchmark, compare):
    benchmark.group = "the label network's gradient, 4x3x256x256, a quarter of the width"
    width, side = (4, 64) if benchmark.disabled else (16, 256)
    torch.manual_seed(0)
    network, labels = create_model("pldmlt", width=width), create_model("labelnet", width=width)
    images, batch = torch.randn(4, 3, side, side), {"mask": (torch.rand(4, 1, side, side) < 0.02).float()}
    criterion = PLDMLTCriterion()

    def gradient(order):
        update = LabelUpdate(criterion, rate=1e-2, order=order)
        return lambda: update.compute_gradients(network, labels, images, batch)[0]["parts.grade.layer.weight"]

    def plain():
        network.zero_grad()
        with torch.no_grad():
            made = LabelUpdate(criterion, rate=1e-2).generate(labels, images)
        criterion(network(images), batch | {"dr": made})["total"].backward()

    others = {"first": gradient("first"), "plain": plain}
    found = compare(gradient("second"), others, LIMITS, rounds=4)
    assert (found["ours"] - found["first"]).norm() < 0.2 * found["ours"].norm()
    peaks = {name: measure_tensors(run) for name, run in {"ours": gradient("second"), **others}.items()}
    benchmark.extra_info |= {f"peak MB, {name}": round(peak / 1e6, 1) for name, peak in peaks.items()}
    assert all(peaks[name] < most * peaks["plain"] for name, most in MEMORY.items())
