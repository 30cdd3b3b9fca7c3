"""The summary of a data set, part by part, against counting by hand."""

import json

import numpy as np
import pytest

from fundus_lib.data import stats, summary
from fundus_lib.data.inventory import write_manifest
from fundus_lib.data.synthetic import make_idrid
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


def test_small_copy_without_a_lesion_has_a_summary_in_json(tmp_path):
    root = make_idrid(
        tmp_path / "IDRiD", size=(96, 144), segmentation=(2, 1), grading=(4, 3), workers=1, progress=False
    )
    for path in root.rglob("*_SE.tif"):
        path.unlink()
    write_manifest(root, "synthetic", size=(96, 144), coordinates_size=[96, 144])
    found = json.loads(json.dumps(summary.summarise(root), allow_nan=False))
    assert found["survival"]["EX"] == {"rows": [], "share": []}
    assert found["area_percentiles"]["SE"] == [] and len(found["area_percentiles"]["EX"]) == 101
    assert found["lesions"]["SE"]["ratio"] is None
    assert found["square_survival"]["SE"]["share"] == [None] * 4
