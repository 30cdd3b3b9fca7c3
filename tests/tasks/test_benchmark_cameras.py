"""The benchmark's base on other cameras: trained on IDRiD, tested at the scale of training, from files to record."""

import shutil

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from fundus_lib import experiment, run_table, settings
from fundus_lib.data import DDRSegmentation, DiaRetDB1
from fundus_lib.data.field_scale import FieldScaledDDR, FieldScaledDiaRetDB1, FieldScaledIDRiD, cut_box, find_box
from fundus_lib.data.images import resize_image
from fundus_lib.data.sample import LESIONS
from fundus_lib.errors import ArgumentError, DatasetNotFoundError
from fundus_lib.experiment import create_experiment, read_data
from fundus_lib.metrics.score_bins import BIN_EDGES, BINS, write_counts
from fundus_lib.protocols.another_camera import AS_MASKS, score_presence
from fundus_lib.recipes import recipes
from helpers import small_diaretdb1
from helpers.cameras import BORDER, SCALE, samples, write_ddr, write_diaretdb1
from helpers.runs import here, same_weights

pytestmark = pytest.mark.usefixtures("one_thread")
BASE = recipes("benchmark", "base")[0].smoke()
ROWS = {recipe.row: recipe.smoke() for recipe in recipes("benchmark", "external")}


@pytest.fixture(scope="module")
def home(synthetic_root, tmp_path_factory):
    """A folder as `FUNDUS_DATA` names it."""
    home = tmp_path_factory.mktemp("home")
    shutil.copytree(synthetic_root, home / "IDRiD")
    write_ddr(home / "DDR", synthetic_root)
    write_diaretdb1(home / "DiaRetDB1", synthetic_root)
    return home


def test_rows_are_the_base_with_another_test():
    assert list(ROWS) == ["ddr", "ddr_by_image", "diaretdb1", "diaretdb1_by_image"]
    for row in recipes("benchmark", "external"):
        changed = {
            name for name, value in row.to_dict().items() if value != recipes("benchmark", "base")[0].to_dict()[name]
        }
        assert {"table", "row", "test_on"} <= changed <= {"table", "row", "test_on", "normalise_by"}
        assert row.needs == ("IDRiD", row.test_on) and row.row.startswith(row.test_on.lower())
        assert ("normalise_by" in changed) == row.row.endswith("by_image")
    assert BASE.needs == ("IDRiD",)
    for wrong in ({"test_on": "Messidor"}, {"fold": (1, 2)}):
        with pytest.raises(ArgumentError, match="test_on"):
            ROWS["ddr"].replace(**wrong)


def test_one_eye_has_one_scale_on_all_cameras(home):
    side = find_box(next(samples(home / "IDRiD"))[1])[2]
    own, large, third = (
        reader(home / name, "test", side)
        for reader, name in ((FieldScaledIDRiD, "IDRiD"), (FieldScaledDDR, "DDR"), (FieldScaledDiaRetDB1, "DiaRetDB1"))
    )
    compared = []
    for number, (_, image, masks) in enumerate(samples(home / "IDRiD")):
        top, left, edge = find_box(image)
        assert edge < image.shape[1] - 10, "there is a border that counts"
        found = find_box(np.asarray(DDRSegmentation(home / "DDR", "test")[number]["image"]).transpose(1, 2, 0))
        assert np.abs(np.subtract(found, (SCALE * top + BORDER, SCALE * left + BORDER, SCALE * edge))).max() <= 4
        seen = own[number]["image"].float()
        assert seen.shape == (3, side, side)
        assert (large[number]["image"].float() - seen).abs().mean() < 3
        assert (third[number]["image"].float() - seen).abs().mean() == 0, "this camera differs in its marks alone"
        for channel, lesion in enumerate(LESIONS):
            whole = cut_box(masks[lesion], (top, left, edge))
            assert whole.sum() == masks[lesion].sum(), "no lesion is cut off"
            touched = resize_image(whole * np.uint8(255), (side, side)) > 0  # a lone pixel may be lost on one camera
            here, there = (camera[number]["mask"][channel].bool().numpy() for camera in (own, large))
            assert not there[~widen(touched)].any() and (widen(there) >= here)[here].sum() >= 0.9 * here.sum()
            compared += [lesion] * bool(here.sum() >= 80)
            here = own[number]["mask"][channel]
            assert (third[number]["mask"][channel] >= here).all(), "a region holds its lesions"
    assert {"HE", "EX"} <= set(compared)


