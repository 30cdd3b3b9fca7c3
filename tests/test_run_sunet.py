"""Runs of sunet: records with an answer for each image, resuming after a kill, two processes."""

import json

import numpy as np
import pytest
import torch

from fundus_lib import records
from fundus_lib.checkpoints import load_model
from fundus_lib.recipes import find, from_dict
from fundus_lib.recipes.sunet import sunet
from fundus_lib.run_table import _known, run_table
from fundus_lib.tasks.graded_images import read_graded
from fundus_lib.tasks.sunet_evaluation import evaluate
from helpers.runs import here, same_weights, start, start_and_kill, weights

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = sunet(
    "tiny",
    side=32,
    batch=2,
    epochs=4,
    learning_rate=0.003,
    model_args={"backbone": "resnet18", "channels": 8},
    criterion={"form": "weighted"},
    pretraining_images=4,
    pretraining_epochs=1,
)


def without_clocks(record: dict) -> str:
    curve = [{k: v for k, v in point.items() if "seconds" not in k} for point in record["curve"]]
    kept = ("metrics", "variants", "selection", "predictions")
    return json.dumps([{name: record[name] for name in kept}, curve])  # NaN equals NaN as text


@pytest.fixture(scope="module")
def finished(one_thread, graded_root, tmp_path_factory):
    """An undisturbed run: its folder and its record."""
    out = tmp_path_factory.mktemp("finished")
    return out, here(TINY, graded_root, out)


def test_a_record_says_what_was_answered_for_each_image(finished, graded_root):
    out, record = finished
    (path,) = out.glob("*.json")
    assert records.read(path) == json.loads(json.dumps(record))
    assert from_dict(record["recipe"]) == TINY
    assert (record["images"], record["trained_images"], len(record["curve"])) == (
        6,
        len(read_graded(TINY, graded_root)[0]),
        5,
    )
    said = record["predictions"]
    assert set(said) == {"names", "dr", "dr_true", "dme", "dme_true"} and len(said["names"]) == 6
    right = {name: np.equal(said[name], said[f"{name}_true"]) for name in ("dr", "dme")}
    for name, hits in right.items():
        assert record["metrics"][f"{name}_accuracy"] == hits.mean()
    assert record["metrics"]["joint_accuracy"] == (right["dr"] & right["dme"]).mean()
    assert {"MA_aupr", "SE_aupr", "dr_cam_inside", "dme_cam_inside", "lesion_share"} <= record["metrics"].keys()
    assert set(record["variants"]) == {"last epoch", "best on test"}
    logged = {"loss", "lesions", "dr", "dme", "validation_joint_accuracy", "test_joint_accuracy"}
    assert all(logged <= point.keys() for point in record["curve"])
    assert all(np.isfinite(point[name]) for point in record["curve"] for name in logged)


def test_the_epoch_is_chosen_on_the_validation_images_and_after_pre_training(finished):
    chosen, curve = finished[1]["selection"], finished[1]["curve"][1:]
    assert chosen["by"] == "validation_joint_accuracy"
    for on, name in (("validation", "epoch"), ("test", "best_on_test_epoch")):
        scores = [point[f"{on}_joint_accuracy"] for point in curve]
        assert chosen[name] == curve[scores.index(max(scores))]["epoch"] >= 2
    best = finished[1]["variants"]["best on test"]["joint_accuracy"]
    assert best == max(point["test_joint_accuracy"] for point in curve) >= finished[1]["metrics"]["joint_accuracy"]


def test_the_weights_that_are_kept_are_those_that_were_tested(finished, graded_root):
    out, record = finished
    (model,) = out.glob("*/model.pt")
    test, pictures = read_graded(TINY, graded_root)[2:]
    found = evaluate(load_model(model).task, test, pictures)
    assert json.dumps(found.metrics) == json.dumps(record["metrics"])
    assert found.predictions == record["predictions"]


