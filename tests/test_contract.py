"""What every kind of recipe must do, whatever it trains: one small row of each, from data to record and prediction."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from fundus_lib import records
from fundus_lib.checkpoints import load_model
from fundus_lib.data import IDRiDGrading, IDRiDSegmentation
from fundus_lib.experiment import create_experiment, read_data
from fundus_lib.grades import GRADES
from fundus_lib.prediction import predict
from fundus_lib.recipes import Recipe, find, from_dict, recipes
from fundus_lib.run_table import _known
from helpers.runs import here, run_and_kill, same_weights, start_together, without_clocks

pytestmark = pytest.mark.usefixtures("one_thread")


@dataclass(frozen=True)
class Kind:
    """A small row.

    Attributes:
        recipe: It.
        root: Name of the fixture with its data.
        part: Where the data set keeps its test images.
        close: By how much losses on two processes may differ: where all images of a step are normalised together,
            each process does so over its half.
    """

    recipe: Recipe
    root: str
    part: str
    close: float


SEGMENTATION = "A. Segmentation/1. Original Images/b. Testing Set"
GRADING = "B. Disease Grading/1. Original Images/b. Testing Set"


def small(recipe: Recipe, **changes) -> Recipe:
    return recipe.smoke().replace(precision="32", **changes)


KINDS = {
    "segmentation": Kind(
        small(find("first_segmenter", "unet"), validation=1, colour_jitter=0.1), "synthetic_root", SEGMENTATION, 0.25
    ),
    "dual branch, pre-trained": Kind(
        small(find("dual_branch", "unet_dual_dsm_synthetic"), validation=1, dihedral=2, pretraining_epochs=2),
        "synthetic_root",
        SEGMENTATION,
        1e-3,
    ),
    "hecl, whole images": Kind(
        small(recipes("hecl", "small_whole", "unetpp_hecl_renewed")[0]),
        "synthetic_root",
        SEGMENTATION,
        1.0,  # each process contrasts its own image alone
    ),
    "hecl, crops": Kind(
        small(recipes("hecl", "small", "unet_hecl")[0], validation=1, choose_by="aupr"),
        "synthetic_root",
        SEGMENTATION,
        1.0,
    ),
    "local_global, all stages": Kind(
        small(recipes("local_global", "half", "EX_fused")[0], validation=1),
        "synthetic_root",
        SEGMENTATION,
        1.0,  # the lowest maps of a network of two poolings on 8² patches hold few values
    ),
    "pldmlt, labels rewritten": Kind(
        small(recipes("pldmlt", "small", "weight")[0], fold=None, validation=1, choose_by="aupr", labels="rule"),
        "synthetic_root",
        SEGMENTATION,
        1.0,  # each process normalises its own image alone, and rewrites its label
    ),
    "benchmark, averaged weights": Kind(
        small(recipes("benchmark", "base")[0], validation=1, average=0.9, zoom=1.2, sampling="lesion"),
        "synthetic_root",
        SEGMENTATION,
        0.25,
    ),
    "benchmark, fused": Kind(
        small(recipes("benchmark", "ideas", "global_context")[0]),
        "synthetic_root",
        SEGMENTATION,
        0.4,
    ),
    "benchmark, graded": Kind(
        small(recipes("benchmark", "ideas", "grades_blending")[0]), "graded_root", SEGMENTATION, 0.4
    ),
    "sunet, mixed": Kind(small(find("sunet", "sunet_mixed"), side=32), "graded_root", GRADING, 0.4),
    "sunet, pre-trained": Kind(
        small(recipes("sunet", "synthetic", "sunet")[0], side=32, pretraining_epochs=2), "graded_root", GRADING, 0.4
    ),
}


def earlier_epochs(recipe: Recipe) -> int:
    """Epochs of the stages before the last one."""
    return recipe.pretraining_epochs + sum(getattr(recipe, "before", {}).values())


@dataclass(frozen=True)
class Run:
    """A run that nothing disturbed."""

    kind: Kind
    root: Path
    out: Path
    record: dict

    @property
    def model(self) -> Path:
        (path,) = self.out.glob("*/model.pt")
        return path


@pytest.fixture(scope="module")
def together(request, one_thread, tmp_path_factory):
    """The same rows on two processes, which run while other tests do; waits for them, and gives each row's folder."""
    folder = tmp_path_factory.mktemp("together")
    jobs, outs = [], {}
    for number, kind in enumerate(KINDS.values()):
        outs[kind.recipe] = folder / str(number)
        outs[kind.recipe].mkdir()
        jobs.append((kind.recipe, request.getfixturevalue(kind.root), outs[kind.recipe]))
    process = start_together(jobs, folder)

    def wait(recipe: Recipe) -> Path:
        assert process.wait(timeout=600) == 0
        return outs[recipe]

    yield wait
    process.kill()


