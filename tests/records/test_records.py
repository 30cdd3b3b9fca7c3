"""Records: saved, loaded as a table, and refused when damaged."""

import json

import pytest

from fundus_lib import records
from fundus_lib.errors import RecordError
from helpers.records import RECORD


def test_saved_records_become_a_sorted_table(tmp_path):
    records.save({**RECORD, "seed": 2, "metrics": {"SE_aupr": 0.1}}, tmp_path / "a.json")
    records.save(RECORD, tmp_path / "b.json")
    table = records.load(tmp_path, packaged=False)
    assert list(table["seed"]) == [1, 2]
    assert table.loc[0, "EX_aupr"] == 0.5 and table.loc[1, "SE_aupr"] == 0.1
    assert table.loc[0, ["train_seconds", "train_cpu_seconds", "evaluate_seconds"]].tolist() == [1.0, 2.0, 0.5]
    assert {"paper", "table", "row", "dataset", "seed", "device", "commit"} <= set(table.columns)
    assert not [p for p in tmp_path.iterdir() if p.suffix != ".json"]


def test_what_a_run_was_tested_with_besides_follows_the_run_if_asked_for(tmp_path):
    branches = {"small branch": {"EX_aupr": 0.25}, "large branch": {"EX_aupr": 0.75, "EX_f1": 0.5}}
    records.save({**RECORD, "seed": 2}, tmp_path / "a.json")
    records.save({**RECORD, "variants": branches}, tmp_path / "b.json")
    table = records.load(tmp_path, packaged=False, variants=True)
    assert list(table["variant"]) == ["", "small branch", "large branch", ""]
    assert list(table["EX_aupr"]) == [0.5, 0.25, 0.75, 0.5] and list(table["seed"]) == [1, 1, 1, 2]
    assert table["EX_f1"].isna().tolist() == [True, True, False, True]
    assert table["file"].nunique() == 2 and records.read(table.loc[0, "file"])["seed"] == 1
    plain = records.load(tmp_path, packaged=False)
    assert len(plain) == 2 and not {"variant", "EX_f1"} & set(plain.columns)


def test_no_record_is_an_empty_table_with_columns(tmp_path):
    table = records.load(tmp_path, packaged=False)
    assert table.empty and "paper" in table.columns


def test_a_missing_record_is_not_called_damaged(tmp_path):
    with pytest.raises(RecordError, match=r"(?s)no such record.*correct the path"):
        records.read(tmp_path / "none.json")


def test_a_record_is_parsed_once_until_it_changes(tmp_path, monkeypatch):
    parsed, loads = [], json.loads
    monkeypatch.setattr(json, "loads", lambda text: parsed.append(text) or loads(text))
    path = records.save(RECORD, tmp_path / "a.json")
    for _ in range(3):
        assert list(records.load(tmp_path, packaged=False)["seed"]) == [records.read(path)["seed"]] == [1]
    assert len(parsed) == 1
    records.save({**RECORD, "seed": 2}, path)  # as long as before, and maybe within the same tick of the clock
    assert list(records.load(tmp_path, packaged=False)["seed"]) == [records.read(path)["seed"]] == [2]
    assert len(parsed) == 2


def test_who_changes_a_record_that_was_read_changes_it_for_nobody_else(tmp_path):
    path = records.save(RECORD, tmp_path / "a.json")
    mine = records.read(path)
    mine["curve"][0]["loss"] = mine["metrics"]["EX_aupr"] = 7.0
    mine["recipe"].clear()
    assert json.dumps(records.read(path)) == json.dumps(RECORD)  # as text, where NaN equals NaN
    assert records.load(tmp_path, packaged=False)["EX_aupr"].tolist() == [0.5]


def test_packaged_records_can_be_read():
    table = records.load()
    assert len(table) == len(records.load(packaged=True))
    assert {"paper", "table", "row", "dataset", "seed", "device", "commit"} <= set(table.columns)


def test_curve_of_a_record_and_of_a_row(tmp_path):
    records.save(RECORD, tmp_path / "a.json")
    row = records.load(tmp_path, packaged=False).iloc[0]
    for source in (RECORD, row):
        assert records.curve(source).to_dict("records") == RECORD["curve"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "cannot be read"),
        ("[]", "lacks"),
        (json.dumps({k: v for k, v in RECORD.items() if k != "curve"}), "no curve"),
        (json.dumps({**RECORD, "seed": "one"}), "seed: 'one'"),
        (json.dumps({**RECORD, "metrics": {"EX_aupr": "0.7"}}), r"metrics\.EX_aupr: '0\.7'"),
        (json.dumps({**RECORD, "variants": {"small branch": {"EX_f1": [1]}}}), r"small branch\.EX_f1: \[1\]"),
    ],
)
def test_damaged_records_are_named(content, says, tmp_path):
    (tmp_path / "bad.json").write_text(content)
    with pytest.raises(RecordError, match=says) as caught:
        records.load(tmp_path, packaged=False)
    assert "bad.json" in str(caught.value)


def test_a_folder_that_does_not_exist(tmp_path):
    with pytest.raises(RecordError, match="nowhere"):
        records.load(tmp_path / "nowhere")
