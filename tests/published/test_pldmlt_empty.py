"""What an empty prediction scores: by hand, on files, and what the stored numbers say of the paper's tables."""

import numpy as np
import pytest

from fundus_lib import published
from fundus_lib.data import summary
from fundus_lib.published import pldmlt_empty


def test_two_images_by_hand():
    found = pldmlt_empty.score_empty([10, 30], 100)
    assert found == pytest.approx(
        {
            "mdice, micro, pooled": 0.8,
            "miou, micro, pooled": 160 / 240,
            "mdice, micro, images": 0.8,
            "miou, micro, images": (90 / 110 + 70 / 130) / 2,
            "mdice, macro, pooled": (320 / 360) / 2,
            "miou, macro, pooled": 0.8 / 2,
            "mdice, macro, images": (180 / 190 + 140 / 170) / 4,
            "miou, macro, images": (0.9 + 0.7) / 4,
            "mdice, lesion": 0,
        }
    )


def test_lesions_are_fused_and_half_a_pixel_counts():
    mask = np.zeros((4, 4, 8), np.uint8)
    mask[0, :2, :2] = mask[3, 2:, :2] = 1
    assert pldmlt_empty.fuse(mask, 2).tolist() == [[1, 0], [1, 0]]
    mask[0, 0, :2] = mask[3, 2, 0] = 0
    assert pldmlt_empty.fuse(mask, 2).tolist() == [[0, 0], [0, 0]]


def test_measured_on_files(synthetic_root):
    found = pldmlt_empty.measure(synthetic_root, side=64)
    assert found["all"]["images"] > found["test"]["images"] > 0
    for part in ("all", "test"):
        assert 0 < found[part]["lesion"] < 0.2
        assert found[part]["mdice, micro, pooled"] == pytest.approx(1 - found[part]["lesion"], abs=2e-6)


def test_no_printed_score_of_table_1_reaches_an_empty_prediction_of_idrid():
    known = pldmlt_empty.measured()
    best = published.table("pldmlt", 1)[["mdice", "miou"]].max() / 100
    for part, images in (("all", 81), ("test", 27)):
        assert known[part]["images"] == images
        assert known[part]["mdice, micro, pooled"] > best["mdice"] and known[part]["miou, micro, pooled"] > best["miou"]
        assert known[part]["mdice, lesion"] == 0 and known[part]["mdice, macro, pooled"] < 0.5
    share = summary.measured("IDRiD")["test_lesion_share"]  # at full size, counted elsewhere
    assert known["test"]["lesion"] == pytest.approx(share, rel=0.02)


def test_the_relation_of_the_printed_rows_on_ddr_is_that_of_pooled_counts_alone():
    """IoU = D / (2 − D) holds to two units of the last digit; for means over images it would be off by fifty."""
    rows = published.table("pldmlt", 2).dropna(subset="mdice")
    dice = rows["mdice"] / 100
    assert len(rows) == 6 and ((rows["miou"] / 100 - dice / (2 - dice)).abs() < 3e-5).all()
    for part in (pldmlt_empty.measured()["all"], pldmlt_empty.measured()["test"]):
        gaps = {}
        for average in ("micro, pooled", "micro, images", "macro, pooled", "macro, images"):
            d = part[f"mdice, {average}"]
            gaps[average] = part[f"miou, {average}"] - d / (2 - d)
        assert abs(gaps["micro, pooled"]) < 2e-6
        assert min(gap for average, gap in gaps.items() if average != "micro, pooled") > 5e-4
