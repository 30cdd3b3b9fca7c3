"""Gains image by image, from records, against means by hand."""

from pathlib import Path

import numpy as np
import pytest

from fundus_lib import records
from fundus_lib.errors import UnknownNameError
from fundus_lib.metrics.paired import paired_interval
from fundus_lib.records.image_gains import image_gain, image_scores
from helpers.records import RECORD


def write(folder: Path, row: str, seed: int, scores: list[float | None], names: str = "abc") -> None:
    predictions = {"names": list(names), "EX_iou": scores}
    made = {**RECORD, "paper": "made_up", "row": row, "seed": seed, "predictions": predictions}
    records.save({**made, "recipe": {"row": row}}, folder / f"{row}{seed}.json")


def test_pairs_images_by_name_and_runs_by_seed(tmp_path: Path) -> None:
    write(tmp_path, "new", 0, [0.5, 0.6, None])
    write(tmp_path, "new", 1, [0.7, 0.9, 0.9])
    write(tmp_path, "new", 2, [1.0, 1.0, 1.0])  # the other was not run with it
    write(tmp_path, "old", 0, [0.2, 0.5, 0.4], names="bac")  # other order
    write(tmp_path, "old", 1, [0.6, 0.6, 0.8])
    found = image_gain("made_up", ("2", "new"), ("2", "old"), "EX_iou", tmp_path)
    assert (found.seeds, found.images) == ((0, 1), 2)
    assert found.difference.value == pytest.approx(np.mean([[0.5 - 0.5, 0.6 - 0.2], [0.1, 0.3]]))
    assert str(found).endswith("(2 seeds)")
    assert str(image_gain("made_up", ("2", "new"), ("2", "none"), "EX_iou", tmp_path)) == "not run yet"


def test_no_image_that_has_the_score_in_all_runs_is_no_gain(tmp_path: Path) -> None:
    write(tmp_path, "new", 0, [0.5, None, None])
    write(tmp_path, "new", 1, [0.7, 0.9, None])
    write(tmp_path, "old", 0, [None, 0.5, 0.4])
    write(tmp_path, "old", 1, [0.6, 0.6, 0.8])
    found = image_gain("made_up", ("2", "new"), ("2", "old"), "EX_iou", tmp_path)
    assert not found and found.images == 0 and str(found) == "not run yet"


def test_scores_stand_by_run_and_image(tmp_path: Path) -> None:
    write(tmp_path, "new", 1, [0.7, None, 0.9])
    write(tmp_path, "new", 0, [0.5, 0.6, 0.1], names="bac")
    found = image_scores("made_up", ("2", "new"), "EX_iou", tmp_path).sort_index()
    assert found.index.get_level_values("seed").tolist() == [0, 1]
    assert found["a"].tolist() == [0.6, 0.7] and np.isnan(found["b"].iloc[1])
    nothing = image_scores("made_up", ("2", "none"), "EX_iou", tmp_path)
    assert nothing.empty and nothing.index.names == ["seed", "data"]


def test_interval_of_equal_gains_is_a_point() -> None:
    estimate = paired_interval(np.full((2, 5), 0.25))
    assert (estimate.value, estimate.low, estimate.high) == (0.25, 0.25, 0.25)
    one_seed = paired_interval(np.arange(27.0)[None])
    assert 8 < one_seed.low < 13 < one_seed.high < 18


def test_folds_of_a_seed_are_one_run(tmp_path: Path) -> None:
    for fold, (names, scores) in enumerate((("abc", [0.1, 0.2, 0.3]), ("de", [0.4, 0.5]))):
        record = {**RECORD, "paper": "made_up", "row": "one", "recipe": {"fold": [fold + 1, 2]}}
        records.save({**record, "predictions": {"names": list(names), "EX_iou": scores}}, tmp_path / f"{fold}.json")
    found = image_scores("made_up", ("2", "one"), "EX_iou", tmp_path)
    assert found[list("abcde")].to_numpy().tolist() == [[0.1, 0.2, 0.3, 0.4, 0.5]]


def test_another_prediction_of_the_same_runs(tmp_path: Path) -> None:
    predictions = {"names": list("abc"), "EX_iou": [0.5, 0.6, None], "EX_iou (map zeroed)": [0.1, 0.4, None]}
    made = {**RECORD, "paper": "made_up", "row": "new", "recipe": {"row": "new"}, "predictions": predictions}
    records.save(made, tmp_path / "new.json")
    found = image_gain("made_up", ("2", "new", "map zeroed"), ("2", "new"), "EX_iou", tmp_path)
    assert (found.images, found.difference.value) == (2, pytest.approx(-0.3))
    with pytest.raises(UnknownNameError, match=r"did you mean EX_iou \(map zeroed\)"):
        image_gain("made_up", ("2", "new", "map turned"), ("2", "new"), "EX_iou", tmp_path)
