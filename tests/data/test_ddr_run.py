"""A row of dual_branch on DDR, from its files to the record."""

import numpy as np
import pytest
import torch

from fundus_lib.data.ddr_whole import DDRWholeImages
from fundus_lib.experiment import create_experiment, read_data
from fundus_lib.recipes.dual_branch import dual
from fundus_lib.run import run
from helpers import small_ddr as small


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("FUNDUS_CACHE", str(tmp_path / "cache"))
    small.write_all(tmp_path / "DDR")
    return tmp_path / "DDR"


def recipe():
    model = {"base": "unet", "width": 4, "depth": 2}
    return dual("tiny", "unet").replace(
        dataset="DDR", size=(96, 96), model_args=model, dihedral=1, epochs=2, precision="32"
    )


def test_the_record_of_a_row(root, tmp_path):
    record = run(recipe(), root, tmp_path / "runs", device="cpu", progress=False)
    assert (record["dataset"], record["trained_on"], record["images"]) == ("DDR", "DDR", 2)
    assert record["trained_on_fingerprint"] == DDRWholeImages(root, "train").fingerprint()
    assert len(record["curve"]) == 2
    pixels = sum(small.drawn(name)[1].size for name in ("portrait", "black"))
    exudate = small.drawn("portrait")[1].sum()
    assert record["metrics"]["EX_prevalence"] == pytest.approx(exudate / pixels)
    assert {"large branch", "small branch"} <= set(record["variants"])


def test_test_images_are_scored_at_their_size_on_disk(root):
    wanted = recipe().replace(size=(320, 320))
    test = read_data(wanted, root).test
    masks = {tuple(image.shape): mask for image, mask in zip(test.images, test.masks, strict=True)}
    assert list(masks) == [(3, 200, 320), (3, 320, 180)]
    made = create_experiment(wanted, root)
    made.task.predict = lambda image, statistics: {"logits": 20 * masks[tuple(image.shape)].float() - 10}
    scores = made.protocol.full(made.task, False).metrics
    assert scores["EX_f1"] > 0.95, "the masks as prepared, enlarged, are nearly those on disk"
    assert scores["EX_lesions_large"] == 2


def test_splits_are_those_of_ddr(root):
    read = read_data(recipe(), root)
    for part, split in ((read.training, "train"), (read.validation, "val"), (read.test, "test")):
        data = DDRWholeImages(root, split, side=96)
        assert part.fingerprint == data.fingerprint()
        assert len(part) == len(data)
        for index in range(len(data)):
            assert torch.equal(part.images[index], data[index]["image"])
            assert np.array_equal(part.full_masks[index](), data.full_mask(index))
