"""Models on disk: read back as they were, or refused, whatever has happened to the file."""

import io

import numpy as np
import pytest
import torch

from fundus_lib.checkpoints import OLD_KIND, hash_content, load_model, measure_colours, save_model
from fundus_lib.errors import CheckpointError
from fundus_lib.experiment import create_task
from fundus_lib.image_verdicts import Rule
from fundus_lib.recipes import SegmentationRecipe

RECIPE = SegmentationRecipe(
    paper="p", table="t", row="r", lesions=("HE", "EX"), crop=32, model_args={"width": 2, "depth": 1}
)
RULE = Rule("EX", 7, 8, 0.5, 0.1, 0.5, True, "tests")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.pt"
    torch.manual_seed(0)
    task = create_task(RECIPE)
    task.field_width, task.statistics = 120.0, torch.tensor([[150.0, 90, 45], [40, 40, 20]])
    origin = {"record": "p-t-r-seed0-12345678", "trained_images": 54, "date": "2026-11-27T10:00:00+00:00"}
    save_model(path, task, trained_on="IDRiD", origin=origin, image_statistics=torch.rand(5, 2, 3) * 100, rules=[RULE])
    return path


def state(path):
    """All that a prediction depends on, as one hash."""
    model = load_model(path)
    return hash_content(
        {
            "weights": model.task.model.state_dict(),
            "statistics": model.task.statistics,
            "width": model.task.field_width,
            "colours": model.colours,
            "recipe": model.task.recipe.to_dict(),
            "rules": [rule.to_dict() for rule in model.rules],
            "about": [model.trained_on, model.origin],
        }
    )


def test_what_is_saved_is_read_back(checkpoint):
    model = load_model(checkpoint)
    assert (model.rules, model.colours.shape, model.task.field_width) == ((RULE,), (2, 2, 3), 120.0)
    assert model.origin["trained_images"] == 54 and model.origin["row"] == "r"
    assert model.describe() == (
        f"model {model.digest}: p-t-r-seed0-12345678, trained on 54 images of IDRiD (on 2026-11-27)"
    )
    assert load_model(checkpoint).digest == model.digest and len(model.digest) == 12


def test_colours_are_mean_and_spread_of_the_images():
    values = torch.rand(7, 2, 3)
    np.testing.assert_allclose(measure_colours(values)[0], values.numpy().mean(0), rtol=1e-5)
    np.testing.assert_allclose(measure_colours(values)[1], values.numpy().std(0), rtol=1e-4)
    assert measure_colours(values[:1])[1].tolist() == [[0] * 3] * 2


def test_an_older_file_without_digest_still_loads(checkpoint, tmp_path):
    content = torch.load(checkpoint, weights_only=True)
    for name in ("origin", "colours", "rules", "digest"):
        del content[name]
    content["kind"] = OLD_KIND
    torch.save(content, tmp_path / "old.pt")
    model = load_model(tmp_path / "old.pt")
    assert model.colours is None and model.rules == () and model.origin["row"] == "r"
    assert all(torch.equal(a, b) for a, b in zip(*map(values_of, (model, load_model(checkpoint))), strict=True))
    name = next(name for name in content["weights"] if name.endswith("head.layer.bias"))
    content["weights"][name][0] = float("nan")
    torch.save(content, tmp_path / "old.pt")
    with pytest.raises(CheckpointError, match=r"no numbers[^$]*head\.layer\.bias"):
        load_model(tmp_path / "old.pt")


def values_of(model):
    return model.task.model.state_dict().values()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("where", ["weight", "running_var", "statistics", "field_width"])
def test_values_that_are_no_numbers_are_refused(value, where, checkpoint, tmp_path):
    task = load_model(checkpoint).task
    if where == "statistics":
        task.statistics[0, 0] = value
    elif where == "field_width":
        task.field_width = value
    else:
        name = next(n for n in task.model.state_dict() if n.endswith(where))
        task.model.state_dict()[name][0] = value
    save_model(tmp_path / "model.pt", task, trained_on="nothing")
    with pytest.raises(CheckpointError, match="no numbers"):
        load_model(tmp_path / "model.pt")


