"""Table 1 by every reading of its words, against counting by hand."""

import numpy as np
import pytest

from fundus_lib.data import readings, stats, summary
from fundus_lib.data.inventory import write_manifest
from fundus_lib.tasks.segmentation import LESION_SIZES
from helpers import small_idrid as small

TOTAL = small.SIZE[0] * small.SIZE[1]
HALF = (small.SIZE[0] // 2, small.SIZE[1] // 2)


@pytest.fixture
def root(tmp_path):
    """Five photographs, four with a box of 48 pixels, and the first with two pixels that touch at a corner."""
    root = small.write(tmp_path / "IDRiD")
    corners = np.zeros(small.SIZE, np.uint8)
    corners[0, 0] = corners[1, 1] = 1
    small.write_mask(small.mask_path(root, "EX", "IDRiD_01"), corners)
    return root


def test_readings(root):
    table = readings.readings(root, HALF).set_index(["images", "shrinking", "connectivity"])
    assert len(table) == 3 * 4 * 2
    assert [table.components["all", "none", c] for c in (8, 4)] == [5, 6]
    assert table.xs("test").components.tolist() == [2] * 8
    whole = table.loc["all", "none", 8]
    lesion = 4 * 48 + 2
    assert whole.ratio == pytest.approx((5 * TOTAL - lesion) / lesion)
    assert whole.ratio_of_images == pytest.approx((4 * (TOTAL - 48) / 48 + (TOTAL - 2) / 2) / 5)
    areas = np.array([48, 48, 48, 48, 2]) / TOTAL
    assert whole[["p90", "p10"]].tolist() == pytest.approx(np.percentile(areas, (90, 10)).tolist())
    assert whole[["p90_of_pixels", "p10_of_pixels"]].tolist() == pytest.approx([48 / TOTAL] * 2)
    assert whole[["p90_of_images", "p10_of_images"]].tolist() == pytest.approx([areas.mean()] * 2)
    apart = table.loc["all", "none", 4]
    assert apart.p10 == pytest.approx(np.percentile([48, 48, 48, 48, 1, 1], 10) / TOTAL)
    assert apart.p10_of_images == pytest.approx((4 * 48 + 1) / 5 / TOTAL)


def test_masks_are_shrunk_as_named(root):
    table = readings.readings(root, HALF).set_index(["images", "shrinking", "connectivity"])
    ratio = table.ratio.loc["train", :, 8]  # two boxes of 12 of the half-size pixels, and what is left of the corners
    of_lesion = 3 * TOTAL / 4 / (ratio + 1)
    # two of the four pixels under the first small one: half of its area, and its nearest is lesion
    assert of_lesion.to_dict() == pytest.approx({"nearest": 25, "linear": 25, "area": 25, "none": 98 / 4})
    one = np.zeros((4, 4), np.uint8)
    one[0, 0] = one[2:, 3] = 1
    assert readings.shrink_mask(one, (2, 2), "nearest").tolist() == [[1, 0], [0, 0]]  # takes the first of each two
    assert readings.shrink_mask(one, (2, 2), "area").tolist() == [[0, 0], [0, 1]]
    assert readings.shrink_mask(one, (2, 2), "none") is one
    wide = np.zeros((3, 3), np.uint8)
    wide[0] = 1  # a third of the area, but not of the two pixels nearest to the new one's centre
    assert readings.shrink_mask(wide, (1, 1), "linear").tolist() == [[0]]


def test_photograph_without_exudates_counts_as_background(root):
    small.mask_path(root, "EX", "IDRiD_01").unlink()
    write_manifest(root, "synthetic", size=small.SIZE)
    table = readings.readings(root, small.SIZE).set_index(["images", "shrinking", "connectivity"])
    row = table.loc["all", "none", 8]
    assert row.ratio == pytest.approx((5 * TOTAL - 4 * 48) / (4 * 48))
    assert row.ratio_of_images == pytest.approx((TOTAL - 48) / 48)
    assert row.components == 4


def test_pixel_percentile():
    areas = np.array([5, 1, 2, 1, 1])
    flat = np.sort(np.repeat(areas, areas))  # the area of its component for every pixel, ascending
    for percent in (1, 10, 30, 50, 51, 99, 100):
        assert readings.pixel_percentile(areas, percent) == flat[max(int(np.ceil(percent / 10)) - 1, 0)]
    ten = np.array([3, 4, 8, 7, 2, 4, 5, 8, 2, 7])  # 20 of its 50 pixels lie in those up to 5, as shares a little less
    assert readings.pixel_percentile(ten / 345_600, 40) == 5 / 345_600


def test_part_of_the_summary(root, monkeypatch):
    assert LESION_SIZES["medium"] == summary.SMALL_EXUDATE
    monkeypatch.setattr(summary, "SMALL_EXUDATE", 1e-3)
    part = summary.for_dual_branch(root)
    exudates = part["exudates"]
    areas = np.repeat(exudates["pixels"], exudates["components"])
    assert sorted(areas) == sorted(stats.components(*stats.open_all(root, lesions=("EX",))).pixels)
    assert exudates["image_pixels"] == 1440 * 960
    single = part["exudates_by_photograph"]
    assert (single["train"], single["small_below"]) == (3, 1e-3)
    assert len(single["pixels"]) == 5
    assert sum(single["pixels"]) == areas.sum()
    assert single["small_pixels"] == [single["pixels"][0], 0, 0, 0, 0]  # the two that touch
    assert [(row["images"], row["shrinking"]) for row in part["table1"][:2]] == [("all", "nearest")] * 2
    row = part["table1"][4]
    assert row["shrinking"] == "area"
    assert row["p90"] == pytest.approx(stats.table1(root)["p90"], rel=1e-5)
    red, green, blue = part["mean_colour"]["train"]
    photograph = stats.open_all(root)[0]
    expected = np.mean([photograph[i]["image"].numpy().mean((1, 2)) for i in range(3)], axis=0)
    assert (red, green, blue) == pytest.approx(expected.tolist(), abs=1e-3)
    assert part["mean_colour"]["test"] != part["mean_colour"]["train"]
