"""Runs: recipes, resuming after a kill, budgets, shards, several processes."""

import json
from pathlib import Path

import pytest
import torch

from fundus_lib import records
from fundus_lib.errors import ArgumentError, CheckpointError, UnknownNameError
from fundus_lib.losses import create_loss
from fundus_lib.recipes import PAPERS, SegmentationRecipe, find, from_dict, recipes
from fundus_lib.recipes.base import LATER
from fundus_lib.run import _name, run
from fundus_lib.run_table import _known, run_table
from fundus_lib.tasks.arrays import CropsModule, read_arrays
from helpers.runs import here, same_weights, start, start_and_kill

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = SegmentationRecipe(
    paper="first_segmenter",
    table="main",
    row="tiny",
    size=(96, 144),
    train_images=3,
    test_images=2,
    validation_images=1,
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


def test_every_recipe_survives_json_and_shrinks():
    for paper in PAPERS:
        rows = recipes(paper)
        assert len({(r.table, r.row) for r in rows}) == len(rows)
        for recipe in rows:
            assert recipe.paper == paper
            assert from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe
            assert recipe.smoke().epochs <= 2
            assert recipe.smoke().digest != recipe.digest == from_dict(recipe.to_dict()).digest


def test_a_setting_added_later_leaves_earlier_runs_known():
    """Their file names hold digits of recipes that had no such setting, and an unfinished one is found by its name."""
    paths = [Path(file) for file in records.load()["file"]]
    assert len(paths) >= 5
    for path in paths:
        record = records.read(path)
        recipe = from_dict(record["recipe"])
        assert _name(recipe, record["trained_on_fingerprint"], record["dataset_fingerprint"]) == path.stem


def test_a_record_from_before_a_setting_counts_as_done(finished, synthetic_root, tmp_path):
    (path,) = finished[0].glob("*.json")
    record = records.read(path)
    for name in LATER:
        del record["recipe"][name]
    records.save(record, tmp_path / path.name)
    assert _known(TINY, synthetic_root, tmp_path) == tmp_path / path.name
    assert _known(TINY.replace(loss="dice"), synthetic_root, tmp_path) is None
    assert _known(TINY.replace(loss_args={"a": 1}), synthetic_root, tmp_path) is None


@pytest.mark.parametrize(
    "bad",
    [
        {"crop": 1000},
        {"batch": 0},
        {"lesion_share": 1.5},
        {"train_on": "SyntheticFundus", "train_images": None},
        {"lesions": ()},
    ],
)
def test_recipes_refuse_what_does_not_go_together(bad):
    with pytest.raises(ArgumentError, match="do not go together"):
        TINY.replace(**bad)


def test_the_runners_of_a_race_differ_in_their_loss_alone():
    tables = {table: recipes("losses", table) for table in ("race", "anywhere", "faster")}
    for rows in tables.values():
        assert len({row.replace(row="", loss="", loss_args={}).digest for row in rows}) == 1
        for row in rows:
            assert row.row == row.loss
            assert isinstance(create_loss(row.loss, **row.loss_args), torch.nn.Module)
    assert len(tables["race"]) == 6
    same = {row.row: (row.loss, row.loss_args) for row in tables["race"]}
    assert all(same[row.row] == (row.loss, row.loss_args) for rows in tables.values() for row in rows)


def test_unknown_names_are_answered_with_those_that_exist():
    with pytest.raises(UnknownNameError, match="first_segmenter"):
        recipes("second_segmenter")
    with pytest.raises(UnknownNameError, match="unet_512"):
        find("first_segmenter", "unet_5")
    with pytest.raises(ArgumentError, match="color"):
        from_dict({**TINY.to_dict(), "color": 1})


def test_a_run_leaves_a_model_and_a_record_that_says_everything(finished):
    out, record = finished
    (path,) = out.glob("*.json")
    assert records.read(path) == json.loads(json.dumps(record))
    assert from_dict(record["recipe"]) == TINY
    assert (record["dataset"], record["images"], record["split"]) == ("synthetic", 2, "test")
    assert [point["step"] for point in record["curve"]] == [6 * n for n in range(1, 9)]
    assert all(0 <= point["validation_EX_aupr"] <= 1 for point in record["curve"])
    assert record["metrics"]["EX_prevalence"] > 0
    assert record["commit"] is None or len(record["commit"]) == 40
    assert str(Path.home()) not in path.read_text() and str(out) not in path.read_text()
    (folder,) = (p for p in out.iterdir() if p.is_dir())
    assert sorted(p.name for p in folder.iterdir()) == ["model.pt"]


def test_a_killed_run_goes_on_to_the_same_result(finished, synthetic_root, tmp_path):
    whole, record = finished
    start_and_kill(TINY, synthetic_root, tmp_path)
    resumed = here(TINY, synthetic_root, tmp_path)
    assert 1 <= resumed["resumed_from_epoch"] < TINY.epochs
    assert same(resumed["metrics"], record["metrics"])
    assert [p["loss"] for p in resumed["curve"]] == [p["loss"] for p in record["curve"]]
    assert same_weights(whole, tmp_path)


def test_time_that_runs_out_stops_a_run_which_goes_on_later(finished, synthetic_root, tmp_path):
    assert here(TINY, synthetic_root, tmp_path, minutes=0) is None
    assert not list(tmp_path.glob("*.json"))
    later = here(TINY, synthetic_root, tmp_path, minutes=10)
    assert later["resumed_from_epoch"] == 1
    assert same(later["metrics"], finished[1]["metrics"])


def test_a_damaged_checkpoint_is_named(synthetic_root, tmp_path):
    here(TINY, synthetic_root, tmp_path, minutes=0)
    (last,) = tmp_path.glob("*/last.ckpt")
    last.write_bytes(last.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"last\.ckpt"):
        here(TINY, synthetic_root, tmp_path)


def test_two_processes_train_together(synthetic_root, tmp_path):
    recipe = TINY.replace(epochs=1, steps=2, validation_images=0)
    process = start(recipe, synthetic_root, tmp_path, devices=2)
    assert process.wait(timeout=600) == 0
    (path,) = tmp_path.glob("*.json")
    record = records.read(path)
    assert record["processes"] == 2
    assert record["curve"][-1]["step"] == 2
    # the loss is that of one process with the whole batch, but for batch normalisation over half of it
    alone = here(recipe, synthetic_root, tmp_path / "alone")
    assert record["curve"][0]["loss"] == pytest.approx(alone["curve"][0]["loss"], rel=0.2)


def test_a_batch_that_cannot_be_shared_out_is_refused(synthetic_root, tmp_path):
    with pytest.raises(ArgumentError, match="batch of 3"):
        crops = CropsModule(TINY.replace(batch=3), read_arrays(TINY, synthetic_root)[0])
        crops.trainer = type("Trainer", (), {"world_size": 2, "current_epoch": 0})()
        crops.train_dataloader()


def test_a_table_is_worked_through_once_and_in_shards(synthetic_root, tmp_path, capsys):
    def table(**settings):
        settings = {"row": "unet", "seeds": 2, "smoke": True, "device": "cpu", "progress": False, **settings}
        return [r["seed"] for r in run_table("first_segmenter", synthetic_root, tmp_path, **settings)]

    assert table(minutes=0) == []
    assert table(shard="2/2") == [1]
    assert table() == [0]
    assert table() == []
    assert "done before" in capsys.readouterr().out


def test_trained_on_drawn_fundi_alone(synthetic_root, tmp_path):
    recipe = find("first_segmenter", "unet_512_synthetic").smoke()
    record = here(recipe, synthetic_root, tmp_path)
    assert record["trained_on"] == "SyntheticFundus"


@pytest.mark.parametrize("settings", [{"shard": "0/2"}, {"shard": "3/2"}, {"shard": "half"}, {"seeds": 0}])
def test_shards_and_seeds_out_of_range(settings, tmp_path):
    with pytest.raises(ArgumentError, match="out of range"):
        run_table("first_segmenter", tmp_path, tmp_path, **settings)


@pytest.mark.parametrize("settings", [{"device": "abacus"}, {"precision": "64"}])
def test_unknown_device_and_precision(settings, tmp_path):
    with pytest.raises(ArgumentError, match=next(iter(settings.values()))):
        run(TINY, tmp_path, tmp_path, **settings)


@pytest.mark.real_data
def test_smoke_on_idrid(idrid_root, tmp_path):
    record = run(find("first_segmenter", "unet").smoke(), idrid_root, tmp_path, device="cpu", progress=False)
    assert record["dataset"] == record["trained_on"] == "IDRiD"
    assert record["metrics"]["EX_prevalence"] > 0
