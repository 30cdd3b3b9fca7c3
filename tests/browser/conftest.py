"""A browser and the built site, or the reason why there is none."""

import shutil
from pathlib import Path

import pytest

from helpers import site_visitor


@pytest.fixture(scope="session")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    executable = next(filter(None, map(shutil.which, site_visitor.CHROMIUM)), None)
    if executable is None:
        pytest.skip("no Chromium on this machine: the site was not opened in a browser")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=executable, headless=True, args=site_visitor.FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def site_folder():
    folder = Path(__file__).parents[2] / "_build" / "html"
    if not (folder / "index.html").is_file():
        pytest.skip("the book is not built: run `make book`")
    return folder


@pytest.fixture(scope="session")
def base(site_folder):
    with site_visitor.serve(site_folder) as address:
        yield address


@pytest.fixture
def visitor(browser, base):
    context = browser.new_context(viewport={"width": 1300, "height": 900})
    yield site_visitor.Visitor(context, base)
    context.close()
