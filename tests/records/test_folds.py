"""Folds of a row: all are run, or one; their records are of the row, and pooled in the ledger and over images."""

from importlib import resources
from pathlib import Path

import pytest

from fundus_lib import records, run_table
from fundus_lib.errors import ArgumentError, DatasetNotFoundError
from fundus_lib.published import ledger
from fundus_lib.recipes import recipes
from fundus_lib.records.differences import difference, scores
from fundus_lib.records.image_gains import fold_gains, image_gain, image_scores
from fundus_lib.records.rows import as_it_is, latest, scores_by_seed
from helpers.records import RECORD

ROW = recipes("pldmlt", "small", "weight")[0]


@pytest.fixture(autouse=True)
def no_records_of_the_library(monkeypatch, tmp_path_factory):
    """The records that come with the library are of the same rows."""
    empty, files = tmp_path_factory.mktemp("none"), resources.files
    monkeypatch.setattr(resources, "files", lambda name: empty if name == "fundus_lib.records" else files(name))


def jobs(row, fold=None, seeds=1, shard="1/1", paper="pldmlt", table="small", smoke=False):
    return run_table._jobs(paper, table, row, seeds, fold, shard, smoke, None)


def test_a_row_is_run_with_each_of_its_folds():
    found = jobs("weight", seeds=2)
    assert [(job.fold, job.seed) for job in found] == [((k, 5), seed) for seed in (0, 1) for k in range(1, 6)]
    assert len({job.digest for job in found}) == len({job.stem for job in found}) == 10
    assert [job.fold for job in jobs("weight", fold=3)] == [(3, 5)]
    assert [job.fold for job in jobs("weight", shard="2/5")] == [(2, 5)]
    assert [job.fold for job in jobs("weight", smoke=True)] == [(k, 5) for k in range(1, 6)]
    assert [job.fold for job in jobs("unet", paper="hecl", seeds=2)] == [None, None]
    assert ROW.every_fold()[0] == ROW and ROW.replace(fold=None).every_fold() == (ROW.replace(fold=None),)


@pytest.mark.parametrize(
    ("paper", "row", "fold"), [("pldmlt", "weight", 0), ("pldmlt", "weight", 6), ("hecl", "unet", 1)]
)
def test_a_fold_that_a_row_does_not_have_is_refused(paper, row, fold):
    with pytest.raises(ArgumentError, match=f"fold={fold}"):
        jobs(row, fold=fold, paper=paper)


def test_rows_need_all_their_data_sets(capsys):
    both, one = recipes("pldmlt", "3", "weight")[0], ROW
    there = {"IDRiD": Path("a")}
    assert run_table._at_hand([both, one], there) == [(one, Path("a"))]
    assert "left out, since DiaRetDB1 is not there: 3 weight" in capsys.readouterr().out
    with pytest.raises(DatasetNotFoundError, match="DiaRetDB1"):
        run_table._at_hand([both], there)
    whole = there | {"DiaRetDB1": Path("b")}
    assert run_table._at_hand([both, one], whole) == [(both, Path("a")), (one, Path("a"))]


def save(folder, recipe, score, names, seed=0, **more):
    recipe = recipe.replace(seed=seed)
    known = {"paper": recipe.paper, "table": recipe.table, "row": recipe.row, "dataset": "IDRiD", "seed": seed}
    record = {
        **RECORD, **known, "recipe": recipe.to_dict(), "precision": recipe.precision,
        "metrics": {"mdice_micro": score, "miou_micro": score, "dr_accuracy": score},
        "predictions": {"names": names, "ANY_f1": [score] * len(names)},
        **more,
    }  # fmt: skip
    records.save(record, folder / f"{recipe.stem}.json")


