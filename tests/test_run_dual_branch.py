"""Runs of dual_branch: the choice of the epoch, resuming after a kill, two processes, tables and their data sets."""

import json
from types import SimpleNamespace

import pytest
import torch

from fundus_lib import records
from fundus_lib.checkpoints import load_model
from fundus_lib.errors import ArgumentError, DatasetNotFoundError
from fundus_lib.predict import predict
from fundus_lib.recipes import find, from_dict
from fundus_lib.recipes.dual_branch import dual
from fundus_lib.run import _test
from fundus_lib.run_table import run_table
from fundus_lib.tasks.callbacks import Best, Curve
from fundus_lib.tasks.dual_branch_evaluation import at_full_size
from fundus_lib.tasks.experiment import Scores
from fundus_lib.tasks.whole_images import read_photographs
from helpers.runs import here, same_weights, start, start_and_kill, weights

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = dual(
    "tiny",
    "unet",
    model_args={"base": "unet", "width": 4, "depth": 2, "prior": 0.5},
    size=(32, 48),
    train_images=2,
    validation_images=1,
    test_images=2,
    versions=4,
    batch=2,
    epochs=5,
    optimiser="adamw",
    learning_rate=0.02,
    normalise_by="deviation",
    pretraining_images=2,
    pretraining_epochs=1,
)


def without_clocks(record: dict) -> str:
    curve = [{k: v for k, v in point.items() if "seconds" not in k} for point in record["curve"]]
    return json.dumps([record["metrics"], record["variants"], record["selection"], curve])  # NaN equals NaN as text


@pytest.fixture(scope="module")
def finished(one_thread, synthetic_root, tmp_path_factory):
    """An undisturbed run: its folder and its record."""
    out = tmp_path_factory.mktemp("finished")
    return out, here(TINY, synthetic_root, out)


def test_a_record_holds_both_branches_and_what_choosing_the_epoch_did(finished):
    out, record = finished
    (path,) = out.glob("*.json")
    assert records.read(path) == json.loads(json.dumps(record))
    assert from_dict(record["recipe"]) == TINY
    assert set(record["variants"]) == {
        "large branch",
        "small branch",
        "mean of logits",
        "mean of probabilities",
        "last epoch",
        "best on test",
    }
    assert all(found.keys() == record["metrics"].keys() for found in record["variants"].values())
    assert record["variants"]["mean of logits"] == record["metrics"]
    assert record["variants"]["large branch"] != record["variants"]["small branch"]
    assert len(record["curve"]) == 6
    assert all({"loss", "large", "small", "validation_EX_aupr", "test_EX_aupr"} <= p.keys() for p in record["curve"])


def test_the_epoch_is_chosen_on_the_validation_images_and_after_pre_training(finished):
    record = finished[1]
    chosen, curve = record["selection"], record["curve"][1:]  # the first epoch is pre-training
    assert chosen["by"] == "validation_EX_aupr"
    for on, name in (("validation", "epoch"), ("test", "best_on_test_epoch")):
        scores = [point[f"{on}_EX_aupr"] for point in curve]
        assert chosen[name] == curve[scores.index(max(scores))]["epoch"] >= 2
        assert len(set(scores)) > 1 and max(scores) > 0


def test_the_weights_that_are_kept_are_those_that_were_tested(finished, synthetic_root, tmp_path):
    out, record = finished
    (model,) = out.glob("*/model.pt")
    test = read_photographs(TINY, synthetic_root)[2]
    scores = at_full_size(load_model(model).task, test)
    assert json.dumps(scores.metrics) == json.dumps(record["metrics"])
    photograph = next(synthetic_root.glob("A. Segmentation/1. Original Images/b. Testing Set/*.jpg"))
    found = predict(photograph, model, device="cpu")
    assert found.scores.shape[0] == 1 and 0 <= found.scores.min() <= found.scores.max() <= 1
    shorter = here(TINY.replace(epochs=TINY.epochs, validation_images=0), synthetic_root, tmp_path)
    assert "selection" not in shorter  # without validation images the last epoch counts
    assert "Weights of the last epoch" in shorter["protocol"] and "1 validation images" in record["protocol"]
    assert (record["trained_images"], len(record["trained_at"])) == (2, 1)
    assert set(shorter["variants"]) == set(record["variants"]) - {"last epoch", "best on test"}


def test_the_first_of_equal_epochs_is_kept_and_nothing_for_scores_that_are_not_numbers():
    class Fake:
        def __init__(self, value):
            self.model = torch.nn.Linear(1, 1)
            torch.nn.init.constant_(self.model.weight, value)

    curve = Curve(dict)
    best = Best(curve, "score", since=1)
    for epoch, score in enumerate([9.0, float("nan"), 0.5, 0.7, 0.7, 0.6], start=1):
        curve.points.append({"epoch": epoch, "score": score})
        best.on_train_epoch_end(None, Fake(epoch))
    assert (best.epoch, best.highest, float(best.weights["weight"])) == (4, 0.7, 4.0)
    again = Best(curve, "score")
    again.load_state_dict(best.state_dict())
    assert (again.epoch, again.highest) == (4, 0.7)
    assert best.state_key != Best(curve, "other").state_key


def test_a_killed_run_goes_on_to_the_same_result(finished, synthetic_root, tmp_path):
    whole, record = finished
    start_and_kill(TINY, synthetic_root, tmp_path)
    resumed = here(TINY, synthetic_root, tmp_path)
    assert 1 <= resumed["resumed_from_epoch"] < 6
    assert without_clocks(resumed) == without_clocks(record)
    assert same_weights(whole, tmp_path)


