"""The table of pseudo labels: which grader counts, and what is refused."""

import pytest

from fundus_lib.data.pseudo_label_table import COLUMNS, TABLE, read_pseudo_labels
from fundus_lib.errors import LabelFormatError, MissingFileError

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


@pytest.mark.skipif(not TABLE.is_file(), reason="no graders' answers in this version of the library")
@pytest.mark.parametrize("leaks", [False, True])
def test_the_librarys_own_table_holds_all_images(leaks):
    assert list(read_pseudo_labels(leaks).index) == [f"IDRiD_{n:02d}" for n in range(1, 82)]
