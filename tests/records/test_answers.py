"""Answers by image from records, and rows compared on them: paired by image, seed and data, the latest run of each."""

import numpy as np
import pytest

from fundus_lib import records
from fundus_lib.metrics import paired_test
from fundus_lib.recipes import recipes
from fundus_lib.records.answers import answers, paired
from helpers.records import RECORD

NAMES = [f"IDRiD_{n:03d}" for n in range(1, 41)]
TRUE = {"dr_true": [n % 5 for n in range(40)], "dme_true": [n % 3 for n in range(40)]}


def said(wrong_dr: int = 0, wrong_dme: int = 0, *, first: int = 0) -> dict[str, list]:
    """Right but for some images from the `first` on."""
    off = lambda true, count, size: [(t + (first <= n < first + count)) % size for n, t in enumerate(true)]  # noqa: E731
    dr, dme = off(TRUE["dr_true"], wrong_dr, 5), off(TRUE["dme_true"], wrong_dme, 3)
    return {"names": NAMES, "dr": dr, "dme": dme, **TRUE}


@pytest.fixture
def save(tmp_path):
    def save(row, seed, predictions, *, day=1, data="ab"):
        more = {"predictions": predictions} if predictions else {}
        record = {**RECORD, "row": row, "seed": seed, "dataset_fingerprint": data, "date": f"2026-01-0{day}", **more}
        records.save(record, tmp_path / f"{row}-{seed}-{9 - day}-{data}.json")

    save.load = lambda: answers(records.load(tmp_path, packaged=False))
    return save


def compare(save, right="joint", **settings):
    return paired(save.load(), ("2", "new"), ("2", "old"), right, paper="p", **settings)


def test_answers_are_one_line_per_run_and_image(save):
    save("new", 0, said(4, 2))
    save("old", 1, said(5))
    save("masks alone", 0, None)
    lines = save.load()
    assert len(lines) == 80 and set(lines.row) == {"new", "old"}
    new = lines[lines.row == "new"]
    assert list(new.name) == NAMES and list(new.dr_true) == TRUE["dr_true"]
    assert [int((~new[f"{what}_right"]).sum()) for what in ("dr", "dme", "joint")] == [4, 2, 4]


def test_what_was_not_graded_is_missing_not_wrong(save):
    one = said(4)
    del one["dme"], one["dme_true"]
    save("new", 0, one)
    save("old", 0, said(1))
    lines = save.load()
    new = lines[lines.row == "new"]
    assert new[["dme", "dme_true", "dme_right", "joint_right"]].isna().to_numpy().all()
    assert new.dr_right.notna().all() and not compare(save, "joint") and not compare(save, "dme")
    assert compare(save, "dr").difference.value == pytest.approx(-3 / 40)


def test_without_answers_there_is_an_empty_table(save, tmp_path):
    save("new", 0, None)
    empty = save.load()
    assert empty.empty and {"name", "dr", "joint_right"} <= set(empty.columns)
    found = paired(empty, ("small", "sunet"), ("small", "dr_dme"))
    assert str(found) == "not run yet" and not found and np.isnan(found.disagreement)


def test_pairs_are_of_one_seed_and_one_data_set_and_the_latest_run(save):
    save("old", 0, said(8))
    save("new", 0, said(6, first=5), day=2)
    save("new", 0, said(40), day=1)  # an older run
    save("old", 1, said(8))
    save("new", 1, said(2), data="cd")  # on other images
    save("new", 2, said(2))  # its partner was never run
    found = compare(save)
    assert list(found.by_seed) == [0]
    test = found.by_seed[0]  # wrong: images 0 to 7 against 5 to 10
    assert (test.both, test.only_a, test.only_b, test.neither) == (29, 5, 3, 3)
    assert test.p_value == pytest.approx(paired_test([1] * 5 + [0] * 3, [0] * 5 + [1] * 3).p_value)
    assert found.disagreement == pytest.approx(8 / 40)
    assert str(found).startswith("+0.050 [−0.") and str(found).endswith("(one seed)")


def test_images_are_paired_by_name_whatever_their_order(save):
    save("old", 0, said(8))
    turned = {name: values[::-1] for name, values in said(8).items()}
    save("new", 0, turned)
    found = compare(save)
    assert (found.by_seed[0].only_a, found.by_seed[0].only_b) == (0, 0)


def test_interval_over_images_is_that_of_the_bootstrap_and_seeds_widen_it(save):
    save("old", 0, said(8))
    save("new", 0, said(6, first=5))
    single = compare(save, resamples=20_000)
    alone = single.by_seed[0].difference
    assert (single.difference.low, single.difference.high) == pytest.approx((alone.low, alone.high), abs=0.026)
    save("old", 1, said(8))
    save("new", 1, said(30))  # this training failed
    both = compare(save, resamples=20_000)
    assert both.difference.value == pytest.approx((2 - 22) / 80)
    assert str(both).endswith("(2 seeds)")
    # The seed that failed is drawn twice in a quarter of the selections, so the interval reaches to its own difference.
    assert both.difference.low < -22 / 40 and both.difference.high > 2 / 40
    assert compare(save, confidence=0.5).difference.low > both.difference.low


def test_runs_of_a_recipe_that_was_shrunk_are_left_out(save, tmp_path):
    (recipe,) = recipes("sunet", "lite", "dr")
    for seed, made in enumerate((recipe, recipe.smoke())):
        made = made.replace(seed=seed)
        row = {"paper": "sunet", "table": "lite", "row": "dr", "seed": seed, "recipe": made.to_dict()}
        records.save({**RECORD, **row, "predictions": said(4)}, tmp_path / f"{seed}.json")
    assert set(save.load().seed) == {0}


def test_folds_of_a_run_are_read_together_and_unknown_grades_do_not_count(save, tmp_path):
    half = {name: values[:20] for name, values in said(4).items()}
    rest = {name: values[20:] for name, values in said(4).items()} | {"dr_true": [-1] * 20}
    for number, predictions in enumerate((half, rest), 1):
        fold = {"recipe": {"fold": [number, 2]}, "predictions": predictions, "row": "new", "dataset_fingerprint": "ab"}
        records.save({**RECORD, **fold}, tmp_path / f"fold{number}.json")
    lines = save.load()
    assert len(lines) == 40 and lines.dr_right.notna().sum() == 20 and (~lines.dr_right.dropna()).sum() == 4


def test_images_that_only_one_row_was_tested_on_do_not_count(save):
    def part(answers, names):
        kept = [name in names for name in NAMES]
        return {key: [v for v, keep in zip(values, kept, strict=True) if keep] for key, values in answers.items()}

    save("new", 0, part(said(), NAMES[:30]))
    save("old", 0, part(said(8, first=0), NAMES[5:]))
    found = compare(save, "dr")
    assert found.difference.value == pytest.approx(3 / 25)  # of the images 5 to 29, those 5 to 7 were wrong
    save("new", 1, part(said(), NAMES[:5]))
    save("old", 1, part(said(), NAMES[5:10]))
    assert not compare(save, "dr")