def test_a_run_is_known_again(finished, graded_root):
    out, _ = finished
    assert _known(TINY, graded_root, out) == next(out.glob("*.json"))
    assert _known(TINY.replace(leaks=True), graded_root, out) is None
    assert _known(TINY.replace(seed=1), graded_root, out) is None


def test_a_killed_run_goes_on_to_the_same_result(finished, graded_root, tmp_path):
    whole, record = finished
    start_and_kill(TINY, graded_root, tmp_path)
    resumed = here(TINY, graded_root, tmp_path)
    assert 1 <= resumed["resumed_from_epoch"] < 5
    assert without_clocks(resumed) == without_clocks(record)
    assert same_weights(whole, tmp_path)


def test_two_processes_train_together_on_images_with_and_without_masks(graded_root, tmp_path):
    """Each process turns its images by angles of its own and normalises over its half of a batch.

    So losses are like those of one process, not equal. In a batch of both kinds it often happens that only one of the
    processes has a mask.
    """
    recipe = TINY.replace(order="mixed", batch=4, epochs=2, pretraining_images=0, pretraining_epochs=0, criterion={})
    process = start(recipe, graded_root, tmp_path, devices=2)
    alone = here(recipe, graded_root, tmp_path / "alone")
    assert process.wait(timeout=600) == 0
    (path,) = tmp_path.glob("*.json")
    record = records.read(path)
    assert (record["processes"], alone["processes"]) == (2, 1)
    assert [p["step"] for p in record["curve"]] == [p["step"] for p in alone["curve"]]
    for name in ("loss", "lesions", "dr", "dme"):
        together, single = (r["curve"][0][name] for r in (record, alone))
        close = 1.0 if name == "lesions" else 0.2  # of few images, under statistics of two
        assert together == pytest.approx(single, rel=close), name
    for point in record["curve"]:
        parts = point["dr"] + 0.5 * point["dme"]
        assert parts < point["loss"] < parts + 1.2 * point["lesions"]
    shared, own = weights(tmp_path), weights(tmp_path / "alone")
    assert shared.keys() == own.keys() and all(value.isfinite().all() for value in shared.values())


def test_rows_of_a_table_are_worked_through(graded_root, tmp_path):
    made = run_table("sunet", graded_root, tmp_path, table="1", row="dme_lr", smoke=True, device="cpu", progress=False)
    assert [record["row"] for record in made] == ["dme_lr"]
    assert set(made[0]["predictions"]) == {"names", "dme", "dme_true"}
    assert made[0]["selection"]["by"] == "validation_dme_accuracy"


def test_without_validation_images_the_last_epoch_counts_and_the_best_on_test_stands_beside_it(graded_root, tmp_path):
    recipe = TINY.replace(leaks=True, validation=0, epochs=2, pretraining_images=0, pretraining_epochs=0)
    record = here(recipe, graded_root, tmp_path)
    scores = [point["test_joint_accuracy"] for point in record["curve"]]
    best = scores.index(max(scores)) + 1
    assert record["selection"] == {
        "by": "last epoch, since no validation score is a number",
        "epoch": 2,
        "best_on_test_epoch": best,
    }
    assert record["metrics"]["joint_accuracy"] == record["variants"]["last epoch"]["joint_accuracy"] == scores[-1]
    assert record["variants"]["best on test"]["joint_accuracy"] == max(scores)
    assert "last epoch; all training images" in record["protocol"]


@pytest.mark.real_data
def test_smoke_on_idrid(idrid_root, tmp_path):
    record = here(find("sunet", "sunet").smoke(), idrid_root, tmp_path)
    assert record["dataset"] == record["trained_on"] == "IDRiD"
    assert (record["images"], len(record["predictions"]["dr"])) == (12, 12)
    assert 0 < record["metrics"]["lesion_share"] < 0.2 and torch.isfinite(torch.tensor(record["curve"][-1]["lesions"]))
