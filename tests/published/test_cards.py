"""Cards: every text is there, safe, and what was not measured says so."""

import re

from fundus_lib.published.cards import NOT_MEASURED, Card

CARD = Card("α in Eq. 5", says="α < 1 & α > 0", code="`alpha = 1 - x`", ours="as the code", effect="AUPR +0.010")


def test_every_text_is_shown_with_its_label() -> None:
    page = CARD._repr_html_()
    found = re.findall("<d[td][^>]*>(.*?)</d[td]>", page)
    assert found == [
        "the paper says", "α &lt; 1 &amp; α &gt; 0",
        "its code does", "<code>alpha = 1 - x</code>",
        "we do", "as the code",
        "it changes the result by", "AUPR +0.010",
    ]  # fmt: skip
    assert "<b>α in Eq. 5</b>" in page
    assert repr(CARD).splitlines() == [
        "α in Eq. 5",
        "the paper says: α < 1 & α > 0",
        "its code does: `alpha = 1 - x`",
        "we do: as the code",
        "it changes the result by: AUPR +0.010",
    ]


def test_what_was_not_measured_says_so() -> None:
    silent = Card("t", "s", "o")
    assert f">{NOT_MEASURED}</dd>" in silent._repr_html_()


def test_a_paper_without_code_has_no_line_for_it_and_one_that_contradicts_itself_has_one_more() -> None:
    doubtful = Card("N", says="N grades", doubt="N pixels", ours="pixels", effect="none")
    labels = re.findall("<dt[^>]*>(.*?)</dt>", doubtful._repr_html_())
    assert labels == ["the paper says", "does not add up", "we do", "it changes the result by"]
    assert [line.partition(":")[0] for line in repr(doubtful).splitlines()[1:]] == labels


def test_a_card_needs_neither_network_nor_script_and_breaks_on_a_phone() -> None:
    page = CARD._repr_html_()
    assert "flex-wrap:wrap" in page
    assert not re.search("script|http|src=|url", page)
