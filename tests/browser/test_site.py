"""The built book, opened in a browser as a reader opens it: without a kernel and without a network."""

import pytest

from helpers.site_visitor import Visitor

SHOWN = "box => [...box.querySelectorAll('img')].filter(img => img.offsetParent).map(img => img.src)"


def pages(folder):
    """The pages of the book itself, without what Sphinx adds."""
    made = ("search.html", "genindex.html", "py-modindex.html")
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.html"))
    return [name for name in names if not name.startswith(("_static", "_modules")) and name not in made]


@pytest.fixture(scope="module")
def crawled(browser, base):
    """What is wrong, and what stands on each page; each is opened once."""
    context = browser.new_context(viewport={"width": 1300, "height": 900})
    visitor = Visitor(context, base)
    yield visitor.crawl(), visitor.problems
    context.close()


def test_every_page_is_sound(crawled, site_folder):
    """No console error, no failed or external request, no broken link or anchor, no picture without description."""
    seen, problems = crawled
    assert problems == []
    missed = [name for name in pages(site_folder) if name not in seen]
    assert missed == [], "pages that no link leads to"


def test_every_slider_shows_another_picture_when_it_is_moved(visitor, site_folder):
    found = 0
    for name in pages(site_folder):
        if "fundus-slider" not in (site_folder / name).read_text(encoding="utf-8"):
            continue
        visitor.open(name)
        for box in visitor.page.locator(".fundus-slider").all():
            found += 1
            handle = box.locator("input[type=range]")
            before, label = box.evaluate(SHOWN), box.locator("output").inner_text()
            assert len(before) == 1, f"{name}: {len(before)} pictures are shown at once"
            at_end = handle.input_value() == handle.get_attribute("max")
            handle.focus()
            handle.press("ArrowLeft" if at_end else "ArrowRight")
            after = box.evaluate(SHOWN)
            assert len(after) == 1
            assert after != before, f"{name}: the slider moved and the picture did not"
            assert box.locator("output").inner_text() != label
            assert handle.get_attribute("aria-valuetext") == box.locator("output").inner_text()
    assert visitor.problems == []
    if not found:
        pytest.skip("no page has a slider")


def test_no_page_is_wider_than_a_telephone(crawled, site_folder):
    seen, _ = crawled
    assert {name: seen[name]["wide"] for name in pages(site_folder) if name in seen and seen[name]["wide"] > 0} == {}


def test_search_finds_a_word(visitor):
    visitor.open("search.html?q=microaneurysm")
    result = visitor.page.locator("#search-results li a, .search li a").first
    result.wait_for(timeout=10_000)
    assert visitor.problems == []
    result.click()
    assert "microaneurysm" in visitor.page.content().lower()


def test_the_search_box_opens_by_keyboard(visitor):
    visitor.open("index.html")
    visitor.page.keyboard.press("Control+k")
    box = visitor.page.locator("input[type=search]:focus")
    box.wait_for(timeout=5_000)
    box.fill("fovea")
    box.press("Enter")
    visitor.page.wait_for_url("**/search.html?q=fovea*")


def test_a_glossary_entry_appears_over_its_word(visitor, site_folder):
    linked = [name for name in pages(site_folder) if "glossary.html#term-" in (site_folder / name).read_text("utf-8")]
    if not linked:
        pytest.skip("no page links to the glossary")
    visitor.open(linked[0])
    visitor.page.locator("article a[href*='glossary.html#term-']").first.hover()
    tip = visitor.page.locator(".tippy-box dd")
    tip.first.wait_for(timeout=5_000)
    assert tip.first.inner_text().strip()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_both_themes(browser, base, scheme):
    context = browser.new_context(color_scheme=scheme, viewport={"width": 1300, "height": 900})
    visitor = Visitor(context, base)
    visitor.open("book/reference/glossary.html")
    text, paper = visitor.page.evaluate(
        "() => [getComputedStyle(document.querySelector('article p')).color,"
        " getComputedStyle(document.body).backgroundColor].map(c => c.match(/[\\d.]+/g).map(Number))"
    )
    context.close()
    assert (sum(paper[:3]) < 200) == (scheme == "dark")
    assert abs(sum(text[:3]) - sum(paper[:3])) > 350
