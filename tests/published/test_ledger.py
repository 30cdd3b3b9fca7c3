"""The ledger: no published row is missing, every counterpart exists, and what differs is named."""

import dataclasses
import re
from importlib import import_module

import pytest

from fundus_lib import records
from fundus_lib.errors import UnknownNameError
from fundus_lib.published import ledger, ledger_summary, show_ledger, table, tables
from fundus_lib.published.ledger import MEASURED, NO_DATA, NOT_RUN, QUOTED, RUN, counterparts, deviations, recipe_names
from fundus_lib.recipes import PAPERS, recipes
from helpers.records import RECORD

MODULE = import_module("fundus_lib.published.ledger")  # whose name in the package is the function's
METRICS = {"EX_sensitivity": 0.7, "EX_iou": 0.6, "EX_aupr": 0.9, "EX_aupr_11": 0.8, "EX_region_f1_0.35": 0.95}
WITH_RECIPES = [paper for paper in dict.fromkeys(t.paper for t in tables()) if paper in PAPERS]


GRADES = {"dr_accuracy": 0.5, "dme_accuracy": 0.75, "joint_accuracy": 0.25}


def save(folder, recipe, seed=0, **more):
    recipe = recipe.replace(seed=seed)
    names = {"paper": recipe.paper, "table": recipe.table, "row": recipe.row, "dataset": recipe.dataset}
    record = {**RECORD, **names, "seed": seed, "recipe": recipe.to_dict(), "metrics": METRICS} | more
    records.save(record, folder / f"{len(list(folder.iterdir()))}.json")
    return record


def recipe(name, paper="dual_branch"):
    return recipes(paper, *name.split("/"))[0]


@pytest.mark.parametrize("paper", WITH_RECIPES)
def test_every_published_row_has_a_counterpart_or_is_quoted(paper):
    known = counterparts(paper)
    for printed in (t for t in tables() if t.paper == paper):
        rows = set(table(paper, printed.number).index)
        entries = known.rows.get(str(printed.number), {})
        assert set(entries) <= rows, "an entry for a row that is not printed"
        left = rows - set(entries) - set(printed.quoted) - {"DDR"}  # the other row of Table 1 is no run either
        assert not left, f"Table {printed.number}: neither a recipe nor quoted"
        measured = all("measured" in entry for entry in entries.values())
        assert {column for column in printed.headings if not column.endswith("_sd")} <= set(known.metrics) or measured


@pytest.mark.parametrize("paper", WITH_RECIPES)
def test_every_counterpart_is_a_recipe_on_the_data_of_its_row(paper):
    there = {f"{r.table}/{r.row}": r for r in recipes(paper)}
    lines = ledger(paper).drop_duplicates(["table", "row"]).set_index(["table", "row"])
    for number, rows in counterparts(paper).rows.items():
        for row, entry in rows.items():
            named = [*recipe_names(entry), *entry.get("changed", ())]
            assert set(named) | set(entry.get("nearest", ())) <= set(there)
            needed = {data for name in named for data in there[name].needs}
            assert needed <= set(lines.data[int(number), row].split(", "))
            assert not set(named) & set(entry.get("nearest", ())), "a substitute shown as the row itself"
    settings = {field.name for r in recipes(paper) for field in dataclasses.fields(r)}
    known = counterparts(paper)
    assert set(known.as_published) <= {"*", *(recipe.dataset for recipe in there.values()), *there}
    named = [key for group in (known.phrases, *known.as_published.values()) for key in group]
    assert {re.split(r"[.=]", key)[0] for key in named} <= settings


@pytest.mark.parametrize("paper", WITH_RECIPES)
def test_recipes_of_the_published_tables_are_all_in_the_ledger(paper):
    mapped = {
        name for rows in counterparts(paper).rows.values() for entry in rows.values() for name in recipe_names(entry)
    }
    assert {f"{r.table}/{r.row}" for r in recipes(paper) if r.table.isdecimal()} == mapped


@pytest.mark.parametrize("paper", WITH_RECIPES)
def test_numbers_in_the_words_for_a_deviation_come_from_the_recipes(paper):
    phrases = counterparts(paper).phrases
    assert not [text for text in phrases.values() if re.search(r"(?<![\w-])\d", text)], "typed in, it may become false"


