"""What enters a mean: one run per seed, of one recipe, on one copy of the data; all else stands apart and is named."""

import shutil

import pytest
from typer.testing import CliRunner

from fundus_lib import records
from fundus_lib.cli import app
from fundus_lib.errors import ArgumentError, RecordError
from fundus_lib.published.ledger import _groups
from fundus_lib.recipes import recipes
from fundus_lib.records.compare import compare, find_profile, list_scores
from fundus_lib.records.differences import difference
from fundus_lib.records.rows import experiment, latest, scores_by_seed
from helpers.records import RECORD

RECIPE = recipes("sunet", "lite", "sunet_mixed")[0]
NAME = {"paper": "sunet", "table": "lite", "row": "sunet_mixed", "trained_on_fingerprint": "cd", "processes": 1}


@pytest.fixture
def save(tmp_path):
    def save(seed, value, file, recipe=RECIPE, **more):
        own = {"seed": seed, "recipe": recipe.replace(seed=seed).to_dict(), "precision": recipe.precision}
        record = {**RECORD, **NAME, **own, "metrics": {"joint_accuracy": value}, **more}
        return records.save(record, tmp_path / f"{file}.json")

    for seed in range(3):
        save(seed, 0.8, f"seed{seed}")
    return save


@pytest.fixture
def load(tmp_path):
    return lambda **more: records.load(tmp_path, packaged=False, **more)


def lines(load, *columns):
    table, older = compare(load(), "joint_accuracy")
    table["mean"] = table["mean"].round(6)
    return [tuple(line) for line in table[[*columns, "mean", "count"]].to_numpy().tolist()], older


def test_a_smoke_run_stands_apart(save, load):
    save(0, 0.02, "smoke", recipe=RECIPE.smoke(), date="2026-02-01")
    save(0, 0.5, "changed", recipe=RECIPE.replace(learning_rate=0.5))
    save(0, 0.6, "rounded", recipe=RECIPE.replace(precision="bf16"))
    found, older = lines(load, "profile", "precision")
    assert [line[:2] for line in found] == [("paper", "32"), ("paper", "bf16"), ("changed", "32"), ("smoke", "32")]
    assert [line[2:] for line in found] == [(0.8, 3), (0.6, 1), (0.5, 1), (0.02, 1)] and not older


def test_a_copied_file_and_an_older_run_of_a_seed_do_not_count(save, load, tmp_path):
    shutil.copy(tmp_path / "seed1.json", tmp_path / "seed1 (copy).json")
    save(0, 0.1, "older", date="2025-01-01")
    found, older = lines(load)
    assert found == [(0.8, 3)]
    assert [file.rpartition("/")[2] for file in older] == ["older.json", "seed1 (copy).json"]


@pytest.mark.parametrize(
    ("more", "column"),
    [
        ({"dataset_fingerprint": "other"}, "test_data"),
        ({"trained_on_fingerprint": "other"}, "training_data"),
        ({"processes": 4}, "processes"),
    ],
)
def test_other_data_and_other_processes_stand_apart_and_are_refused_in_a_table(save, load, more, column):
    assert len(latest(load())) == 3
    save(3, 0.2, "other", **more)
    found, _ = lines(load, column)
    assert [line[1:] for line in found] == [(0.8, 3), (0.2, 1)] and found[0][0] != found[1][0]
    with pytest.raises(RecordError, match="not of the same experiment"):
        latest(load())


def test_tables_and_the_ledger_count_a_copied_file_once(save, load, tmp_path):
    save(1, 0.5, "later", date="2026-03-01")
    shutil.copy(tmp_path / "seed2.json", tmp_path / "copy.json")
    assert scores_by_seed(latest(load()), "joint_accuracy", "lite", "sunet_mixed").sort_index().tolist() == [
        0.8,
        0.5,
        0.8,
    ]
    (group,) = _groups(load())
    assert sorted(run["metrics"]["joint_accuracy"] for run in group.runs) == [0.5, 0.8, 0.8]


