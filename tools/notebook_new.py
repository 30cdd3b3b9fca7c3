"""The skeleton of a chapter: what every chapter has, in the order in which every chapter has it."""

from __future__ import annotations

from pathlib import Path

import notebook_store as store
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

HEADER = """\
# {title}

[Open in Colab](https://colab.research.google.com/github/{slug}/blob/main/{path})

**You will learn**

- TODO

**Needs**: TODO

{time}"""

INSTALL = """\
try:
    import fundus_lib
except ImportError:  # a bare machine such as Colab
    %pip install --quiet git+https://github.com/{slug}"""

BANNER = """\
from fundus_lib import settings
from fundus_lib.viz import use_style

use_style()
settings.banner()"""

EXERCISE = """\
## Check yourself

**Exercise 1.** TODO"""

STUB = """\
answer = ...  # TODO: yours"""

CHECK = """\
print("not answered yet" if answer is ... else "right" if answer == 1 else "wrong: TODO say why")"""

SOLUTION = """\
<details>
<summary><b>Solution</b></summary>

TODO

</details>"""

END = """\
## Summary

TODO

## References

{cite:t}`TODO`"""


def skeleton(path: Path, title: str, slug: str) -> NotebookNode:
    """Make the notebook of a new chapter.

    Args:
        path: Where it will stand, relative to the repository.
        title: Its heading.
        slug: `OWNER/NAME` of the repository.
    """
    header = HEADER.format(title=title, slug=slug, path=path.as_posix(), time=store.NEW_TIME_LINE)
    return new_notebook(
        cells=[
            new_markdown_cell(header),
            new_code_cell(INSTALL.format(slug=slug), metadata={"tags": ["hide-input"]}),
            new_code_cell(BANNER, metadata={"tags": ["hide-input"]}),
            new_markdown_cell("## TODO the question\n\nTODO: smallest code that answers it, picture, one sentence."),
            new_markdown_cell(EXERCISE),
            new_code_cell(STUB),
            new_code_cell(CHECK, metadata={"tags": ["hide-input"]}),
            new_markdown_cell(SOLUTION),
            new_markdown_cell(END),
        ]
    )
