"""A card for each network that ships: what it does, what it was trained on, how it was tested, and what it is not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fundus_lib import records
from fundus_lib.data.sample import LESION_NAMES
from fundus_lib.errors import MissingFileError
from fundus_lib.grades import SCORES
from fundus_lib.prediction.about import describe
from fundus_lib.published.benchmark_shifts import SHIFTS, TRAINING, measured
from fundus_lib.weights import load

if TYPE_CHECKING:
    from fundus_lib.checkpoints import Checkpoint

LICENCE = "CC BY 4.0, as the images of IDRiD that it was trained on; name their source (fundus_lib/weights/LICENSE.txt)"


def find_record(model: Checkpoint) -> dict[str, Any]:
    """The record of the run that a network is of.

    Raises:
        MissingFileError: It is not among those of the library.
    """
    path = Path(records.__file__).parent / f"{model.origin['record']}.json"
    if not path.is_file():
        raise MissingFileError(
            path,
            "a network that ships has no record",
            found="no such file",
            expected="the record that `fundus run` wrote beside the model.pt",
            remedy="copy it there; weights without a record have no scores",
        )
    return records.read(path)


def make_card(name: str) -> dict[str, str]:
    """What is to be known of a network before it is used, in words.

    Args:
        name: One of :func:`~fundus_lib.weights.list_weights`.

    Returns:
        Heading → text.

    Raises:
        UnknownNameError: No such network ships.
        MissingFileError: Its record is not there.
    """
    model = load(name)
    record, recipe = find_record(model), model.task.recipe
    parameters = sum(value.numel() for value in model.task.model.parameters())
    size = model.path.stat().st_size / 1e6
    side = f"{round(model.task.field_width)} pixels across the field of view"
    about = describe(model, threshold=0.5, mirrored=True)
    seconds = record["seconds"]["train"]
    return {
        "Predicts": find_task(model),
        "Network": f"{recipe.model}, {parameters / 1e6:.2f} million parameters",
        "Weights": f"{size:.1f} MB as 16-bit floats; the scores below are of the run's own 32 bits",
        "Input": f"colour images, {side}",
        "Trained on": f"{model.origin['trained_images']} images of {model.trained_on}, seed {recipe.seed}, "
        f"{seconds / 60:.0f} minutes on {record['device']}",
        "Tested on": ". ".join(find_sentences(record["protocol"])),
        "Scores": list_scores(model, record),
        "Run": f"{model.origin['record']}, commit {str(model.origin.get('commit'))[:12]}; digest {model.digest}",
        "Licence": LICENCE,
        "Limits": " ".join(about["limits"]),
    }


def find_task(model: Checkpoint) -> str:
    """What a network predicts, in words."""
    task = model.task
    if task.segments:
        return ", ".join(LESION_NAMES[one] for one in task.recipe.lesions) + ": a probability for each pixel"
    return "grades of " + " and ".join(
        {"dr": "diabetic retinopathy (0 to 4)", "dme": "macular edema (0 to 2)"}[one]
        for one in task.recipe.model_args.get("diseases", ("dr", "dme"))
    )


def find_sentences(protocol: str) -> list[str]:
    """Of a protocol what was tested and how the weights were chosen; the rest defines scores."""
    first, *others = protocol.split(". ")
    return [first, *(one for one in others if one.startswith("Weights"))]


def list_scores(model: Checkpoint, record: dict[str, Any]) -> str:
    """The scores of the test, with 95 % intervals over images where they are known."""
    metrics = record["metrics"]
    lesions = model.task.recipe.lesions
    if not model.task.segments:
        scores = {"accuracy": SCORES, "kappa": {one: word for one, word in SCORES.items() if one != "joint"}}
        return ". ".join(
            f"{score}: "
            + "; ".join(f"{word} {_with_interval(metrics, f'{one}_{score}')}" for one, word in which.items())
            for score, which in scores.items()
        )
    called = (f"{one} {metrics[f'{one}_sensitivity']:.2f} and {metrics[f'{one}_ppv']:.2f}" for one in lesions)
    found = "AUPR: " + "; ".join(f"{one} {metrics[f'{one}_aupr']:.3f}" for one in lesions)
    found += ". Sensitivity and PPV at a probability of 0.5: " + "; ".join(called)
    known = measured()
    if known["network"] == model.describe():
        own = known["scores"][SHIFTS[0].name][TRAINING]
        told = (
            f"{one} {each['aupr']:.3f} [{each['interval'][0]:.2f}, {each['interval'][1]:.2f}]"
            for one, each in own.items()
        )
        found += ". AUPR of one view at the size of training, with 95 % intervals over images: " + "; ".join(told)
    return found


def _with_interval(metrics: dict[str, float], name: str) -> str:
    return f"{metrics[name]:.3f} [{metrics[f'{name}_low']:.3f}, {metrics[f'{name}_high']:.3f}]"
