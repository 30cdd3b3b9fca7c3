"""Mark figures that are wider than a column, so that the style sheet can let them scroll on a telephone.

Shrunk to its width their text would be four pixels high.
"""

import re
from pathlib import Path

from PIL import Image

FIGURE = re.compile(r'<img (?![^>]*(?:class|style)=)[^>]*src="[^"]*_images/([^"/]+)"[^>]*>')
"""A picture without a style of its own; the group is its file."""

WIDE = 620
"""Pixels from which on a figure is marked."""


def setup(app):
    """Sphinx calls this."""

    def mark(app, page, template, context, doctree):
        if not context.get("body"):
            return
        files = {name: Path(app.srcdir, path) for path, name in dict.items(app.builder.images)}

        def widen(found):
            file = files.get(found[1])
            if file is None or file.suffix == ".svg" or not file.is_file():
                return found[0]
            width = Image.open(file).width
            marks = f'class="fundus-wide" style="--fundus-width: {width}px" '
            return found[0].replace("<img ", f"<img {marks}", 1) if width > WIDE else found[0]

        context["body"] = FIGURE.sub(widen, context["body"])

    app.connect("html-page-context", mark)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
