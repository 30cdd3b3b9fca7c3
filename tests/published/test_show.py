"""Tables on the page: every number, every mark with its sign, in words and colours."""

import re

import pytest

from fundus_lib import published
from fundus_lib.published import SIGNS, cells, overview, show, table, tables
from fundus_lib.published.audits import checks
from fundus_lib.published.show import mark


@pytest.mark.parametrize("known", tables(), ids=lambda known: f"{known.paper} {known.number}")
def test_every_number_is_shown_as_printed(known: published.TableInfo) -> None:
    page = show(known.paper, known.number)._repr_html_()
    texts = table(known.paper, known.number, text=True).drop(columns="quoted_from")
    for column in [c for c in texts.columns if f"{c}_sd" in texts.columns]:  # printed as 50.61 (0.26)
        texts[column] = [f"{a} ({b})" for a, b in zip(texts[column], texts.pop(f"{column}_sd"), strict=True)]
    printed = list(texts.to_numpy().ravel())
    shown = [re.sub("<abbr.*</abbr> | †", "", cell) for cell in re.findall("<td[^>]*>(.*?)</td>", page)]
    assert [text.replace("&amp;", "&") for text in shown] == printed
    assert known.caption.split(",")[0].split("(")[0] in page.replace("&#x27;", "'")
    assert page.count("†") == (len(known.quoted) + 1 if known.quoted else 0)


def test_signs() -> None:
    page = show("sunet", 1)._repr_html_()
    broken = r'background:#D55E0060"><abbr title="accuracy is k/103: contradicts[^>]*><b>✗</b></abbr> 0.6506'
    assert re.search(broken, page)
    assert re.search(r"<b>≈</b></abbr> 0.6116", page)
    assert page.count("<abbr") == 2
    assert (
        "SUNet: the law is “accuracy is k/103”. What fits: 0.65049." in page
    )  # for those who cannot rest a pointer on a sign
    assert "Ours): the law is “unlike Table 3, PSPNet + Dice”.<br>" in show("dual_branch", 5)._repr_html_() + "<br>"
    assert "✗ 0.6506" in repr(show("sunet", 1)) and "≈ 0.6116" in repr(show("sunet", 1))
    assert show("hecl", 1).marks["HED", "auc"][0] == "area"
    assert show("pldmlt", 1).marks["segmentation: FPN", "miou"][0] == "broken"  # the gravest of two
    assert show("pldmlt", 1).marks["grading: NASNet", "accuracy"][0] == "count"
    assert not show("dual_branch", 4).marks


def test_indices_of_headings_stand_below_the_line() -> None:
    page = show("dual_branch", 3)._repr_html_()
    assert ">F<sub>σ=0.2</sub></th>" in page and ">SN<sub>pixel</sub></th>" in page and ">IoU</th>" in page


def test_overview_has_a_square_for_every_row() -> None:
    axis = overview().axes[0]
    assert len(axis.patches) == 104
    signs = [text.get_text() for text in axis.texts]
    assert {sign: signs.count(sign) for sign in set(signs)} == {"": 66, "✗": 5, "≈": 3, "≠": 20, "?": 9, "◇": 1}


def test_marks_of_all_checks() -> None:
    earned = {mark(check) for check in checks()}
    assert earned == {None, *SIGNS}
    assert len({sign.sign for sign in SIGNS.values()}) == len(SIGNS)


def test_cells() -> None:
    found = cells()
    assert found.value.notna().all()
    line = found[(found.paper == "hecl") & (found.table == 1) & (found.row == "HED") & (found.column == "auc")].iloc[0]
    assert (line.printed, line.metric, line.value) == ("38.98", "auc", pytest.approx(0.3898))
    assert line.quoted_from.startswith("Zhang")
    assert len(found) == 6 + 20 + 90 + 90 + 57 + 78 + 12 + 18 + 18 + 8 + 10 + 21 + 24 + 80
