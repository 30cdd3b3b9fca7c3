"""Recipes: pure data that records of any age keep, and that tell every run from every other."""

import copy
import dataclasses
import hashlib
import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch

from fundus_lib import records, run_table
from fundus_lib.errors import ArgumentError, UnknownNameError
from fundus_lib.losses import create_loss
from fundus_lib.recipes import PAPERS, TASKS, find, from_dict, recipes
from fundus_lib.recipes.dual_branch import dual, single
from fundus_lib.recipes.sunet import sunet

PATHS = [Path(file) for file in records.load()["file"]]
BEFORE_KINDS = {"loss": "crossentropy", "loss_args": {}, "kind": "segmentation"}
"""What did not enter a digest, at these values, when the committed records were written."""

ROWS = [recipe for paper in PAPERS for recipe in recipes(paper)]
UNET = find("first_segmenter", "unet")


def digest_as_recorded(plain: dict) -> str:
    kept = {name: value for name, value in plain.items() if name not in BEFORE_KINDS or value != BEFORE_KINDS[name]}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:8]


def test_every_record_keeps_its_digest_its_name_and_its_precision():
    """File names hold the digest of the recipe as it was when the run was made."""
    assert len(PATHS) > 100
    for path in PATHS:
        record = records.read(path)
        recipe = records.get_recipe(record)
        if "precision" not in record["recipe"]:  # made before recipes were pure data
            assert recipe.digest == digest_as_recorded(record["recipe"]), path.name
        content = f"{recipe.digest} {record['trained_on_fingerprint']} {record['dataset_fingerprint']}"
        assert path.stem == f"{recipe.stem}-{hashlib.sha256(content.encode()).hexdigest()[:8]}"
        assert recipe.precision == record["precision"]
        again = type(recipe).from_dict(json.loads(json.dumps(recipe.to_dict())))
        assert again == recipe and hash(again) == hash(recipe) and again.digest == recipe.digest


def test_every_record_is_recognised_by_the_row_that_it_is_of(tmp_path, monkeypatch):
    rows = {(r.paper, r.table, r.row): r for r in ROWS}
    known = 0
    for path in PATHS:
        record = records.read(path)
        monkeypatch.setattr(run_table, "test_fingerprint", lambda *_, of=record["dataset_fingerprint"]: of)
        trained = record.get("trained_on_fingerprint")
        monkeypatch.setattr(run_table, "training_fingerprint", lambda *_, of=trained: of)
        shutil.copy(path, tmp_path)
        copied = tmp_path / path.name
        row = rows[record["paper"], record["table"], record["row"]].replace(seed=record["seed"])
        if row.fold:  # a row stands for all its folds
            row = row.replace(fold=records.get_recipe(record).fold)
            assert row in rows[record["paper"], record["table"], record["row"]].replace(seed=row.seed).every_fold()
        if row.precision != record["precision"]:  # another precision is another run of the row
            assert (
                path.stem.startswith(("sunet-lite-sunet_mixed-", "sunet-lite-dr_dme_mixed-"))
                and record["precision"] == "bf16"
            )
            assert run_table._known(row, tmp_path, tmp_path) is None
            row = row.replace(precision=record["precision"])
        assert run_table._known(records.get_recipe(record), tmp_path, tmp_path) == copied
        assert run_table._known(row, tmp_path, tmp_path) == copied, path.name
        assert run_table._known(row.replace(epochs=row.epochs + 1), tmp_path, tmp_path) is None
        known += 1
        copied.unlink()
    assert known == len(PATHS)


def test_every_row_survives_json_copying_and_shrinks():
    for recipe in ROWS:
        plain = recipe.to_dict()
        again = from_dict(json.loads(json.dumps(plain)))
        assert again == recipe and hash(again) == hash(recipe) and again.digest == recipe.digest
        assert copy.deepcopy(recipe) == pickle.loads(pickle.dumps(recipe)) == recipe
        assert recipe.smoke().epochs <= 2 and recipe.smoke().digest != recipe.digest


