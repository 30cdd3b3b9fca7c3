"""Rows of recorded runs: the latest of the recipe as it is, scores by seed, marks and curves."""

from pathlib import Path

import pytest

from fundus_lib import records
from fundus_lib.errors import ArgumentError, RecordError, UnknownNameError
from fundus_lib.recipes import recipes
from fundus_lib.records import read
from fundus_lib.records.differences import describe, mean_gain
from fundus_lib.records.rows import (
    check_one_experiment,
    curves,
    experiment,
    latest,
    mark,
    scores_by_seed,
    select,
)
from helpers.records import RECORD

RECIPE = recipes("sunet", "lite", "sunet_mixed")[0]
NAN = float("nan")
NAME = {"paper": "sunet", "table": "lite", "row": "sunet_mixed"}


@pytest.fixture
def runs(tmp_path):
    def save(seed, value, day=1, recipe=RECIPE, **more):
        own = {"seed": seed, "recipe": recipe.replace(seed=seed).to_dict(), "precision": recipe.precision}
        record = {
            **RECORD,
            **NAME,
            **own,
            "metrics": {"joint_accuracy": value, "EX_f1": NAN},
            "date": f"2026-01-0{day}",
            **more,
        }
        records.save(record, tmp_path / f"{seed}-{day}-{recipe.digest}.json")

    save(0, 0.4)
    save(0, 0.5, day=2, variants={"last epoch": {"joint_accuracy": 0.25}}, selection={"epoch": 7})
    save(1, 0.7, dirty=True)
    save(1, 0.1, day=3, recipe=RECIPE.replace(precision="bf16"))
    save(1, 0.2, day=4, recipe=RECIPE.smoke())
    return records.load(tmp_path, packaged=False, variants=True), tmp_path


def test_runs_in_another_precision_and_shrunk_ones_are_not_of_the_row(runs):
    kept = latest(runs[0])
    assert scores_by_seed(kept, "joint_accuracy", "lite", "sunet_mixed").to_dict() == {0: 0.5, 1: 0.7}
    assert scores_by_seed(kept, "joint_accuracy", "lite", "sunet_mixed", "last epoch").to_dict() == {0: 0.25}
    assert scores_by_seed(kept, "EX_f1", "lite", "sunet_mixed").empty
    assert len(latest(kept[:0])) == 0
    assert scores_by_seed(latest(runs[0], "bf16"), "joint_accuracy", "lite", "sunet_mixed").to_dict() == {1: 0.1}


def test_a_dagger_marks_uncommitted_code(runs):
    clean = runs[0][runs[0].seed == 0]
    assert mark(clean) == "" and mark(runs[0]) == "†"


def test_a_misspelt_row_is_refused_and_one_not_run_has_no_scores(runs):
    with pytest.raises(UnknownNameError, match="did you mean sunet_mixed"):
        scores_by_seed(runs[0], "joint_accuracy", "lite", "sunet_mixd")
    assert scores_by_seed(runs[0], "joint_accuracy", "lite", "sunet").empty


def test_curves_come_with_the_chosen_epoch(runs):
    found = list(curves(latest(runs[0])))
    assert [chosen for _, chosen in found] == [0, 7] or [chosen for _, chosen in found] == [7, 0]
    assert all([*curve.loss] == [0.3] for curve, _ in found)


def test_changes_are_put_into_words(tmp_path):
    variants = {"last epoch": {"joint_accuracy": 0.25}}
    records.save(RECORD | {"metrics": {"joint_accuracy": 0.5}, "variants": variants}, tmp_path / "a.json")
    row = ("2", "unet")
    names = {"joint_accuracy": "both"}
    assert describe("p", (*row, "last epoch"), row, names, tmp_path) == "both −0.250 (one seed)"
    assert describe("p", ("2", "no"), row, names, tmp_path) == "not run yet"
    assert mean_gain("p", [row, ("2", "no")], "last epoch", "joint_accuracy", tmp_path) == "−0.250"
    with pytest.raises(UnknownNameError, match="last epoch"):
        mean_gain("p", [row], "lst epoch", "joint_accuracy", tmp_path)


def test_no_mean_is_taken_over_runs_of_one_seed_or_of_a_variant_that_is_not_there(runs):
    with pytest.raises(RecordError, match=r"(?s)the same seed.*latest\(runs\)"):
        scores_by_seed(runs[0], "joint_accuracy", "lite", "sunet_mixed")
    with pytest.raises(ArgumentError, match="variants=True"):
        select(latest(records.load(runs[1], packaged=False)), "lite", "sunet_mixed", "last epoch")
    with pytest.raises(UnknownNameError, match="last epoch"):
        scores_by_seed(latest(runs[0]), "joint_accuracy", "lite", "sunet_mixed", "lst epoch")
    with pytest.raises(UnknownNameError, match="joint_accuracy"):
        scores_by_seed(latest(runs[0]), "joint_acuracy", "lite", "sunet_mixed")


def test_seeds_of_synthetic_training_are_one_experiment():
    """Synthetic training images are drawn anew for each seed, so that their digits differ."""
    one = read(Path(records.load().query("row == 'sunet_mixed_synthetic'").file.iloc[0]))
    other = {**one, "seed": 1, "recipe": {**one["recipe"], "seed": 1}, "trained_on_fingerprint": "another"}
    assert experiment(one) == experiment(other)
    check_one_experiment([one, other])


def test_runs_on_other_training_data_enter_no_mean():
    one = read(Path(records.load().query("paper == 'hecl' and row == 'unetpp'").file.iloc[0]))
    for change in ({"processes": 6}, {"trained_on_fingerprint": "another"}):
        with pytest.raises(RecordError, match="not of the same experiment"):
            check_one_experiment([one, {**one, "seed": 1, "recipe": {**one["recipe"], "seed": 1}, **change}])
