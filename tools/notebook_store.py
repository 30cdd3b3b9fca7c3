"""Notebooks on disk: the executed `.ipynb`, its `md:myst` twin, and the hashes that say whether both are current."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from jupytext.config import load_jupytext_configuration_file
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parent.parent
TWIN_FORMAT = "md:myst"

TIME_LINE = re.compile(
    r"^\*\*Time\*\*: (?P<cpu>not measured|(?P<seconds>\d+) s on [^(·\n]*(\(.*?\))?) · GPU: (?P<gpu>.*)$", re.M
)
"""The line of the first cell that `execute` fills in."""

NEW_TIME_LINE = "**Time**: not measured · GPU: not measured"

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
"""What every notebook is run with, and every reader's machine has."""

SLUG = r"[\w.-]+/[\w.-]+"
OWN_ADDRESS = [
    re.compile(rf"(?<=colab\.research\.google\.com/github/){SLUG}(?=/blob/)"),
    re.compile(rf"(?<=git\+https://github\.com/){SLUG}"),
    re.compile(rf"(?<=git clone https://github\.com/){SLUG}(?<!\.git)"),
    re.compile(rf"(?<=repository-code: \"https://github\.com/){SLUG}"),
    re.compile(rf"(?<=https://github\.com/){SLUG}(?=/actions/)"),
    re.compile(r"(?<=https://)[\w-]+\.github\.io/[\w.-]+"),
]
"""The forms in which the project speaks of its own address. (Plain GitHub links may lead to other projects.)"""


def paths(folder: Path = ROOT / "book") -> list[Path]:
    """All notebooks of the book, in a stable order."""
    found = folder.rglob("*.ipynb")
    return sorted(p for p in found if not any(part.startswith((".", "_")) for part in p.relative_to(folder).parts))


def twin(path: Path) -> Path:
    """The text form of a notebook, beside it."""
    return path.with_suffix(".md")


def read(path: Path) -> NotebookNode:
    """Read a notebook or its twin."""
    if path.suffix == ".ipynb":
        return nbformat.read(path, as_version=4)
    return jupytext.read(path, fmt=TWIN_FORMAT)


def write(notebook: NotebookNode, path: Path) -> None:
    """Write a notebook and its twin, with nothing in them that changes from run to run."""
    kept = {key: notebook.metadata[key] for key in ("fundus", "mystnb") if key in notebook.metadata}
    notebook.metadata = NotebookNode(
        {
            "kernelspec": dict(KERNEL),
            "language_info": {"name": "python"},
            "jupytext": {"formats": "ipynb,md:myst"},
            **kept,
        }
    )
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    _set_ids(notebook)
    nbformat.validate(notebook)
    text = re.sub("^ +", "", nbformat.writes(notebook), flags=re.M)  # indentation alone would be a tenth of a file
    _write_if_new(path, text + "\n")
    _write_if_new(twin(path), twin_text(notebook))


def twin_text(notebook: NotebookNode) -> str:
    """The text form of a notebook."""
    config = load_jupytext_configuration_file(str(ROOT / "jupytext.toml"))
    return str(jupytext.writes(notebook, fmt=TWIN_FORMAT, config=config))


def cell_keys(notebook: NotebookNode) -> list[tuple[str, str, str]]:
    """What makes a cell that cell: its kind, its source, and the metadata that both forms store."""
    return [
        (cell.cell_type, cell.source.strip(), json.dumps(_kept_metadata(cell), sort_keys=True))
        for cell in notebook.cells
    ]


def _kept_metadata(cell: NotebookNode) -> dict[str, Any]:
    ignored = {"execution", "trusted", "collapsed", "jupyter", "scrolled", "editable", "slideshow"}
    return {key: value for key, value in cell.metadata.items() if key not in ignored}


def cells_hash(notebook: NotebookNode) -> str:
    """Changes with any cell, save for the measured time and the repository's address."""
    keys = cell_keys(notebook)
    return _hash(TIME_LINE.sub(NEW_TIME_LINE, set_address(part, "OWNER/NAME")) for key in keys for part in key)


def source_hash(notebook: NotebookNode) -> str:
    """Changes with what the kernel would run: the code, not the prose."""
    code = [set_address(cell.source.strip(), "OWNER/NAME") for cell in notebook.cells if cell.cell_type == "code"]
    return _hash(code)


def outputs_hash(notebook: NotebookNode) -> str:
    """Changes with any stored output."""
    return _hash(json.dumps(cell.get("outputs", []), sort_keys=True) for cell in notebook.cells)


def inputs_hash(files: Iterable[str]) -> str:
    """Changes with the content of any of the files, and with the files that a pattern finds; a file may be missing."""
    parts = []
    for file in (found for name in files for found in sorted(ROOT.glob(name)) or [ROOT / name]):
        parts += [file.relative_to(ROOT).as_posix()]
        parts += [hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else "missing"]
    return _hash(parts)


def set_address(text: str, slug: str) -> str:
    """Let every form of the project's own address in a text point to `OWNER/NAME`."""
    for pattern in OWN_ADDRESS[:-1]:
        text = pattern.sub(slug, text)
    owner, name = slug.split("/")
    return OWN_ADDRESS[-1].sub(f"{owner.lower()}.github.io/{name}", text)


def carry_outputs(source: NotebookNode, target: NotebookNode) -> None:
    """Give the cells of `target` the outputs and ids of the same cells of `source`; changed cells have none."""
    ours, theirs = ([key[:2] for key in cell_keys(notebook)] for notebook in (source, target))
    for block in difflib.SequenceMatcher(None, ours, theirs, autojunk=False).get_matching_blocks():
        for offset in range(block.size):
            old, new = source.cells[block.a + offset], target.cells[block.b + offset]
            new.id = old.id
            if new.cell_type == "code":
                new.outputs, new.execution_count = old.outputs, old.execution_count


def _set_ids(notebook: NotebookNode) -> None:
    """Give each cell an id that follows from what it says when it is first written, and keep it from then on."""
    seen: set[str] = set()
    for cell in notebook.cells:
        if not re.fullmatch(r"c-[0-9a-f]{8}(-\d+)?", cell.get("id", "")) or cell.id in seen:
            base = "c-" + _hash([cell.source])[:8]
            cell.id = next(name for n in range(10_000) if (name := base + (f"-{n}" if n else "")) not in seen)
        seen.add(cell.id)


def _write_if_new(path: Path, text: str) -> None:
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")


def _hash(parts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()[:16]
