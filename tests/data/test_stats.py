"""Statistics of lesions, against counting by hand."""

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure

from fundus_lib.data import IDRiDSegmentation, stats
from fundus_lib.viz.statistics import plot_statistics
from helpers import small_idrid as small

TOTAL = small.SIZE[0] * small.SIZE[1]


@pytest.fixture
def sets(tmp_path):
    root = small.write(tmp_path / "IDRiD")
    two = small.box("EX")
    two[0, 0] = two[1, 1] = 1  # they touch at a corner: one component of two pixels
    small.write_mask(small.mask_path(root, "EX", "IDRiD_01"), two)
    return tuple(IDRiDSegmentation(root, split) for split in ("train", "test"))


def test_components_touch_at_corners():
    mask = np.array([[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 0, 0], [1, 1, 1, 0]], np.uint8)
    assert sorted(stats.component_areas(mask)) == [2, 2, 3]
    assert stats.component_areas(np.zeros((3, 3), np.uint8)).size == 0


@pytest.mark.parametrize("connectivity", [4, 8])
def test_components_are_those_of_the_whole_mask_in_its_order(connectivity):
    """They are found in the box around all lesions; sums over them round by their order."""
    rng = np.random.default_rng(0)
    for _ in range(30):
        mask = np.zeros((41, 57), np.uint8)
        top, left = rng.integers(0, 9, 2)
        mask[top : top + 30, left : left + 40] = rng.random((30, 40)) < rng.uniform(0.02, 0.4)
        _, _, whole, _ = cv2.connectedComponentsWithStats(mask, connectivity=connectivity)
        assert stats.component_areas(mask, connectivity).tolist() == whole[1:, cv2.CC_STAT_AREA].tolist()


def test_statistics(sets):
    table = stats.lesion_statistics(*sets)
    assert table.index.tolist() == ["MA", "HE", "EX", "SE"]
    assert table.images.tolist() == [5, 5, 5, 5]
    assert table.with_lesion.tolist() == [5, 4, 5, 2]
    assert table.components.tolist() == [5, 4, 6, 2]
    assert table.loc["HE", "mean_area"] == pytest.approx(48 / TOTAL)  # over the images that have it
    assert table.loc["HE", "ratio"] == pytest.approx((5 * TOTAL - 4 * 48) / (4 * 48))  # over all images
    areas = np.array([48, 48, 48, 48, 48, 2]) / TOTAL
    assert table.loc["EX", ["p10", "p90"]].tolist() == pytest.approx(np.percentile(areas, [10, 90]).tolist())


def test_lesion_that_no_image_has(sets):
    data = sets[0].first(1)  # IDRiD_01 has no soft exudate
    row = stats.lesion_statistics(data).loc["SE"]
    assert (row.images, row.with_lesion, row.components) == (1, 0, 0)
    assert row[["mean_area", "ratio", "p10", "p90"]].isna().all()


def test_components_table(sets):
    table = stats.components(*sets)
    assert len(table) == 17
    first = table[(table.name == "IDRiD_01") & (table.lesion == "EX")]
    assert sorted(first.pixels) == [2, 48]
    assert sorted(first.area) == pytest.approx([2 / TOTAL, 48 / TOTAL])
    assert set(table.split) == {"train", "test"}


def test_figure_shows_the_ratios_and_the_percentiles(sets):
    figure = plot_statistics(*sets)
    assert isinstance(figure, Figure)
    left, right = figure.axes
    table = stats.lesion_statistics(*sets)
    assert [bar.get_width() for bar in left.patches] == pytest.approx(table.ratio.tolist())
    marks = sorted(line.get_xdata()[0] for line in right.lines)
    assert marks == pytest.approx(sorted([*table.p10, *table.p90]))
    assert [t.get_text() for t in right.get_legend().get_texts()][2] == "hard exudates (6)"
    figure.canvas.draw()


def test_statistics_of_each_data_set(sets, ddr_root, v21, v11):
    assert [data.size for data in stats.open_any(sets[0].root)] == [(48, 72)] * 2, "a small copy is not enlarged"
    assert [data.size for data in stats.open_all(sets[0].root)] == [(960, 1440)] * 2
    table = stats.lesion_statistics(*stats.open_any(ddr_root))  # at the sizes on disk
    assert table.images.tolist() == [4] * 4 and table.with_lesion.tolist() == [4, 4, 4, 0]
    assert table.loc["EX", "ratio"] == pytest.approx((2400 + 2500 + 2400 + 1320) / (4 * 32) - 1)
    for root in (v21, v11):
        assert stats.lesion_statistics(*stats.open_any(root)).images.tolist() == [3] * 4