def test_runs_are_summed_up_over_their_seeds(tmp_path):
    save(tmp_path, recipe("4/pspnet_dice"))
    save(tmp_path, recipe("4/pspnet_dice"), 1, metrics={**METRICS, "EX_iou": 0.5}, device="a GPU")
    lines = ledger("dual_branch", tmp_path)
    line = lines[(lines.table == 4) & (lines.row == "PSPNet + Dice") & (lines.recipe == "4/pspnet_dice")].iloc[0]
    assert (line.status, line.seeds, line.device) == (RUN, 2, "CPU or a GPU")
    assert (line.iou, line.iou_ours, line.iou_low, line.iou_high) == pytest.approx((0.6106, 0.55, 0.5, 0.6))
    assert line.aupr_ours == 0.8, "the paper's own area, of eleven points"
    assert line["f_0.35_ours"] == 0.95 and line.ppv_ours != line.ppv_ours


def test_the_same_system_in_two_tables_is_one_run(tmp_path):
    save(tmp_path, recipe("4/dual_hed_dsm"))
    lines = ledger("dual_branch", tmp_path)
    assert [*lines[lines.recipe == "4/dual_hed_dsm"].table] == [4, 6]


def test_deviations_are_named_and_come_from_the_recipes(tmp_path):
    said = deviations("dual_branch", "4/pspnet_dice", save(tmp_path, recipe("4/pspnet_dice")))
    assert sorted(text.split()[0] for text in said) == ["colours", "mixed", "some", "torchvision's"]
    said = deviations("dual_branch", "4/pspnet_dice", save(tmp_path, recipe("scratch/pspnet_dice")))
    assert "no ImageNet weights" in said and not any("stem" in text or "colours" in text for text in said)
    changed = recipe("4/pspnet_dice").replace(size=(320, 480), epochs=3, fold=(2, 5))
    said = deviations("dual_branch", "4/pspnet_dice", save(tmp_path, changed, dataset="drawn"))
    assert {"320×480 pixels instead of 960×1440", "3 epochs instead of 40"} <= set(said)
    assert said[-3:] == ["tested on drawn", "fold 2 of 5", "mixed precision (bf16)"]
    exact = deviations("dual_branch", "4/pspnet_dice", save(tmp_path, changed.replace(precision="32", fold=None)))
    assert not any("precision" in text or "fold" in text for text in exact)
    said = deviations("dual_branch", "4/hed_cbce", save(tmp_path, recipe("4/hed_cbce")))
    assert "learning rate 1e-06 instead of 0.0002" in said and not any("mean over pixels" in text for text in said)
    said = deviations("dual_branch", "4/pspnet_cbce", save(tmp_path, recipe("4/pspnet_cbce")))
    assert "the loss is the mean over pixels instead of the sum" in said
    on_ddr = deviations("dual_branch", "2/dual_pspnet_p75", save(tmp_path, recipe("2/dual_pspnet_p50")))
    assert "sample rate 0.5 instead of 0.75" in on_ddr and not any("choose" in text for text in on_ddr)


def test_of_several_counterparts_a_run_is_compared_with_that_of_its_lesion(tmp_path, monkeypatch):
    made = {name: recipe("4/pspnet_dice").replace(row=name, lesions=(name[:2],)) for name in ("EX_a", "MA_a", "MA_b")}
    monkeypatch.setattr("fundus_lib.recipes.recipes", lambda paper, table, row: [made[row]])
    entry = {"recipe": ["4/EX_a", "4/MA_a"], "changed": ["4/MA_b"]}
    assert MODULE._counterpart("dual_branch", entry, save(tmp_path, made["MA_b"])) == "4/MA_a"
    assert MODULE._counterpart("dual_branch", entry, save(tmp_path, made["EX_a"])) == "4/EX_a"
    assert recipe_names({}) == () and recipe_names({"recipe": "4/EX_a"}) == ("4/EX_a",)


def test_an_old_record_has_the_deviations_of_its_recipe_today(tmp_path):
    new = recipe("scratch/pspnet_dice")
    old = new.to_dict()
    for today, before in new.RENAMED.items():
        old[before] = old.pop(today)
    for later in ("precision", "fold", "pretraining_optimizer"):
        del old[later]
    record = save(tmp_path, new)
    said = deviations("dual_branch", "4/pspnet_dice", record)
    assert deviations("dual_branch", "4/pspnet_dice", {**record, "recipe": old, "precision": "bf16"}) == said
    before = {**record, "seed": 1, "recipe": {**old, "seed": 1}, "precision": "bf16"}
    records.save(before, tmp_path / "before.json")
    lines = ledger("dual_branch", tmp_path).query("recipe == 'scratch/pspnet_dice' and device == 'CPU'")
    assert [*lines.seeds] == [2], "one row, written before and after"


