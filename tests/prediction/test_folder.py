"""Many images at once: a folder each, one table, and nothing done twice or mixed up."""

import json
import subprocess
import sys

import pandas as pd
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import fundus_lib
from fundus_lib.checkpoints import load_model, save_model
from fundus_lib.cli import app
from fundus_lib.errors import (
    ArgumentError,
    CheckpointError,
    FileAccessError,
    FundusError,
    LabelFormatError,
    MissingFileError,
    UnreadableImageError,
)
from fundus_lib.experiment import create_task
from fundus_lib.image_verdicts import Rule
from fundus_lib.prediction import calibrate, folder, predict, predict_all
from fundus_lib.prediction.about import describe
from fundus_lib.prediction.calibrate import read_presence
from fundus_lib.recipes import GradingRecipe, SegmentationRecipe

call = CliRunner().invoke
SEGMENTS = SegmentationRecipe(
    paper="p", table="t", row="r", lesions=("HE", "EX"), crop=32, model_args={"width": 2, "depth": 1}
)
GRADES = GradingRecipe(
    paper="p", table="t", row="r", lesions=("EX",), side=32, model_args={"backbone": "resnet18", "channels": 4}
)


def save(path, recipe=SEGMENTS, seed=0):
    torch.manual_seed(seed)
    task = create_task(recipe)
    task.field_width = 40.0 if recipe is SEGMENTS else 32.0
    save_model(path, task, trained_on="nothing")
    return path


@pytest.fixture
def model(tmp_path):
    return save(tmp_path / "model.pt")


def draw(path, spots=2, size=60):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", (size, size))
    for row in range(6, size - 6):  # brighter below, as no flat image is an eye
        image.paste((120 + row, 60 + row, 30 + row), (6, row, size - 6, row + 1))
    for spot in range(spots):
        image.paste((250, 240, 120), (12 + 10 * spot, 20, 17 + 10 * spot, 26))
    image.save(path)
    return path


@pytest.fixture
def eyes(tmp_path):
    for number in range(3):
        draw(tmp_path / "eyes" / f"eye{number}.png", spots=number)
    (tmp_path / "eyes" / "notes.txt").write_text("no image")
    (tmp_path / "eyes" / "._eye0.png").write_bytes(b"of a Mac")
    return tmp_path / "eyes"


def run(images, model, out, **settings):
    return predict_all(images, model, out, device="cpu", progress=False, **settings)


def test_a_folder_gives_one_line_per_image_and_lesion(eyes, model, tmp_path):
    found = run(eyes, model, tmp_path / "out")
    assert found.errors == {} and found.done_before == 0
    table = pd.read_csv(tmp_path / "out" / "predictions.csv")
    assert list(zip(table["image"], table["lesion"], strict=True)) == [
        (f"eye{number}.png", lesion) for number in range(3) for lesion in ("HE", "EX")
    ]
    assert set(table["model"]) == {load_model(model).digest}
    for number in range(3):
        own = predict(eyes / f"eye{number}.png", model, device="cpu").counts
        rows = table[table["image"] == f"eye{number}.png"]
        assert rows["area_px"].tolist() == own["area_px"].tolist()
        assert rows["area_percent"].tolist() == pytest.approx(own["area_percent"].tolist(), rel=1e-5)
    about = json.loads((tmp_path / "out" / "about.json").read_text())
    assert about["digest"] == load_model(model).digest and "medical device" in about["limits"][0]


def test_a_model_that_grades_has_its_grades_in_each_line(eyes, tmp_path):
    model = save(tmp_path / "grader.pt", GRADES)
    table = run(eyes, model, tmp_path / "out").table
    assert len(table) == 3
    assert table[[f"dr_p{k}" for k in range(5)]].sum(axis=1).tolist() == pytest.approx([1] * 3)
    own = predict(eyes / "eye1.png", model, device="cpu").grades.set_index("disease")
    assert table.loc[1, "dr"] == own.loc["dr", "grade"] and table.loc[1, "dme"] == own.loc["dme", "grade"]


def test_what_is_done_is_not_done_again(eyes, model, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        folder, "predict", lambda path, *args, **how: seen.append(path.name) or predict(path, *args, **how)
    )
    run(eyes / "eye1.png", model, tmp_path / "out")
    first = run(eyes, model, tmp_path / "out")
    assert seen == ["eye1.png", "eye0.png", "eye2.png"] and first.done_before == 1
    (tmp_path / "out" / "eye2.png" / "prediction.json").write_text('{"image": "eye2')  # killed while it wrote
    again = run(eyes, model, tmp_path / "out")
    assert seen[3:] == ["eye2.png"] and again.done_before == 2
    pd.testing.assert_frame_equal(again.table, first.table)