def test_folds_are_pooled(tmp_path):
    for k, one in enumerate(ROW.every_fold()):
        save(tmp_path, one, k / 10, [f"{k}a", f"{k}b"])
    assert all(as_it_is(path, "pldmlt", "small", "weight") for path in tmp_path.iterdir())
    line = ledger("pldmlt", tmp_path, nearest=True).query("table == 3 and recipe == 'small/weight'")
    assert len(line) == 1 and line.seeds.item() == 1
    assert (line.mdice_ours.item(), line.mdice_low.item(), line.mdice_high.item()) == pytest.approx((20, 20, 20)), (
        "folds of a seed are one run"
    )
    assert "fold" not in line.deviations.item() and "width 16" in line.deviations.item()
    scores = image_scores("pldmlt", ("small", "weight"), "ANY_f1", tmp_path)
    assert scores.shape == (1, 10) and scores["3a"].item() == 0.3
    other = recipes("pldmlt", "small", "grades")[0]
    for k, one in enumerate(other.every_fold()[:3]):
        save(tmp_path, one, k / 10 - 0.05, [f"{k}a", f"{k}b"])
    gain = image_gain("pldmlt", ("small", "weight"), ("small", "grades"), "ANY_f1", tmp_path)
    assert gain.images == 6 and gain.difference.value == pytest.approx(0.05)
    kept = latest(records.load(tmp_path, packaged=False))
    assert scores_by_seed(kept, "mdice_micro", "small", "weight").to_dict() == {0: pytest.approx(0.2)}
    line = ledger("pldmlt", tmp_path, nearest=True).query("table == 3 and recipe == 'small/grades'")
    assert "fold 1, 2, 3 of 5" in line.deviations.item()


def test_a_seed_with_few_folds_takes_none_from_another(tmp_path):
    other = recipes("pldmlt", "small", "grades")[0]
    for seed, folds in ((0, 5), (1, 1)):
        for k, (one, base) in enumerate(list(zip(ROW.every_fold(), other.every_fold(), strict=True))[:folds]):
            save(tmp_path, one, 0.5 + k / 10, [f"{k}a", f"{k}b"], seed)
            save(tmp_path, base, 0.5, [f"{k}b", f"{k}a"], seed)
    rows = ("small", "weight"), ("small", "grades")
    gain = image_gain("pldmlt", *rows, "ANY_f1", tmp_path)
    assert (gain.seeds, gain.images, gain.folds) == ((0,), 10, "5 folds")
    assert str(gain).startswith("+0.200 [") and str(gain).endswith("(5 folds, one seed)")
    lines = fold_gains("pldmlt", *rows, "ANY_f1", tmp_path)
    assert lines.query("seed == 0").gain.tolist() == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert lines.query("seed == 1").to_numpy().tolist() == [[1, 1, 2, 0]]
    change = difference("pldmlt", *rows, "dr_accuracy", tmp_path)
    assert change.by_seed == {0: pytest.approx(0.2)} and str(change) == "+0.200 (5 folds, one seed)"


def test_rows_are_compared_in_the_folds_that_both_have(tmp_path):
    other = recipes("pldmlt", "small", "grades")[0]
    for k, (one, base) in enumerate(zip(ROW.every_fold(), other.every_fold(), strict=True)):
        save(tmp_path, one, k / 10 + 0.01, [f"{k}"])
        if k in (0, 2):
            save(tmp_path, base, k / 10, [f"{k}"])
    change = difference("pldmlt", ("small", "weight"), ("small", "grades"), "dr_accuracy", tmp_path)
    assert str(change) == "+0.010 (2 of 5 folds, one seed)"
    assert scores("pldmlt", "small", "weight", "dr_accuracy", tmp_path) == {(0, "ab"): pytest.approx(0.21)}
    (tmp_path / f"{other.every_fold()[2].stem}.json").unlink()
    gain = image_gain("pldmlt", ("small", "weight"), ("small", "grades"), "ANY_f1", tmp_path)
    assert (gain.images, gain.folds) == (1, "fold 1 of 5")


def test_grades_are_right_or_as_labelled_where_they_are_known(tmp_path):
    given = {"dr": [2, 3, 2, 4], "dr_true": [2, -1, 3, 4], "dr_label": [2, 2, 2, 3]}
    save(tmp_path, ROW, 0.5, [], predictions={"names": list("abcd"), **given})
    right, as_labelled, labels = (
        image_scores("pldmlt", ("small", "weight"), score, tmp_path).iloc[0]
        for score in ("dr_right", "dr_as_labelled", "label_right")
    )
    assert right.isna().tolist() == [False, True, False, False] and right.dropna().tolist() == [1, 0, 1]
    assert as_labelled.tolist() == [1, 0, 1, 0] and labels.dropna().tolist() == [1, 0, 0]


def test_a_fold_that_was_changed_is_not_of_the_row(tmp_path):
    save(tmp_path, ROW.replace(fold=(2, 4)), 0.5, ["a"])
    assert not as_it_is(next(tmp_path.iterdir()), "pldmlt", "small", "weight")