@pytest.mark.parametrize(("row", "reader"), [("ddr", DDRSegmentation), ("diaretdb1_by_image", DiaRetDB1)])
def test_a_row_trains_on_idrid_and_is_tested_on_the_other(row, reader, home, tmp_path):
    recipe = ROWS[row]
    outs = [tmp_path / "base", tmp_path / "row"]
    for out in outs:
        out.mkdir()
    base = here(BASE.replace(normalise_by=recipe.normalise_by), home / "IDRiD", outs[0])
    record = here(recipe, home / "IDRiD", outs[1])
    assert same_weights(*outs), "training is that of the base"
    for name in ("trained_on", "trained_on_fingerprint", "trained_images"):
        assert record[name] == base[name]
    assert record["dataset"] == recipe.test_on and base["dataset"] == "synthetic"
    assert record["dataset_fingerprint"] == reader(home / recipe.test_on, "test").fingerprint()
    assert (
        record["dataset_fingerprint"]
        == experiment.test_fingerprint(recipe, home / "IDRiD")
        != base["dataset_fingerprint"]
    )
    assert record["images"] == len(record["predictions"]["names"]) == 3
    scores = record["variants"][AS_MASKS] if recipe.test_on == "DiaRetDB1" else record["metrics"]
    assert scores["EX_aupr"] > 0 and record["variants"]["synthetic"]["EX_aupr"] > 0
    assert run_table._known(recipe, home / "IDRiD", outs[1]) is not None
    other = tmp_path / "other"
    shutil.copytree(home, other)
    first = next(p for p in sorted((other / recipe.test_on).rglob("*")) if p.suffix in (".jpg", ".png"))
    Image.open(first).transpose(Image.Transpose.ROTATE_180).save(first)
    assert run_table._known(recipe, other / "IDRiD", outs[1]) is None, "a run on other images of the camera is another"


