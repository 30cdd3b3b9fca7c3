"""Synthetic images: what a sample holds, reproducible to the byte, the same eye at every size, not too easy."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms.v2 import RandomHorizontalFlip

from fundus_lib.data.sample import LESIONS
from fundus_lib.data.synthetic import SyntheticFundus, draw
from fundus_lib.errors import ArgumentError, UnknownNameError
from fundus_lib.metrics import average_precision

SIZE = (240, 360)

DIGESTS = """
import hashlib
from fundus_lib.data.synthetic import draw
images = (("segmentation", 0, (240, 360)), ("segmentation", 3, (480, 720)), ("grading", 5, (241, 363)))
for population, index, size in images:
    fundus = draw(0, index, size, population)
    digest = hashlib.sha256(fundus.jpeg + fundus.image.tobytes() + fundus.vessels.tobytes())
    for kind in sorted(fundus.masks):
        digest.update(fundus.masks[kind].tobytes())
    print(digest.hexdigest())
"""

PUBLISHED_DIGESTS = [
    "0fbe8a1d51f82e8fab709062ad6b451b53bc971993ec2d54980d3c604c8fbeaf",
    "365548b7477f47417cca327c05a2a1acbe86c73d27d88ee97e06b2e13a83c89d",
    "d7ba86273f8d92c264aa5e5a81ce225661ba4a24442631bebe2866dc48566f75",
]
"""Change these only together with the drawings, and say so in the commit: records and notebooks were made from them."""

PLAIN_PROCESSOR = {
    "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4",
    "OPENCV_CPU_DISABLE": "AVX512-SKX,AVX2,AVX,FP16",
    "OPENCV_IPP": "disabled",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-AVX512F",
}
"""Makes numpy, OpenCV and the C library take the code paths of a processor without AVX."""


@pytest.fixture(scope="module")
def data():
    return SyntheticFundus(12, SIZE, seed=0)


@pytest.fixture(scope="module")
def fundi(data):
    return [data.draw(i) for i in range(len(data))]


def test_a_sample_keeps_the_contract(data):
    sample = data[1]
    assert isinstance(sample["image"], tv_tensors.Image) and isinstance(sample["mask"], tv_tensors.Mask)
    assert sample["image"].shape == (3, *SIZE) and sample["image"].dtype == torch.uint8
    assert sample["mask"].shape == (4, *SIZE) and sample["mask"].dtype == torch.uint8
    assert set(sample["mask"].unique().tolist()) == {0, 1}
    assert sample["dr"] in range(5) and sample["dme"] in range(3) and sample["name"] == "synthetic_002"
    for point in (sample["optic_disc"], sample["fovea"]):
        assert point.dtype == torch.float32 and point.shape == (1, 2)  # as of IDRiDGrading
        assert (point >= 0).all() and point[0, 0] < SIZE[1] and point[0, 1] < SIZE[0]


def test_points_move_with_the_image(data):
    mirrored = SyntheticFundus(12, SIZE, transform=RandomHorizontalFlip(1))[1]
    for name in ("optic_disc", "fovea"):
        before, after = data[1][name], mirrored[name]
        assert after[0].tolist() == pytest.approx([SIZE[1] - 1 - before[0, 0].item(), before[0, 1].item()], abs=1.01)


def test_channels_are_the_lesions_asked_for_in_their_order(data):
    both = SyntheticFundus(12, SIZE, lesions=("EX", "MA"))
    assert torch.equal(both[2]["mask"], data[2]["mask"][[LESIONS.index("EX"), LESIONS.index("MA")]])


def test_the_transform_gets_the_sample():
    data = SyntheticFundus(1, SIZE, transform=lambda sample: {**sample, "name": "seen"})
    assert data[0]["name"] == "seen"


def test_an_image_depends_on_seed_and_number_alone(data):
    again, longer, other = SyntheticFundus(12, SIZE, 0), SyntheticFundus(500, SIZE, 0), SyntheticFundus(12, SIZE, 1)
    assert torch.equal(again[7]["image"], data[7]["image"])
    assert torch.equal(longer[7]["image"], data[7]["image"])
    assert not torch.equal(other[7]["image"], data[7]["image"])
    assert not torch.equal(data[6]["image"], data[7]["image"])


def test_iteration_ends_and_negative_numbers_count_from_the_end(data):
    assert torch.equal(data[-1]["mask"], data[11]["mask"])
    with pytest.raises(IndexError):
        data[12]


@pytest.mark.parametrize("environment", [{}, PLAIN_PROCESSOR], ids=["this processor", "a processor without AVX"])
def test_the_bytes_are_those_published(environment):
    out = subprocess.run(
        [sys.executable, "-c", DIGESTS], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    assert out.stdout.split() == PUBLISHED_DIGESTS


def test_the_same_eye_at_every_size():
    small, large = draw(0, 4, (480, 720)), draw(0, 4, (960, 1440))
    assert (small.dr, small.dme, small.side) == (large.dr, large.dme, large.side)
    assert np.allclose(np.array(small.fovea) * 2, large.fovea)
    assert [le.kind for le in small.lesions] == [le.kind for le in large.lesions]
    for kind in small.masks:
        assert small.masks[kind].mean() == pytest.approx(large.masks[kind].mean(), rel=0.12), kind
    shrunk = large.image.reshape(480, 2, 720, 2, 3).mean(axis=(1, 3))
    assert np.abs(shrunk - small.image).mean() < 6


def test_left_and_right_eyes_have_the_fovea_on_the_temporal_side(fundi):
    assert {f.side for f in fundi} == {"left", "right"}
    for f in fundi:
        assert (f.fovea[0] > f.optic_disc[0]) == (f.side == "left")
        distance = np.hypot(f.fovea[0] - f.optic_disc[0], f.fovea[1] - f.optic_disc[1]) / f.disc_diameter
        assert 1.6 < distance < 3.9  # disc diameters


def test_the_field_of_view_is_round_cut_above_and_below_and_black_outside(fundi):
    for f in fundi:
        assert f.image[:, :15].max() < 30 and f.image[:, -40:].max() < 30
        middle = f.image[SIZE[0] // 2, :, 0] > 40
        top = f.image[3, :, 0] > 40
        assert 0.70 < middle.mean() < 0.92
        assert 0.25 < top.mean() < middle.mean()


def test_the_disc_is_brighter_and_vessels_are_darker_than_the_retina(fundi):
    for f in fundi:
        green = f.image[..., 1].astype(float)
        plain = (green > 20) & (f.vessels == 0) & (f.optic_disc_mask == 0)
        for mask in f.masks.values():
            plain &= mask == 0
        assert green[f.optic_disc_mask > 0].mean() > 1.1 * green[plain].mean()
        assert green[(f.vessels > 0) & (f.optic_disc_mask == 0)].mean() < green[plain].mean()
        x, y = (round(v) for v in f.optic_disc)
        assert f.optic_disc_mask[y, x] == 1


def test_a_threshold_does_not_find_exudates(fundi):
    scores = np.stack([f.image[..., 1] for f in fundi]).astype(np.float32)
    target = np.stack([f.masks["EX"] for f in fundi])
    area = average_precision(scores, target)
    print(f"AUPR of the green channel as a detector of exudates: {area:.3f}, prevalence {target.mean():.4f}")
    assert area < 0.4


def test_distractors_exist_and_are_no_lesions(fundi):
    marked = [f for f in fundi if f.distractors.any()]
    assert len(marked) >= 6
    outside = sum(int((f.distractors & (1 - f.masks["EX"])).sum()) for f in marked)
    assert outside > 0.8 * sum(int(f.distractors.sum()) for f in marked)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"n": 0}, ArgumentError),
        ({"n": 1, "size": (480, 20)}, ArgumentError),
        ({"n": 1, "population": "healthy"}, UnknownNameError),
        ({"n": 1, "lesions": ("HM",)}, UnknownNameError),
        ({"n": 1, "lesions": "EX"}, UnknownNameError),
        ({"n": 1, "lesions": ("EX", "EX")}, UnknownNameError),
    ],
)
def test_bad_arguments_say_what_is_expected(arguments, error):
    with pytest.raises(error, match="expected:"):
        SyntheticFundus(**arguments)
