"""The summary of a data set, part by part, against counting by hand."""

import numpy as np
import pytest

from fundus_lib.data import stats, summary
from fundus_lib.protocols.lesions import LESION_SIZES
from helpers import small_idrid as small


@pytest.fixture
def root(tmp_path):
    """Five images, four with a box of 48 pixels, and the first with two pixels that touch at a corner."""
    return small.write_with_corners(tmp_path / "IDRiD")


def test_exudates_in_the_summary(root, monkeypatch):
    assert LESION_SIZES["medium"] == summary.SMALL_EXUDATE
    monkeypatch.setattr(summary, "SMALL_EXUDATE", 1e-3)
    part = summary.summarise_exudates(root)
    exudates = part["exudates"]
    areas = np.repeat(exudates["pixels"], exudates["components"])
    assert sorted(areas) == sorted(stats.components(*stats.open_all(root, lesions=("EX",))).pixels)
    assert exudates["image_pixels"] == 1440 * 960
    single = part["exudates_by_photograph"]
    assert (single["train"], single["small_below"]) == (3, 1e-3)
    assert len(single["pixels"]) == 5
    assert sum(single["pixels"]) == areas.sum()
    assert single["small_pixels"] == [single["pixels"][0], 0, 0, 0, 0]  # the two that touch


def test_mean_colours(root):
    colours = summary.mean_colours(root)
    red, green, blue = colours["train"]
    train = stats.open_all(root)[0]
    expected = np.mean([train[i]["image"].numpy().mean((1, 2)) for i in range(3)], axis=0)
    assert (red, green, blue) == pytest.approx(expected.tolist(), abs=1e-3)
    assert colours["test"] != colours["train"]
