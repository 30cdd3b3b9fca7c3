"""The visitor catches each fault that it is there for: planted in a site of two pages."""

import pytest

from helpers.site_visitor import Visitor, serve

PAGE = "<!doctype html><html lang='en'><title>t</title><link rel='icon' href='data:,'><main>{}</main>"


def visit(browser, folder, body, page=PAGE):
    (folder / "index.html").write_text(page.format(f"<a href='other.html#here'>other</a>{body}"))
    (folder / "other.html").write_text(PAGE.format("<p id='here'>other</p>"))
    with serve(folder) as base:
        context = browser.new_context(viewport={"width": 1300, "height": 900})
        visitor = Visitor(context, base)
        seen = visitor.crawl()
        context.close()
    return visitor.problems, seen


def test_a_sound_site_has_no_problems(browser, tmp_path):
    problems, seen = visit(browser, tmp_path, "<p>fine</p>")
    assert problems == []
    assert set(seen) == {"index.html", "other.html"}
    assert seen["index.html"]["wide"] == 0


def test_an_icon_that_only_the_browser_asks_for_is_no_problem(browser, tmp_path):
    asks = "<script>fetch('/favicon.ico')</script>"  # as Chromium does by itself, sooner or later
    assert visit(browser, tmp_path, asks, page=PAGE.replace("<link rel='icon' href='data:,'>", ""))[0] == []


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("<a href='nowhere.html'>x</a>", "nowhere.html answers 404"),
        ("<a href='other.html#nowhere'>x</a>", "broken anchor other.html#nowhere"),
        ("<a href='#nowhere'>x</a>", "broken anchor index.html#nowhere"),
        ("<script>console.error('planted')</script>", "console error: planted"),
        ("<script>planted()</script>", "script error: planted is not defined"),
        ("<script src='nowhere.js'></script>", "nowhere.js answers 404"),
        ("<script src='http://127.0.0.1:9/x.js'></script>", "external request: http://127.0.0.1:9/x.js"),
        ("<img src='data:image/gif;base64,R0lGODlhAQABAAAAACw='>", "picture without description"),
        ("<img alt='x' src='data:image/gif;base64,AAAA'>", "picture that does not load"),
    ],
    ids=["link", "anchor", "own anchor", "console", "script", "request", "external", "alt", "image"],
)
def test_a_planted_fault_is_caught(browser, tmp_path, body, problem):
    problems, _ = visit(browser, tmp_path, body)
    assert any(problem in line for line in problems), problems


def test_a_page_wider_than_a_telephone_is_caught(browser, tmp_path):
    assert visit(browser, tmp_path, "<div style='width:900px'>wide</div>")[1]["index.html"]["wide"] > 400


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("", None),
        ("<a href='nowhere.html'>x</a>", "nowhere.html answers 404"),
        ("<a href='a.html#nowhere'>x</a>", "b.html: broken anchor _modules/fundus_lib/a.html#nowhere"),
        ("<script src='http://127.0.0.1:9/x.js'></script>", "b.html: external request: http://127.0.0.1:9/x.js"),
    ],
    ids=["sound", "link", "anchor", "external"],
)
def test_a_fault_in_a_listing_that_is_read_as_text_is_caught(browser, tmp_path, body, problem):
    folder = tmp_path / "_modules" / "fundus_lib"
    folder.mkdir(parents=True)
    (folder / "a.html").write_text(PAGE.format("<p id='here'>a</p>"))
    (folder / "b.html").write_text(PAGE.format(f"<a href='a.html#here'>a</a>{body}"))
    links = "".join(f"<a href='_modules/fundus_lib/{name}.html'>{name}</a>" for name in "ab")
    problems, seen = visit(browser, tmp_path, links)
    assert {f"_modules/fundus_lib/{name}.html" for name in "ab"} <= set(seen)
    assert any(problem in line for line in problems) if problem else problems == []
