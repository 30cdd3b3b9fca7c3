"""IDRiD's label files: grades and centres, as a spreadsheet wrote them: empty columns, blank rows, stray blanks."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from fundus_lib.data.sample import DME_GRADES, DR_GRADES, Size
from fundus_lib.data.text import read_text
from fundus_lib.errors import GradeRangeError, LabelFormatError

GRADE_COLUMNS = ("Image name", "Retinopathy grade", "Risk of macular edema")
CENTRE_COLUMNS = ("Image No", "X- Coordinate", "Y - Coordinate")


def read_grades(path: Path, names: Sequence[str]) -> dict[str, tuple[int, int]]:
    """From image name to (grade of retinopathy 0-4, risk of macular edema 0-2).

    Args:
        path: The CSV file.
        names: The images that it must grade, each once, and no other.

    Raises:
        MissingFileError: There is no such file.
        FileAccessError: The system refuses to read it.
        LabelFormatError: It has other columns, a row too many or too few, or a grade that is no integer.
        GradeRangeError: A grade lies outside its scale.
    """
    table = _table(path, GRADE_COLUMNS, names)
    for column, scale in zip(GRADE_COLUMNS[1:], (DR_GRADES, DME_GRADES), strict=True):
        bad = table.index[~table[column].str.fullmatch(r"[+-]?\d{1,9}(\.0*)?")]
        if len(bad):
            raise _format(path, f"{bad[0]}: {column} is {table.loc[bad[0], column]!r}", f"an integer {_range(scale)}")
        table[column] = table[column].astype(float).astype(int)  # spreadsheets write 2 as 2.0
        outside = table.index[~table[column].isin(scale)]
        if len(outside):
            raise GradeRangeError(
                path,
                f"a {column.lower()} lies outside its scale",
                found=f"{outside[0]}: {table.loc[outside[0], column]}",
                expected=_range(scale),
                remedy="restore the published label file, or grade on the scale of IDRiD",
            )
    dr, dme = (table[c] for c in GRADE_COLUMNS[1:])
    return {str(n): (int(a), int(b)) for n, a, b in zip(table.index, dr, dme, strict=True)}


def read_centres(path: Path, names: Sequence[str], size: Size) -> dict[str, tuple[float, float]]:
    """From image name to the centre (x, y), in pixels of an image of `size` (height, width).

    Args:
        path: The CSV file.
        names: The images that it must locate, each once, and no other.
        size: (height, width) of the image of which the coordinates speak.

    Raises:
        MissingFileError: There is no such file.
        FileAccessError: The system refuses to read it.
        LabelFormatError: It has other columns, a row too many or too few, or a point outside the image.
    """
    table = _table(path, CENTRE_COLUMNS, names)
    xy = table[list(CENTRE_COLUMNS[1:])].apply(pd.to_numeric, errors="coerce")
    inside = xy.iloc[:, 0].between(0, size[1]) & xy.iloc[:, 1].between(0, size[0])
    bad = table.index[~inside]
    if len(bad):
        found = f"{bad[0]}: {', '.join(table.loc[bad[0]])}"
        raise _format(path, found, f"x in 0 … {size[1]} and y in 0 … {size[0]}")
    return {str(n): (float(x), float(y)) for n, x, y in zip(table.index, xy.iloc[:, 0], xy.iloc[:, 1], strict=True)}


def _table(path: Path, columns: Sequence[str], names: Sequence[str]) -> pd.DataFrame:
    """The rows as text, indexed by image name, in the order of `names`; empty columns and blank rows are dropped."""
    text = read_text(path, f"CSV with the columns {', '.join(columns)}")
    try:
        rows = [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(text, newline=""), strict=True)]
    except csv.Error as error:
        raise _format(path, f"not a table: {error}", f"CSV with the columns {', '.join(columns)}") from error
    rows = [row for row in rows if any(row)]
    filled = sorted({place for row in rows for place, cell in enumerate(row) if cell})
    rows = [[row[place] if place < len(row) else "" for place in filled] for row in rows]
    header = tuple(rows[0]) if rows else ()
    if header != tuple(columns):
        raise _format(path, f"the columns {', '.join(header) or '(none)'}", f"the columns {', '.join(columns)}")
    table = pd.DataFrame(rows[1:], columns=list(columns), dtype=str).set_index(columns[0])
    twice = table.index[table.index.duplicated()]
    if len(twice):
        raise _format(path, f"{twice[0]} has two rows", "one row for each image")
    absent, extra = sorted(set(names) - set(table.index)), sorted(set(table.index) - set(names))
    if absent or extra:
        what = [f"no row for {', '.join(absent[:5])}"] if absent else []
        what += [f"rows for {', '.join(map(repr, extra[:5]))}, of which there is no image"] if extra else []
        raise _format(path, "; ".join(what), f"one row for each of the {len(names)} images, named without suffix")
    ordered: pd.DataFrame = table.loc[list(names)]
    return ordered


def _format(path: Path, found: str, expected: str) -> LabelFormatError:
    return LabelFormatError(
        path,
        "the label file is not as it should be",
        found=found,
        expected=expected,
        remedy="restore the published file",
    )


def _range(scale: range) -> str:
    return f"from {scale[0]} to {scale[-1]}"
