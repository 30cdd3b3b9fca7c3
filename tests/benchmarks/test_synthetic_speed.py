"""Drawing a fundus at 480×720 against decoding and shrinking a photograph of IDRiD's size, each on one core.

A data loader that draws must keep up with one that reads. `make benchmarks`.
"""

import itertools

import cv2
import numpy as np
import pytest

from fundus_lib.data.synthetic import draw

SIZE = (480, 720)


@pytest.fixture(autouse=True)
def one_core():
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(threads)


@pytest.mark.benchmark(group="one image of 480x720 on one core")
def test_drawing(benchmark):
    numbers = itertools.count()
    fundus = benchmark.pedantic(lambda: draw(0, next(numbers), SIZE), rounds=16, warmup_rounds=1)
    assert fundus.image.shape == (*SIZE, 3)


@pytest.mark.benchmark(group="one image of 480x720 on one core")
def test_decoding_and_shrinking_a_full_photograph(benchmark):
    pixels = cv2.resize(draw(0, 0, (960, 1440)).image, (4288, 2848), interpolation=cv2.INTER_LINEAR)
    photograph = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])[1]

    def read():
        decoded = cv2.imdecode(photograph, cv2.IMREAD_COLOR)
        return cv2.resize(decoded, SIZE[::-1], interpolation=cv2.INTER_AREA)

    assert np.asarray(benchmark.pedantic(read, rounds=16, warmup_rounds=1)).shape == (*SIZE, 3)