def test_two_processes_learn_what_one_learns(synthetic_root, tmp_path):
    """Each pair goes through the network on its own, so that sharing pairs out changes weights by rounding alone.

    Not so the running statistics of batch normalisation, which are those of the first process's pairs.
    """
    recipe = TINY.replace(epochs=2, versions=2, pretraining_images=0, pretraining_epochs=0, validation_images=0)
    recipe = recipe.replace(optimiser="sgd", learning_rate=0.05)
    process = start(recipe, synthetic_root, tmp_path, devices=2)
    alone = here(recipe, synthetic_root, tmp_path / "alone")
    assert process.wait(timeout=600) == 0
    (path,) = tmp_path.glob("*.json")
    record = records.read(path)
    assert (record["processes"], alone["processes"]) == (2, 1)
    assert [p["step"] for p in record["curve"]] == [p["step"] for p in alone["curve"]] == [2, 4]
    for name in ("loss", "large", "small"):
        together, single = ([p[name] for p in r["curve"]] for r in (record, alone))
        assert together == pytest.approx(single, rel=1e-4), name
    shared, own = weights(tmp_path), weights(tmp_path / "alone")
    for name in (name for name in own if "running" not in name and "num_batches" not in name):
        torch.testing.assert_close(shared[name], own[name], rtol=1e-3, atol=1e-5)


def test_rows_whose_data_set_is_not_there_are_named_and_left_out(synthetic_root, tmp_path, capsys):
    settings = {"smoke": True, "device": "cpu", "progress": False, "minutes": 0}
    assert run_table("dual_branch", {"IDRiD": synthetic_root}, tmp_path, **settings) == []
    said = capsys.readouterr().out
    assert "left out, since DDR is not there" in said and "3 dual_hed_dsm" in said and "4 dual_hed_dsm" not in said
    with pytest.raises(DatasetNotFoundError, match="DDR"):
        run_table("dual_branch", {"IDRiD": synthetic_root}, tmp_path, table="3", **settings)


def test_a_test_without_any_lesion_does_not_lose_the_run():
    """Where no score is a number, nothing can be chosen by it."""
    task = SimpleNamespace(model=torch.nn.Linear(1, 1))
    made = SimpleNamespace(task=task, epochs=3, evaluate=lambda variants: Scores({"a": float("nan")}))
    chosen, never = Best(Curve(dict), "validation_a"), Best(Curve(dict), "test_a")
    chosen.epoch, chosen.weights = 2, task.model.state_dict()
    scores, selection = _test(made, [chosen, never])
    assert list(scores.variants) == ["last epoch"] and selection == {"by": "validation_a", "epoch": 2}
    assert _test(made, [never, never])[1]["by"].startswith("last epoch")
    assert _test(made, [])[1] == {}


@pytest.mark.parametrize(
    ("by_validation", "by_test"), [(0, 0), (0, 1), (0, 3), (1, 2), (2, 2), (3, 1), (3, 3), (2, 3), (1, 0)]
)
def test_each_choice_of_an_epoch_is_tested_with_its_own_weights(by_validation, by_test):
    """The last of three epochs counts where validation has none; a model whose weight is its epoch tells them apart."""
    model = torch.nn.Linear(1, 1, bias=False)

    def at(epoch):
        return {"weight": torch.full((1, 1), float(epoch))}

    model.load_state_dict(at(3))
    seen = []

    def score(variants):
        seen.append((model.weight.item(), variants))
        return Scores({"a": model.weight.item()}, {"other": {}} if variants else {})

    choices = [Best(Curve(dict), name) for name in ("validation_a", "test_a")]
    for choice, epoch in zip(choices, (by_validation, by_test), strict=True):
        choice.epoch, choice.weights = epoch, at(epoch)
    scores, selection = _test(SimpleNamespace(task=SimpleNamespace(model=model), epochs=3, evaluate=score), choices)
    chosen = by_validation or 3
    assert model.weight.item() == scores.metrics["a"] == selection["epoch"] == chosen
    assert scores.variants.pop("other") == {} and scores.variants.pop("last epoch") == {"a": 3}
    assert scores.variants == ({"best on test": {"a": by_test}} if by_test else {})
    assert selection.get("best_on_test_epoch", 0) == by_test
    assert seen[-1] == (chosen, True) and len(seen) == len({3, chosen, by_test} - {0}), "each epoch is tested once"
    assert not any(variants for _, variants in seen[:-1])


def test_a_recipe_does_not_run_on_another_data_set(synthetic_root, tmp_path):
    (tmp_path / "lesion_segmentation").mkdir()
    with pytest.raises(ArgumentError, match="not the data set that the recipe is for"):
        read_photographs(TINY, tmp_path)
    assert read_photographs(TINY.replace(test_on="DDR"), synthetic_root)[2].source.title == "synthetic"


def test_rows_that_cannot_be_shared_are_named_and_left_out(synthetic_root, tmp_path, capsys):
    settings = {"table": "4", "smoke": False, "device": "cpu", "progress": False, "minutes": 0, "devices": 2}
    assert run_table("dual_branch", synthetic_root, tmp_path, **settings) == []
    said = capsys.readouterr().out
    assert "cannot be shared by 2 processes: 4 dual_pspnet_dsm" in said and "4 pspnet_dice" not in said


@pytest.mark.real_data
def test_smoke_on_idrid(idrid_root, tmp_path):
    record = here(find("dual_branch", "dual_hed_dsm").smoke(), idrid_root, tmp_path)
    assert record["dataset"] == record["trained_on"] == "IDRiD"
    assert record["metrics"]["EX_prevalence"] > 0
    assert "2848" not in record["protocol"] and "64×96" in record["protocol"]