MISSING = [
    "recipe",
    "weights",
    "statistics",
    "field_width",
    "trained_on",
    "origin",
    "colours",
    "rules",
    "digest",
    "kind",
]


@pytest.mark.parametrize("name", MISSING)
def test_a_field_that_is_missing_is_named(name, checkpoint, tmp_path):
    content = torch.load(checkpoint, weights_only=True)
    del content[name]
    torch.save(content, tmp_path / "bad.pt")
    with pytest.raises(CheckpointError, match="another kind" if name == "kind" else f"no {name}"):
        load_model(tmp_path / "bad.pt")


def test_mutated_files_give_the_same_model_or_an_error(checkpoint, tmp_path):
    """Flipped bits, cut ends, and content that was changed: never another model."""
    raw, good = checkpoint.read_bytes(), state(checkpoint)
    rng, refused, path = np.random.default_rng(0), 0, tmp_path / "bad.pt"
    mutants = []
    for _ in range(250):
        changed = bytearray(raw)
        for place in rng.integers(0, len(raw), rng.integers(1, 4)):
            changed[place] ^= 1 << int(rng.integers(8))
        mutants.append(bytes(changed))
    mutants += [raw[: int(length)] for length in rng.integers(0, len(raw), 30)] + [b"", raw[1:], raw + raw]
    mutants += [_change(torch.load(checkpoint, weights_only=True), k, rng) for k in range(60)]
    for content in mutants:
        path.write_bytes(content)
        try:
            found = state(path)
        except CheckpointError as error:
            refused += 1
            assert "bad.pt" in str(error) and "weights_only" not in str(error)
        else:
            assert found == good
    assert refused > 150


def test_content_that_does_not_fit_is_refused_even_if_its_digest_does(checkpoint, tmp_path):
    rng, refused = np.random.default_rng(1), 0
    for kind in range(60):
        content = torch.load(io.BytesIO(_change(torch.load(checkpoint, weights_only=True), kind, rng)))
        content["digest"] = hash_content({name: value for name, value in content.items() if name != "digest"})
        torch.save(content, tmp_path / "bad.pt")
        try:
            load_model(tmp_path / "bad.pt")
        except CheckpointError:
            refused += 1
    assert refused > 30


def _change(content, kind, rng):
    """A file that torch reads well, with one thing changed."""
    weights = content["weights"]
    name = list(weights)[int(rng.integers(len(weights)))]
    if kind % 6 == 0:
        del weights[name]
    elif kind % 6 == 1:
        weights[name] = torch.full_like(weights[name], float("nan") if weights[name].is_floating_point() else 7)
    elif kind % 6 == 2:
        weights[name] = weights[name][None]
    elif kind % 6 == 3:
        weights["more"] = torch.zeros(2)
    elif kind % 6 == 4:
        content[MISSING[kind // 6 % 9]] = [3, "x", [4], {"a": 1}][int(rng.integers(4))]
    else:
        content["recipe"] = {**content["recipe"], list(content["recipe"])[kind % len(content["recipe"])]: [None]}
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


class Code:
    """What a hostile file would hold."""

    def __reduce__(self):
        return (print, ("this must not run",))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"no checkpoint", "damaged"),
        ({"state_dict": {}, "epoch": 3}, "another kind"),
        ([1, 2], "another kind"),
        (Code(), "damaged"),
        ("other width", "does not fit"),
        ("other setting", "does not fit"),
    ],
)
def test_bad_checkpoints(content, says, checkpoint, tmp_path, capsys):
    path = tmp_path / "bad.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        if isinstance(content, str):
            good = torch.load(checkpoint, weights_only=True)
            change = {"model_args": {"width": 4, "depth": 1}} if content == "other width" else {"colour": 1}
            content = {n: v for n, v in good.items() if n != "digest"} | {"recipe": {**good["recipe"], **change}}
            content["digest"] = hash_content(content)
        torch.save(content, path)
    with pytest.raises(CheckpointError, match=says) as caught:
        load_model(path)
    assert "bad.pt" in str(caught.value)
    assert "must not run" not in capsys.readouterr().out


def test_a_missing_checkpoint(tmp_path):
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        load_model(tmp_path / "model.pt")