def test_a_difference_over_several_copies_of_the_data_is_refused(save, tmp_path):
    other = recipes("sunet", "lite", "dr")[0]
    save(0, 0.4, "dr", recipe=other, row="dr")
    of = difference("sunet", ("lite", "sunet_mixed"), ("lite", "dr"), "joint_accuracy", tmp_path)
    save(0, 0.4, "dr on others", recipe=other, row="dr", dataset_fingerprint="xy")
    save(0, 0.9, "mixed on others", dataset_fingerprint="xy")
    assert of.by_seed == pytest.approx({0: 0.4})
    with pytest.raises(RecordError, match="tested on different data"):
        difference("sunet", ("lite", "sunet_mixed"), ("lite", "dr"), "joint_accuracy", tmp_path)


def test_every_record_of_the_library_has_a_profile_and_every_row_one_experiment():
    runs = records.load()
    assert {find_profile(records.read(file)) for file in runs.file} == {"paper"}
    assert len(latest(runs)) + len(latest(runs, "bf16")) >= len(runs)


def test_a_recipe_of_another_version_is_an_experiment_of_its_own():
    foreign = {**RECORD, "recipe": {"kind": "later", "seed": 3, "depth": 7}}
    assert experiment(foreign) == experiment({**foreign, "recipe": foreign["recipe"] | {"seed": 4}})
    assert experiment(foreign) != experiment({**foreign, "recipe": foreign["recipe"] | {"depth": 8}})
    assert find_profile(foreign) == "unknown" and find_profile({**foreign, **NAME}) == "changed"


def test_foreign_and_truncated_files_are_named_and_left_out(save, load, tmp_path):
    (tmp_path / "foreign.json").write_text('{"a": 1}')
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "truncated.json").write_text((tmp_path / "seed0.json").read_text()[:200])
    (tmp_path / "latin.json").write_bytes(b"\xff")
    (tmp_path / "folder.json").mkdir()
    save(0, 0.8, "variants", variants={"other": {"joint_accuracy": "high"}})
    found = CliRunner().invoke(app, ["records", str(tmp_path), "--paper", "sunet", "--compare", "joint_accuracy"])
    assert found.exit_code == 0
    for name in ("foreign", "list", "truncated", "latin", "folder", "variants"):
        assert f"{name}.json: " in found.output
    errors = []
    assert len(load(left_out=errors)) == 3 and len(errors) == 6
    with pytest.raises(RecordError):
        load()


def test_a_damaged_record_of_the_library_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "bad.json").write_text("{")
    monkeypatch.setattr("fundus_lib.records.resources.files", lambda _: tmp_path)
    with pytest.raises(RecordError, match=r"bad\.json"):
        records.load(left_out=[])


def test_the_command_compares_scores_only_and_offers_close_ones(save, tmp_path):
    def call(score):
        return CliRunner().invoke(app, ["records", str(tmp_path), "--compare", score], catch_exceptions=False)

    save(0, 0.1, "older", date="2025-01-01")
    assert "the newest; left out: older.json" in call("joint_accuracy").output
    assert "paper" in call("train_seconds").output
    for wrong in ("date", "file", "seed", "images", "commit", "dirty"):
        with pytest.raises(ArgumentError, match=r"(?s)no such score.*EX_aupr.*dr_accuracy.*; dme_accuracy"):
            call(wrong)
    with pytest.raises(ArgumentError, match="did you mean dr_accuracy"):
        call("dr_acuracy")
    assert not {"seed", "images", "date", "dirty"} & set(list_scores(records.load()))


def test_folds_stand_apart_since_each_has_images_of_its_own():
    runs = records.load()
    table, _ = compare(runs[(runs.paper == "pldmlt") & (runs.row == "segmentation")], "ANY_f1")
    assert sorted(table.fold) == [f"{k} of 5" for k in range(1, 6)] and set(table.profile) == {"paper"}
