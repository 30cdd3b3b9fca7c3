"""Predictions on photographs of one's own, whatever their size and border."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from fundus_lib.checkpoints import load_model, measure_colours, save_model
from fundus_lib.data.field_of_view import bounding_box, field_of_view, statistics
from fundus_lib.errors import ArgumentError, CheckpointError, MissingFileError, UnreadableImageError
from fundus_lib.experiment import create_task
from fundus_lib.image_verdicts import Rule
from fundus_lib.prediction import predict
from fundus_lib.prediction.cautions import FAR, measure_distance
from fundus_lib.prediction.place import place
from fundus_lib.prediction.tables import list_regions
from fundus_lib.recipes import GradingRecipe, SegmentationRecipe

RECIPE = SegmentationRecipe(
    paper="p", table="t", row="r", lesions=("HE", "EX"), crop=32, model_args={"width": 4, "depth": 2}
)
WIDTH = 120


def save(path, recipe, width=WIDTH, statistics=None):
    task = create_task(recipe)
    task.field_width, task.statistics = float(width), statistics
    save_model(path, task, trained_on="nothing")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A network with weights as they were drawn: where it looks is what is tested, not what it knows."""
    path = tmp_path_factory.mktemp("model") / "model.pt"
    torch.manual_seed(0)
    save(path, RECIPE)
    return path


def grader(path, side=WIDTH, **model_args):
    """The same of a network that grades."""
    model_args = {"backbone": "resnet18", "channels": 8, **model_args}
    recipe = GradingRecipe(paper="p", table="t", row="r", lesions=("HE", "EX"), side=side, model_args=model_args)
    torch.manual_seed(0)
    save(path, recipe, side)
    return path


def photograph(border: int = 0, scale: int = 1) -> np.ndarray:
    """A disc with smooth colours and two bright spots, RGB."""
    rows, columns = np.mgrid[:WIDTH, :WIDTH] + 0.5
    image = np.stack([150 + columns / 3, 80 + rows / 4, 40 + 20 * np.sin(rows / 9)], axis=-1)
    for row, column in ((40, 50), (80, 90)):
        image[(rows - row) ** 2 + (columns - column) ** 2 < 60] = (250, 240, 120)
    image[(rows - WIDTH / 2) ** 2 + (columns - WIDTH / 2) ** 2 > (WIDTH / 2) ** 2] = 0
    image = image.astype(np.uint8).repeat(scale, 0).repeat(scale, 1)
    return np.pad(image, ((border, border), (border * 2, border), (0, 0)))


def write(path, image):
    cv2.imwrite(str(path), image[..., ::-1])
    return path


def test_scores_follow_the_retina_through_border_and_size(checkpoint, tmp_path):
    plain = predict(write(tmp_path / "a.png", photograph()), checkpoint, device="cpu")
    framed = predict(write(tmp_path / "b.png", photograph(border=20)), checkpoint, device="cpu")
    large = predict(write(tmp_path / "c.png", photograph(scale=3)), checkpoint, device="cpu")
    assert plain.scores.shape == (2, WIDTH, WIDTH)
    np.testing.assert_array_equal(framed.scores[:, 20:-20, 40:-20], plain.scores)
    assert large.scores.shape == (2, 3 * WIDTH, 3 * WIDTH)
    small = large.scores[:, 1::3, 1::3]
    assert np.corrcoef(small.ravel(), plain.scores.ravel())[0, 1] > 0.99
    field = field_of_view(photograph())
    assert not plain.scores[:, field == 0].any() and plain.scores[:, field > 0].all()


def test_at_the_scale_of_training_it_is_the_network_itself(checkpoint, tmp_path):
    image = photograph()
    box = bounding_box(field_of_view(image))
    assert image[box].shape[:2] == (WIDTH, WIDTH)
    logits = load_model(checkpoint).task.predict(torch.from_numpy(image).permute(2, 0, 1), statistics(image))["logits"]
    found = predict(write(tmp_path / "a.png", image), checkpoint, device="cpu").scores
    np.testing.assert_allclose(found, logits.sigmoid().numpy() * field_of_view(image), rtol=1e-5)


def test_a_model_normalised_by_its_training_set_keeps_brightness_as_a_clue(checkpoint, tmp_path):
    common = torch.tensor([[150.0, 90, 45], [40, 40, 20]])
    other = tmp_path / "model.pt"
    task = load_model(checkpoint).task
    task.statistics = common
    save_model(other, task, trained_on="nothing")
    bright, dark = photograph(), (photograph() * 0.5).astype(np.uint8)

    def change(model):
        first, second = (predict(write(tmp_path / "a.png", i), model, device="cpu").scores for i in (bright, dark))
        return np.abs(first - second).max() / first.max()

    assert change(other) > 5 * change(checkpoint)


