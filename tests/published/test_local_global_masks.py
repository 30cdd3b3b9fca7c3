"""What resizing and cutting leave of lesions, on drawn masks; and the stored numbers against real ones."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from fundus_lib.data.centre_crop import find_middle
from fundus_lib.data.idrid import IDRiDSegmentation
from fundus_lib.metrics import average_precision
from fundus_lib.published import local_global_masks as masks
from helpers import small_idrid

KNOWN = masks.measured()


def draw(*discs: tuple[int, int, int], size: tuple[int, int] = (600, 800)) -> np.ndarray:
    """A mask with discs: row, column, radius."""
    mask = np.zeros(size, np.uint8)
    for row, column, radius in discs:
        cv2.circle(mask, (column, row), radius, 1, cv2.FILLED)
    return mask


def test_lesions_of_each_class_that_are_left() -> None:
    mask = draw((50, 52, 2), (155, 155, 7), (305, 305, 15), (300, 600, 100))
    found = masks.count_survivors(mask, {"same": mask.shape, "tenth": (60, 80)})
    assert found["all"].tolist() == found["same"].tolist() == [1, 1, 1, 0, 1]
    assert found["tenth"].tolist() == [0, 1, 1, 0, 1], "a disc of 5 pixels does not fill half of any 10 by 10"
    empty = masks.count_survivors(mask * 0, {"tenth": (60, 80)})
    assert {name: counts.sum() for name, counts in empty.items()} == {"all": 0, "tenth": 0}


def test_the_oracle_is_perfect_where_nothing_is_resized() -> None:
    mask = draw((300, 300, 15))
    same = masks.count_oracle(mask, mask.shape)
    assert same[:, [0, 255]].tolist() == [[(mask == 0).sum(), 0], [0, mask.sum()]]
    assert masks.score_oracle(same) == 1
    small = masks.count_oracle(mask, (60, 80))
    assert small.sum() == mask.size
    fraction = cv2.resize(mask * np.uint8(255), (80, 60), interpolation=cv2.INTER_AREA)
    scores = cv2.resize(fraction, (800, 600), interpolation=cv2.INTER_LINEAR)
    assert masks.score_oracle(small) == pytest.approx(average_precision(scores / 255, mask))
    assert 0.8 < masks.score_oracle(small) < 1


def test_what_resizing_leaves_of_contrast() -> None:
    mask = draw((55, 55, 3), (300, 300, 60))
    grey = np.where(mask > 0, 40, 90).astype(np.uint8)
    found = masks.measure_contrasts(grey, mask, {"tenth": (60, 80)})
    assert found["diameter"].round().tolist() == [6, 120]
    assert found["full"].tolist() == [-50, -50]
    small, large = found["tenth"]
    assert -25 < small < -5 and -50 < large < -35, "the disc of 6 pixels fills less than a third of a pixel"


def test_the_best_binary_mask() -> None:
    mask = np.zeros((40, 40), np.uint8)
    mask[10:20, 10:26] = 1  # of the second column of tens all, of the third six rows
    assert masks.score_mask(mask, (4, 4)) == (160, 200, 160)
    assert masks.score_mask(mask, (40, 40)) == (160, 160, 160)


def test_patches_and_what_their_borders_divide() -> None:
    mask = np.zeros((40, 60), np.uint8)
    mask[5:8, 15:25] = 1  # from the first patch into the second
    mask[33, 59] = 1
    assert masks.count_patches(mask, 20).tolist() == [[15, 15, 0], [0, 0, 1]]
    extents, divided = masks.measure_extents(mask, 20)
    assert (extents.tolist(), divided.tolist()) == ([10, 1], [True, False])


def test_measuring_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(masks, "FULL", small_idrid.SIZE)
    monkeypatch.setattr(masks, "MIDDLE", (48, 64))
    monkeypatch.setattr(masks, "PATCH", 16)
    monkeypatch.setattr(masks, "SIZES", {"512²": (6, 8), "640²": (12, 16), "half": (24, 32)})
    found = masks.measure(small_idrid.write(tmp_path / "IDRiD"))
    assert found.keys() == KNOWN.keys()
    exudates = found["lesions"]["EX"]
    assert exudates.keys() == KNOWN["lesions"]["EX"].keys()
    left = {name: [5, 0, 0, 0, 0] for name in ("all", *masks.SIZES)}
    assert exudates["survivors"] == left | {"512²": [0] * 5}, "6×8 pixels fill 24 of the 64 that become one"
    assert (exudates["images"], exudates["left_out"], exudates["extent"][50]) == (5, 0, 8)
    assert found["lesions"]["SE"]["images"] == 2
    assert found["lesions"]["SE"]["patches"][0] == 0


@pytest.mark.real_data
def test_stored_numbers_are_those_of_the_real_masks(idrid_root: Path) -> None:
    data = IDRiDSegmentation(idrid_root, "test", lesions=("SE",), cache=False)
    middle = find_middle(masks.FULL, masks.MIDDLE)
    pooled = sum(masks.count_oracle(np.ascontiguousarray(data.mask(i)[0][middle]), (640, 640)) for i in range(27))
    known = KNOWN["lesions"]["SE"]
    assert known["oracle"]["640²"] == pytest.approx(masks.score_oracle(pooled), abs=1e-4)
    train = IDRiDSegmentation(idrid_root, "train", lesions=("SE",), cache=False)
    having = [i for i in range(54) if train.annotated[i, 0]]
    patches = [(masks.count_patches(train.mask(i)[0][middle]) > 0).sum() for i in having]
    assert sorted(patches) == known["patches"][-len(having) :]


def test_the_findings_of_the_page_hold_in_the_stored_numbers() -> None:
    for lesion, found in KNOWN["lesions"].items():
        alive = {name: sum(counts) for name, counts in found["survivors"].items()}
        assert alive["512²"] <= alive["640²"] <= alive["half"] <= alive["all"], lesion
        lost = np.subtract(found["survivors"]["all"], found["survivors"]["640²"])
        assert lost[1:].tolist() == [0, 0, 0, 0], "all that are lost are below 10 pixels"
        assert found["oracle"]["640²"] > 0.997, "outlines survive"
        assert len(found["patches"]) == 54 and max(found["patches"]) <= 143
        assert np.mean(found["patches"]) / 143 < 0.25, "most patches hold no lesion"
        assert all(len(found[key]) == 101 for key in ("extent", "patch_pixels", "image_pixels"))
    assert all(KNOWN["lesions"][kind]["extent"][90] < 92 for kind in ("MA", "EX"))
    assert all(KNOWN["lesions"][kind]["extent"][90] > 92 for kind in ("HE", "SE"))
