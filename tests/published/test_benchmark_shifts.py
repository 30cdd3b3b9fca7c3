"""Shifts of images, and the scores after them."""

import numpy as np
import pytest
import torch

from fundus_lib import weights
from fundus_lib.checkpoints import load_model, save_model
from fundus_lib.data import SyntheticFundus
from fundus_lib.experiment import create_task
from fundus_lib.metrics import average_precision, pixel_counts
from fundus_lib.metrics.score_bins import BIN_EDGES
from fundus_lib.published import benchmark_colours as colours
from fundus_lib.published import benchmark_shifts as shifts
from fundus_lib.recipes import SegmentationRecipe
from fundus_lib.tasks.first_segmenter import read_split

RECIPE = SegmentationRecipe(
    paper="p", table="t", row="r", lesions=("EX",), size=(96, 144), crop=32, model_args={"width": 4, "depth": 2}
)


@pytest.fixture
def task():
    torch.manual_seed(0)
    made = create_task(RECIPE).eval()
    made.statistics = torch.tensor([[150.0, 90, 45], [40, 40, 20]])
    return made


@pytest.fixture(scope="module")
def sample():
    return SyntheticFundus(1, size=(96, 144), seed=1, lesions=("EX",))[0]


@pytest.mark.parametrize("shift", shifts.SHIFTS, ids=lambda shift: shift.name)
def test_a_shift_changes_the_image_and_keeps_its_form(shift, sample):
    image = torch.as_tensor(sample["image"]).as_subclass(torch.Tensor).repeat(1, 1, 5)  # wide enough for a small blur
    found = shift.change(image)
    assert (found.shape, found.dtype) == (image.shape, torch.uint8)
    assert torch.equal(found, image) == (shift.kind in ("none", "scale"))
    assert (shift.scale == 1) == (shift.kind != "scale")


def test_shifts_do_what_their_names_say(sample):
    image = torch.as_tensor(sample["image"]).as_subclass(torch.Tensor)
    mean = image.float().mean((1, 2))
    torch.testing.assert_close(shifts.tint(image, 0.6, 0.6, 0.6).float().mean((1, 2)), 0.6 * mean, atol=0.3, rtol=0)
    shaded = shifts.shade(image, 0.5, 1.0)
    assert torch.equal(shaded[..., -1], image[..., -1])
    torch.testing.assert_close(shaded[..., 0], (image[..., 0] * 0.5).round().to(torch.uint8))
    coarse = shifts.coarsen(image, 4).float()
    assert coarse.diff(dim=-1).abs().mean() < image.float().diff(dim=-1).abs().mean() / 1.5
    single = torch.zeros(3, 101, 1001, dtype=torch.uint8)
    single[:, 50, 500] = 255  # one pixel becomes a Gaussian of deviation 1 pixel: 255 / (2 pi)
    assert shifts.blur(single, 1000 / 1001)[0, 50, 500].item() == pytest.approx(255 / (2 * np.pi), rel=0.03)


def test_by_its_own_colours_a_tinted_image_is_the_same_to_a_network(task, sample):
    image = torch.as_tensor(sample["image"]).as_subclass(torch.Tensor) // 2  # nothing saturates
    brighter = shifts.Shift("brighter", "light", lambda one: 2 * one)
    logits = [
        shifts.predict_shifted(task, image, shift, by)
        for by in (shifts.TRAINING, shifts.OWN)
        for shift in (shifts.SHIFTS[0], brighter)
    ]
    torch.testing.assert_close(logits[2], logits[3], atol=1e-3, rtol=1e-3)
    assert (logits[0] - logits[1]).abs().max() > 0.01
    assert torch.equal(logits[0], task.predict(image)["logits"])
    assert task.statistics is not None  # as before


def test_scores_from_counts_are_those_of_all_pixels():
    rng = np.random.default_rng(0)
    logits = torch.from_numpy(rng.normal(-2, 3, (3, 2, 40, 60)).astype(np.float32))
    masks = torch.from_numpy((rng.random((3, 2, 40, 60)) < torch.sigmoid(logits).numpy()).astype(np.uint8))
    counts = np.stack([shifts.count_scores(own, mask) for own, mask in zip(logits, masks, strict=True)])
    for k in range(2):
        exact = average_precision(logits[:, k].numpy().ravel(), masks[:, k].numpy().ravel())
        assert shifts.score(counts)[k] == pytest.approx(exact, abs=2e-3)
        f1 = pixel_counts((logits[:, k] > 0).numpy(), masks[:, k].numpy() > 0).f1
        assert shifts.find_f1(counts)[k] == pytest.approx(f1, abs=1e-9)
        tried = [pixel_counts((logits[:, k] >= edge).numpy(), masks[:, k].numpy() > 0).f1 for edge in BIN_EDGES]
        assert shifts.find_f1(counts, best=True)[k] == pytest.approx(max(tried), abs=1e-3)
    small = shifts.count_scores(logits[0, :, :20, :30], masks[0])  # masks are brought to the size of the logits
    assert small.sum() == 2 * 20 * 30