def test_counts_are_those_of_the_mask(checkpoint, tmp_path):
    path = write(tmp_path / "a.png", photograph(border=5))
    scores = predict(path, checkpoint, device="cpu").scores
    threshold = float(np.quantile(scores[1][scores[1] > 0], 0.9))
    prediction = predict(path, checkpoint, threshold=threshold, device="cpu")
    assert list(prediction.counts["lesion"]) == ["HE", "EX"]
    row = prediction.counts.iloc[1]
    assert row["area_px"] == (prediction.scores[1] >= np.float32(threshold)).sum() > 0
    assert row["area_percent"] == pytest.approx(10, abs=0.2)
    assert row["components"] == cv2.connectedComponents(prediction.mask[1].astype(np.uint8))[0] - 1
    assert prediction.overlay.shape == (*prediction.mask.shape[1:], 3)
    assert predict(path, checkpoint, threshold=0, device="cpu").counts["area_percent"].tolist() == [100, 100]


def test_save_writes_pictures_regions_and_all_that_is_known(checkpoint, tmp_path):
    prediction = predict(write(tmp_path / "a.png", photograph()), checkpoint, threshold=0.01, device="cpu")
    files = prediction.save(tmp_path / "out")
    assert sorted(p.name for p in files) == sorted(p.name for p in (tmp_path / "out").iterdir())
    mask = cv2.imread(str(tmp_path / "out" / "EX_mask.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(mask > 0, prediction.mask[1])
    drawn = cv2.imread(str(tmp_path / "out" / "overlay.png"))[..., ::-1]
    np.testing.assert_array_equal(drawn[:WIDTH], prediction.overlay)
    assert len(drawn) > WIDTH, "a legend below"
    regions = pd.read_csv(tmp_path / "out" / "regions.csv")
    assert set(regions["image"]) == {"a.png"} and set(regions["model"]) == {load_model(checkpoint).digest}
    pd.testing.assert_frame_equal(regions[prediction.regions.columns], prediction.regions)


def test_every_output_names_the_image_the_model_and_the_limits(checkpoint, tmp_path):
    found = predict(write(tmp_path / "a.png", photograph()), checkpoint, threshold=0.01, device="cpu")
    assert len(found.regions)
    found.save(tmp_path / "out")
    model = load_model(checkpoint).digest
    for path in (tmp_path / "out").iterdir():
        text = Image.open(path).text if path.suffix == ".png" else path.read_text()
        assert "a.png" in str(text) and model in str(text), path.name
        assert "ot a medical device" in str(text) or path.suffix == ".csv"
    done = json.loads((tmp_path / "out" / "prediction.json").read_text())
    assert done["about"]["trained_on"] == "nothing" and "disc diameters" in " ".join(done["about"]["limits"])


@pytest.mark.parametrize("damaged", ["", "{", "[]", '{"image": "a.pn'])
def test_what_was_being_written_when_it_was_killed_is_written_again(checkpoint, tmp_path, damaged):
    prediction = predict(write(tmp_path / "a.png", photograph()), checkpoint, threshold=0.01, device="cpu")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "prediction.json").write_text(damaged)
    prediction.save(tmp_path / "out")
    assert json.loads((tmp_path / "out" / "prediction.json").read_text())["image"] == "a.png"


def test_regions_are_those_of_a_plain_search():
    mask = np.zeros((2, 40, 60), bool)
    mask[0, 3:5, 7:10] = mask[0, 20:30, 30:40] = True
    mask[0, 30, 40] = True  # touches by a corner
    field = np.ones((40, 60), np.uint8)
    table = list_regions(("HE", "EX"), mask, field)
    assert table[["lesion", "region", "left", "top", "width", "height", "area_px"]].to_numpy().tolist() == [
        ["HE", 1, 30, 20, 11, 11, 101],
        ["HE", 2, 7, 3, 3, 2, 6],
    ]
    assert table["x"].tolist() == [pytest.approx(34.6, abs=0.05), 8] and table["y"].tolist()[1] == 3.5
    assert table["area_percent"].tolist() == pytest.approx([100 * 101 / 2400, 0.25])


def test_the_orientation_that_viewers_show_is_applied(checkpoint, tmp_path):
    image = photograph()[:100]
    shown = np.rot90(image, -1)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90° clockwise for display
    Image.fromarray(image).save(tmp_path / "phone.png", exif=exif)
    found = predict(tmp_path / "phone.png", checkpoint, device="cpu")
    np.testing.assert_array_equal(found.image, shown)
    plain = predict(write(tmp_path / "turned.png", shown), checkpoint, device="cpu")
    np.testing.assert_array_equal(found.scores, plain.scores)


def test_grades_do_not_depend_on_the_black_margin(tmp_path):
    """As an image of IDRiD has it, cut off above and below; on whatever canvas, also one of 3:2."""
    model, size = grader(tmp_path / "model.pt", side=64), (284, 428)
    rows, columns = np.mgrid[: size[0], : size[1]] + 0.5
    image = np.stack([150 + columns / 9, 80 + rows / 8 + 20 * np.sin(columns / 20), 40 + 20 * np.sin(rows / 30)], -1)
    image[(rows - 142) ** 2 + (columns - 214) ** 2 > 172**2] = 0
    image = image.astype(np.uint8)

    def grade(canvas):
        framed = np.zeros((*canvas, 3), np.uint8)
        top, left = (canvas[0] - size[0]) // 2, (canvas[1] - size[1]) // 2
        framed[top : top + size[0], left : left + size[1]] = image
        found = predict(write(tmp_path / "a.png", framed), model, device="cpu")
        return found.grades.loc[0, "p0":"p4"].to_numpy(float)

    own, other = grade(size), grade((320, 428))
    assert np.abs(own - other).max() < 0.02
    for canvas in ((427, 643), (600, 900), (284, 700)):
        np.testing.assert_array_equal(grade(canvas), other)


def test_a_cut_off_field_of_view_is_read_on_the_same_pixels_whatever_its_frame(tmp_path):
    """In IDRiD's own frame and on a canvas; half a pixel between them moved a trained grader's probability by .2."""
    task = load_model(grader(tmp_path / "model.pt", side=64)).task
    rows, columns = np.mgrid[:284, :428] + 0.5
    image = np.random.default_rng(0).integers(60, 200, (284, 428, 3), np.uint8)
    image[(rows - 142) ** 2 + (columns - 197.5) ** 2 > 172**2] = 0
    own = place(task, image, field_of_view(image))
    for above, left in ((18, 0), (80, 107), (0, 300), (300, 0)):
        framed = np.pad(image, ((above, above), (left, 40), (0, 0)))
        other = place(task, framed, field_of_view(framed))
        assert np.abs(own.pixels.astype(int) - other.pixels).mean() < 0.1
        assert (other.top - above, other.left - left, other.size) == (own.top, own.left, own.size)
    for rim in (1, 2):  # of a frame that is 3:2 still, to half a percent
        framed = np.pad(image, ((rim, rim), (rim, 2 * rim), (0, 0)))
        other = place(task, framed, field_of_view(framed))
        assert np.abs(own.pixels.astype(int) - other.pixels).mean() < 0.1, rim
    narrow = image[:, 25:370]  # the black beside it cut off
    other = place(task, narrow, field_of_view(narrow))
    assert np.abs(own.pixels.astype(int) - other.pixels).mean() < 0.1 and other.left + 25 == own.left


def test_one_view_is_the_network_without_its_mirror_images(tmp_path):
    torch.manual_seed(0)
    save(tmp_path / "model.pt", RECIPE.replace(test_flips=True))
    model, path = load_model(tmp_path / "model.pt"), write(tmp_path / "a.png", photograph())
    four, one = (predict(path, model, mirror=mirror, device="cpu").probabilities for mirror in (True, False))
    assert len(model.task.mirrored) == 4 and not np.array_equal(four, one)
    model.task.mirrored = ((),)
    np.testing.assert_array_equal(predict(path, model, device="cpu").probabilities, one)


def test_a_model_that_gives_no_numbers_is_an_error(checkpoint, tmp_path):
    model = load_model(checkpoint)
    with torch.no_grad():
        next(model.task.model.parameters()).fill_(3e38)
    with pytest.raises(CheckpointError, match="gives no numbers"):
        predict(write(tmp_path / "a.png", photograph()), model, device="cpu")


def test_colours_unlike_those_of_training_are_cautioned_with_their_distance(checkpoint, tmp_path):
    model = load_model(checkpoint)
    own = statistics(photograph())
    model = replace(model, colours=measure_colours(torch.stack([own - 4, own + 4])))
    path = write(tmp_path / "a.png", photograph())
    assert predict(path, model, device="cpu").cautions == ()
    (told,) = predict(write(tmp_path / "b.png", photograph()[..., ::-1]), model, device="cpu").cautions
    distance, what = measure_distance(statistics(photograph()[..., ::-1]), model.colours)
    assert f"{distance:.1f}" in told and what in told and distance > FAR
    middle = photograph()[WIDTH // 3 : -WIDTH // 3, WIDTH // 3 : -WIDTH // 3, ::-1]
    told = predict(write(tmp_path / "c.png", middle), model, device="cpu").cautions
    for words in ("enlarged 3.0 times", "fills the frame", "colours unlike"):
        assert sum(words in caution for caution in told) == 1
    assert len(told) == 3


def test_an_image_without_colour_and_a_model_of_synthetic_images_are_cautioned(checkpoint, tmp_path):
    grey = np.repeat(photograph().mean(2, keepdims=True).astype(np.uint8), 3, axis=2)
    model = load_model(checkpoint)
    assert predict(write(tmp_path / "a.png", photograph()), model, device="cpu").cautions == ()
    (told,) = predict(write(tmp_path / "b.png", grey), model, device="cpu").cautions
    assert "no colour" in told
    saved = {
        name: predict(tmp_path / name, model, device="cpu").save(tmp_path / name[0]) for name in ("a.png", "b.png")
    }
    plain, cautioned = (
        Image.open(next(path for path in files if path.name == "overlay.png")).height for files in saved.values()
    )
    assert cautioned > plain, "the caution stands below the picture"
    (told,) = predict(
        write(tmp_path / "c.png", photograph()), replace(model, trained_on="synthetic"), device="cpu"
    ).cautions
    assert "synthetic images alone" in told


def test_two_eyes_in_an_image_are_cautioned(checkpoint, tmp_path):
    both = np.concatenate([np.pad(photograph(), ((0, 0), (9, 9), (0, 0)))] * 2, axis=1)
    told = predict(write(tmp_path / "a.png", both), load_model(checkpoint), device="cpu").cautions
    assert any("2 regions are large enough to be an eye" in caution for caution in told)


def test_verdicts_count_only_at_the_settings_they_were_made_with(tmp_path):
    path, checkpoint = write(tmp_path / "a.png", photograph()), tmp_path / "model.pt"
    save(checkpoint, RECIPE.replace(test_flips=True))
    rules = tuple(Rule(lesion, 9, 9, 0.0, 0.0, 0.01, True, "tests") for lesion in ("HE", "EX"))
    model = replace(load_model(checkpoint), rules=rules)
    found = predict(path, model, threshold=0.01, device="cpu").counts
    assert [v == "likely" for v in found["verdict"]] == [a > 0 for a in found["area_px"]]
    for other in ({"threshold": 0.02}, {"threshold": 0.01, "mirror": False}):
        counts = predict(path, model, device="cpu", **other).counts
        assert set(counts["verdict"]) == {"not calibrated"}


def test_the_narrow_strip_is_refused_before_it_takes_all_memory(checkpoint, tmp_path):
    strip = np.full((600, 8, 3), 180, np.uint8)
    with pytest.raises(UnreadableImageError, match="shape of a field of view"):
        predict(write(tmp_path / "a.png", np.pad(strip, ((0, 0), (300, 300), (0, 0)))), checkpoint, device="cpu")


def output_of(model, image):
    """What the network says of a square photograph, (3, S, S) as it is."""
    with torch.inference_mode():
        return load_model(model).task(torch.tensor(image).permute(2, 0, 1)[None], statistics(image)[None])


def test_grades_and_lesions_are_those_of_the_network_on_the_square_about_the_field_of_view(tmp_path):
    model, image = grader(tmp_path / "model.pt"), photograph()
    output = output_of(model, image)
    for border in (0, 20):
        found = predict(write(tmp_path / "a.png", photograph(border)), model, device="cpu")
        dr, dme = found.grades.itertuples()
        assert (dr.disease, dr.grade, dme.disease, dme.grade) == (
            *("dr", int(output["dr"].argmax())),
            *("dme", int(output["dme"].argmax())),
        )
        np.testing.assert_allclose(dr[-5:], output["dr"][0].softmax(0), rtol=1e-5)
        np.testing.assert_allclose(dme[-5:-2], output["dme"][0].softmax(0), rtol=1e-5)
        assert np.isnan(dme[-2:]).all()
        at = found.scores[:, border : border + WIDTH, 2 * border : 2 * border + WIDTH]
        np.testing.assert_allclose(at, output["logits"][0].sigmoid().numpy() * field_of_view(image), rtol=1e-5)
        assert found.scores.shape[1:] == photograph(border).shape[:2] and found.lesions == ("HE", "EX")
        assert found.scores.sum() == pytest.approx(at.sum())


def test_where_the_frame_cuts_the_field_of_view_off_the_square_reaches_beyond_it(tmp_path):
    model, cut = grader(tmp_path / "model.pt"), photograph()[15:105]
    seen = np.zeros((WIDTH, WIDTH, 3), np.uint8)
    seen[15:105] = cut
    found = predict(write(tmp_path / "a.png", cut), model, device="cpu")
    output = output_of(model, seen)
    assert found.scores.shape == (2, 90, WIDTH)
    np.testing.assert_allclose(
        found.scores, output["logits"][0, :, 15:105].sigmoid().numpy() * field_of_view(cut), rtol=1e-5
    )
    np.testing.assert_allclose(found.grades.loc[0, "p0":"p4"].astype(float), output["dr"][0].softmax(0), rtol=1e-5)


def test_a_network_without_regulariser_gives_the_grades_alone(tmp_path):
    model = grader(tmp_path / "model.pt", side=64, regulariser=False, diseases=("dme",))
    image = photograph(scale=2)
    found = predict(write(tmp_path / "a.png", image), model, device="cpu")
    assert found.grades.columns.tolist() == ["disease", "grade", "p0", "p1", "p2"] and len(found.grades) == 1
    assert found.grades.loc[0, "p0":"p2"].sum() == pytest.approx(1)
    assert found.lesions == () and found.scores.shape == (0, *image.shape[:2]) and found.counts.empty
    np.testing.assert_array_equal(found.overlay, image)
    (path,) = found.save(tmp_path / "out")
    assert json.loads(path.read_text())["grades"] == found.grades.to_dict("records")


def test_a_network_without_grades_has_an_empty_table(checkpoint, tmp_path):
    assert predict(write(tmp_path / "a.png", photograph()), checkpoint, device="cpu").grades.empty


def test_bad_photographs(checkpoint, tmp_path):
    for name in ("none.png", "no folder/none.png"):
        with pytest.raises(MissingFileError, match=r"none\.png") as caught:
            predict(tmp_path / name, checkpoint)
        assert not any(word in str(caught.value) for word in ("archive", "unpack", "data check"))
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(UnreadableImageError, match=r"text\.jpg") as caught:
        predict(tmp_path / "text.jpg", checkpoint)
    assert "archive" not in str(caught.value) and "data check" not in str(caught.value)
    with pytest.raises(UnreadableImageError, match="no retina"):
        predict(write(tmp_path / "black.png", np.zeros((30, 40, 3), np.uint8)), checkpoint)
    with pytest.raises(ArgumentError, match="probability"):
        predict(write(tmp_path / "a.png", photograph()), checkpoint, threshold=1.2)


def test_a_network_that_learned_no_lesions_draws_none(tmp_path, graded_root):
    from fundus_lib.recipes import find

    photograph = next((graded_root / "B. Disease Grading" / "1. Original Images" / "b. Testing Set").glob("*.jpg"))
    for row, lesions in (("sunet_mixed", ("MA", "HE", "EX", "SE")), ("dr_dme_mixed", ())):
        recipe = find("sunet", row).smoke()
        save(tmp_path / "model.pt", recipe, recipe.side)
        assert predict(photograph, tmp_path / "model.pt", device="cpu").lesions == lesions


def test_a_large_jpeg_says_that_it_was_read_at_a_fraction_of_its_size(checkpoint, tmp_path, monkeypatch):
    image, path = photograph(scale=2), tmp_path / "a.jpg"
    write(path, image)
    told = predict(path, checkpoint, device="cpu").cautions
    monkeypatch.setattr("fundus_lib.data.pictures.MAX_PIXELS", image.size // 3 - 1)
    reduced = predict(path, checkpoint, device="cpu")
    assert len(reduced.cautions) == len(told) + 1
    assert f"read at {reduced.field.shape[0]}×{reduced.field.shape[1]} pixels" in reduced.cautions[-1]


def test_predictions_of_two_images_are_not_mixed_in_a_folder(checkpoint, tmp_path):
    one, other = (write(tmp_path / name, photograph(border)) for border, name in ((0, "a.png"), (8, "b.png")))
    predict(one, checkpoint, device="cpu").save(tmp_path / "out")
    predict(one, checkpoint, threshold=0.9, device="cpu").save(tmp_path / "out")  # the same again
    with pytest.raises(ArgumentError, match=r"(?s)another image or model.*a folder of its own"):
        predict(other, checkpoint, device="cpu").save(tmp_path / "out")


def test_an_array_is_no_path(checkpoint):
    with pytest.raises(ArgumentError, match="fromarray"):
        predict(photograph(), checkpoint)
    with pytest.raises(ArgumentError, match="benchmark/grader"):
        predict("eye.png", torch.nn.Identity())