def test_another_image_of_the_same_name_replaces_the_old_one(eyes, model, tmp_path):
    run(eyes, model, tmp_path / "out")
    place = tmp_path / "out" / "eye0.png"
    (place / "my notes.txt").write_text("mine")
    draw(eyes / "eye0.png", spots=3)
    found = run(eyes, model, tmp_path / "out")
    assert found.done_before == 2
    done = json.loads((place / "prediction.json").read_text())
    assert done["sha256"] == predict(eyes / "eye0.png", model, device="cpu").sha256
    assert (place / "my notes.txt").read_text() == "mine"
    (eyes / "eye0.png").write_bytes(b"broken")
    found = run(eyes, model, tmp_path / "out")
    assert sorted(p.name for p in place.iterdir()) == ["my notes.txt", "prediction.json"], (
        "nothing of the old one stays"
    )
    assert list(found.errors) == ["eye0.png"]


def test_an_image_that_cannot_be_predicted_is_named_and_the_others_go_on(eyes, model, tmp_path):
    (eyes / "eye1.png").write_bytes(b"no image")
    found = run(eyes, model, tmp_path / "out")
    assert list(found.errors) == ["eye1.png"] and "eye1.png" in str(found.errors["eye1.png"])
    bad = found.table[found.table["error"] != ""]
    assert bad["image"].tolist() == ["eye1.png"] and bad["error"].iloc[0].startswith("UnreadableImageError")
    assert len(found.table) == 5 and bad["area_px"].isna().all()
    draw(eyes / "eye1.png")
    assert run(eyes, model, tmp_path / "out").errors == {}, "it is tried again"


def test_predictions_of_another_model_or_setting_are_not_mixed_in(eyes, model, tmp_path):
    model = save(tmp_path / "four.pt", SEGMENTS.replace(test_flips=True))
    run(eyes, model, tmp_path / "out")
    before = (tmp_path / "out" / "predictions.csv").read_bytes()
    for other, how in (
        (save(tmp_path / "other.pt", seed=1), {}),
        (model, {"threshold": 0.4}),
        (model, {"mirror": False}),
    ):
        with pytest.raises(ArgumentError, match="another model or setting"):
            run(eyes, other, tmp_path / "out", **how)
    assert (tmp_path / "out" / "predictions.csv").read_bytes() == before


def test_outputs_that_cannot_be(eyes, model, tmp_path):
    with pytest.raises(ArgumentError, match="something else"):
        run(eyes, model, eyes)
    (tmp_path / "file").write_text("x")
    with pytest.raises(ArgumentError, match="a file is where a folder is meant"):
        run(eyes, model, tmp_path / "file")
    with pytest.raises(FundusError, match="file"):
        run(eyes, model, tmp_path / "file" / "out")


def test_inputs_that_cannot_be(eyes, model, tmp_path):
    for path in (tmp_path / "none.png", tmp_path / "none"):
        with pytest.raises(MissingFileError, match="no such image") as caught:
            run([eyes, path], model, tmp_path / "out")
        assert "archive" not in str(caught.value) and not (tmp_path / "out").exists()
    (tmp_path / "empty" / "below").mkdir(parents=True)
    with pytest.raises(MissingFileError, match="no image in this folder"):
        run(tmp_path / "empty", model, tmp_path / "out")
    draw(tmp_path / "more" / "eye0.png")
    with pytest.raises(ArgumentError, match="same name"):
        run([eyes, tmp_path / "more"], model, tmp_path / "out")
    assert len(run([eyes, eyes / "eye0.png"], model, tmp_path / "out").table) == 6, "each once"