@pytest.fixture(scope="module", params=KINDS)
def finished(request, together, tmp_path_factory):
    kind = KINDS[request.param]
    root, out = request.getfixturevalue(kind.root), tmp_path_factory.mktemp("finished")
    return Run(kind, root, out, here(kind.recipe, root, out))


def test_the_record_says_what_was_run_and_the_run_is_known_again(finished):
    recipe, record = finished.kind.recipe, finished.record
    (path,) = finished.out.glob("*.json")
    assert records.read(path) == json.loads(json.dumps(record))
    assert records.get_recipe(record) == from_dict(record["recipe"]) == recipe
    assert _known(recipe, finished.root, finished.out) == path
    for other in ({"seed": 1}, {"precision": "bf16"}, {"fold": (1, 2)}, {"epochs": 3}):
        assert _known(recipe.replace(**other), finished.root, finished.out) is None
    data = read_data(recipe, finished.root)
    assert (record["images"], record["trained_images"]) == (len(data.test), len(data.training))
    assert (record["split"], record["dataset"], record["precision"]) == ("test", "synthetic", "32")
    assert len(record["curve"]) == recipe.epochs + earlier_epochs(recipe)
    assert all(torch.tensor(point["loss"]).isfinite() for point in record["curve"])
    assert "test_images_in_training" not in record
    assert record["commit"] is None or len(record["commit"]) == 40
    assert str(Path.home()) not in path.read_text() and str(finished.out) not in path.read_text()
    (folder,) = (p for p in finished.out.iterdir() if p.is_dir())
    assert [p.name for p in folder.iterdir()] == ["model.pt"]


def test_the_epoch_is_chosen_on_the_validation_images_and_never_in_pre_training(finished):
    chosen, before = finished.record.get("selection"), earlier_epochs(finished.kind.recipe)
    if chosen is None:
        assert not finished.kind.recipe.choose_by and "Weights of the last epoch" in finished.record["protocol"]
        return
    score = chosen["by"].removeprefix("validation_")
    for on, name in (("validation", "epoch"), ("test", "best_on_test_epoch")):
        scores = [point[f"{on}_{score}"] for point in finished.record["curve"]]
        assert chosen[name] == before + 1 + scores[before:].index(max(scores[before:]))
    assert {"last epoch", "best on test"} <= set(finished.record["variants"])


@pytest.mark.parametrize("where", ["first stage", "start of the last stage", "last epoch"])
def test_a_killed_run_goes_on_to_the_same_result(finished, where, tmp_path):
    recipe, steps = finished.kind.recipe, [point["step"] for point in finished.record["curve"]]
    earlier = earlier_epochs(recipe)
    if where == "first stage" and not earlier:
        pytest.skip("this row has one stage")
    before = steps[earlier - 1] if earlier else 0
    batch = {"first stage": steps[0], "start of the last stage": before, "last epoch": steps[-1] - 1}[where]
    run_and_kill(recipe, finished.root, tmp_path, batch=batch)
    resumed = here(recipe, finished.root, tmp_path)
    assert resumed["resumed_from_epoch"] == sum(step <= batch for step in steps)
    assert without_clocks(resumed) == without_clocks(finished.record)
    assert same_weights(finished.out, tmp_path)


def test_the_record_is_made_of_what_predict_gives_of_the_weights_that_are_kept(finished, monkeypatch):
    """The protocol gets nothing but predictions made before, one image at a time."""
    task = load_model(finished.model).task
    made = create_experiment(finished.kind.recipe, finished.root)
    given = {}
    for images in (made.data.test, made.data.test_masks):
        for image, statistics in zip(images.images if images else (), images.statistics if images else (), strict=True):
            given[image.numpy().tobytes()] = task.predict(image, statistics)

    def look_up(images, statistics=None):
        if images.ndim == 3:
            return given[images.numpy().tobytes()]
        found = [given[image.numpy().tobytes()] for image in images]
        return {name: torch.stack([output[name] for output in found]) for name in found[0]}

    monkeypatch.setattr(task, "predict", look_up)
    scores = made.protocol.full(task)
    assert scores.metrics == pytest.approx(finished.record["metrics"], rel=1e-3, nan_ok=True)
    assert scores.predictions == finished.record.get("predictions", {})


