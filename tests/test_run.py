"""Runs: budgets, damaged checkpoints, shards, the choice of the epoch. What all kinds share is in test_contract."""

import errno
import json
import os
import shutil
import subprocess
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from fundus_lib import provenance
from fundus_lib.callbacks import Best, Curve
from fundus_lib.checkpoints import _PARTS
from fundus_lib.errors import (
    ArgumentError,
    CheckpointError,
    DatasetNotFoundError,
    FileAccessError,
    UnknownNameError,
)
from fundus_lib.protocols.base import Scores
from fundus_lib.recipes import SegmentationRecipe, find, recipes
from fundus_lib.run import _test, run
from fundus_lib.run_table import run_table
from helpers.runs import here

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = SegmentationRecipe(
    paper="first_segmenter",
    table="main",
    row="tiny",
    size=(96, 144),
    train_images=3,
    test_images=2,
    validation=1,
    precision="32",
    model_args={"width": 4, "depth": 2},
    crop=32,
    colour_jitter=0.1,
    batch=2,
    epochs=8,
    steps=6,
)


def same(first: dict, second: dict) -> bool:
    return json.dumps(first) == json.dumps(second)  # as text, where NaN equals NaN


@pytest.fixture(scope="module")
def finished(one_thread, synthetic_root, tmp_path_factory):
    """An undisturbed run: its folder and its record."""
    out = tmp_path_factory.mktemp("finished")
    return out, here(TINY, synthetic_root, out)


def test_time_that_runs_out_stops_a_run_which_goes_on_later(finished, synthetic_root, tmp_path):
    assert here(TINY, synthetic_root, tmp_path, minutes=0) is None
    assert not list(tmp_path.glob("*.json"))
    later = here(TINY, synthetic_root, tmp_path, minutes=10)
    assert later["resumed_from_epoch"] == 1
    assert same(later["metrics"], finished[1]["metrics"])