def test_a_folder_that_may_not_be_read_is_named(eyes, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(type(eyes), "iterdir", refuse)
    with pytest.raises(FileAccessError, match="eyes: you may not read"):
        folder.find_images(eyes)


def test_a_model_without_numbers_stops_all(eyes, model, tmp_path):
    loaded = load_model(model)
    with torch.no_grad():
        next(loaded.task.model.parameters()).fill_(3e38)
    with pytest.raises(CheckpointError, match="gives no numbers"):
        run(eyes, loaded, tmp_path / "out")


def test_the_command_prints_the_table_the_model_and_the_limits(eyes, model, tmp_path):
    out, csv = tmp_path / "out", tmp_path / "t.csv"
    options = ["--checkpoint", str(model), "--out", str(out), "--csv", str(csv), "--device", "cpu", "--no-mirror"]
    found = call(app, ["predict", str(eyes), *options])
    assert found.exit_code == 0, found.output
    assert csv.read_bytes() == (out / "predictions.csv").read_bytes()
    for text in ("eye2.png", "not calibrated", load_model(model).digest, "Not a medical device", "3 of 3 images"):
        assert text in found.output
    (eyes / "eye0.png").write_bytes(b"no image")
    found = call(app, ["predict", str(eyes), *options])
    assert (
        found.exit_code == 2 and "UnreadableImageError" in found.output and "2 of 3 images, 2 of them" in found.output
    )


def test_calibrating_gives_verdicts(tmp_path, model):
    task = load_model(model).task
    rows = []
    for number in range(12):
        name = draw(tmp_path / "known" / f"{number}.png", spots=3 * (number % 2)).name
        rows.append({"image": name, "EX": number % 2, "HE": "" if number else 1, "remark": "x"})
    table = tmp_path / "known" / "known.csv"
    pd.DataFrame(rows).to_csv(table, index=False)
    areas = [predict(tmp_path / "known" / r["image"], model, device="cpu").probabilities[1] for r in rows]
    threshold = float(areas[1].max() + areas[0].max()) / 2
    he, ex = calibrate(model, table, tmp_path / "new.pt", threshold=threshold, device="cpu", progress=False)
    assert (ex.images_with, ex.images_without, ex.source) == (6, 6, "known.csv")
    assert (he.images_with, he.images_without, he.above) == (1, 0, None)
    new = load_model(tmp_path / "new.pt")
    assert new.rules == (he, ex) and new.digest != load_model(model).digest
    same = zip(new.task.model.state_dict().values(), task.model.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in same)
    verdicts = run(tmp_path / "known", new, tmp_path / "out", threshold=threshold).table.query("lesion == 'EX'")
    for row in verdicts.itertuples():
        assert row.verdict == ex.judge(row.area_percent) != "not calibrated"
    for text in ("name,EX\n1.png,1\n", "image,EX\n1.png,2\n", "image,EX\n1.png,1\n1.png,0\n", "image\n1.png\n", ""):
        table.write_text(text)
        with pytest.raises(LabelFormatError, match=r"known\.csv"):
            calibrate(model, table, tmp_path / "new.pt", progress=False)


def test_the_package_offers_predict_and_stays_light():
    assert fundus_lib.predict is predict and fundus_lib.predict_all is predict_all
    with pytest.raises(AttributeError, match="predikt"):
        _ = fundus_lib.predikt
    code = "import sys, fundus_lib; print(sorted({'torch', 'cv2', 'pandas', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_cannot_be_opened_for_a_moment_keeps_its_prediction(eyes, model, tmp_path, monkeypatch):
    run(eyes, model, tmp_path / "out")
    before = sorted(p.name for p in (tmp_path / "out").glob("*/*"))

    def refuse(path):
        raise UnreadableImageError(path, "this file cannot be read", found="Permission denied", expected="", remedy="")

    with monkeypatch.context() as patched:
        patched.setattr(folder, "hash_file", refuse)
        assert len(run(eyes, model, tmp_path / "out").errors) == 3
    assert sorted(p.name for p in (tmp_path / "out").glob("*/*")) == before
    found = run(eyes, model, tmp_path / "out")
    assert found.done_before == 3 and not found.replaced and (found.table["error"] == "").all()


def test_an_image_of_the_same_name_is_said_to_replace_another(eyes, model, tmp_path):
    assert run(eyes, model, tmp_path / "out").replaced == ()
    draw(eyes / "eye1.png", spots=3)
    found = call(app, ["predict", str(eyes), "--model", str(model), "--out", str(tmp_path / "out"), "--device", "cpu"])
    assert "images of this name had another content: eye1.png" in found.output
    assert "left out of" in found.output and "notes.txt" in found.output


def test_a_device_that_is_not_there_is_no_fault_of_the_images(eyes, model, tmp_path):
    with pytest.raises(ArgumentError):
        predict_all(eyes, model, tmp_path / "out", device="tpu")
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="this file system refuses such names")
def test_a_name_that_is_not_utf8_is_refused_before_any_work(eyes):
    (eyes / "M\udcfcller.png").write_bytes(b"")
    with pytest.raises(ArgumentError, match="not UTF-8"):
        folder.find_images(eyes)


