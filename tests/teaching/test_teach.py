"""The teacher's pages speak of the pages that there are, and say what these say of themselves."""

import json
import re
from pathlib import Path

import pytest
import teach
import yaml

BOOK = Path(__file__).parents[2] / "book"
PAGES = teach.pages(BOOK)


def test_every_page_has_notes_with_its_running_time():
    notes = (BOOK / "teach_pages.md").read_text(encoding="utf-8")
    assert re.findall(r"^\{doc\}`(\S+)` · runs for", notes, re.M) == PAGES
    assert re.findall(r"\{runtime\}`(\S+)`", notes) == PAGES
    for page, text in zip(PAGES, re.split(r"^\{doc\}`(?=\S+` ·)", notes, flags=re.M)[1:], strict=True):
        for part in ("Misconception", "To be seen", "Discuss"):
            assert f": **{part}.**" in text, f"{page}: no {part}"


def test_both_plans_lead_through_the_foundations_and_a_chapter():
    text = (BOOK / "teach.md").read_text(encoding="utf-8")
    lessons, workshop = re.split(r"^## ", text, flags=re.M)[3:5]
    assert len(re.findall(r"^\| \d\. ", lessons, re.M)) == 8
    for plan in (lessons, workshop):
        for page in ("fundus_and_lesions", "first_segmenter", "metrics", "losses"):
            assert f"<foundations/{page}>`" in plan
        assert all(f"`{page}`" in plan for page in ("index", "train", "ablations", "visualize"))
    for line in re.findall(r"^\| \d\. .*", lessons, re.M):
        assert sum(map(int, re.findall(r"(?:^|, )(\d+) ", line.split("|")[3].strip()))) == 90, line


def texts(page):
    """What a reader of a page sees: Markdown cells, and Markdown that cells print."""
    for cell in json.loads((BOOK / f"{page}.ipynb").read_text(encoding="utf-8"))["cells"]:
        yield "".join(cell["source"])
        yield from ("".join(o.get("data", {}).get("text/markdown", "")) for o in cell.get("outputs", []))


def numbers(page, pattern):
    return {int(n) for text in texts(page) for n in re.findall(pattern, text, re.M)}


def test_one_lesson_for_each_paper_names_what_is_there():
    text = (BOOK / "teach.md").read_text(encoding="utf-8")
    plan = re.search(r"^## One lesson .*?(?=^## )", text, re.M | re.S)[0]
    assert sum(map(int, re.findall(r"^\| (\d+) \|", plan, re.M))) == 90
    rows = re.findall(r"^\| \{doc\}`(\w+) .*", plan, re.M)
    assert sorted(rows) == sorted(path.parent.name for path in BOOK.glob("*/ablations.md"))
    for line in re.findall(r"^\| \{doc\}`.*", plan, re.M):
        paper, vote, figures, exercise, closing = (cell.strip() for cell in line.strip("| ").split(" | "))
        chapter = re.search(r"<(\w+)/index>", paper)[1]
        questions = yaml.safe_load((BOOK / chapter / "quiz.yml").read_text(encoding="utf-8"))
        asked = [int(n) for n in f"{vote}, {closing}".split(", ")]
        assert len(set(asked)) == 6 and max(asked) <= len(questions), line
        shown = [int(n) for n in re.match(r"\{doc\}`Figures (\d) and (\d) <", figures).groups()]
        assert f"<{chapter}/ablations>`" in figures
        assert set(shown) <= numbers(f"{chapter}/ablations", r"^\*Figure (\d+)"), line
        page, number = re.fullmatch(r"\{doc\}`\w+ <(\S+)>`, Exercise (\d)", exercise).groups()
        assert any(re.search(rf"^\*\*Exercise {number} \(?★\)?\.", one, re.M) for one in texts(page)), line


def test_notes_name_figures_and_exercises_that_are_there():
    notes = (BOOK / "teach_pages.md").read_text(encoding="utf-8")
    for page, text in zip(PAGES, re.split(r"^\{doc\}`(?=\S+` ·)", notes, flags=re.M)[1:], strict=True):
        for part in re.findall(r"Figures? ((?:\d+(?: and )?)+)", text):
            named = {int(n) for n in re.findall(r"\d+", part)}
            assert named <= numbers(page, r"^\*Figure (\d+)"), f"{page}: Figure {part}"
        for number in re.findall(r"[Ee]xercise (\d)(?! of )", text):
            assert int(number) in numbers(page, r"^\*\*Exercise (\d)"), f"{page}: exercise {number}"


def test_the_rubric_adds_up():
    text = (BOOK / "teach.md").read_text(encoding="utf-8")
    rubric = text[text.index("| criterion |") : text.index(" points in all")]
    assert 4 * (len(re.findall(r"^\| ", rubric, re.M)) - 2) == int(rubric.split()[-1])


def test_running_time_is_that_of_the_page():
    seconds, device = teach.run_time(BOOK, "hecl/index")
    first = json.loads((BOOK / "hecl" / "index.ipynb").read_text(encoding="utf-8"))["cells"][0]["source"]
    assert f"**Time**: {seconds} s on {device}" in "".join(first)


@pytest.mark.parametrize(("text", "says"), [(None, "no such page"), ("# A\n", "no measured time")])
def test_a_page_without_a_time_is_named(tmp_path, text, says):
    (tmp_path / "a").mkdir()
    if text:
        (tmp_path / "a" / "page.md").write_text(text)
    with pytest.raises(ValueError, match=f"a/page: {says}"):
        teach.run_time(tmp_path, "a/page")


def test_needs_are_read_in_every_form():
    assert teach.needs(BOOK, "dual_branch/train") == [
        "dual_branch/index",
        "foundations/first_segmenter",
        "foundations/losses",
    ]
    assert teach.needs(BOOK, "hecl/index") == ["foundations/metrics", "foundations/losses"]


def test_what_a_page_needs_exists_and_comes_before_it():
    for page in PAGES:
        for one in teach.needs(BOOK, page):
            assert one in PAGES, f"{page} needs {one}, which is no page"
            if not page.startswith("reference/"):
                assert PAGES.index(one) < PAGES.index(page), f"{page} needs {one}, which comes later"


def test_edges_are_those_of_the_pages_without_what_follows(tmp_path):
    book = tmp_path / "book"
    needs = {
        "foundations/fundus_and_lesions": "",
        "foundations/first_segmenter": "{doc}`fundus_and_lesions`",
        "foundations/metrics": "{doc}`first_segmenter`",
        "hecl/index": "{doc}`/book/foundations/metrics`, {doc}`../foundations/fundus_and_lesions`",
        "hecl/data": "{doc}`index`",
    }
    for page, line in needs.items():
        (book / page).parent.mkdir(parents=True, exist_ok=True)
        (book / f"{page}.md").write_text(f"# T\n\n**Needs**: {line}\n")
    (tmp_path / "_toc.yml").write_text("".join(f"- file: book/{page}.ipynb\n" for page in needs))
    lesions, first, metrics = [page for page in needs if page.startswith("foundations/")]
    assert set(teach.edges(book)) == {(lesions, first), (first, metrics), (metrics, "hecl")}


def test_every_chapter_is_in_the_diagram():
    assert {teach.chapter(page) for page in PAGES} - {""} == set(teach.PLACES)
    assert [page for page in PAGES if not teach.chapter(page)] == ["foundations/refresher"]
