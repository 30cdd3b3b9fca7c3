"""Drawing a synthetic image at 480×720 against decoding and shrinking an image of IDRiD's size, each on one core.

Drawing costs more, and must not cost much more; a run draws its images once, as it reads them once. `make benchmarks`.
"""

import itertools

import cv2
import pytest

from fundus_lib.data.synthetic import draw

SIZE = (480, 720)
LIMIT = 4
"""Of the time of reading, so many times at most: 2.6 on an AMD EPYC. The file is smooth and small, and read quickly."""


@pytest.mark.benchmark(group="one image of 480x720 on one core")
def test_drawing(compare):
    pixels = cv2.resize(draw(0, 0, (960, 1440)).image, (4288, 2848), interpolation=cv2.INTER_LINEAR)
    file = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
    numbers = itertools.count()

    def read():
        return cv2.resize(cv2.imdecode(file, cv2.IMREAD_COLOR), SIZE[::-1], interpolation=cv2.INTER_AREA)

    images = compare(lambda: draw(0, next(numbers), SIZE).image, {"decoding": read}, {"decoding": LIMIT}, rounds=16)
    assert images["ours"].shape == images["decoding"].shape == (*SIZE, 3)
