"""Slides of each chapter, made from the built site: `make slides`, or `python tools/slides.py`.

`book/slides.yml` names, for each chapter, pages and what to take from them: the learning objectives, the verdict, a
figure by its number, a quick question by its place on the page, the summary. A deck is one HTML file that holds its
figures, its formulas as text, and reveal.js: it can be copied to any machine and needs no network.
"""

from __future__ import annotations

import base64
import functools
import mimetypes
import re
import sys
from collections.abc import Callable
from copy import copy
from html import escape
from pathlib import Path
from urllib.parse import unquote

import yaml
from bs4 import BeautifulSoup, Tag

ROOT = Path(__file__).resolve().parent.parent
REVEAL = ROOT / "tools" / "reveal"
CAPTION = re.compile(r"^Figure (\d+)\b")
SHOWN = "div.cell_output img, .fundus-slider, .fundus-diagram"
STYLE = """
.reveal { font-family: system-ui, sans-serif; font-size: 26px; color: #1a1a1a; }
.reveal-viewport { background: #fff; }
.reveal .slides { text-align: left; }
.reveal h1 { font-size: 1.9em; } .reveal h2 { font-size: 1.25em; margin: 0 0 .6em; }
.reveal img, .reveal svg { display: block; margin: 0 auto; max-width: 100%; max-height: 470px; }
.reveal img, .reveal svg { width: auto; height: auto; }
.reveal .fundus-slider img { max-height: 420px; }
.reveal figure { margin: 0; } .reveal figcaption { font-size: .72em; margin-top: .6em; }
.reveal dt { font-weight: 600; } .reveal dd { margin: 0 0 .5em 1.5em; } .reveal li { margin: .3em 0; }
.reveal .small { font-size: .8em; } .reveal .source { font-size: .55em; color: #555; margin-top: 1.2em; }
.reveal a { color: #0b5cad; text-decoration: none; }
"""


class NotFound(LookupError):
    """Something that the list names is not on the page."""


class Page:
    """A page of the built site, and the parts of it that a slide can show.

    Args:
        site: Folder of the built site.
        name: FOLDER/PAGE, without suffix.
    """

    def __init__(self, site: Path, name: str):
        self.name, self.file = name, site / "book" / f"{name}.html"
        if not self.file.is_file():
            raise NotFound(f"{self.file}: no such page; run `make book`, and name pages as in the folder book/")
        soup = BeautifulSoup(self.file.read_text(encoding="utf-8"), "html.parser")
        self.article = soup.select_one("article")
        for extra in self.article.select(".headerlink, script[type='application/json'], .toggle-button"):
            extra.decompose()

    @property
    def title(self) -> str:
        """The heading of the page."""
        return self.article.select_one("h1").get_text(" ", strip=True)

    def objectives(self) -> str:
        """What one learns on the page."""
        found = self.article.find("strong", string="You will learn")
        return self._slide("You will learn", self._after(found, "ul", "no list after **You will learn**"))

    def summary(self) -> str:
        """The list of the summary."""
        heading = self.article.find(["h2", "h3"], string=re.compile("^Summary"))
        if heading is None:
            raise NotFound(f"{self.file}: no section Summary")
        lists = heading.find_parent("section").find_all("ul")
        if not lists:
            raise NotFound(f"{self.file}: no list in the summary")
        return self._slide("Summary", *lists)

    def verdict(self) -> str:
        """The verdict card."""
        card = self.article.select_one(".fundus-card")
        if card is None:
            raise NotFound(f"{self.file}: no verdict card")
        return self._slide("What we found", card, style="small")

    def figure(self, number: str) -> str:
        """The figure of that number: what it shows, with its caption, under the heading of its section."""
        figures = {CAPTION.match(caption.get_text())[1]: (caption, shown) for caption, shown in self._figures()}
        if number not in figures:
            raise NotFound(f"{self.file}: no figure {number}; there are {', '.join(figures) or 'none'}")
        caption, shown = figures[number]
        heading = caption.find_previous(["h1", "h2", "h3"]).get_text(" ", strip=True)
        text = self._html(caption, inside=True)
        return self._section(heading, f"<figure>{self._html(shown)}<figcaption>{text}</figcaption></figure>")

    def question(self, number: str) -> str:
        """The quick question at that place; the answer appears with the next key."""
        found = [one for one in self.article.find_all("summary") if one.get_text().startswith("Quick question")]
        if not 1 <= int(number) <= len(found):
            raise NotFound(f"{self.file}: no quick question {number}; there are {len(found)}")
        asked = copy(found[int(number) - 1])
        answers = [one for one in found[int(number) - 1].find_next_siblings() if isinstance(one, Tag)]
        asked.find("b").decompose()
        text = "".join(self._html(one) for one in answers)
        return self._section("Quick question", f'{self._html(asked, inside=True)}<div class="fragment">{text}</div>')

    def _figures(self) -> list[tuple[Tag, Tag]]:
        """All captions, each with the last thing shown above it since the heading or the caption before."""
        outer = self.article.select(".fundus-slider, .fundus-diagram")
        inside = {id(part) for one in outer for part in one.find_all(True)}
        shown = {id(one) for one in self.article.select(SHOWN)} - inside
        found, last = [], None
        for element in self.article.find_all(True):
            if id(element) in shown:
                last = element
            elif element.name == "p" and last and CAPTION.match(element.get_text()):
                found.append((element, last))
            if element.name in ("h1", "h2", "h3") or (found and element is found[-1][0]):
                last = None
        return found

    def _after(self, found: Tag | None, name: str, fault: str) -> Tag:
        after = found.find_next(name) if found else None
        if after is None:
            raise NotFound(f"{self.file}: {fault}")
        return after

    def _slide(self, heading: str, *parts: Tag, style: str = "") -> str:
        return self._section(heading, f'<div class="{style}">{"".join(self._html(part) for part in parts)}</div>')

    def _section(self, heading: str, body: str) -> str:
        return (
            f'<section data-page="{self.name}"><h2>{escape(heading)}</h2>{body}'
            f'<p class="source">{escape(self.title)} · book/{self.name}</p></section>'
        )

    def _html(self, part: Tag, inside: bool = False) -> str:
        """HTML that depends on no other file: pictures become data, links to pages and formulas become text."""
        part = copy(part)
        for link in part.find_all("a"):
            if not link.get("href", "").startswith("http"):
                link.unwrap()
        for formula in part.select(".math"):
            formula.string = formula.get_text().strip("\\()[]$ \n")
            formula.name = "code"
        for picture in [*part.find_all("img"), *([part] if part.name == "img" else [])]:
            picture["src"] = self._data(picture["src"])
            for name in ("width", "height", "style", "loading"):
                picture.attrs.pop(name, None)
        return part.decode_contents() if inside else str(part)

    def _data(self, source: str) -> str:
        if source.startswith("data:"):
            return source
        file = self.file.parent / unquote(source)
        kind = mimetypes.guess_type(file.name)[0] or "image/webp"
        return f"data:{kind};base64,{base64.b64encode(file.read_bytes()).decode()}"


