"""Exact average precision against scikit-learn's, in time and memory.

40 million pixels of which 0.9 % are lesion: as rare as hard exudates are, in three and a half photographs of IDRiD. The
harder lesions are to tell from background, the more background scores lie among theirs: separated (average precision
1.00), overlapping (0.26), chance (0.01).
`pytest tests/benchmarks/test_average_precision_speed.py --benchmark-only --dist=no`.

Peaks of memory are measured in processes of their own, for which this file is run as a program: what the function adds
to what holding the pixels takes.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from fundus_lib.metrics import average_precision

PIXELS, PREVALENCE = 40_000_000, 0.009
SHIFTS = {"separated": 8, "overlapping": 2, "chance": 0}
SPEED = 10
"""Times as fast as scikit-learn, at least."""


def pixels(kind, count, seed=0):
    """Scores like logits, float32, and a mask; (count,) each."""
    rng = np.random.default_rng(seed)
    target = rng.random(count, dtype=np.float32) < PREVALENCE
    scores = rng.standard_normal(count, dtype=np.float32)
    scores[target] += SHIFTS[kind]
    return scores, target


@pytest.fixture
def count(benchmark):
    return 100_000 if benchmark.disabled else PIXELS


@pytest.mark.benchmark(group="exact average precision, 40 M pixels")
@pytest.mark.parametrize("kind", SHIFTS)
def test_average_precision(compare, kind, count):
    scores, target = pixels(kind, count)
    areas = compare(
        lambda: average_precision(scores, target),
        {"scikit-learn's": lambda: average_precision_score(target, scores)},
        at_most={"scikit-learn's": 1 / SPEED},
        rounds=2,
    )
    assert 0 < areas["ours"] <= 1
    assert areas["ours"] == pytest.approx(areas["scikit-learn's"], abs=1e-12)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")
@pytest.mark.benchmark(group="peak of memory, 40 M pixels")
def test_memory(benchmark, count):
    def peaks():
        return [in_own_process(name, count)["added_mib"] for name in ("ours", "scikit-learn")]

    ours, theirs = benchmark.pedantic(peaks, rounds=1)
    benchmark.extra_info.update(ours_mib=ours, scikit_learn_mib=theirs)
    assert benchmark.disabled or ours < theirs / 3  # of few pixels the peaks say nothing; that they are measured, does


def in_own_process(name, size):
    """What this file prints when it is run."""
    command = [sys.executable, Path(__file__), name, str(size)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _status(field):
    """A line of /proc/self/status in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field + ":"))


def _main(name, size):
    torch.set_num_threads(1)
    pair = pixels("overlapping", size)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before, start = _status("VmRSS"), time.perf_counter()
    match name:
        case "ours":
            area = average_precision(*pair)
        case "scikit-learn":
            area = average_precision_score(*pair[::-1])
    seconds, peak = time.perf_counter() - start, _status("VmHWM")
    print(json.dumps({"area": float(area), "seconds": seconds, "peak_mib": peak, "added_mib": peak - before}))


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]))
