"""Differences of rows: paired by seed and data, the latest run of each, and "not run yet" where there is none."""

import math

import pytest

from fundus_lib import records
from fundus_lib.errors import UnknownNameError
from fundus_lib.records.answers import answers, paired
from fundus_lib.records.differences import Difference, difference, scores
from fundus_lib.records.image_gains import image_gain
from helpers.records import RECORD


@pytest.fixture
def folder(tmp_path):
    def save(row, seed, value, *, day=1, data="ab", **more):
        record = {
            **RECORD,
            "row": row,
            "seed": seed,
            "metrics": {"EX_aupr": value},
            "dataset_fingerprint": data,
            **more,
        }
        records.save(record | {"date": f"2026-01-0{day}"}, tmp_path / f"{row}-{seed}-{9 - day}-{data}-{len(more)}.json")

    save("plain", 0, 0.50)
    save("plain", 1, 0.60)
    save("plain", 2, 0.90)  # its partner was never run
    save("new", 0, 0.10, day=2, variants={"small branch": {"EX_aupr": 0.25}})
    save("new", 0, 0.99, day=1)  # an older run
    save("new", 1, 0.65)
    save("new", 2, 0.95, data="cd")  # on other data
    save("new", 3, 0.10, dataset="SyntheticFundus")
    save("plain", 3, 0.20, dataset="SyntheticFundus")
    return tmp_path


def test_pairs_are_of_one_seed_and_one_data_set(folder):
    found = difference("p", ("2", "new"), ("2", "plain"), "EX_aupr", folder)
    assert found.by_seed == pytest.approx({0: -0.40, 1: 0.05})
    assert (found.mean, found.low, found.high) == pytest.approx((-0.175, -0.4, 0.05))
    assert str(found) == "−0.175 (−0.400 to +0.050 over 2 seeds)"
    assert found


def test_variants_are_scores_of_the_same_run(folder):
    assert scores("p", "2", "new", "EX_aupr", folder, variant="small branch") == {(0, "ab"): 0.25}
    found = difference("p", ("2", "new", "small branch"), ("2", "new"), "EX_aupr", folder)
    assert found.by_seed == pytest.approx({0: 0.15})
    assert str(found) == "+0.150 (one seed)"


@pytest.mark.parametrize(
    ("of", "metric"), [(("2", "other"), "EX_aupr"), (("2", "new"), "EX_f1"), (("2", "new", "x"), "EX_aupr")]
)
def test_what_was_not_run_says_so(folder, of, metric):
    found = difference("p", of, ("2", "plain"), metric, folder)
    assert str(found) == "not run yet" and not found and math.isnan(found.mean)
    assert math.isnan(Difference({}).low) and math.isnan(Difference({}).high)


@pytest.mark.parametrize(
    ("paper", "row", "metric", "meant"),
    [
        ("sunet", ("lite", "sunet_mixd"), "joint_accuracy", "sunet_mixed"),
        ("sunet", ("light", "sunet_mixed"), "joint_accuracy", "lite"),
        ("sunnet", ("lite", "sunet_mixed"), "joint_accuracy", "sunet"),
        ("sunet", ("lite", "sunet_mixed"), "joint_acuracy", "joint_accuracy"),
    ],
)
def test_what_is_misspelt_is_not_taken_for_not_run(paper, row, metric, meant):
    there = ("lite", "sunet_mixed")
    with pytest.raises(UnknownNameError, match=rf"(?s)did you mean.*{meant}"):
        difference(paper, row, there, metric)
    if metric != "joint_accuracy":
        row, meant = there, "dr_right"
    with pytest.raises(UnknownNameError, match=rf"(?s)did you mean.*{meant}"):
        image_gain(paper, row, there, "dr_rihgt")
    if row != there:
        with pytest.raises(UnknownNameError, match=rf"(?s)did you mean.*{meant}"):
            paired(answers(records.load()), there, row, paper=paper)
