"""Differences of rows: paired by seed and data, the latest run of each, and "not run yet" where there is none."""

import math

import pytest

from fundus_lib import records
from fundus_lib.errors import ArgumentError, UnknownNameError
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
    ("of", "over"), [(("2", "other"), ("2", "plain")), (("2", "new", "small branch"), ("2", "plain", "small branch"))]
)
def test_what_was_not_run_says_so(folder, of, over):
    found = difference("p", of, over, "EX_aupr", folder)
    assert str(found) == "not run yet" and not found and math.isnan(found.mean)
    assert math.isnan(Difference({}).low) and math.isnan(Difference({}).high)


@pytest.mark.parametrize(
    ("paper", "row", "meant"),
    [
        ("sunet", ("lite", "sunet_mixd"), "sunet_mixed"),
        ("sunet", ("light", "sunet_mixed"), "lite"),
        ("sunnet", ("lite", "sunet_mixed"), "sunet"),
    ],
)
def test_a_misspelt_row_is_not_taken_for_one_not_run(paper, row, meant):
    there, words = ("lite", "sunet_mixed"), rf"(?s)did you mean.*{meant}"
    for ask in (
        lambda: difference(paper, row, there, "joint_accuracy"),
        lambda: image_gain(paper, there, row, "dr_right"),
        lambda: paired(answers(records.load()), there, row, paper=paper),
    ):
        with pytest.raises(UnknownNameError, match=words):
            ask()


@pytest.mark.parametrize(
    ("variant", "metric", "dataset", "meant"),
    [
        ("", "joint_acuracy", "IDRiD", "joint_accuracy"),
        ("", "EX_iou", "IDRiD", "the records have no such score"),  # that of other papers
        ("best on tset", "joint_accuracy", "IDRiD", "best on test"),
        ("", "joint_accuracy", "IDRID", "did you mean IDRiD"),
    ],
)
def test_a_misspelt_score_variant_or_data_set_is_refused(variant, metric, dataset, meant):
    there = ("lite", "sunet_mixed")
    with pytest.raises(UnknownNameError, match=meant):
        difference("sunet", (*there, variant), there, metric, dataset=dataset)


@pytest.mark.parametrize(
    ("score", "meant"), [("dr_rihgt", "dr_right"), ("EX_iou", "dr_right"), ("dr", "no such score")]
)
def test_what_is_no_score_of_images_is_refused(score, meant):
    with pytest.raises(UnknownNameError, match=meant):
        image_gain("sunet", ("lite", "sunet_mixed"), ("lite", "sunet_mixed"), score)
    with pytest.raises(ArgumentError, match="'joint' or 'dr' or 'dme'"):
        paired(answers(records.load()), ("lite", "sunet_mixed"), ("lite", "dr_dme"), "joint_right")


@pytest.mark.parametrize("place", ["sunet_mixed", ("lite",), (1, "sunet"), ("a", "b", "c", "d")])
def test_a_row_is_a_table_and_a_name(place):
    for ask in (difference, image_gain):
        with pytest.raises(ArgumentError, match="a tuple of two texts"):
            ask("sunet", place, ("lite", "sunet_mixed"), "dr_right")