def test_a_difference_is_paired_over_images():
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 50, (5, 2, 2, shifts.BINS))
    same = shifts.compare(counts, counts)
    assert np.all(np.array([same.value, same.low, same.high]) == 0)
    other = rng.integers(1, 50, counts.shape)
    found = shifts.compare(counts, other)
    np.testing.assert_allclose(found.value, shifts.score(counts) - shifts.score(other))
    assert np.all(found.low < found.value) and np.all(found.value < found.high)


def test_every_shift_is_counted_under_the_normalisations_that_matter(task, sample):
    image, mask = torch.as_tensor(sample["image"]), torch.as_tensor(sample["mask"])
    found = shifts.count_shifts(task, [image], [mask])
    both = [shift.name for shift in shifts.SHIFTS[:7]]  # as it is, four of light, two of colour
    assert list(found) == [
        (shift.name, by)
        for shift in shifts.SHIFTS
        for by in ((shifts.TRAINING, shifts.OWN) if shift.name in both else (shifts.TRAINING,))
    ]
    for shift in shifts.SHIFTS:
        height, width = (round(side * shift.scale) for side in (96, 144))
        assert found[shift.name, shifts.TRAINING].sum() == height * width


def test_what_was_measured_is_of_all_test_images_and_of_the_network_that_ships():
    found = shifts.measured()
    assert found["images"] == 27 and found["lesions"] == ["MA", "HE", "EX", "SE"]
    assert weights.load(weights.DEFAULT).describe() == found["network"]
    assert list(found["scores"]) == [shift.name for shift in shifts.SHIFTS]
    for ways in found["scores"].values():
        for by, scores in ways.items():
            for own in scores.values():
                assert 0 <= own["interval"][0] <= own["aupr"] <= own["interval"][1] <= 1
                assert own["f1"] <= own["best_f1"] and ("gain" in own) == (by == shifts.OWN)
    assert found["scores"]["as it is"][shifts.TRAINING]["EX"]["change"] == [0, 0, 0]


def test_networks_are_compared_as_each_normalises(tmp_path, synthetic_root):
    files = {}
    for row, changes in {"base": {}, "by_image": {"normalise_by": "image"}}.items():
        torch.manual_seed(0)
        own = create_task(RECIPE.replace(row=row, **changes)).eval()
        for weight in own.model.parameters():
            weight.data.mul_(2)  # logits that differ from each other by more than a bin
        if not changes:
            own.statistics = torch.tensor([[150.0, 90, 45], [40, 40, 20]])
        own.field_width = 140.0
        files[row] = tmp_path / f"{row}.pt"
        save_model(files[row], own, trained_on="test")
    few = [shifts.SHIFTS[0], shifts.Shift("darker", "light", lambda image: shifts.tint(image, 0.5, 0.5, 0.5))]
    found = colours.measure(synthetic_root, files, count=3, shifts=few)
    assert (found["images"], found["size"], found["lesions"]) == (3, [96, 144], ["EX"])
    base, own = found["scores"]["base"], found["scores"]["by_image"]
    assert base["as it is"]["change"] == base["darker"]["gain"] == [0, 0, 0]
    for scores in (base, own):
        change = scores["darker"]["aupr"][0] - scores["as it is"]["aupr"][0]
        assert scores["darker"]["change"][0] == pytest.approx(change, abs=2e-4)
    assert own["darker"]["gain"][0] == pytest.approx(own["darker"]["aupr"][0] - base["darker"]["aupr"][0], abs=2e-4)
    assert abs(own["darker"]["change"][0]) < abs(base["darker"]["change"][0])
    test = read_split(RECIPE, synthetic_root, "test", 3)
    task = load_model(files["by_image"]).task
    logits = [task.predict(image, own)["logits"] for image, own in zip(test.images, test.statistics, strict=True)]
    counts = np.stack([shifts.count_scores(*pair) for pair in zip(logits, test.masks, strict=True)])
    assert own["as it is"]["aupr"][0] == pytest.approx(shifts.score(counts)[0], abs=0.02)  # bf16
