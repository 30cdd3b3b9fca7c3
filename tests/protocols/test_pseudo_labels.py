"""Pseudo labels as a table: made from two graders and a copy on disk, checked against its own columns."""

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from fundus_lib import cli
from fundus_lib.checkpoints import save_model
from fundus_lib.data import IDRiDGrading, IDRiDSegmentation
from fundus_lib.data.field_square import FieldSquare
from fundus_lib.data.image_set import ImageSet
from fundus_lib.data.splits import find_shared, overlap
from fundus_lib.errors import ArgumentError
from fundus_lib.experiment import create_task, read_data
from fundus_lib.protocols.grades import predict_all
from fundus_lib.protocols.pseudo_labels import COLUMNS, label_images, write_labels
from fundus_lib.pseudo_labels import allow_grades, correct_labels
from fundus_lib.recipes.pldmlt_graders import LITE
from fundus_lib.short_training import fit_last_layer

SHARED = [recipe.smoke() for recipe in LITE if recipe.shared]
UNSHARED = [recipe.smoke() for recipe in LITE if not recipe.shared]


def make(recipe):
    """An untrained grader whose answers differ between images."""
    torch.manual_seed(recipe.seed)
    task = create_task(recipe).eval()
    task.field_width = float(recipe.side)
    with torch.no_grad():
        task.model.heads["dr"].weight.mul_(4)
    return task


@pytest.fixture(scope="module")
def table(graded_root):
    return label_images({recipe.row: make(recipe) for recipe in SHARED}, graded_root, leaks=True, progress=False)


def test_the_table_holds_what_its_labels_follow_from(table, graded_root):
    parts = [IDRiDSegmentation(graded_root, split, cache=False) for split in ("train", "test")]
    assert list(table.columns) == list(COLUMNS)
    assert list(table.image) == sorted(2 * [name for part in parts for name in part.names])
    assert set(table.grader) == {"dr", "dr_dme"} and (table.leaks == 1).all()
    p, h = (table[[f"{kind}{grade}" for grade in range(5)]].to_numpy() for kind in "ph")
    assert np.allclose(p.sum(1), 1, atol=3e-5) and len(np.unique(p.round(4), axis=0)) == len(p), "all differ"
    assert np.nanmin(h) >= 0 and np.nanmax(h) <= 1 and table.flat.between(0, 0.5).all()
    first, second = (table[table.grader == name].reset_index(drop=True) for name in ("dr", "dr_dme"))
    chosen = np.where(p[::2].max(1) >= p[1::2].max(1), 0, 1)
    rows = 2 * np.arange(len(first)) + chosen
    lesions = [[kind in text.split() for kind in ("MA", "HE", "EX", "SE")] for text in first.lesions]
    assert lesions == [list(map(bool, line)) for part in parts for line in part.annotated]
    found = correct_labels(
        torch.tensor(p[rows]),
        torch.tensor(h[rows]),
        torch.tensor(table.flat.to_numpy()[rows]),
        allow_grades(torch.tensor(lesions)),
    )
    assert first.label.tolist() == second.label.tolist() == found.after.tolist()


def test_true_grades_are_those_of_the_other_part(table, graded_root):
    known = {split: IDRiDGrading(graded_root, split, cache=False) for split in ("train", "test")}
    want = {
        line.segmentation: known[line.grading_split].items[known[line.grading_split].names.index(line.grading)].dr
        for line in overlap(graded_root).itertuples()
    }
    assert len(want) > 2
    assert dict(zip(table.image, table.true, strict=True)) == {name: want.get(name, -1) for name in table.image}


def test_lines_of_other_graders_are_kept(table, tmp_path):
    file = tmp_path / "labels.csv"
    write_labels(table, file)
    write_labels(table.assign(leaks=0, label=4), file)
    both = pd.read_csv(file)
    assert both.leaks.tolist() == [0] * len(table) + [1] * len(table)
    assert both.label.tolist() == [4] * len(table) + table.label.tolist()
    write_labels(table.assign(label=3), file)
    assert pd.read_csv(file).label.tolist() == [4] * len(table) + [3] * len(table)
    file.write_text("a,b\n")
    with pytest.raises(ArgumentError, match="no table of pseudo labels"):
        write_labels(table, file)


def test_not_two_graders_of_retinopathy_are_refused(graded_root):
    first = make(SHARED[0])
    with pytest.raises(ArgumentError, match="not two graders"):
        label_images({"one": first}, graded_root, leaks=True)
    edema = SHARED[0].replace(model_args={**SHARED[0].model_args, "diseases": ["dme"]}, choose_by="accuracy")
    with pytest.raises(ArgumentError, match="does not grade retinopathy"):
        label_images({"one": first, "other": create_task(edema)}, graded_root, leaks=True)


def test_the_command_writes_it(graded_root, tmp_path):
    files = {recipe: tmp_path / f"{recipe.row}.pt" for recipe in (*UNSHARED, SHARED[0])}
    for recipe, file in files.items():
        origin, colours = {"row": recipe.row}, torch.ones(2, 2, 3)
        save_model(file, make(recipe), trained_on="nothing", origin=origin, colours=colours)
    first, second, other = map(str, files.values())
    out = tmp_path / "labels.csv"
    done = CliRunner().invoke(cli.app, ["data", "label", str(graded_root), first, second, str(out)])
    assert done.exit_code == 0, done.output
    assert (pd.read_csv(out).leaks == 0).all()
    for models, file, words in (((first, other), out, "the other was not"), ((first, second), "labels.txt", "OUT")):
        refused = CliRunner().invoke(cli.app, ["data", "label", str(graded_root), *models, str(file)])
        assert isinstance(refused.exception, ArgumentError) and words in str(refused.exception)


def test_no_image_with_masks_is_trained_on_without_leaks(graded_root):
    def trained(recipe):
        return set(read_data(recipe.replace(train_images=None), graded_root).training.hashes)

    square = FieldSquare(64)
    masked = set()
    for split in ("train", "test"):
        data = IDRiDSegmentation(graded_root, split, size=square.read_size, transform=square)
        masked |= set(ImageSet.read(data, "").hashes)
    assert len(trained(SHARED[0]) & masked) > 2, "images that both parts share are alike, pixel by pixel"
    assert not trained(UNSHARED[0]) & masked


def test_shared_images_and_their_duplicates():
    names = find_shared()
    assert set(overlap().query("grading_split == 'train'").grading) < set(names) and len(names) == 59


def test_the_last_layer_is_scikit_learns_logistic_regression(graded_root):
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    images = read_data(SHARED[0].replace(train_images=None), graded_root).training
    task = make(SHARED[0])
    for balanced in (False, True):
        fit_last_layer(task, images, balanced=balanced)
        maps = task.model.shared(task.prepare(torch.stack(images.images), images.statistics))
        features = StandardScaler(with_mean=True).fit_transform(maps.mean((2, 3)).detach().double().numpy())
        features *= np.sqrt((len(features) - 1) / len(features))  # it divides by n, the other by n − 1
        own = LogisticRegression(C=0.01, class_weight="balanced" if balanced else None, max_iter=1000)
        want = own.fit(features, images.dr.numpy()).predict_proba(features)
        found = predict_all(task, images)["dr"].softmax(1).numpy()
        present = sorted(set(images.dr.tolist()))
        assert np.allclose(found[:, present], want, atol=2e-3)
        assert not found[:, [g for g in range(5) if g not in present]].max(initial=0) > 1e-9
    with pytest.raises(ArgumentError, match="three different ones"):
        fit_last_layer(task, images.part((images.dr == images.dr[0]).nonzero().flatten().tolist()))