def test_runs_of_uncommitted_code_are_marked(tmp_path):
    save(tmp_path, recipe("6/lseg"), dirty=True)
    lines = ledger("dual_branch", tmp_path).query("recipe == '6/lseg' and device == 'CPU'")
    assert [*lines.uncommitted] == [True]
    page = show_ledger("dual_branch", 6, tmp_path)._repr_html_()
    assert "†</sup>" in page and "not committed" in page


def test_what_sunet_leaves_unsaid_is_told_apart_from_what_differs(tmp_path):
    as_it_is = recipe("1/sunet", "sunet")
    said = deviations("sunet", "1/sunet", save(tmp_path, as_it_is))
    assert {text for text in said if "not given" not in text} == {
        "images shared by training and test set, and duplicates with different grades, left out",
        f"a fraction of {as_it_is.validation} of the training images chooses the epoch instead of training",
        "mixed precision (bf16)",
    }
    assert f"squares of {as_it_is.side} pixels (paper: not given)" in said and not any(
        "instead of None" in text for text in said
    )
    small = deviations("sunet", "1/sunet", save(tmp_path, recipe("small/sunet", "sunet")))
    assert {"resnet18 instead of ResNet-34", "no ImageNet weights (paper: not given)"} <= {*small} - {*said}
    with_leaks = deviations("sunet", "1/sunet", save(tmp_path, recipe("beyond/leaks", "sunet")))
    assert {*said} - {*with_leaks} == {
        "images shared by training and test set, and duplicates with different grades, left out"
    }
    control = deviations("sunet", "1/dr_dme", save(tmp_path, recipe("beyond/dr_dme_alternating", "sunet")))
    assert {*control} - {*said} == {
        "with the layers of the lesion regulariser",
        "the lesions' loss counts 0.0",
        "batches “alternate” instead of “mixed”",
    }


def test_every_row_of_sunet_at_another_scale_stands_beside_a_printed_one():
    beside = {
        name for rows in counterparts("sunet").rows.values() for e in rows.values() for name in e.get("nearest", ())
    }
    assert {f"{r.table}/{r.row}" for r in recipes("sunet") if r.table in ("small", "lite")} <= beside


def test_both_tables_of_sunet_have_its_accuracies_and_say_that_the_challenge_is_quoted(tmp_path):
    save(tmp_path, recipe("1/sunet", "sunet"), metrics=GRADES)
    single = {name: score for name, score in GRADES.items() if name.startswith("dme")}
    save(tmp_path, recipe("1/dme_lr", "sunet"), metrics=single)
    lines = ledger("sunet", tmp_path).drop_duplicates(["table", "row"]).set_index(["table", "row"])
    for number in (1, 2):
        assert lines.loc[(number, "SUNet"), ["total_ours", "dr_ours", "dme_ours"]].tolist() == [0.25, 0.5, 0.75]
    assert lines.dme_ours[1, "DME+LR"] == 0.75 and lines.dr_ours[1, "DME+LR"] != lines.dr_ours[1, "DME+LR"]
    assert [*lines.status[2][["1st", "2nd", "3rd"]]] == [QUOTED] * 3
    assert "leaderboard" in show_ledger("sunet", 2)._repr_html_()


def test_the_run_that_is_nearest_to_the_published_one_comes_first(tmp_path):
    save(tmp_path, recipe("4/pspnet_dice").replace(size=(320, 480), epochs=2))
    save(tmp_path, recipe("scratch/pspnet_dice"))
    lines = ledger("dual_branch", tmp_path)
    lines = lines[(lines.row == "PSPNet + Dice") & (lines.table == 4) & (lines.device == "CPU")]
    assert [*lines.recipe] == ["scratch/pspnet_dice", "4/pspnet_dice"]


def test_substitutes_stand_apart(tmp_path, monkeypatch):
    near = {"4": {"PSPNet + Dice": {"recipe": "4/pspnet_dice", "nearest": ["small/x"]}}}
    known = dataclasses.replace(counterparts("dual_branch"), rows=near)
    monkeypatch.setattr(MODULE, "counterparts", lambda paper: known)
    save(tmp_path, recipe("4/pspnet_dice").replace(table="small", row="x", epochs=9), device="this test")
    assert "this test" not in set(ledger("dual_branch", tmp_path).device)
    lines = ledger("dual_branch", tmp_path, nearest=True)
    assert [*lines.row] == ["PSPNet + Dice"] and "9 epochs instead of 40" in lines.deviations.iloc[0]
    assert "another scale" in show_ledger("dual_branch", 4, tmp_path, nearest=True)._repr_html_()


