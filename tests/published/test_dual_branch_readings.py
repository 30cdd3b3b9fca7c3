"""Table 1 by every reading of its words, against counting by hand."""

import numpy as np
import pandas as pd
import pytest

from fundus_lib.data.inventory import inventory, write_manifest
from fundus_lib.published import dual_branch_readings
from helpers import small_idrid as small

TOTAL = small.SIZE[0] * small.SIZE[1]
HALF = (small.SIZE[0] // 2, small.SIZE[1] // 2)


@pytest.fixture
def root(tmp_path):
    """Five images, four with a box of 48 pixels, and the first with two pixels that touch at a corner."""
    return small.write_with_corners(tmp_path / "IDRiD")


def test_readings(root):
    table = dual_branch_readings.readings(root, HALF).set_index(["images", "shrinking", "connectivity"])
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


def test_masks_are_resized_as_named(root):
    table = dual_branch_readings.readings(root, HALF).set_index(["images", "shrinking", "connectivity"])
    ratio = table.ratio.loc["train", :, 8]  # two boxes of 12 of the half-size pixels, and what is left of the corners
    of_lesion = 3 * TOTAL / 4 / (ratio + 1)
    # two of the four pixels under the first small one: half of its area, and its nearest is lesion
    assert of_lesion.to_dict() == pytest.approx({"nearest": 25, "linear": 25, "area": 25, "none": 98 / 4})
    one = np.zeros((4, 4), np.uint8)
    one[0, 0] = one[2:, 3] = 1
    assert dual_branch_readings.shrink_mask(one, (2, 2), "nearest").tolist() == [
        [1, 0],
        [0, 0],
    ]  # takes the first of each two
    assert dual_branch_readings.shrink_mask(one, (2, 2), "area").tolist() == [[0, 0], [0, 1]]
    assert dual_branch_readings.shrink_mask(one, (2, 2), "none") is one
    wide = np.zeros((3, 3), np.uint8)
    wide[0] = 1  # a third of the area, but not of the two pixels nearest to the new one's centre
    assert dual_branch_readings.shrink_mask(wide, (1, 1), "linear").tolist() == [[0]]


def test_image_without_exudates_counts_as_background(root):
    small.mask_path(root, "EX", "IDRiD_01").unlink()
    write_manifest(root, "synthetic", size=small.SIZE)
    table = dual_branch_readings.readings(root, small.SIZE).set_index(["images", "shrinking", "connectivity"])
    row = table.loc["all", "none", 8]
    assert row.ratio == pytest.approx((5 * TOTAL - 4 * 48) / (4 * 48))
    assert row.ratio_of_images == pytest.approx((TOTAL - 48) / 48)
    assert row.components == 4


def test_pixel_percentile():
    areas = np.array([5, 1, 2, 1, 1])
    flat = np.sort(np.repeat(areas, areas))  # the area of its component for every pixel, ascending
    for percent in (1, 10, 30, 50, 51, 99, 100):
        assert dual_branch_readings.pixel_percentile(areas, percent) == flat[max(int(np.ceil(percent / 10)) - 1, 0)]
    ten = np.array([3, 4, 8, 7, 2, 4, 5, 8, 2, 7])  # 20 of its 50 pixels lie in those up to 5, as shares a little less
    assert dual_branch_readings.pixel_percentile(ten / 345_600, 40) == 5 / 345_600


def test_the_measured_table_has_the_columns_of_a_fresh_one(root):
    fresh, known = dual_branch_readings.readings(root, HALF), dual_branch_readings.measured()
    key = ["images", "shrinking", "connectivity"]
    assert known[key].equals(fresh[key])
    assert known.dtypes.equals(fresh.dtypes)


def test_one_reading_of_table_1_gives_its_digits():
    """All images, masks resized to the nearest pixel, 8-connected, digits truncated; by rounding there is none."""

    def truncate(value, digit):  # e.g. 1.107e-4 to tenths of 1e-4
        return int(value / digit + 1e-9)

    fits, rounded = [], []
    for row in dual_branch_readings.measured().to_dict("records"):
        values = [(row["ratio"], 1), (row["p90"], 1e-5), (row["p10"], 1e-7)]
        key = (row["images"], row["shrinking"], row["connectivity"])
        fits += [key] * ([truncate(*value) for value in values] == [110, 11, 50])
        rounded += [key] * ([round(value / digit) for value, digit in values] == [110, 11, 50])
    assert (fits, rounded) == ([("all", "nearest", 8)], [])


@pytest.mark.real_data
def test_the_measured_table_is_what_the_files_give(idrid_root, tmp_path):
    if inventory(idrid_root).kind != "published":
        pytest.skip(f"{idrid_root} is a resized or synthetic copy")
    fresh = tmp_path / "fresh.csv"
    dual_branch_readings.readings(idrid_root).to_csv(fresh, index=False, float_format="%.6g")
    pd.testing.assert_frame_equal(dual_branch_readings.measured(), pd.read_csv(fresh), check_exact=True)