def test_a_damaged_checkpoint_is_named(synthetic_root, tmp_path):
    here(TINY, synthetic_root, tmp_path, minutes=0)
    (last,) = tmp_path.glob("*/last.ckpt")
    whole = last.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    content = torch.load(last, weights_only=True)
    for damaged in (b"", whole[:1000], whole[: len(whole) // 2], whole[:-10], bytes(flipped), [1]):
        if isinstance(damaged, bytes):
            last.write_bytes(damaged)
        else:
            torch.save(damaged, last)
        with pytest.raises(CheckpointError, match=r"last\.ckpt"):
            here(TINY, synthetic_root, tmp_path, minutes=0)
    for part in content:
        if part in _PARTS:
            torch.save({name: value for name, value in content.items() if name != part}, last)
            with pytest.raises(CheckpointError, match=f"no {part}"):
                here(TINY, synthetic_root, tmp_path, minutes=0)


def test_what_cannot_be_kept_is_not_computed(synthetic_root, tmp_path, monkeypatch):
    """A file where the folder is meant; and a disk that is full by the end of the first epoch."""
    (tmp_path / "file").write_bytes(b"")
    never = {"device": "cpu", "progress": False}
    for start in (
        lambda out: run(TINY, tmp_path / "no data", out, **never),
        lambda out: run_table("first_segmenter", tmp_path / "no data", out, **never),
    ):
        for out in (tmp_path / "file", tmp_path / "file" / "below"):
            with pytest.raises(FileAccessError, match="a file is where a folder is meant"):
                start(out)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("lightning.pytorch.callbacks.ModelCheckpoint.on_train_epoch_end", full)
    with pytest.raises(FileAccessError, match=r"(?s)last\.ckpt: there is no room.*MB are free"):
        here(TINY, synthetic_root, tmp_path / "out")


def test_a_table_is_worked_through_once_and_in_shards(synthetic_root, tmp_path, capsys):
    def table(**settings):
        settings = {
            "row": "unet",
            "seeds": 2,
            "smoke": True,
            "device": "cpu",
            "progress": False,
            "precision": "32",
            **settings,
        }
        return [r["seed"] for r in run_table("first_segmenter", synthetic_root, tmp_path, **settings)]

    assert table(minutes=0) == []
    assert table(shard="2/2") == [1]
    assert table() == [0]
    assert table() == []
    assert "done before" in capsys.readouterr().out


def test_other_training_masks_are_another_run(synthetic_root, tmp_path, capsys):
    changed = tmp_path / "IDRiD"
    shutil.copytree(synthetic_root, changed)
    settings = {"row": "unet", "smoke": True, "device": "cpu", "progress": False, "precision": "32"}
    assert len(run_table("first_segmenter", synthetic_root, tmp_path / "runs", **settings)) == 1
    assert not run_table("first_segmenter", changed, tmp_path / "runs", **settings), "a copy is the same data"
    mask = next((changed / "A. Segmentation").rglob("*a. Training Set/*Hard Exudates/*.tif"))
    array = np.array(Image.open(mask))
    Image.fromarray(array[::-1]).save(mask)
    assert len(run_table("first_segmenter", changed, tmp_path / "runs", **settings)) == 1


@pytest.mark.parametrize(
    ("paper", "table", "row"), [("benchmark", "ideas", "grades_shared"), ("losses", "race", "dice")]
)
def test_what_was_run_is_known(paper, table, row, graded_root, tmp_path, capsys):
    settings = {"table": table, "row": row, "smoke": True, "device": "cpu", "progress": False}
    assert len(run_table(paper, graded_root, tmp_path, **settings)) == 1
    assert not run_table(paper, graded_root, tmp_path, **settings) and "done before" in capsys.readouterr().out


def test_trained_on_synthetic_images_alone(synthetic_root, tmp_path):
    recipe = find("first_segmenter", "unet_512_synthetic").smoke().replace(precision="32")
    record = here(recipe, synthetic_root, tmp_path)
    assert record["trained_on"] == "SyntheticFundus"


@pytest.mark.parametrize(
    "settings", [{"devices": 0}, {"devices": -2}, {"nodes": 0}, {"minutes": -1}, {"minutes": float("nan")}]
)
def test_processes_and_minutes_out_of_range(settings, tmp_path):
    (name,) = settings
    for start in (
        lambda: run_table("first_segmenter", tmp_path, tmp_path, **settings),
        lambda: run(TINY, tmp_path, tmp_path, **settings),
    ):
        with pytest.raises(ArgumentError, match=f"{name}: this is out of range"):
            start()


def test_names_and_numbers_are_checked_before_a_data_set_is_drawn(tmp_path, monkeypatch):
    def draw():
        raise AssertionError("drawn")

    monkeypatch.setattr("fundus_lib.settings.roots", draw)
    for paper, settings in (
        ("first_segmentor", {}),
        ("losses", {"table": "rase"}),
        ("losses", {"row": "dise"}),
        ("losses", {"seeds": 0}),
        ("losses", {"shard": "9/8"}),
        ("losses", {"device": "abacus"}),
        ("losses", {"devices": 0}),
        ("losses", {"precision": "64"}),
    ):
        with pytest.raises(ArgumentError):
            run_table(paper, None, tmp_path, **settings)
    with pytest.raises(UnknownNameError, match="first_segmenter"):
        run_table("first_segmentor", None, tmp_path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FileAccessError):
        run_table("losses", None, tmp_path / "file")


@pytest.mark.parametrize("settings", [{"shard": "0/2"}, {"shard": "3/2"}, {"shard": "half"}, {"seeds": 0}])
def test_shards_and_seeds_out_of_range(settings, tmp_path):
    with pytest.raises(ArgumentError, match="out of range"):
        run_table("first_segmenter", tmp_path, tmp_path, **settings)


def test_an_unknown_device(tmp_path):
    with pytest.raises(ArgumentError, match="abacus"):
        run(TINY, tmp_path, tmp_path, device="abacus")


def test_the_first_of_equal_epochs_is_kept_and_nothing_for_scores_that_are_not_numbers():
    class Fake:
        def __init__(self, value):
            self.model = torch.nn.Linear(1, 1)
            torch.nn.init.constant_(self.model.weight, value)

    curve = Curve(dict)
    best = Best(curve, "score")
    for epoch, score in enumerate([float("nan"), 0.5, 0.7, 0.7, 0.6], start=2):
        curve.points.append({"epoch": epoch, "score": score})
        best.on_train_epoch_end(None, Fake(epoch))
    assert (best.epoch, best.highest, float(best.weights["weight"])) == (4, 0.7, 4.0)
    again = Best(curve, "score")
    again.load_state_dict(best.state_dict())
    assert (again.epoch, again.highest) == (4, 0.7)
    assert best.state_key != Best(curve, "other").state_key


def test_a_score_that_no_epoch_has_is_answered_with_those_that_it_has():
    curve = Curve(dict)
    curve.points.append({"epoch": 1, "validation_EX_f1": 0.5, "validation_EX_aupr": 0.4})
    with pytest.raises(ArgumentError, match="validation_EX_f1, validation_EX_aupr"):
        Best(curve, "validation_EX_auprc").on_train_epoch_end(None, None)


@pytest.mark.parametrize("score", ["f1", "aupr"])
def test_the_epoch_is_chosen_by_either_score(score, synthetic_root, tmp_path):
    record = here(TINY.replace(choose_by=score, epochs=3), synthetic_root, tmp_path)
    scores = [point[f"validation_EX_{score}"] for point in record["curve"]]
    assert record["selection"]["by"] == f"validation_EX_{score}"
    assert record["selection"]["epoch"] == 1 + scores.index(max(scores))


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
    protocol = SimpleNamespace(full=lambda *_: Scores({"a": float("nan")}))
    made = SimpleNamespace(task=task, epochs=3, protocol=protocol)
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

    def score(task, variants=True):
        seen.append((model.weight.item(), variants))
        return Scores({"a": model.weight.item()}, {"other": {}} if variants else {})

    choices = [Best(Curve(dict), name) for name in ("validation_a", "test_a")]
    for choice, epoch in zip(choices, (by_validation, by_test), strict=True):
        choice.epoch, choice.weights = epoch, at(epoch)
    protocol = SimpleNamespace(full=score)
    scores, selection = _test(SimpleNamespace(task=SimpleNamespace(model=model), epochs=3, protocol=protocol), choices)
    chosen = by_validation or 3
    assert model.weight.item() == scores.metrics["a"] == selection["epoch"] == chosen
    assert scores.variants.pop("other") == {} and scores.variants.pop("last epoch") == {"a": 3}
    assert scores.variants == ({"best on test": {"a": by_test}} if by_test else {})
    assert selection.get("best_on_test_epoch", 0) == by_test
    assert seen[-1] == (chosen, True) and len(seen) == len({3, chosen, by_test} - {0}), "each epoch is tested once"
    assert not any(variants for _, variants in seen[:-1])


def test_rows_that_cannot_be_shared_are_named_and_left_out(synthetic_root, tmp_path, capsys):
    settings = {"table": "4", "smoke": False, "device": "cpu", "progress": False, "minutes": 0, "devices": 2}
    assert run_table("dual_branch", synthetic_root, tmp_path, **settings) == []
    said = capsys.readouterr().out
    assert "cannot be shared by 2 processes: 4 dual_pspnet_dsm" in said and "4 pspnet_dice" not in said


def test_where_an_export_travels_the_commit_is_the_one_that_it_is_told(monkeypatch):
    """A GPU machine may have neither git nor the history."""

    def no_git(*_, **__):
        raise FileNotFoundError("git")

    monkeypatch.setenv("FUNDUS_COMMIT", "f" * 40)
    assert provenance.commit() == {"commit": "f" * 40, "dirty": None}, "a checkout there may be of another commit"
    monkeypatch.setattr(subprocess, "run", no_git)
    assert provenance.commit() == {"commit": "f" * 40, "dirty": None}
    assert provenance.provenance(torch.device("cpu"))["commit"] == "f" * 40
    for nothing in ("", None):
        monkeypatch.setenv("FUNDUS_COMMIT", nothing) if nothing is not None else monkeypatch.delenv("FUNDUS_COMMIT")
        assert provenance.commit() == {"commit": None, "dirty": None}


def test_without_validation_images_the_last_epoch_counts_and_the_best_on_test_stands_beside_it(graded_root, tmp_path):
    recipe = find("sunet", "sunet_mixed").smoke().replace(side=32, leaks=True, validation=0, precision="32")
    record = here(recipe, graded_root, tmp_path)
    scores = [point["test_joint_accuracy"] for point in record["curve"]]
    assert record["selection"] == {
        "by": "last epoch, since no validation score is a number",
        "epoch": 2,
        "best_on_test_epoch": scores.index(max(scores)) + 1,
    }
    assert record["metrics"]["joint_accuracy"] == record["variants"]["last epoch"]["joint_accuracy"] == scores[-1]
    assert record["variants"]["best on test"]["joint_accuracy"] == max(scores)
    assert "Weights of the last epoch" in record["protocol"]
    assert record["test_images_in_training"], "with the leaks it is trained on test images, and says so"


def test_time_that_runs_out_ends_a_call_between_two_stages_too(synthetic_root, tmp_path):
    recipe = recipes("local_global", "half", "EX_fused")[0].smoke()
    calls = 0
    while run(recipe, synthetic_root, tmp_path, minutes=1e-9, progress=False, device="cpu") is None:
        calls += 1
    assert calls >= len(recipe.stages) - 1
