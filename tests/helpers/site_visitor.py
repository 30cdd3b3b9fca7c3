"""Opening a built site in a browser, and saying what is wrong with it."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlparse

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
TOLERATED = ("'THEBE_JS_URL' has already been declared",)  # the theme writes one harmless script twice
UNASKED = "/favicon.ico"  # browsers look for it on their own, where a page (the redirection at the root) names no icon

ON_PAGE = """() => ({
  links: [...document.querySelectorAll('a[href]')].map(a => a.href),
  ids: [...document.querySelectorAll('[id], a[name]')].map(e => e.id || e.name),
  undescribed: [...document.querySelectorAll('article img, main img')]
    .filter(img => !img.alt.trim() || /(^|\\/)_images\\//.test(img.alt)).map(img => img.src.slice(0, 80)),
  blank: [...document.querySelectorAll('img')]
    .filter(img => img.loading !== 'lazy' && img.complete && !img.naturalWidth).map(img => img.src.slice(0, 80)),
})"""

WIDE = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"

LISTED = "_modules/fundus_lib/"  # listings of our source: over a hundred pages from one template
AS_TEXT = """async url => {
  const text = await (await fetch(url)).text(), page = new DOMParser().parseFromString(text, 'text/html');
  const all = (selector, name) => [...page.querySelectorAll(selector)].map(e => e.getAttribute(name));
  return {
    links: all('a[href]', 'href').map(href => new URL(href, url).href), ids: all('[id]', 'id'),
    loaded: [...all('[src]', 'src'), ...all('link[href]', 'href')].map(href => new URL(href, url).href),
  };
}"""


class _Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Serve a folder on localhost; yields its address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


class Visitor:
    """Opens the pages of one site and notes what is wrong.

    Args:
        context: A playwright browser context.
        base: The address of the site, as `serve` gives it.
    """

    def __init__(self, context, base: str):
        self.base, self.page = base, context.new_page()
        self.problems: list[str] = []
        self.page.on("console", self._console)
        self.page.on("pageerror", self._script_error)
        self.page.on("request", self._request)
        self.page.on("requestfailed", lambda request: self._note(f"failed request: {request.url}"))
        self.page.on("response", self._response)

    def open(self, path: str) -> None:
        """Go to a page of the site, and wait until it has loaded everything."""
        self.page.goto(urljoin(self.base, path), wait_until="load")
        self.page.wait_for_load_state("networkidle")

    def crawl(self, start: str = "index.html") -> dict[str, dict]:
        """Open every page that can be reached by links; notes problems, returns what stands on each page.

        Of the listings of source code the first is opened; of the others, made from the same template, the links, the
        anchors and what they load are read.
        """
        todo, seen = [start], {}
        while todo:
            if (path := todo.pop(0)) in seen:
                continue
            if path.startswith(LISTED) and any(name.startswith(LISTED) for name in seen):
                here = seen[path] = self.page.evaluate(AS_TEXT, urljoin(self.base, path))
                outside = [url for url in here["loaded"] if self._inside(url) is None and url.startswith("http")]
                self.problems += [f"{path}: external request: {url}" for url in outside]
            else:
                self.open(path)
                here = seen[path] = self.page.evaluate(ON_PAGE) | {"wide": self.measure_overflow(400)}
                for kind, text in (("undescribed", "without description"), ("blank", "that does not load")):
                    for source in here[kind]:
                        self._note(f"picture {text}: {source}")
            for target in here["links"]:
                linked = self._inside(target)
                if linked and linked.endswith((".html", "/")) and linked not in todo:
                    todo.append(linked)
        for path, here in seen.items():
            for target in here["links"]:
                linked, anchor = self._inside(target), unquote(urldefrag(target).fragment)
                if linked in seen and anchor and anchor not in seen[linked]["ids"]:
                    self.problems.append(f"{path}: broken anchor {linked}#{anchor}")
        return seen

    def measure_overflow(self, width: int) -> int:
        """How many pixels the page that is open is wider than a window of that width."""
        before = self.page.viewport_size
        self.page.set_viewport_size({"width": width, "height": 800})
        wide = int(self.page.evaluate(WIDE))
        self.page.set_viewport_size(before)
        return wide

    def _inside(self, url: str) -> str | None:
        return urldefrag(url).url.removeprefix(self.base) if url.startswith(self.base) else None

    def _note(self, text: str) -> None:
        where = self._inside(self.page.url) or self.page.url
        self.problems.append(f"{where}: {text}")

    def _console(self, message) -> None:
        source = message.location["url"]
        tolerated = source.endswith(UNASKED) or any(text in message.text for text in TOLERATED)
        if message.type == "error" and not tolerated:
            self._note(f"console error: {message.text} ({source})")

    def _script_error(self, error) -> None:
        if not any(text in str(error) for text in TOLERATED):
            self._note(f"script error: {error}")

    def _request(self, request) -> None:
        if urlparse(request.url).scheme in ("http", "https") and not request.url.startswith(self.base):
            self._note(f"external request: {request.url}")

    def _response(self, response) -> None:
        if response.status >= 400 and not response.url.endswith(UNASKED):
            self._note(f"broken link: {response.url} answers {response.status}")
