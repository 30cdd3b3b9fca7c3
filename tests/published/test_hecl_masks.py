"""How often patches are dense, against trying all batches; and the stored numbers against real masks."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch

from fundus_lib.data.idrid import IDRiDSegmentation
from fundus_lib.data.padded_square import make_square
from fundus_lib.published import hecl_masks

STORED = hecl_masks.STORED


def test_batches_against_all_of_them() -> None:
    dense = np.random.default_rng(0).integers(0, 3, (7, 10))
    none, one = ((dense == k).mean(1) for k in (0, 1))
    batches = list(combinations(range(7), 3))
    singles = [sum(one[i] * np.prod([none[j] for j in chosen if j != i]) for i in chosen) for chosen in batches]
    found = hecl_masks.count_batches(dense, batch=3, draws=3000)
    assert found["none"] == pytest.approx(np.mean([np.prod(none[list(chosen)]) for chosen in batches]))
    assert found["one"] == pytest.approx(np.mean(singles))
    assert 0 < found["epochs"] < 1
    certain = hecl_masks.count_batches(np.array([[1], [0], [0], [0]]), batch=2)
    assert (certain["none"], certain["one"], certain["epochs"]) == (0.5, 0.5, 0.0)


def test_densities_are_those_of_the_crop() -> None:
    masks = torch.ones(1, 2, 60, 80, dtype=torch.uint8)
    masks[:, 1] = 0
    inside = hecl_masks.draw_densities(masks, draws=3, side=20)
    assert inside.shape == (1, 3, 2, 25)
    assert inside[:, :, 1].max() == 0
    assert inside[:, :, 0].max() == 1
    again = hecl_masks.draw_densities(masks, draws=3, side=20)
    assert (inside == again).all()
    counted = hecl_masks.count_dense(inside[:, :, 0], [0.5], batch=1)
    assert counted["patches"] == [pytest.approx((inside[:, :, 0] >= 0.5).mean(), rel=1e-2)]
    assert counted["images"] == [1.0]


def test_what_storing_does_to_one_pixel() -> None:
    mask = np.zeros((70, 70), np.uint8)
    mask[38, 38] = 1  # a 49th of a small pixel
    sums = {stored: int(resize(mask, (10, 10)).sum()) for stored, resize in STORED.items()}
    assert sums["half"] == 0
    assert sums["grey 255"] >= sums["grey 76"] >= 1


@pytest.mark.real_data
def test_stored_numbers_are_those_of_the_real_masks(idrid_root: Path) -> None:
    known = hecl_masks.measured()
    data = IDRiDSegmentation(idrid_root, "test", lesions=("EX",), cache=False)
    total = dict.fromkeys([*STORED, "full"], 0.0)
    for index in range(len(data)):
        full = make_square(torch.from_numpy(np.ascontiguousarray(data.mask(index)[0]))).contiguous().numpy()
        total["full"] += full.mean()
        for stored, resize in STORED.items():
            total[stored] += resize(full, (512, 512)).mean()
    for stored in STORED:
        assert known["area"]["test"][stored] == pytest.approx(total[stored] / total["full"], abs=1e-4)


def test_the_findings_of_the_pages_hold_in_the_stored_numbers() -> None:
    known = hecl_masks.measured()
    at = known["thresholds"].index(0.3)
    dense = {stored: {key: values[at] for key, values in found.items()} for stored, found in known["dense"].items()}
    assert all(found["patches"] < 0.01 and found["none"] > 0.4 and found["epochs"] < 0.001 for found in dense.values())
    assert dense["palette"]["none"] > 0.75
    assert dense["half"]["images"] < 9, "fewer images with a dense patch than an epoch has batches"
    assert known["area"]["test"]["files"] < 1.1 < 1.7 < known["area"]["test"]["grey 76"]