@functools.lru_cache(maxsize=8)
def open_page(site: Path, name: str) -> Page:
    """Read a page once for all of its slides."""
    return Page(site, name)


def make_slide(site: Path, line: str) -> str:
    """Make one slide from a line such as `hecl/index figure 2`.

    Raises:
        NotFound: The page, or what the line names on it, does not exist.
    """
    name, kind, *number = line.split()
    page = open_page(site, name)
    make: Callable[..., str] | None = getattr(page, kind, None) if kind in KINDS else None
    if make is None or len(number) != KINDS[kind]:
        forms = ", ".join(f"`PAGE {kind}{' NUMBER' * count}`" for kind, count in KINDS.items())
        raise NotFound(f"{line!r} is no slide; expected one of {forms}")
    return make(*number)


KINDS = {"objectives": 0, "verdict": 0, "figure": 1, "question": 1, "summary": 0}
"""Words after the page's name, and how many numbers follow each."""


def make_deck(site: Path, name: str, lines: list[str]) -> str:
    """Make the slides of a chapter.

    Args:
        site: Folder of the built site.
        name: The chapter.
        lines: Its slides, as in `book/slides.yml`.

    Returns:
        One HTML document.
    """
    title = open_page(site, lines[0].split()[0]).title
    slides = [make_slide(site, line) for line in lines]
    first = (
        f"<section><h1>{escape(title)}</h1><p>How diabetic retinopathy is found · <code>{escape(name)}</code></p>"
        f'<p class="source">Text and figures: CC BY 4.0. Nothing here is a medical device.</p></section>'
    )
    css = (REVEAL / "reveal.css").read_text(encoding="utf-8") + STYLE
    script = (REVEAL / "reveal.js").read_text(encoding="utf-8")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{css}</style></head><body>"
        f'<div class="reveal"><div class="slides">{first}{"".join(slides)}</div></div>'
        f"<script>{script}</script>"
        '<script>Reveal.initialize({hash: true, width: 1100, height: 700, slideNumber: "c/t", center: false});</script>'
        "</body></html>\n"
    )


def main(site: Path = ROOT / "_build" / "html", out: Path = ROOT / "_build" / "slides") -> None:
    """Write all decks, and say where they are."""
    decks = yaml.safe_load((ROOT / "book" / "slides.yml").read_text(encoding="utf-8"))
    out.mkdir(parents=True, exist_ok=True)
    for name, lines in decks.items():
        try:
            deck = make_deck(site, name, lines)
        except NotFound as error:
            sys.exit(f"book/slides.yml, {name}: {error}")
        (out / f"{name}.html").write_text(deck, encoding="utf-8")
        print(f"{len(lines) + 1} slides, {len(deck) / 1e6:.1f} MB: _build/slides/{name}.html")


if __name__ == "__main__":
    main()
