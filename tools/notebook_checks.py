"""What can be wrong with a stored notebook; each check returns a sentence that says what to do, or None."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import nbformat
import notebook_store as store
from nbformat import NotebookNode

MAX_BYTES = 600_000
MAX_BYTES_OF_ALL = 8_000_000
MAX_LINES = 15
RUN = "run `make execute`"


def in_step(path: Path, notebook: NotebookNode) -> str | None:
    """The twin holds the same cells."""
    if not (twin := store.twin(path)).is_file():
        return "has no twin; run `python tools/notebooks.py sync`"
    ours, theirs = store.cell_keys(notebook), store.cell_keys(store.read(twin))
    if ours == theirs:
        return None
    at = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    return f"and its twin {twin.name} differ from cell {at} on; run `python tools/notebooks.py sync`"


def kernel(path: Path, notebook: NotebookNode) -> str | None:
    """The notebook and its twin name the one kernel that runs them; the kernel itself decides what their code means."""
    twin = store.twin(path)
    for file, content in ((path, notebook), *([(twin, store.read(twin))] if twin.is_file() else [])):
        named = content.metadata.get("kernelspec", {}).get("name")
        if named != store.KERNEL["name"]:
            said = f"the kernel {named!r}" if named else "no kernel"
            return f"or its twin: {file.name} names {said} instead of {store.KERNEL['name']!r}; {RUN}"
    language = notebook.metadata.get("language_info", {}).get("name", store.KERNEL["language"])
    return None if language == store.KERNEL["language"] else f"holds code in {language!r}; {RUN}"


def fresh(path: Path, notebook: NotebookNode) -> str | None:
    """The stored outputs come from this code, this library, and from `execute`."""
    stamp = notebook.metadata.get("fundus")
    if not stamp:
        return f"was never executed by this tool; {RUN}"
    if stamp["source_hash"] != store.source_hash(notebook):
        return f"has outputs of other code than it holds; {RUN}"
    if stamp["inputs_hash"] != store.inputs_hash(stamp["inputs"]):
        return f"has outputs of an older library (it uses {len(stamp['inputs'])} files of it); {RUN}"
    if stamp["outputs_hash"] != store.outputs_hash(notebook):
        return f"has outputs that were changed or made elsewhere; {RUN}"
    return None


def executed(path: Path, notebook: NotebookNode) -> str | None:
    """The code cells ran once each, in order, and none failed."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    counts = [cell.execution_count for cell in code]
    if counts != list(range(1, len(code) + 1)):
        return f"was not run from top to bottom (execution counts {counts}); {RUN}"
    if any(output.output_type == "error" for cell in code for output in cell.outputs):
        return "holds an error among its outputs; mend the cell and " + RUN
    return None


def edition(path: Path, notebook: NotebookNode) -> str | None:
    """Only the synthetic edition is committed: pictures of patients stay on the reader's machine."""
    stamped = notebook.metadata.get("fundus", {}).get("edition")
    if stamped not in ("synthetic", "none"):
        return f"holds outputs of the edition {stamped!r}; the committed ones are synthetic: {RUN}"
    banners = [
        text
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "edition:" in (text := "".join(output.get("data", {}).get("text/plain", "")))
    ]
    if stamped == "synthetic" and not any("edition: synthetic" in text for text in banners):
        return "shows no banner of the synthetic edition; end its set-up cell with `settings.banner()` and " + RUN
    return None


def presentable(path: Path, notebook: NotebookNode) -> str | None:
    """Light enough for a page, no dead widget, every picture described, every cell short enough to read."""
    if (size := path.stat().st_size) > MAX_BYTES:
        return f"has {size / 1e3:.0f} kB, more than {MAX_BYTES / 1e3:.0f}; show fewer or smaller pictures, and {RUN}"
    for index, cell in enumerate(notebook.cells):
        kinds = {kind for output in cell.get("outputs", []) for kind in output.get("data", {})}
        if "application/vnd.jupyter.widget-view+json" in kinds:
            return f"stores a widget in cell {index}, dead without a kernel; use fundus_lib.viz.slider"
        described = cell.metadata.get("mystnb", {}).get("image", {}).get("alt")
        if any(kind.startswith("image/") for kind in kinds) and not described:
            return (
                f'has a picture without description in cell {index}; set `mystnb: {{image: {{alt: "…"}}}}` on the cell'
            )
        if cell.cell_type == "code" and (lines := len(cell.source.splitlines())) > MAX_LINES:
            return f"has {lines} lines in cell {index}, more than {MAX_LINES}; what is longer belongs in the library"
    return None


