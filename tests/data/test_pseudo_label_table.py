"""The table of pseudo labels: which grader counts, and what is refused."""

import pandas as pd
import pytest

from fundus_lib import records
from fundus_lib.data.pseudo_label_table import COLUMNS, TABLE, WHOLE, read_pseudo_labels
from fundus_lib.errors import LabelFormatError, MissingFileError
from fundus_lib.recipes import recipes

HEAD = ",".join(COLUMNS)
LINES = [
    "IDRiD_01,b,0,0.1,0.1,0.6,0.1,0.1,3",
    "IDRiD_01,a,0,0.1,0.1,0.1,0.6,0.1,3",
    "IDRiD_02,a,0,0.9,0.1,0,0,0,2",
    "IDRiD_02,b,0,0,0,0,0,1,2",
    "IDRiD_01,a,1,0.2,0.2,0.2,0.2,0.2,1",
    "IDRiD_01,b,1,0,1,0,0,0,1",
]


def write(folder, lines, head=HEAD):
    path = folder / "table.csv"
    path.write_text("\n".join([head, *lines]) + "\n")
    return path


def test_the_more_confident_grader_counts(tmp_path):
    path = write(tmp_path, LINES)
    table = read_pseudo_labels(False, path)
    assert table.before.to_dict() == {"IDRiD_01": 3, "IDRiD_02": 4}, "of equals the first by name"
    assert table.after.to_dict() == {"IDRiD_01": 3, "IDRiD_02": 2}
    assert table.grader.to_dict() == {"IDRiD_01": "a", "IDRiD_02": "b"}
    assert table.loc["IDRiD_02", "p4"] == 1
    assert read_pseudo_labels(True, path).before.to_dict() == {"IDRiD_01": 1}
    more = write(tmp_path, [f"{line},0.5" for line in LINES], f"{HEAD},flat")
    assert read_pseudo_labels(False, more).equals(table)


@pytest.mark.parametrize(
    "lines",
    [
        [],
        LINES[4:],
        LINES[:3],
        [LINES[0], LINES[0].replace(",b,", ",c,"), LINES[1]],
        [LINES[0], LINES[1].replace(",3", ",2")],
        [LINES[0].replace(",3", ",5"), LINES[1].replace(",3", ",5")],
        [LINES[0], LINES[1].replace("0.6", "0.9")],
        [LINES[0], LINES[1].replace("0.6", "much")],
        [LINES[0], LINES[1].replace("0.6,0.1", "-0.1,0.8")],
        [*LINES[:2], "IDRiD_03,a,0,1,0,0,0,0,0,0,0"],
    ],
)
def test_a_damaged_table_is_refused(tmp_path, lines):
    with pytest.raises(LabelFormatError, match="pseudo labels"):
        read_pseudo_labels(False, write(tmp_path, lines))


def test_other_columns_and_no_table_are_refused(tmp_path):
    with pytest.raises(LabelFormatError, match="columns"):
        read_pseudo_labels(False, write(tmp_path, LINES, HEAD.replace("label", "grade")))
    with pytest.raises(MissingFileError, match="labels='rule'"):
        read_pseudo_labels(False, tmp_path / "none.csv")


@pytest.mark.parametrize("leaks", [False, True])
@pytest.mark.parametrize("table", [TABLE, WHOLE])
def test_the_librarys_own_tables_hold_all_images(table, leaks):
    assert list(read_pseudo_labels(leaks, table).index) == [f"IDRiD_{n:02d}" for n in range(1, 82)]


def test_the_graders_that_were_trained_whole_have_records_and_saw_what_the_table_says():
    known = {r.row: r for r in recipes("pldmlt", "graders")}
    lines = pd.read_csv(WHOLE).groupby("grader").leaks.unique()
    assert {name: list(values) for name, values in lines.items()} == {row: [int(r.shared)] for row, r in known.items()}
    assert set(lines.index) <= set(records.load().query("paper == 'pldmlt' and table == 'graders'").row)
