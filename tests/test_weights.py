"""Networks that ship: what 16 bits change, names, and the scores of the runs they are of."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from fundus_lib import records, weights
from fundus_lib.checkpoints import load_model, save_model, shrink_model
from fundus_lib.data import IDRiDGrading, IDRiDSegmentation
from fundus_lib.data.field_square import FieldSquare
from fundus_lib.errors import CheckpointError, MissingFileError, UnknownNameError
from fundus_lib.experiment import create_task
from fundus_lib.metrics import average_precision
from fundus_lib.prediction.model_cards import find_record, make_card
from fundus_lib.protocols.whole_crops import WholeCrops
from fundus_lib.recipes import SegmentationRecipe
from fundus_lib.tasks.local_global import read_split
from helpers.imports import ROOT

RECIPE = SegmentationRecipe(
    paper="p", table="t", row="r_s", lesions=("EX",), crop=32, model_args={"width": 4, "depth": 2}
)
OF_RECORDS = {
    "hecl/unet": {"IDRiD_55": 0.917144, "IDRiD_56": 0.560272},
    "hecl/unet_hecl": {"IDRiD_55": 0.915677, "IDRiD_56": 0.504898},
}
"""AUPR of single images in the records of the runs, with 32 bits."""


FOUR_LESIONS = {"MA": 0.643887, "HE": 0.826746, "EX": 0.949193, "SE": 0.074903}
"""AUPR of the default network with 32 bits on IDRiD_55; its record has no scores of single images."""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    task = create_task(RECIPE)
    task.field_width, task.statistics = 120.0, torch.tensor([[150.0, 90, 45], [40, 40, 20]])
    save_model(tmp_path / "model.pt", task, trained_on="IDRiD", image_statistics=torch.rand(5, 2, 3) * 100)
    return tmp_path / "model.pt"


def test_sixteen_bits_halve_the_file_and_keep_the_predictions(model: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.pt"
    shrink_model(model, small)
    one, other = load_model(model), load_model(small)
    image = torch.randint(0, 255, (3, 40, 48), dtype=torch.uint8)
    logits = [run.task.predict(image)["logits"] for run in (one, other)]
    assert logits[1].dtype == torch.float32
    torch.testing.assert_close(logits[0], logits[1], atol=1e-2, rtol=1e-2)
    assert one.digest != other.digest
    assert (one.origin, one.trained_on) == (other.origin, other.trained_on)
    stored = torch.load(small, weights_only=True)["weights"]
    assert {value.dtype for value in stored.values() if value.ndim > 1} == {torch.float16}
    assert all(value.dtype in (torch.float32, torch.int64) for value in stored.values() if value.ndim < 2)


def test_a_weight_without_a_16_bit_number_is_refused(model: Path, tmp_path: Path) -> None:
    run = load_model(model)
    with torch.no_grad():
        next(run.task.model.parameters())[0, 0, 0, 0] = 1e5
    save_model(tmp_path / "large.pt", run.task, trained_on="IDRiD")
    with pytest.raises(CheckpointError, match="no 16-bit number"):
        shrink_model(tmp_path / "large.pt", tmp_path / "small.pt")
    assert not (tmp_path / "small.pt").exists()


def test_a_run_is_added_under_its_paper_and_row(model: Path, tmp_path: Path) -> None:
    (tmp_path / "shipped").mkdir()
    assert weights.add(model, tmp_path / "shipped") == "p/r_s"
    assert load_model(tmp_path / "shipped" / "p-r_s.pt").task.recipe == RECIPE


def test_what_ships() -> None:
    assert set(OF_RECORDS) <= set(weights.list_weights())
    for name in weights.list_weights():
        run = weights.load(name)
        paper, row = name.split("/")
        assert (run.origin["paper"], run.origin["row"], run.trained_on) == (paper, row, "IDRiD")
        assert run.task.segments == (run.origin["trained_images"] == 54)
        assert not run.origin["dirty"]
    sizes = {path.stem: path.stat().st_size for path in weights.FOLDER.glob("*.pt")}
    assert sizes["first_segmenter-unet_four_lesions"] + sizes["benchmark-grader"] < 12_000_000  # those that predict
    assert sum(sizes.values()) < 18_000_000
    assert "creativecommons.org/licenses/by/4.0" in (weights.FOLDER / "LICENSE.txt").read_text("utf-8")


def test_a_network_is_found_by_name_by_path_and_as_it_is(model: Path) -> None:
    assert weights.DEFAULT in weights.list_weights()
    loaded = load_model(model)
    assert weights.find(loaded) is loaded
    assert weights.find(model).digest == weights.find(str(model)).digest == loaded.digest
    assert weights.find("hecl/unet").digest == weights.load("hecl/unet").digest
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        weights.find("nothing.pt")
    with pytest.raises(UnknownNameError, match="first_segmenter/unet_four_lesions"):
        weights.find("first_segmenter/unet")


def test_the_readme_states_the_scores_of_the_network_that_predicts() -> None:
    name = weights.load(weights.DEFAULT).origin["record"]
    scores = records.read(Path(records.__file__).parent / f"{name}.json")["metrics"]
    names = {"EX": "hard exudates", "MA": "microaneurysms", "HE": "haemorrhages", "SE": "soft exudates"}
    readme = " ".join((ROOT / "README.md").read_text("utf-8").split())
    for lesion, name in names.items():
        assert f"{scores[f'{lesion}_aupr']:.2f}".removeprefix("0") + f" for {name}" in readme
    grader = records.read(Path(records.__file__).parent / f"{weights.load('benchmark/grader').origin['record']}.json")
    right = [f"{100 * grader['metrics'][f'{disease}_accuracy']:.0f} %" for disease in ("dr", "dme")]
    assert f"right in {' and '.join(right)} of {grader['images']} test images" in readme


@pytest.mark.parametrize("name", weights.list_weights())
def test_a_card_states_what_the_record_says(name: str) -> None:
    card = make_card(name)
    run = weights.load(name)
    metrics = records.read(Path(records.__file__).parent / f"{run.origin['record']}.json")["metrics"]
    scores = [f"{one}_aupr" for one in run.task.recipe.lesions] if run.task.segments else ["joint_accuracy"]
    assert all(f"{metrics[score]:.3f}" in card["Scores"] for score in scores)
    assert "CC BY 4.0" in card["Licence"] and "Not a medical device" in card["Limits"]
    assert str(run.origin["trained_images"]) in card["Trained on"] and run.digest in card["Run"]
    assert f'show("{name}")' in (ROOT / "book" / "reference" / "models.md").read_text("utf-8")


def test_a_network_without_a_record_has_no_card() -> None:
    run = weights.load("hecl/unet")
    other = dataclasses.replace(run, origin={**run.origin, "record": "hecl-small-unet-seed0-00000000"})
    with pytest.raises(MissingFileError, match="a network that ships has no record"):
        find_record(other)


def test_an_unknown_name_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UnknownNameError, match="hecl/unet"):
        weights.load("hecl/unetpp")


@pytest.mark.real_data
@pytest.mark.parametrize("name", OF_RECORDS)
def test_scores_are_those_of_the_runs(name: str, idrid_root: Path) -> None:
    task = weights.load(name).task
    data = IDRiDSegmentation(idrid_root, "test", lesions=("EX",), size=task.recipe.size)
    for sample in (data[k] for k in range(len(OF_RECORDS[name]))):
        score = task.predict(sample["image"])["logits"][0].sigmoid().numpy()
        found = average_precision(score, sample["mask"][0].numpy())
        np.testing.assert_allclose(found, OF_RECORDS[name][sample["name"]], atol=1e-3)


@pytest.mark.real_data
def test_the_fused_network_scores_as_in_the_record_of_its_run(idrid_root: Path) -> None:
    run = weights.load("local_global/MA_fused")
    record = records.read(Path(records.__file__).parent / f"{run.origin['record']}.json")
    first = read_split(run.task.recipe, idrid_root, "test", 1)
    found = WholeCrops(run.task.recipe, first).full(run.task, variants=False).predictions
    assert found["names"] == record["predictions"]["names"][:1] == ["IDRiD_55"]
    assert found["MA_aupr"][0] == pytest.approx(record["predictions"]["MA_aupr"][0], abs=1e-3)


@pytest.mark.real_data
def test_the_grader_grades_as_with_32_bits(idrid_root: Path) -> None:
    run = weights.load("benchmark/grader")
    record = records.read(Path(records.__file__).parent / f"{run.origin['record']}.json")
    square = FieldSquare(run.task.recipe.side)
    data = IDRiDGrading(idrid_root, "test", size=square.read_size, transform=square)
    grades: dict[str, dict[str, int]] = {"dr": {}, "dme": {}}
    for sample in data:
        found = run.task.predict(torch.as_tensor(sample["image"]).as_subclass(torch.Tensor))
        for disease, own in grades.items():
            own[sample["name"]] = int(found[disease].argmax())
    for disease, own in grades.items():
        assert own == dict(zip(record["predictions"]["names"], record["predictions"][disease], strict=True))


@pytest.mark.real_data
def test_the_network_that_predicts_scores_as_with_32_bits(idrid_root: Path) -> None:
    task = weights.load(weights.DEFAULT).task
    sample = IDRiDSegmentation(idrid_root, "test", lesions=tuple(FOUR_LESIONS), size=task.recipe.size)[0]
    scores = task.predict(sample["image"])["logits"].sigmoid().numpy()  # in the order MA, HE, EX, SE of both
    assert sample["name"] == "IDRiD_55"
    for score, mask, expected in zip(scores, sample["mask"].numpy(), FOUR_LESIONS.values(), strict=True):
        assert average_precision(score, mask) == pytest.approx(expected, abs=1e-3)