def timed(path: Path, notebook: NotebookNode) -> str | None:
    """The first cell states the measured time."""
    line = store.TIME_LINE.search(notebook.cells[0].source)
    if not line:
        return f"has no time line in its first cell; write `{store.NEW_TIME_LINE}` there and {RUN}"
    return None if line["seconds"] else f"has no measured time; {RUN}"


CHECKS: dict[str, Callable[[Path, NotebookNode], str | None]] = {
    check.__name__: check for check in (in_step, kernel, fresh, executed, edition, presentable, timed)
}


def slug(root: Path = store.ROOT) -> str:
    """`OWNER/NAME` of the repository, from the one place where it is set."""
    url: str = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Repository"]
    return url.rstrip("/").removesuffix(".git").removeprefix("https://github.com/")


def addressed(root: Path = store.ROOT) -> list[Path]:
    """The files that speak of the repository's address."""
    files = [root / name for name in ("_config.yml", "README.md", "RESULTS.md", "CITATION.cff", "CONTRIBUTING.md")]
    notebooks = store.paths(root / "book")
    pages = [page for page in sorted((root / "book").rglob("*.md")) if "_static" not in page.parts]
    return [file for file in [*files, *notebooks, *pages] if file.is_file()]


def readdress(text: str, new: str, old: str) -> str:
    """Let a text speak of the repository `new`, where it spoke of `old` or has one of the forms of our own address."""
    return store.set_address(text.replace(f"github.com/{old}", f"github.com/{new}"), new)


def address_in(root: Path = store.ROOT) -> str:
    """`OWNER/NAME` that the book's configuration holds."""
    import yaml

    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    url: str = config["repository"]["url"]
    return url.rstrip("/").removeprefix("https://github.com/")


def address(root: Path = store.ROOT) -> list[str]:
    """Files in which the repository's address is another than the one in pyproject.toml."""
    new, old = slug(root), address_in(root)
    wrong = []
    for file in addressed(root):
        text = file.read_text(encoding="utf-8")
        if readdress(text, new, old) != text:
            wrong.append(f"{file.relative_to(root).as_posix()}: speaks of another repository; run `make address`")
    return wrong


def weight(paths: list[Path]) -> str | None:
    """All notebooks together: git keeps every version of them."""
    if (size := sum(path.stat().st_size for path in paths)) <= MAX_BYTES_OF_ALL:
        return None
    heaviest = max(paths, key=lambda path: path.stat().st_size)
    return (
        f"the {len(paths)} notebooks together have {size / 1e6:.1f} MB, more than {MAX_BYTES_OF_ALL / 1e6:.0f}; "
        f"show fewer or smaller pictures, first in {heaviest.name}"
    )


def problems(paths: list[Path]) -> list[str]:
    """Everything that is wrong with these notebooks, one sentence each."""
    found = []
    for path in paths:
        name = path.relative_to(store.ROOT) if path.is_relative_to(store.ROOT) else path
        try:
            notebook = store.read(path)
            nbformat.validate(notebook)
            if not notebook.cells:
                raise ValueError("it has no cell")
            found += [f"{name}: {text}" for check in CHECKS.values() if (text := check(path, notebook))]
        except (OSError, ValueError, LookupError, TypeError, AttributeError, nbformat.ValidationError) as error:
            said = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
            found.append(
                f"{name}: cannot be read ({said}); restore it from the repository, or delete it and run "
                "`python tools/notebooks.py sync` to make it anew from its twin"
            )
    return found
