"""The command `fundus`, as a user calls it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from fundus_lib import records
from fundus_lib.cli import app, newest_model, parse_size
from fundus_lib.errors import ArgumentError, CheckpointError, FundusError

call = CliRunner().invoke


def test_size_is_width_first_for_people_and_height_first_for_arrays() -> None:
    assert parse_size("1440x960") == parse_size("1440×960") == (960, 1440)
    for text in ("1440", "1440x", "x960", "0x960", "a x b", "960,1440"):
        with pytest.raises(ArgumentError, match="WIDTHxHEIGHT"):
            parse_size(text)


def test_make_check_stats_shrink(tmp_path: Path) -> None:
    drawn, small = tmp_path / "IDRiD", tmp_path / "small"
    options = ["--size", "144x96", "--segmentation", "3", "2", "--grading", "4", "3"]
    assert call(app, ["data", "make", str(drawn), *options]).exit_code == 0
    checked = call(app, ["data", "check", str(drawn)])
    assert checked.exit_code == 0, checked.output
    assert "Synthetic data" in checked.output
    measured = call(app, ["data", "stats", str(drawn), "--size", "144x96", "--plot", str(tmp_path / "plot.png")])
    assert measured.exit_code == 0, measured.output
    assert "ratio" in measured.output
    assert Image.open(tmp_path / "plot.png").width > 500
    assert call(app, ["data", "shrink", str(drawn), str(small), "--size", "72x48"]).exit_code == 0
    assert Image.open(next(small.rglob("IDRiD_01.jpg"))).size == (72, 48)
    next(small.rglob("IDRiD_01.jpg")).unlink()
    broken = call(app, ["data", "check", str(small)])
    assert broken.exit_code == 2
    assert "IDRiD_01.jpg" in broken.output


def test_outputs_are_refused_before_anything_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fundus_lib.data import stats
    from helpers import small_ddr, small_idrid

    root, file = small_idrid.write(tmp_path / "IDRiD"), tmp_path / "file"
    file.touch()
    small_ddr.write_both_parts(tmp_path / "DDR")
    measured = []
    monkeypatch.setattr(stats, "lesion_statistics", lambda *_: measured.append(1))
    for data, option, target, words in (
        (root, "--plot", file / "plot.png", "a file is where a folder is meant"),
        (root, "--json", file / "all.json", "a file is where a folder is meant"),
        (root, "--plot", tmp_path, "which is a folder"),
        (root, "--plot", tmp_path / "plot.xyz", r"ends in \.png or \.svg or \.pdf"),
        (root, "--json", tmp_path / "all.txt", r"ends in \.json"),
        (tmp_path / "DDR", "--json", tmp_path / "all.json", "IDRiD alone"),
    ):
        with pytest.raises(FundusError, match=words):
            call(app, ["data", "stats", str(data), option, str(target)], catch_exceptions=False)
    assert not measured


def test_run_records_predict(tmp_path: Path, synthetic_root: Path) -> None:
    out = tmp_path / "runs"
    options = ["--row", "unet", "--smoke", "--data", str(synthetic_root), "--out", str(out), "--device", "cpu"]
    first = call(app, ["run", "first_segmenter", *options])
    assert first.exit_code == 0, first.output
    (record,) = out.glob("*.json")
    assert json.loads(record.read_text())["row"] == "unet"
    again = call(app, ["run", "first_segmenter", *options])
    assert "done before" in again.output
    listed = call(app, ["records", str(out), "--paper", "first_segmenter"])
    assert "EX_aupr" in listed.output
    photograph = next((synthetic_root / "A. Segmentation").rglob("IDRiD_01.jpg"))
    found = call(
        app, ["predict", str(photograph), "--checkpoint", str(newest_model(out)), "--out", str(tmp_path / "p")]
    )
    assert found.exit_code == 0, found.output
    assert {"overlay.png", "EX_mask.png", "counts.csv"} <= {p.name for p in (tmp_path / "p").iterdir()}


def test_predict_prints_grades_with_their_probabilities(tmp_path: Path, synthetic_root: Path) -> None:
    from fundus_lib.checkpoints import save_model
    from fundus_lib.experiment import create_task
    from fundus_lib.recipes import find

    recipe = find("sunet", "sunet").smoke()
    task = create_task(recipe)
    task.field_width = float(recipe.side)
    save_model(tmp_path / "model.pt", task, trained_on="nothing")
    photograph = next((synthetic_root / "B. Disease Grading").rglob("IDRiD_001.jpg"))
    options = ["--checkpoint", str(tmp_path / "model.pt"), "--out", str(tmp_path / "p")]
    found = call(app, ["predict", str(photograph), *options])
    assert found.exit_code == 0, found.output
    lines = [line.split() for line in found.output.splitlines()]
    assert lines[0] == ["disease", "grade", "p0", "p1", "p2", "p3", "p4"]
    shares = {line[0]: [float(text) for text in line[2:]] for line in lines[1:3]}
    assert {name: len(shares[name]) for name in shares} == {"dr": 5, "dme": 3}
    assert all(sum(of) == pytest.approx(1, abs=3e-3) for of in shares.values())
    assert lines[3][0] == "lesion" and [line[0] for line in lines[4:8]] == ["MA", "HE", "EX", "SE"]
    assert {"grades.csv", "counts.csv", "overlay.png"} <= {path.name for path in (tmp_path / "p").iterdir()}


def test_newest_model_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="fundus run first_segmenter"):
        newest_model(tmp_path)


def test_a_bad_input_is_four_lines_without_traceback(tmp_path: Path) -> None:
    code = "import sys; from fundus_lib.cli import main; sys.argv = ['fundus', 'data', 'check', sys.argv[1]]; main()"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("DatasetNotFoundError: ")
    assert [line.strip().split(":")[0] for line in done.stderr.splitlines()[1:4]] == ["found", "expected", "remedy"]


def test_records_are_compared_row_by_row() -> None:
    options = ["--paper", "dual_branch", "--table", "small", "--compare", "EX_aupr"]
    lines = call(app, ["records", *options]).output.splitlines()
    assert lines[0].split()[-4:] == ["mean", "min", "max", "count"]
    means = [float(line.split()[-4]) for line in lines[1:]]
    assert means == sorted(means, reverse=True) and len(means) > 3
    dice = records.load().query("paper == 'dual_branch' and table == 'small' and row == 'unet_dice'").EX_aupr
    (line,) = (line for line in lines if " unet_dice " in line)
    assert [float(value) for value in line.split()[-4:]] == pytest.approx(
        [dice.mean(), dice.min(), dice.max(), len(dice)], abs=6e-4
    )
    with pytest.raises(ArgumentError, match="no such score"):
        call(app, ["records", "--compare", "EX_beauty"], catch_exceptions=False)
