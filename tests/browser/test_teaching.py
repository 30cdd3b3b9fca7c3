"""Quizzes, slides and the printed book, in a browser."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pdf
import pytest
import slides
import yaml

from helpers import site_visitor

QUIZ = "book/hecl/quiz.html"


@pytest.fixture
def page(visitor, site_folder):
    if not (site_folder / QUIZ).is_file():
        pytest.skip("the site was built without quizzes: run `make book`")
    visitor.open(QUIZ)
    yield visitor.page
    assert visitor.problems == []


def test_a_quiz_is_answered_by_keyboard_and_tells_a_screen_reader(page):
    question = page.locator(".fundus-quiz fieldset").first
    right = int(question.locator("li[data-verdict=right]").get_attribute("data-option"))
    options = question.get_by_role("radio")
    wrong = 0 if right else 1
    reply, score = question.get_by_role("status"), page.locator(".quiz-score")
    check = question.get_by_role("button", name="Check")

    check.press("Enter")
    assert reply.inner_text() == "Choose an answer first."
    options.nth(wrong).focus()
    page.keyboard.press("Space")
    page.keyboard.press("Tab")  # from the group of radio buttons to the button
    page.keyboard.press("Enter")
    assert reply.inner_text().startswith("Wrong. ")
    assert len(reply.inner_text()) > len("Wrong. ") + 20, "it says why"
    assert score.inner_text() == "0 right of 1 checked, of 8 questions."

    options.nth(wrong).focus()
    for _ in range(abs(right - wrong)):
        page.keyboard.press("ArrowDown" if right > wrong else "ArrowUp")
    assert reply.inner_text() == ""
    assert options.nth(right).is_checked()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert reply.inner_text().startswith("Right. ")
    assert score.inner_text() == "1 right of 1 checked, of 8 questions."


def test_each_question_has_a_name_and_its_own_group(page):
    groups = page.get_by_role("group", name=re.compile("^Question"))
    assert groups.count() == 8
    for k in range(8):
        names = groups.nth(k).get_by_role("radio").evaluate_all("all => all.map(one => one.name)")
        assert len(names) >= 2
        assert set(names) == {f"quiz-{k + 1}"}


def test_a_quiz_can_be_read_without_scripts(browser, base, site_folder):
    if not (site_folder / QUIZ).is_file():
        pytest.skip("the site was built without quizzes: run `make book`")
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(base + QUIZ)
    fold = page.locator(".fundus-quiz details").first
    fold.locator("summary").click()
    assert fold.locator("li[data-verdict=right] .quiz-why").is_visible()
    assert page.locator(".fundus-quiz button").count() == 0
    context.close()


def test_slides_open_without_a_network(browser, site_folder, tmp_path):
    decks = yaml.safe_load((slides.ROOT / "book" / "slides.yml").read_text(encoding="utf-8"))
    (tmp_path / "hecl.html").write_text(slides.make_deck(site_folder, "hecl", decks["hecl"]), encoding="utf-8")
    with site_visitor.serve(tmp_path) as base:
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        visitor = site_visitor.Visitor(context, base)
        visitor.open("hecl.html")
        page, number = visitor.page, decks["hecl"].index("hecl/index figure 1") + 1
        for _ in range(number):
            page.keyboard.press("ArrowRight")
        shown = page.locator("section.present")
        shown.locator("figcaption", has_text="Figure 1.").wait_for(timeout=5_000)
        assert shown.locator("img").evaluate("img => img.naturalWidth") > 100
        assert visitor.problems == []
        context.close()


PRINTED = "<title>t</title><h1>A</h1><details><summary>s</summary>hidden</details>"


def test_folds_are_open_in_print(browser):
    page = browser.new_page()
    page.set_content(PRINTED)
    assert not page.evaluate("document.querySelector('details').open")
    page.evaluate(pdf.PREPARE)
    assert page.evaluate("document.querySelector('details').open")
    page.close()


def test_a_page_is_printed(browser, tmp_path):
    (tmp_path / "page.html").write_text(PRINTED)
    call = "import sys, pathlib, pdf; pdf.print_page(*map(pathlib.Path, sys.argv[1:]))"  # alone: its own event loop
    paths = [str(tmp_path / "page.html"), str(tmp_path / "out" / "book.pdf")]
    subprocess.run([sys.executable, "-c", call, *paths], check=True, cwd=Path(pdf.__file__).parent)
    assert (tmp_path / "out" / "book.pdf").read_bytes().startswith(b"%PDF")


def test_without_chromium_it_says_what_to_install(monkeypatch):
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(pdf, "own_chromium", lambda: "/nowhere/chromium")
    with pytest.raises(SystemExit, match=r"no Chromium was found[\s\S]*apt-get install chromium"):
        pdf.find_chromium()
