"""Print the book, as one page of HTML, into a PDF: the last step of `make pdf`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
MISSING = (
    "make pdf: no Chromium was found\n"
    f"  looked for: {', '.join(CHROMIUM)} on the PATH, then playwright's own\n"
    "  needed for: printing the page that holds the whole book\n"
    "  remedy: `apt-get install chromium`, or `.venv/bin/playwright install --with-deps chromium`"
)
PREPARE = """() => {
  for (const fold of document.querySelectorAll("details")) fold.open = true;
  for (const link of document.querySelectorAll("img[loading=lazy]")) link.loading = "eager";
  return window.MathJax?.startup?.promise.then(() => true);
}"""
STYLE = """
@page { size: A4; margin: 18mm 16mm; }
.bd-header, .bd-header-article, .bd-sidebar-primary, .bd-sidebar-secondary, .bd-footer, .prev-next-footer,
.header-article, .headerlink, .toggle-button, .copybtn, .fundus-quiz button { display: none !important; }
.bd-main, .bd-content, .bd-article-container, .bd-page-width { max-width: none !important; margin: 0; padding: 0; }
html { font-size: 11px; }
h1 { break-before: page; } h1, h2, h3 { break-after: avoid; }
img, svg, figure, fieldset, .fundus-card, .fundus-slider { break-inside: avoid; }
img { max-height: 230mm; object-fit: contain; }
pre { white-space: pre-wrap !important; }
"""


def find_chromium() -> str:
    """Where Chromium is.

    Raises:
        SystemExit: Nowhere; the message says what to install.
    """
    found = next(filter(None, map(shutil.which, CHROMIUM)), None) or own_chromium()
    return found if Path(found).is_file() else sys.exit(MISSING)


def own_chromium() -> str:
    """Where playwright keeps its own, if it was installed."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        return driver.chromium.executable_path


def print_page(page: Path, out: Path) -> None:
    """Print an HTML file.

    Args:
        page: The file.
        out: The PDF; its folder is made.

    Raises:
        SystemExit: No Chromium is on this machine; the message says what to install.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox", "--disable-gpu"])
        tab = browser.new_page(color_scheme="light")
        tab.set_default_timeout(600_000)
        tab.goto(page.resolve().as_uri(), wait_until="load")
        tab.add_style_tag(content=STYLE)
        tab.evaluate(PREPARE)
        tab.wait_for_load_state("networkidle")
        out.parent.mkdir(parents=True, exist_ok=True)
        tab.pdf(path=out, prefer_css_page_size=True, print_background=True, outline=True, tagged=True)
        browser.close()


def main() -> None:
    """Print the single page that Sphinx made; with --check only look for Chromium."""
    if "--check" in sys.argv:
        find_chromium()
        return
    page = ROOT / "_build" / "singlehtml" / "book" / "intro.html"
    if not page.is_file():
        sys.exit(f"{page}: not there; run `make pdf`, which builds it first")
    out = ROOT / "_build" / "fundus-book.pdf"
    print_page(page, out)
    print(f"{out.stat().st_size / 1e6:.1f} MB: {out.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