def test_a_changed_image_moves_the_masks_that_are_cut_with_it(home, tmp_path):
    shutil.copytree(home / "IDRiD", tmp_path / "IDRiD")
    before = FieldScaledIDRiD(tmp_path / "IDRiD", "test", 60)
    kept, path = before.mask(0).copy(), before.items[0].image
    pixels = np.asarray(Image.open(path)).copy()
    pixels[:, : pixels.shape[1] // 2] = 0  # half of the field of view is dark
    Image.fromarray(pixels).save(path)
    after = FieldScaledIDRiD(tmp_path / "IDRiD", "test", 60)
    assert not np.array_equal(after.mask(0), kept)


def widen(mask):
    """By one pixel: what half a pixel may move."""
    return cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0


class Oracle:
    """Predicts what the masks of the test images say, but for what is changed."""

    def __init__(self, made, change=lambda mask: mask):
        self.made, self.change = made, change
        self.known = {
            image.numpy().tobytes(): mask
            for images in (made.data.test, made.data.own)
            for image, mask in zip(images.images, images.masks, strict=True)
        }
        self.model = made.task.model

    def predict(self, image, statistics):
        return {"logits": 20 * self.change(self.known[image.numpy().tobytes()]).float() - 10}


def test_masks_are_scored_pixel_by_pixel_and_regions_are_not(home):
    made = {row: create_experiment(ROWS[row], home / "IDRiD") for row in ("ddr", "diaretdb1")}
    side = round(made["ddr"].task.field_width)
    assert f"{side}×{side}" in made["ddr"].protocol.describe("")
    assert {tuple(image.shape) for one in made.values() for image in one.data.test.images} == {(3, side, side)}
    exact = made["ddr"].protocol.full(Oracle(made["ddr"]))
    assert exact.metrics["EX_aupr"] == exact.metrics["EX_f1"] == 1 and list(exact.variants) == ["synthetic"]
    assert exact.variants["synthetic"]["EX_aupr"] == 1

    def one_pixel(mask):
        """Of each lesion the first pixel of the image alone."""
        flat = mask.flatten(1).long()
        return ((flat.cumsum(1) == 1) & (flat > 0)).reshape(mask.shape)

    sparse = made["diaretdb1"].protocol.full(Oracle(made["diaretdb1"], one_pixel))
    assert set(sparse.variants) == {AS_MASKS, "synthetic"}
    assert sparse.metrics["EX_ppv"] == 1 and sparse.metrics["EX_recall_large"] == 1, "a pixel in a region finds it"
    assert sparse.variants[AS_MASKS]["EX_sensitivity"] < 0.2
    for name in ("aupr", "f1", "iou", "sensitivity", "breakeven", "prevalence", "pixel_recall_large"):
        assert f"EX_{name}" not in sparse.metrics and f"EX_{name}" in sparse.variants[AS_MASKS]
    assert "regions" in made["diaretdb1"].protocol.describe("") and "regions" not in made["ddr"].protocol.describe("")
    quick = made["ddr"].protocol.full(Oracle(made["ddr"]), variants=False)
    assert quick.metrics == pytest.approx(exact.metrics, nan_ok=True) and not quick.variants


def test_images_are_told_apart_by_the_predicted_area():
    logits = {"none": -16.5, "half": -0.6, "more": 0.6, "sure": 16.5}

    def image(lesion, **pixels):
        """An image with lesion pixels that nothing predicts, and pixels of background at logits."""
        counts = np.zeros((2, BINS), int)
        for name, number in pixels.items():
            counts[0, np.searchsorted(BIN_EDGES, logits[name], side="right")] += number
        counts[1, 0] += lesion
        return write_counts(counts)

    with_lesion, without = [image(5, half=100), image(1, sure=20, none=999)], [image(0, more=30), image(0, none=10**5)]
    assert score_presence(with_lesion + without) == 1, "areas of 35 and 20 against 19 and 0"
    assert score_presence([image(1, more=10), image(1, half=60), *without]) == 3 / 4, "6 and 21"
    assert np.isnan(score_presence(with_lesion)) and np.isnan(score_presence(without))


def test_a_data_set_that_is_not_there_is_named_with_where_to_get_it(home, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patch, pytest.raises(DatasetNotFoundError, match="nkicsl/DDR-dataset") as error:
        patch.setattr("fundus_lib.tasks.benchmark_cameras.title", lambda root: "IDRiD")
        (tmp_path / "IDRiD").mkdir()
        read_data(ROWS["ddr"], tmp_path / "IDRiD")
    assert error.value.where == str(tmp_path / "DDR") and "DDR beside IDRiD" in error.value.expected
    runs = tmp_path / "runs"
    monkeypatch.setenv("FUNDUS_DATA", str(home))
    there = settings.roots()
    options = {"table": "external", "smoke": True, "device": "cpu", "progress": False, "minutes": 0}
    assert run_table.run_table("benchmark", there, runs, **options) == []
    assert "left out" not in capsys.readouterr().out
    run_table.run_table("benchmark", {n: r for n, r in there.items() if n != "DDR"}, runs, **options)
    assert "left out, since DDR is not there: external ddr, external ddr_by_image" in capsys.readouterr().out
    with pytest.raises(DatasetNotFoundError, match="imageret"):
        run_table.run_table("benchmark", {"IDRiD": there["IDRiD"]}, runs, **options, row="diaretdb1")


def test_a_synthetic_copy_alone_stands_for_the_other_camera(synthetic_root):
    made = read_data(ROWS["ddr"], synthetic_root)
    assert made.test.title == made.own.title == "synthetic" and made.test.names == made.own.names


def test_a_black_image_is_read_whole_and_both_versions_are_known(tmp_path):
    assert find_box(np.zeros((40, 60, 3), np.uint8)) == (-10, 0, 60)
    small_diaretdb1.write_v11(tmp_path / "1.1")
    small_diaretdb1.write_v21(tmp_path / "2.1")
    old, new = (FieldScaledDiaRetDB1(tmp_path / version, "test", 50) for version in ("1.1", "2.1"))
    assert (old.version, new.version) == ("1.1", "2.1")
    fraction = torch.from_numpy(old.mask(0)).float().mean((1, 2))
    assert fraction[2] == pytest.approx(60 / 150 * 115 / 150, abs=0.02) and fraction[0] == 0