def test_the_command_predict_gives_what_the_task_does(finished):
    task = load_model(finished.model).task
    test = read_data(finished.kind.recipe, finished.root).test
    for index, name in enumerate(test.names[:2]):
        found = predict(finished.root / finished.kind.part / f"{name}.jpg", finished.model, device="cpu")
        assert found.lesions == finished.kind.recipe.lesions and len(found.scores) == len(found.lesions)
        assert 0 <= found.scores.min() < found.scores.max() <= 1
        output = task.predict(test.images[index], test.statistics[index])
        table = found.grades.set_index("disease")
        for disease in GRADES.keys() & output.keys():
            probabilities = table.loc[disease, "p0" : f"p{GRADES[disease] - 1}"].to_numpy(float)
            assert probabilities == pytest.approx(output[disease].softmax(0).numpy(), abs=1e-5)
        assert set(table.index) == GRADES.keys() & output.keys()


def test_two_processes_train_together_and_share_out_the_test(finished, together):
    kind, out = finished.kind, together(finished.kind.recipe)
    (path,) = out.glob("*.json")
    record = records.read(path)
    assert (record["processes"], finished.record["processes"]) == (2, 1)
    assert [p["step"] for p in record["curve"]] == [p["step"] for p in finished.record["curve"]]
    losses = ([p["loss"] for p in r["curve"]] for r in (record, finished.record))
    assert next(losses) == pytest.approx(next(losses), rel=kind.close)
    assert (record["images"], record["metrics"].keys()) == (len(made_test(finished)), finished.record["metrics"].keys())
    # its weights have the scores, in one process, that both processes together found
    (model,) = out.glob("*/model.pt")
    made = create_experiment(kind.recipe, finished.root)
    scores = made.protocol.full(load_model(model).task)
    assert scores.metrics == pytest.approx(record["metrics"], rel=1e-3, nan_ok=True)
    assert scores.predictions == record.get("predictions", {})


def made_test(finished):
    return read_data(finished.kind.recipe, finished.root).test


def test_each_test_image_is_predicted_once_by_one_of_the_processes(finished, together):
    import hashlib

    out = together(finished.kind.recipe)
    first, second = (json.loads((out / f"process{rank}.predicted").read_text()) for rank in (0, 1))
    data = read_data(finished.kind.recipe, finished.root)
    tested = [*data.test.images, *(data.test_masks.images if data.test_masks else ())]
    wanted = Counter(hashlib.sha256(image.numpy().tobytes()).hexdigest() for image in tested)
    assert len(first) == len(second) >= 1
    for one, other in zip(first, second, strict=True):
        assert Counter(one) + Counter(other) == wanted
    assert max(map(len, second)) > 0, "the second has its share"


def test_a_fold_is_tested_on_its_part_and_trained_on_none_of_it(finished, tmp_path):
    recipe = finished.kind.recipe.replace(
        fold=(1, 2), train_images=None, test_images=None, epochs=1, pretraining_images=0, pretraining_epochs=0
    )
    parts = [read_data(recipe.replace(fold=(k, 2)), finished.root) for k in (1, 2)]
    reader = IDRiDGrading if finished.kind.part == GRADING else IDRiDSegmentation
    splits = ("train", "test") if getattr(recipe, "pooled", False) else ("train",)
    whole = [name for split in splits for name in reader(finished.root, split).names]
    tested = [name for data in parts for name in data.test.names]
    assert len(set(tested)) == len(tested) and set(tested) <= set(whole)
    assert len(tested) == len(whole) or finished.kind.part == GRADING  # where leaks are left out
    for data in parts:
        trained = set(data.training.hashes) | set(data.validation.hashes)
        assert trained and not trained & set(data.test.hashes)
    record = here(recipe, finished.root, tmp_path)
    (path,) = tmp_path.glob("*.json")
    assert (record["split"], record["images"]) == ("fold 1 of 2", len(parts[0].test))
    assert "fold1of2" in path.name and _known(recipe, finished.root, tmp_path) == path
    assert _known(recipe.replace(fold=(2, 2)), finished.root, tmp_path) is None


@pytest.mark.real_data
@pytest.mark.parametrize("kind", KINDS)
def test_smoke_on_idrid(kind, idrid_root, tmp_path):
    record = here(KINDS[kind].recipe, idrid_root, tmp_path)
    assert record["dataset"] == "IDRiD" and record["trained_on"] == "IDRiD"
    assert max(record["metrics"].get(name, 0) for name in ("EX_prevalence", "ANY_prevalence", "lesion_share")) > 0
    assert "test_images_in_training" not in record
