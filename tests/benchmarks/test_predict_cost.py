"""What a photograph of one's own costs with the network that ships: seconds of four views and of one, peak memory.

`pytest tests/benchmarks/test_predict_cost.py --benchmark-only --dist=no`, with `-s` for the numbers that the README
states.
"""

import json
import subprocess
import sys

import pytest

PEAK = 2.7
"""Gigabytes that a process takes at most, libraries included, for 12 megapixels or 49. Measured: 2.4."""

SCRIPT = """
import json, re, sys, time
from pathlib import Path
import numpy as np
import torch
from PIL import Image
from fundus_lib import predict

torch.set_num_threads(1)
folder, pixels = Path(sys.argv[1]), int(sys.argv[2])
rows, columns = np.mgrid[:712, :1072]
image = np.stack([150 + columns / 16, 80 + rows / 8 + 20 * np.sin(columns / 50), 40 + 20 * np.sin(rows / 75)], -1)
image[(rows - 356) ** 2 + (columns - 495) ** 2 > 430**2] = 0
scale = (pixels * 1e6 / 712 / 1072) ** 0.5
size = round(1072 * scale), round(712 * scale)
Image.fromarray(image.astype(np.uint8)).resize(size).save(folder / "eye.jpg")
seconds = {}
for mirror in (False, True):
    start = time.process_time()
    predict(folder / "eye.jpg", mirror=mirror, device="cpu").save(folder / "out")
    seconds[4 if mirror else 1] = time.process_time() - start
peak = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 2**20
print(json.dumps([seconds[1], seconds[4], peak]))
"""


@pytest.mark.parametrize("megapixels", [12, 49])
def test_a_photograph_takes_no_more_than_the_readme_says(benchmark, megapixels, tmp_path):
    if benchmark.disabled:
        pytest.skip("takes a minute; with --benchmark-only")

    def run():
        command = [sys.executable, "-c", SCRIPT, str(tmp_path), str(megapixels)]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return json.loads(said.splitlines()[-1])

    one, four, peak = benchmark.pedantic(run, rounds=1)
    benchmark.extra_info |= {"seconds, one view": one, "seconds, four views": four, "peak memory in GB": peak}
    print(f"\n{megapixels} megapixels, written too: one view {one:.1f} s, four {four:.1f} s; {peak:.2f} GB")
    assert peak < PEAK
    assert four < 4 * one