@pytest.mark.parametrize("paper", PAPERS)
def test_no_two_rows_of_a_paper_share_a_digest_or_a_name(paper):
    rows = recipes(paper)
    assert {recipe.paper for recipe in rows} == {paper}
    assert len({r.digest for r in rows}) == len({(r.table, r.row) for r in rows}) == len(set(rows)) == len(rows)


@pytest.mark.parametrize("kind", TASKS)
def test_a_recipe_cannot_be_changed_at_any_depth(kind):
    recipe = next(r for r in ROWS if type(r) is kind)
    recipe = recipe.replace(criterion={**recipe.criterion, "small_args": {"p": 0.5}, "list": [1, {"a": 2}]})
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.seed = 1
    for mapping in (recipe.model_args, recipe.criterion, recipe.criterion["small_args"], recipe.criterion["list"][1]):
        with pytest.raises(TypeError):
            mapping["p"] = 1
    with pytest.raises(TypeError):
        recipe.criterion["list"][0] = 3
    given = {"width": 4}
    made = recipe.replace(model_args=given)
    given["width"] = 8
    assert made.model_args["width"] == 4
    made.to_dict()["model_args"]["width"] = 9
    assert made.model_args["width"] == 4


@pytest.mark.parametrize("value", [torch.tensor(1.0), object(), {1, 2}, {"deep": [print]}])
def test_a_recipe_of_anything_but_plain_values_is_refused(value):
    with pytest.raises(TypeError, match="plain"):
        UNET.replace(model_args={"width": value})


@pytest.mark.parametrize("recipe", [find("first_segmenter", "unet"), find("dual_branch", "unet_dice"), sunet("r")])
def test_each_setting_is_part_of_what_a_run_is(recipe):
    other = {"32": "bf16", "bf16": "32"}[recipe.precision]
    changed = [recipe.replace(precision=other), recipe.replace(fold=(1, 5)), recipe.replace(fold=(2, 5))]
    changed += [recipe.replace(**c) for c in ({"seed": 1}, {"criterion": {"a": 1}}, {"test_images": 3}, {"batch": 6})]
    pretrained = recipe.replace(pretraining_images=8, pretraining_epochs=1)
    changed += [pretrained, pretrained.replace(pretraining_optimizer="shared")]
    assert len({r.digest for r in [recipe, *changed]}) == len(set(changed)) + 1 == len(changed) + 1
    assert len({r.stem for r in (recipe, *changed[1:4])}) == 4
    for made in changed:
        assert from_dict(made.to_dict()) == made


@pytest.mark.parametrize(
    ("row", "old", "new"),
    [
        (UNET, {"lesion_share": 0.5}, {"lesion_fraction": 0.5}),
        (UNET, {"validation_images": 3}, {"validation": 3}),
        (UNET, {"loss": "dice", "loss_args": {"pool": "batch"}},
         {"criterion": {"loss": "dice", "loss_args": {"pool": "batch"}}}),
        (single("r", "unet", "dice"), {"versions": 2}, {"dihedral": 2}),
        (single("r", "unet", "dice"), {"test_on": "DDR"}, {"dataset": "DDR"}),
        (single("r", "unet", "dice"), {"validation_images": 4}, {"validation": 4}),
    ],
)  # fmt: skip
def test_old_names_of_settings_are_accepted(row, old, new):
    plain = {name: value for name, value in row.to_dict().items() if name not in new}
    assert from_dict({**plain, **old}) == row.replace(**new)


def test_unknown_names_are_answered_with_those_that_exist():
    with pytest.raises(UnknownNameError, match="first_segmenter"):
        recipes("second_segmenter")
    with pytest.raises(UnknownNameError, match="unet_512"):
        find("first_segmenter", "unet_5")
    with pytest.raises(UnknownNameError, match="dual_branch"):
        from_dict({"kind": "triple_branch"})
    with pytest.raises(ArgumentError, match="color"):
        from_dict({**UNET.to_dict(), "color": 1})


