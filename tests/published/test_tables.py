"""The tables are what is printed: digit for digit, with their rows, units and sources."""

import re
import zlib
from decimal import Decimal

import pandas as pd
import pytest

from fundus_lib.errors import UnknownNameError
from fundus_lib.published import PAPERS, info, interval, table, tables

# (cells with a number, their sum, checksum of the digits row by row), from the papers' text by another parser
PRINTED = {
    ("dual_branch", 2): (20, "10.6904", 2702354066),
    ("dual_branch", 3): (90, "52.4808", 3826896221),
    ("dual_branch", 4): (90, "68.1769", 2788432966),
    ("dual_branch", 5): (57, "29.7633", 2959900284),
    ("dual_branch", 6): (78, "56.1807", 488683447),
    ("local_global", 1): (12, "8.187", 1640042636),
    ("pldmlt", 1): (18, "1445.569", 3104017457),
    ("pldmlt", 2): (18, "1637.757", 225055158),
    ("pldmlt", 3): (8, "746.98", 3942459457),
    ("sunet", 1): (10, "6.6797", 3037700263),
    ("sunet", 2): (21, "13.3106", 2476552870),
    ("hecl", 1): (24, "1502.69", 4230577961),
    ("hecl", 2): (80, "2681.89", 567978962),
}


def digits(paper: str, number: int) -> list[str]:
    """Every printed number, row by row."""
    columns = info(paper, number).headings
    cells = table(paper, number, text=True)
    kept = cells[[column for column in cells.columns if column in columns]]
    return [text for text in kept.to_numpy().ravel() if text not in ("", "-")]


def test_every_table_of_the_five_papers_is_there() -> None:
    found = {paper: [known.number for known in tables() if known.paper == paper] for paper in PAPERS}
    assert found == {
        "dual_branch": [1, 2, 3, 4, 5, 6],
        "local_global": [1],
        "pldmlt": [1, 2, 3],
        "sunet": [1, 2],
        "hecl": [1, 2],
    }


@pytest.mark.parametrize(("paper", "number"), PRINTED)
def test_digits_are_those_of_the_paper(paper: str, number: int) -> None:
    found = digits(paper, number)
    assert (len(found), str(sum(map(Decimal, found))), zlib.crc32(" ".join(found).encode())) == PRINTED[paper, number]


def test_the_one_table_without_a_checksum() -> None:
    assert digits("dual_branch", 1) == ["512", "9.7e-5", "2.0e-6", "110", "1.1e-4", "5.0e-6"]


@pytest.mark.parametrize("known", tables(), ids=lambda known: f"{known.paper} {known.number}")
def test_table(known: object) -> None:
    assert hasattr(known, "paper")
    texts, numbers = (table(known.paper, known.number, text=text) for text in (True, False))
    assert texts.index.is_unique
    assert list(texts.columns[-1:]) == ["quoted_from"]
    assert set(known.headings) <= set(texts.columns)
    for column in known.headings:
        assert known.metric(column)
        assert pd.api.types.is_numeric_dtype(numbers[column])
        for text, number in zip(texts[column], numbers[column], strict=True):
            assert re.fullmatch(r"-?|\d+|\d+\.\d+(e-\d)?", text)
            assert pd.isna(number) if text in ("", "-") else number == float(text)
            assert pd.isna(number) or interval(text).low < Decimal(text) < interval(text).high
            assert pd.isna(number) or known.unit not in ("fraction", "percent") or 0 < number * float(known.scale) < 1
    for row in (*known.quoted, *(row for row, _ in (*known.bold, *known.second))):
        assert row in texts.index
    assert known.caption.endswith(".") and known.place and known.data


def test_digits_matter() -> None:
    assert table("sunet", 1, text=True).loc["SUNet", "dr"] == "0.6506"
    assert table("pldmlt", 1, text=True).loc["segmentation: LinkNet", "miou"] == "91.950"
    assert table("dual_branch", 5, text=True).loc["Deeplabv3+", "f1"] == "-"
    assert table("pldmlt", 1, text=True).loc["grading: Ours", "mdice"] == ""


def test_quoted_rows() -> None:
    lines = [(t, table(t.paper, t.number)) for t in tables()]
    quoted = {(t.paper, t.number, row) for t, cells in lines for row in cells[cells.quoted_from != ""].index}
    assert quoted == {
        ("dual_branch", 5, "Deeplabv3+"),
        ("dual_branch", 6, "L-seg"),
        ("dual_branch", 6, "LWENet"),
        ("sunet", 2, "1st"),
        ("sunet", 2, "2nd"),
        ("sunet", 2, "3rd"),
        ("hecl", 1, "DeepLabv3+"),
        ("hecl", 1, "HED"),
        ("hecl", 1, "CogSeg"),
    }


def test_unknown_table() -> None:
    with pytest.raises(UnknownNameError, match="hecl 2"):
        table("hecl", 3)
