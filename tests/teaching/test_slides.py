"""Slides hold the figures and titles that `book/slides.yml` names, and nothing that needs a network or another file."""

import json
import re
from pathlib import Path

import pytest
import slides
import yaml

ROOT = Path(__file__).parents[2]
DECKS = yaml.safe_load((ROOT / "book" / "slides.yml").read_text(encoding="utf-8"))
DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PAGE = """<!doctype html><html><body><article><h1>A page<a class="headerlink" href="#a">#</a></h1>
<p><strong>You will learn</strong></p><ul><li>to read <a href="other.html">another page</a></li></ul>
<div class="fundus-card"><dl><dt>the claim</dt><dd>It holds.</dd></dl></div>
<section><h2>First part</h2><div class="cell_output">
<img alt="a dot" src="../../_images/dot.png" style="width: 9px"></div>
<p><em>Figure 1. A dot, of <span class="math">\\(x^2\\)</span>.</em></p>
<details><summary><b>Quick question.</b> Why a dot?</summary><p>It is small.</p></details></section>
<section><h2>Second part</h2><div class="cell_output"><div class="fundus-slider">
<img alt="inside" src="data:image/png;base64,AA">
</div></div><p><em>Figure 2 (slider). Frames.</em></p><p>No figure</p><p><em>Figure 3. Nothing above.</em></p></section>
<section><h2>Summary</h2><ul><li>One thing.</li></ul></section></article></body></html>"""


@pytest.fixture
def site(tmp_path):
    slides.open_page.cache_clear()
    (tmp_path / "book" / "a").mkdir(parents=True)
    (tmp_path / "book" / "a" / "page.html").write_text(PAGE)
    (tmp_path / "_images").mkdir()
    (tmp_path / "_images" / "dot.png").write_bytes(slides.base64.b64decode(DOT))
    return tmp_path


def test_a_deck_holds_all_it_names_in_one_file(site):
    lines = ["objectives", "verdict", "figure 1", "figure 2", "question 1", "summary"]
    deck = slides.make_deck(site, "a", [f"a/page {line}" for line in lines])
    sections = re.findall(r"<section.*?</section>", deck, re.S)
    headings = [re.sub("<.*?>", "", re.search(r"<h\d>(.*?)</h\d>", one, re.S)[1]) for one in sections]
    assert headings == [
        "A page",
        "You will learn",
        "What we found",
        "First part",
        "Second part",
        "Quick question",
        "Summary",
    ]
    assert "to read another page" in sections[1]
    assert "It holds." in sections[2]
    assert f'src="data:image/png;base64,{DOT}"' in sections[3]
    assert ">x^2</code>" in sections[3]
    assert 'alt="inside"' in sections[4]
    assert "dot.png" not in deck
    assert "Why a dot?" in sections[5]
    assert '<div class="fragment"><p>It is small.</p></div>' in sections[5]
    assert "One thing." in sections[6]
    assert not re.findall(r'(?:src|href)="(?!data:)[^"]*"', "".join(sections))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("a/other summary", "other.html: no such page"),
        ("a/page figure 3", "no figure 3; there are 1, 2"),
        ("a/page question 2", "no quick question 2; there are 1"),
        ("a/page question 0", "no quick question 0"),
        ("a/page figure", "is no slide; expected one of `PAGE objectives`"),
        ("a/page poem", "is no slide"),
    ],
)
def test_what_is_not_there_is_named(site, line, says):
    with pytest.raises(slides.NotFound, match=re.escape(says)):
        slides.make_slide(site, line)


def test_a_page_without_summary_or_verdict_is_named(site):
    (site / "book" / "a" / "page.html").write_text("<article><h1>A</h1></article>")
    for kind in ("summary", "verdict", "objectives"):
        with pytest.raises(slides.NotFound, match=r"page\.html: no "):
            slides.make_slide(site, f"a/page {kind}")


def test_there_is_a_deck_for_each_chapter_which_ends_with_its_verdict_and_summary():
    chapters = {path.parent.name for path in (ROOT / "book").glob("*/index.ipynb")}
    assert set(DECKS) == chapters | {"foundations"}
    for name in chapters:
        assert DECKS[name][0] == f"{name}/index objectives"
        assert DECKS[name][-2:] == [f"{name}/index verdict", f"{name}/index summary"]
        assert sum(" figure " in line for line in DECKS[name]) >= 5


@pytest.mark.parametrize("name", DECKS)
def test_figures_that_a_deck_names_are_in_the_stored_notebooks(name):
    for line in DECKS[name]:
        page, kind, *number = line.split()
        if kind == "figure":
            notebook = json.loads((ROOT / "book" / f"{page}.ipynb").read_text(encoding="utf-8"))
            outputs = [
                o.get("data", {}).get("text/markdown", "") for c in notebook["cells"] for o in c.get("outputs", [])
            ]
            texts = ["".join(text) for text in [*(c["source"] for c in notebook["cells"]), *outputs]]
            assert any(re.search(rf"^\*Figure {number[0]}\b", text, re.M) for text in texts), line


@pytest.mark.parametrize("name", DECKS)
def test_decks_of_the_built_site(name):
    site = ROOT / "_build" / "html"
    if not (site / "index.html").is_file():
        pytest.skip("the book is not built: run `make book`")
    deck = slides.make_deck(site, name, DECKS[name])
    sections = re.findall(r"<section.*?</section>", deck, re.S)
    assert len(sections) == len(DECKS[name]) + 1
    for line, section in zip(DECKS[name], sections[1:], strict=True):
        assert f'data-page="{line.split()[0]}"' in section
        if " figure " in line:
            assert "base64," in section or "<svg" in section
            assert f"Figure {line.split()[-1]}" in section
    assert not re.findall(r'src="(?!data:)[^"]*"', "".join(sections))