@pytest.mark.parametrize(
    ("recipe", "bad"),
    [
        *((row, bad) for row in (UNET, single("r", "pspnet", "dice"), sunet("r")) for bad in (
            {"batch": 0}, {"epochs": 0}, {"lesions": ()}, {"pretraining_images": 3}, {"pretraining_epochs": 2},
            {"precision": "64"}, {"fold": (0, 5)}, {"fold": (6, 5)}, {"fold": (1, 1)}, {"validation": -1},
            {"validation": 1.5},
        )),
        *((UNET, bad) for bad in (
            {"crop": 1000}, {"lesion_fraction": 1.5}, {"steps": 0},
            {"train_on": "SyntheticFundus", "train_images": None},
            {"train_on": "SyntheticFundus", "train_images": 4, "fold": (1, 2)},
        )),
        *((single("r", "pspnet", "dice"), bad) for bad in ({"dihedral": 7}, {"optimiser": "hed"}, {"choose_by": "x"})),
        *((sunet("r"), bad) for bad in (
            {"masks": -1}, {"masks": 0}, {"order": "in turns"}, {"model": "unet"}, {"choose_by": "joint_accuracy"},
            {"validation": 1}, {"validation": None},
        )),
    ],
)  # fmt: skip
def test_recipes_refuse_what_does_not_go_together(recipe, bad):
    with pytest.raises(ArgumentError, match=r"do not go together|has fixed choices"):
        recipe.replace(**bad)


@pytest.mark.parametrize(
    ("paper", "wrong"),
    [
        ("first_segmenter", {"normalise_by": "training_set"}),
        ("first_segmenter", {"train_on": "DDR"}),
        ("first_segmenter", {"pretraining_optimizer": "same"}),
        ("first_segmenter", {"precision": 32}),
        *((paper, {"choose_by": "auprc"}) for paper in ("first_segmenter", "hecl", "local_global", "benchmark")),
        ("dual_branch", {"optimiser": "SGD"}),
        ("dual_branch", {"normalise_by": "training set"}),
        ("dual_branch", {"choose_by": ""}),
        ("sunet", {"model": "unet"}),
        ("hecl", {"masks": "inflate"}),
        ("hecl", {"normalise_by": "imagenet"}),
        ("local_global", {"last": "both"}),
        ("local_global", {"optimiser": "sgd"}),
        *(("pldmlt", {name: "x"}) for name in ("labels", "order", "outer", "derivative", "form", "allowed")),
        ("pldmlt", {"optimiser": "sgd"}),
        ("pldmlt", {"choose_by": "kappa"}),
        ("benchmark", {"sampling": "lesions"}),
        ("benchmark", {"labels": "graders"}),
        ("benchmark", {"test_on": "IDRiD"}),
    ],
)  # fmt: skip
def test_a_setting_with_fixed_choices_takes_no_other(paper, wrong):
    (name, value), recipe = *wrong.items(), recipes(paper)[0]
    with pytest.raises(ArgumentError, match=f"the setting {name} has fixed choices") as caught:
        recipe.replace(**wrong)
    assert repr(getattr(recipe, name)) in caught.value.expected and caught.value.found == repr(value)


def test_the_rows_of_a_race_differ_in_their_loss_alone():
    tables = {table: recipes("losses", table) for table in ("race", "anywhere", "faster")}
    for rows in tables.values():
        assert len({row.replace(row="", criterion={}).digest for row in rows}) == 1
        for row in rows:
            assert row.row == row.criterion["loss"]
            assert isinstance(create_loss(row.row, **row.criterion["loss_args"]), torch.nn.Module)
    assert len(tables["race"]) == 6
    same = {row.row: row.criterion for row in tables["race"]}
    assert all(same[row.row] == row.criterion for rows in tables.values() for row in rows)


def test_pre_training_shrinks_too():
    made = dual("r", "unet", pretraining_images=300, pretraining_epochs=9).smoke()
    assert (made.pretraining_images, made.pretraining_epochs) == (2, 1)
