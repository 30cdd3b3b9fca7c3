"""Figures that are wider than a telephone are marked with their width; small ones, logos and drawings are not."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import wide_figures
from PIL import Image


@pytest.mark.parametrize(
    ("name", "width", "marked"), [("wide.png", 700, True), ("narrow.png", 300, False), ("drawing.svg", 700, False)]
)
def test_wide_figures_are_marked(tmp_path: Path, name: str, width: int, marked: bool) -> None:
    Image.new("RGB", (width, 50)).save(tmp_path / name, "PNG")
    found = {}
    images = {name: f"ab-{name}"}
    app = SimpleNamespace(
        srcdir=str(tmp_path),
        builder=SimpleNamespace(images=images),
        connect=lambda event, function: found.update({event: function}),
    )
    wide_figures.setup(app)
    logo = '<img class="logo" src="_images/logo.png">'
    context = {"body": f'{logo}<img alt="two curves" src="../_images/ab-{name}" />'}
    found["html-page-context"](app, "page", "page.html", context, None)
    assert context["body"].startswith(logo)
    assert (f'class="fundus-wide" style="--fundus-width: {width}px" alt="two curves"' in context["body"]) == marked
