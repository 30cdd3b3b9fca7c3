"""The command `fundus`, as a user calls it."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from fundus_lib import records, weights
from fundus_lib.cli import app, main
from fundus_lib.cli_data import parse_size
from fundus_lib.errors import ArgumentError, FundusError, UnknownNameError

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
    assert "its scores mean nothing" in first.output and str(record) in first.output
    assert "EX_aupr" in first.output and "EX_f1" not in first.output
    listed = call(app, ["records", str(out), "--paper", "first_segmenter"])
    assert "EX_aupr" in listed.output and max(map(len, listed.output.splitlines())) <= 130
    photograph = next((synthetic_root / "A. Segmentation").rglob("IDRiD_01.jpg"))
    (own,) = out.glob("*/model.pt")
    found = call(app, ["predict", str(photograph), "--checkpoint", str(own), "--out", str(tmp_path / "p")])
    assert found.exit_code == 0, found.output
    assert {"about.json", "predictions.csv", "IDRiD_01.jpg"} == {p.name for p in (tmp_path / "p").iterdir()}
    written = {p.name for p in (tmp_path / "p" / "IDRiD_01.jpg").iterdir()}
    assert written == {"overlay.png", "EX_mask.png", "EX_scores.png", "regions.csv", "prediction.json"}
    assert json.loads(record.read_text())["row"] in found.output and record.stem in found.output


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
    header, *lines = [line.split() for line in found.output.splitlines()]
    grades = ["dr", *(f"dr_p{k}" for k in range(5)), "dme", *(f"dme_p{k}" for k in range(3))]
    assert header == ["image", "lesion", "verdict", "components", "area_px", "area_percent", *grades]
    assert [line[:2] for line in lines[:4]] == [["IDRiD_001.jpg", lesion] for lesion in ("MA", "HE", "EX", "SE")]
    shares = [float(text) for text in lines[0][-9:]]
    assert sum(shares[:5]) == pytest.approx(1, abs=5e-3) and sum(shares[6:]) == pytest.approx(1, abs=5e-3)
    assert {"prediction.json", "overlay.png"} <= {p.name for p in (tmp_path / "p" / "IDRiD_001.jpg").iterdir()}


def test_a_photograph_is_predicted_without_any_training(
    tmp_path: Path, synthetic_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # which has no runs
    photograph = next((synthetic_root / "A. Segmentation").rglob("IDRiD_01.jpg"))
    found = call(app, ["predict", str(photograph), "--no-mirror"])
    assert found.exit_code == 0, found.output
    assert weights.load(weights.DEFAULT).describe() in found.output
    table = pd.read_csv("prediction/predictions.csv")
    assert table["lesion"].tolist() == ["MA", "HE", "EX", "SE"] and table["error"].isna().all()
    wrong = call(app, ["predict", str(photograph), "--model", "hecl/unett"])
    assert isinstance(wrong.exception, UnknownNameError) and "hecl/unet_hecl" in str(wrong.exception)


def test_a_bad_input_is_four_lines_without_traceback(tmp_path: Path) -> None:
    code = "import sys; from fundus_lib.cli import main; sys.argv = ['fundus', 'data', 'check', sys.argv[1]]; main()"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("DatasetNotFoundError: ")
    assert [line.strip().split(":")[0] for line in done.stderr.splitlines()[1:4]] == ["found", "expected", "remedy"]


def run_main(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    monkeypatch.setattr("sys.argv", ["fundus", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def test_a_table_that_cannot_be_written_is_refused_before_anything_is_predicted(tmp_path: Path) -> None:
    (tmp_path / "eyes").mkdir()
    (tmp_path / "eyes" / "eye.png").write_bytes(b"never read")
    out, file = tmp_path / "found", tmp_path / "file"
    file.touch()
    for table, words in ((".", "which is a folder"), (file / "a.csv", "a file is where"), ("a.txt", r"ends in \.csv")):
        with pytest.raises(FundusError, match=words):
            call(
                app, ["predict", str(tmp_path / "eyes"), "--out", str(out), "--csv", str(table)], catch_exceptions=False
            )
    assert not out.exists()


@pytest.mark.parametrize(
    ("number", "problem"),
    [
        (errno.EACCES, "you may not read or write this"),
        (errno.EROFS, "you may not read or write this"),
        (errno.ENOSPC, "there is no room to write this"),
        (errno.EDQUOT, "there is no room to write this"),
        (errno.EISDIR, "a folder is where a file is meant"),
        (errno.ENOENT, "there is no such file or folder"),
        (errno.EIO, "this cannot be read or written"),
    ],
)
def test_what_the_operating_system_refuses_is_four_lines(
    number: int, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), str(tmp_path / "there"))

    monkeypatch.setattr("fundus_lib.records.load", refuse)
    assert run_main(monkeypatch, "records") == 2
    said = capsys.readouterr().err.splitlines()
    assert said[0] == f"FileAccessError: {tmp_path / 'there'}: {problem}"
    assert [line.strip().split(":")[0] for line in said[1:]] == ["found", "expected", "remedy"]


def test_a_full_disk_needs_no_name_and_a_fault_of_the_library_keeps_its_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("fundus_lib.records.load", lambda *_, **__: (_ for _ in ()).throw(raised))
    raised: OSError = OSError(errno.ENOSPC, "No space left on device")
    assert run_main(monkeypatch, "records") == 2
    assert "no room to write this" in capsys.readouterr().err
    raised = OSError("cannot do that")
    with pytest.raises(OSError, match="cannot do that"):
        run_main(monkeypatch, "records")


def test_files_where_folders_are_meant_and_the_reverse(
    tmp_path: Path, synthetic_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"")
    tiny = ["--size", "36x24"]
    for arguments in (
        ["run", "first_segmenter", "--smoke", "--data", synthetic_root, "--out", file],
        ["run", "first_segmenter", "--smoke", "--data", synthetic_root, "--out", file / "below"],
        ["records", file],
        ["data", "shrink", synthetic_root, file / "below", *tiny],
        ["data", "stats", synthetic_root, *tiny, "--plot", file / "plot.png"],
    ):
        assert run_main(monkeypatch, *arguments) == 2, arguments
        said = [line for line in capsys.readouterr().err.splitlines() if not line.startswith(("IDRiD", "\r"))]
        assert [line.strip().split(":")[0] for line in said[-3:]] == ["found", "expected", "remedy"], said


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
    assert "only rows of one paper compare" in call(app, ["records", "--compare", "EX_aupr"]).output
    assert "only rows of one paper compare" not in call(app, ["records", *options]).output
    with pytest.raises(ArgumentError, match="no such score"):
        call(app, ["records", "--compare", "EX_beauty"], catch_exceptions=False)


def test_a_misspelt_paper_or_table_has_no_empty_list() -> None:
    for options, meant in ((["--paper", "sunnet"], "sunet"), (["--paper", "sunet", "--table", "lit"], "lite")):
        with pytest.raises(UnknownNameError, match=f"did you mean {meant}"):
            call(app, ["records", *options], catch_exceptions=False)


def test_runs_of_a_cross_validation_are_told_apart() -> None:
    lines = call(app, ["records", "--paper", "pldmlt", "--table", "small"]).output.splitlines()
    assert "fold" in lines[0] and any(" 3 of 5 " in line for line in lines)