def test_states_of_rows_without_a_run(tmp_path):
    lines = ledger("dual_branch").drop_duplicates(["table", "row"]).set_index(["table", "row"])
    assert lines.status[1, "IDRiD"] == MEASURED and lines.status[1, "DDR"] == NO_DATA
    assert lines.loc[(1, "IDRiD"), ["ratio_ours", "size_large_ours"]].tolist() == pytest.approx([110.6, 1.09e-4], 0.01)
    assert lines.status[2, "0.5"] == NO_DATA
    save(tmp_path, recipe("3/pspnet_dice"))
    lines = ledger("dual_branch", tmp_path).drop_duplicates(["table", "row"]).set_index(["table", "row"])
    assert (lines.status[3, "PSPNet + Dice"], lines.status[2, "0.5"]) == (RUN, NOT_RUN)
    assert ledger("hecl").set_index(["table", "row"]).status[1, "CogSeg"] == QUOTED
    with pytest.raises(UnknownNameError, match="nobody"):
        ledger("nobody")


def test_percentages_are_compared_with_percentages(tmp_path, monkeypatch):
    known = dataclasses.replace(counterparts("hecl"), metrics=dict.fromkeys(("iou", "f1", "auc", "recall"), "EX_iou"))
    known = dataclasses.replace(known, rows={"1": {"Ours": {"recipe": "1/ours"}}})
    monkeypatch.setattr(MODULE, "counterparts", lambda paper: known)
    monkeypatch.setattr(MODULE, "deviations", lambda *_: [])
    save(tmp_path, recipe("4/pspnet_dice").replace(paper="hecl", table="1", row="ours"))
    line = ledger("hecl", tmp_path).query("status == @RUN").iloc[0]
    assert line.iou_ours == pytest.approx(60) and 40 < line.iou < 90
    assert ">60.0</span></td>" in show_ledger("hecl", 1, tmp_path)._repr_html_()


def test_summary_counts_every_printed_row_once(tmp_path):
    summary = ledger_summary()
    assert [*summary["rows"]] == [sum(len(table(p, t.number)) for t in tables() if t.paper == p) for p in summary.index]
    assert (summary.drop(columns="rows").sum(axis=1) == summary["rows"]).all()
    for start in ("4", "scratch"):
        save(tmp_path, recipe(f"{start}/hed_dice"))
    more = ledger_summary(tmp_path).loc["dual_branch"]
    assert more["rows"] == summary.loc["dual_branch", "rows"]


def test_page_shows_the_printed_numbers_and_ours_with_notes(tmp_path):
    save(tmp_path, recipe("6/lseg"), device="<device>")
    save(tmp_path, recipe("6/lseg"), 1, device="<device>", metrics={**METRICS, "EX_iou": 0.5})
    page = show_ledger("dual_branch", 6, tmp_path)._repr_html_()
    for text in table("dual_branch", 6, text=True).drop(columns="quoted_from").to_numpy().ravel():
        assert f">{text}<" in page
    assert "ours, 2 seeds<sup>1</sup>" in page and "0.500–0.600" in page and ">–</td>" in page
    assert "<p>1 6/lseg on &lt;device&gt;.</p>" in page and "†" not in page
    assert re.search(r">[^<]*some of the training images[^<]*</td><td[^>]*>1</td>", page)
    assert page.startswith("<details") and re.search(r"^[^>]* open>", page) and ", 1 run, " in page
    save(tmp_path, recipe("6/bin").replace(epochs=2))
    page = show_ledger("dual_branch", 6, tmp_path)._repr_html_()
    assert re.search(r">[^<]*some of the training images[^<]*</td><td[^>]*>all</td>", page), "once for both"
    assert (
        re.search(r">2 epochs instead of 40</td><td[^>]*>2</td>", page)
        and "1 6/lseg on &lt;device&gt;; 2 6/bin" in page
    )
    assert page.count("published number: computed here from masks") == 2
    assert "not run yet" in page or not (ledger("dual_branch").query("table == 6").status == NOT_RUN).any()
    assert "lseg" not in repr(show_ledger("dual_branch", 1))
