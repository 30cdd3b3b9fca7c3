"""Everything that is done to the notebooks of the book: run them, keep both forms in step, check, start a new one."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Annotated, Literal

import notebook_checks as checks
import notebook_new
import notebook_run as run
import notebook_store as store
import typer
from nbclient.exceptions import CellExecutionError

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

Paths = Annotated[list[Path] | None, typer.Argument(help="Notebooks; all of the book if none is named.")]


def _chosen(paths: list[Path] | None) -> list[Path]:
    return [path.resolve().with_suffix(".ipynb") for path in paths] if paths else store.paths()


def _name(path: Path) -> str:
    return str(path.relative_to(store.ROOT) if path.is_relative_to(store.ROOT) else path)


@app.command()
def execute(
    paths: Paths = None,
    force: Annotated[bool, typer.Option("--force", help="Run also what is fresh.")] = False,
    data: Annotated[Path | None, typer.Option(help="Run on the data sets in this folder; needs --to.")] = None,
    to: Annotated[Path | None, typer.Option(help="Copy the book here and run the copies.")] = None,
) -> None:
    """Run the notebooks whose code or library has changed, and store their outputs.

    A notebook is brought into step with its twin first, as `sync` does, so that no edit of a text is written over.
    With --data and --to the book is copied and the copies run on real data; the committed notebooks stay as they are.
    """
    if (data is None) != (to is None):
        raise typer.BadParameter("--data and --to go together: outputs of real data are never stored in the repository")
    data = data.expanduser() if data is not None else None
    if data is not None and not data.is_dir():
        raise typer.BadParameter(f"{data} is not a folder", param_hint="--data")
    if to is not None:
        _copy_book(to.resolve())
        chosen = store.paths(to.resolve() / "book")
    else:
        chosen = _chosen(paths)
        for path in chosen:
            _bring_into_step(path)
    todo = [path for path in chosen if force or data is not None or not _is_fresh(path)]
    if any("settings" in path.read_text(encoding="utf-8") for path in todo):
        run.warm_up(data)
    failed = [path for path in todo if not _execute_one(path, data)]
    typer.echo(f"{len(todo) - len(failed)} executed, {len(chosen) - len(todo)} fresh, {len(failed)} failed")
    raise typer.Exit(1 if failed else 0)


def _bring_into_step(path: Path) -> None:
    """Take the side of a notebook that was edited."""
    try:
        sync_one(path)
    except ValueError as error:
        raise typer.BadParameter(f"{_name(path)}: {error}") from None


def _is_fresh(path: Path) -> bool:
    notebook = store.read(path)
    return not any(check(path, notebook) for check in (checks.fresh, checks.executed, checks.edition))


def _execute_one(path: Path, data: Path | None) -> bool:
    notebook = store.read(path)
    try:
        used = run.execute(notebook, path.parent, data=data)
    except CellExecutionError as error:
        typer.echo(f"{_name(path)}: a cell failed, the stored outputs stay as they were\n{error}", err=True)
        return False
    run.fill_time(notebook, used)
    run.stamp(notebook, used)
    store.write(notebook, path)
    typer.echo(f"{_name(path)}: {used.seconds:.0f} s, edition {used.edition}, {len(used.inputs)} files of the library")
    return True


def _copy_book(to: Path) -> None:
    """Copy the book for another edition."""
    to.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(to / "book", ignore_errors=True)
    shutil.copytree(store.ROOT / "book", to / "book", ignore=shutil.ignore_patterns(".*", "_build"))
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(store.ROOT / name, to / name)


@app.command()
def sync(
    paths: Paths = None,
    source: Annotated[
        Literal["md", "ipynb"] | None, typer.Option("--from", help="The side that wins; default: the changed one.")
    ] = None,
) -> None:
    """Bring the notebook and its twin into step: the side that was edited wins, and unchanged cells keep their outputs.

    What was edited is told by the hash that the last `execute` or `sync` stored, not by dates. If both sides were
    edited, nothing is done and --from must say which one wins.
    """
    for path in _chosen(paths) if paths else sorted({*store.paths(), *_orphan_twins()}):
        try:
            typer.echo(f"{_name(path)}: {sync_one(path, source)}")
        except ValueError as error:
            typer.echo(f"{_name(path)}: {error}", err=True)
            raise typer.Exit(1) from None


def sync_one(path: Path, source: Literal["md", "ipynb"] | None = None) -> str:
    """Bring one notebook into step with its twin, and say what was done."""
    twin = store.twin(path)
    sides = {kind: store.read(file) for kind, file in (("ipynb", path), ("md", twin)) if file.is_file()}
    if not sides:
        raise ValueError("there is neither a notebook nor a twin")
    if source is None and len(sides) == 1:
        source = next(iter(sides))  # type: ignore[assignment]
    elif source is None:
        if store.cell_keys(sides["md"]) == store.cell_keys(sides["ipynb"]):
            return "in step"
        stored = sides["ipynb"].metadata.get("fundus", {}).get("cells_hash")
        changed = [kind for kind, notebook in sides.items() if store.cells_hash(notebook) != stored]
        if stored is None or len(changed) != 1:
            raise ValueError("both sides were edited; say which one wins with `--from md` or `--from ipynb`")
        source = changed[0]  # type: ignore[assignment]
    if source not in sides:
        raise ValueError(f"there is no {source} to take")
    winner = sides[source]
    if source == "md" and "ipynb" in sides:
        store.carry_outputs(sides["ipynb"], winner)
        if "fundus" in sides["ipynb"].metadata:
            winner.metadata["fundus"] = sides["ipynb"].metadata["fundus"]
    if "fundus" in winner.metadata:
        winner.metadata["fundus"]["cells_hash"] = store.cells_hash(winner)
    store.write(winner, path)
    return f"taken from the {source}" + ("" if checks.fresh(path, winner) is None else "; run `make execute` next")


def _orphan_twins() -> list[Path]:
    """Twins whose notebook is not there yet."""
    pages = (store.ROOT / "book").rglob("*.md")
    return [p.with_suffix(".ipynb") for p in pages if p.read_text(encoding="utf-8").startswith("---\njupytext:")]


@app.command()
def check(paths: Paths = None) -> None:
    """Say what is wrong with the stored notebooks and with the address; exit code 1 if anything is."""
    found = checks.problems(_chosen(paths))
    if not paths:
        found += [*checks.address(), *filter(None, [checks.weight(store.paths())])]
    for line in found:
        typer.echo(line, err=True)
    typer.echo(f"{len(_chosen(paths))} notebooks, {len(found)} problems")
    raise typer.Exit(1 if found else 0)


@app.command()
def address() -> None:
    """Carry the repository's address from pyproject.toml to _config.yml, README, CITATION, badges and Colab cells."""
    new, old = checks.slug(), checks.address_in()
    for file in checks.addressed():
        text = file.read_text(encoding="utf-8")
        if (changed := checks.readdress(text, new, old)) != text:
            file.write_text(changed, encoding="utf-8", newline="\n")
            typer.echo(f"{_name(file)}: now speaks of {new}")


@app.command()
def new(path: Path, title: Annotated[str, typer.Option(help="The heading of the chapter.")]) -> None:
    """Start a chapter: a notebook with everything that every chapter has."""
    path = path.resolve().with_suffix(".ipynb")
    if path.exists():
        raise typer.BadParameter(f"{_name(path)} exists")
    store.write(notebook_new.skeleton(path.relative_to(store.ROOT), title, checks.slug()), path)
    typer.echo(f"{_name(path)} and its twin: fill in what says TODO, add it to _toc.yml, then run `make execute`")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    app()