def test_what_was_done_is_in_the_table_when_somebody_stops_it(eyes, model, tmp_path, monkeypatch):
    done = []

    def stop(path, *args, **settings):
        if done:
            raise KeyboardInterrupt
        done.append(path)
        return predict(path, *args, **settings)

    monkeypatch.setattr(folder, "predict", stop)
    with pytest.raises(KeyboardInterrupt):
        run(eyes, model, tmp_path / "out")
    assert "eye0.png" in (tmp_path / "out" / "predictions.csv").read_text()


def test_tables_as_spreadsheets_write_them(tmp_path):
    table = tmp_path / "known.csv"
    table.write_text("\ufeffimage, EX\na.png , 1.0\n,\n\nb.png,0\nc.png,\n", encoding="utf-8")
    known = read_presence(table, ("HE", "EX"))
    assert known == [(tmp_path / "a.png", {"EX": True}), (tmp_path / "b.png", {"EX": False}), (tmp_path / "c.png", {})]
    for text in ("image,EX\na.png,1\n./a.png,1\n", "image,EX\n,1\n", "image;EX\na.png;1\n"):
        table.write_text(text)
        with pytest.raises(LabelFormatError):
            read_presence(table, ("HE", "EX"))


def test_nothing_is_predicted_for_a_calibration_that_could_not_be_kept(tmp_path, model, eyes, monkeypatch):
    monkeypatch.setattr(sys.modules[read_presence.__module__], "predict", None)  # calling it would fail
    table = tmp_path / "known.csv"
    table.write_text("image,EX\neyes/eye0.png,1\neyes/none.png,0\n")
    with pytest.raises(MissingFileError, match=r"none\.png"):
        calibrate(model, table, tmp_path / "new.pt", progress=False)
    for there in (model, eyes):
        with pytest.raises(ArgumentError, match="a new file is meant"):
            calibrate(model, table, there, progress=False)


def test_a_model_of_one_view_keeps_its_verdicts_without_mirrored_views(tmp_path, model, eyes):
    rule = Rule("EX", 9, 9, 0.0, 0.0, threshold=0.5, mirrored=True, source="s")
    save_model(tmp_path / "ruled.pt", load_model(model).task, trained_on="nothing", rules=[rule])
    ruled = load_model(tmp_path / "ruled.pt")
    with_views, without = (run(eyes, ruled, tmp_path / str(m), mirror=m).table for m in (True, False))
    pd.testing.assert_frame_equal(with_views, without)
    assert "not calibrated" not in set(without[without["lesion"] == "EX"]["verdict"])
    assert run(eyes, ruled, tmp_path / "True", mirror=False).done_before == 3, "it is the same setting"
    call_it = ["predict", str(eyes), "--checkpoint", str(tmp_path / "ruled.pt"), "--out", str(tmp_path / "False")]
    assert "No verdict for EX here" not in call(app, [*call_it, "--device", "cpu", "--no-mirror"]).output
    pd.DataFrame({"image": [str(eyes / "eye0.png")], "EX": [1]}).to_csv(tmp_path / "known.csv", index=False)
    made = calibrate(model, tmp_path / "known.csv", tmp_path / "new.pt", mirror=False, device="cpu", progress=False)
    assert {rule.mirrored for rule in made} == {True}, "predictions of either setting find it"


def test_a_rule_that_does_not_apply_is_said_not_to(tmp_path, model):
    rule = Rule("EX", 9, 9, 0.02, 0.05, threshold=0.5, mirrored=True, source="s")
    task = load_model(model).task
    save_model(tmp_path / "ruled.pt", task, trained_on="nothing", rules=[rule])
    ruled = load_model(tmp_path / "ruled.pt")
    assert "No verdict for EX here" not in " ".join(describe(ruled, threshold=0.5, mirrored=True)["verdicts"])
    for settings in ({"threshold": 0.4, "mirrored": True}, {"threshold": 0.5, "mirrored": False}):
        assert "No verdict for EX here" in " ".join(describe(ruled, **settings)["verdicts"])
