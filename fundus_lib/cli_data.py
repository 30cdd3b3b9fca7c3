"""The commands `fundus data …`: check, shrink, measure or draw a data set."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Annotated

import typer

from fundus_lib.atomic import check_folder, write_atomically
from fundus_lib.errors import ArgumentError

app = typer.Typer(help="Check, shrink, measure or draw a data set.", no_args_is_help=True)

SizeOption = Annotated[str, typer.Option(help="WIDTHxHEIGHT in pixels.", metavar="WIDTHxHEIGHT")]


def parse_size(text: str) -> tuple[int, int]:
    """`"1440x960"`, width first as photographers write it, to (960, 1440), height first as arrays are.

    Raises:
        ArgumentError: It is something else.
    """
    width, cross, height = text.lower().replace("×", "x").partition("x")
    if cross and width.isdecimal() and height.isdecimal() and int(width) and int(height):
        return int(height), int(width)
    raise ArgumentError(
        "--size", "not a size", found=repr(text), expected="WIDTHxHEIGHT", remedy="write for instance --size 1440x960"
    )


@app.command("make")
def make(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to make.")],
    size: SizeOption = "1440x960",
    seed: Annotated[int, typer.Option(help="Another seed gives other eyes.")] = 0,
    segmentation: Annotated[tuple[int, int], typer.Option(help="Training and test photographs with masks.")] = (54, 27),
    grading: Annotated[tuple[int, int], typer.Option(help="Training and test photographs with grades.")] = (413, 103),
) -> None:
    """Draw a data set in IDRiD's layout."""
    from fundus_lib.data.synthetic import make_idrid

    typer.echo(make_idrid(directory, size=parse_size(size), seed=seed, segmentation=segmentation, grading=grading))


@app.command("check")
def check(directory: Annotated[Path, typer.Argument(metavar="DIR", help="IDRiD/, DDR/ or DiaRetDB1/.")]) -> None:
    """Say what a copy of a data set is: complete, resized, altered or incomplete, and what to know about it.

    Exit code 0: as published, or as the library made it; 1: usable, but not as published; 2: not usable.
    """
    from fundus_lib.data import doctor

    report = doctor.check(directory)
    typer.echo(str(report))
    raise typer.Exit(report.exit_code)


@app.command("shrink")
def shrink(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="A copy of IDRiD.")],
    target: Annotated[Path, typer.Argument(metavar="DST", help="The folder to make.")],
    size: SizeOption = "1440x960",
) -> None:
    """Write a small copy in the same layout, for a machine with little room or a slow disk."""
    from fundus_lib.data.shrink import shrink as shrink_copy

    typer.echo(shrink_copy(source, target, parse_size(size)))


@app.command("stats")
def statistics(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="IDRiD/, DDR/ or DiaRetDB1/, or a copy of IDRiD.")],
    size: Annotated[
        str | None,
        typer.Option(
            help="WIDTHxHEIGHT in pixels; default: 1440x960 for IDRiD, the size on disk for the others.",
            metavar="WIDTHxHEIGHT",
        ),
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Where to write the figure (.png, .svg or .pdf).")] = None,
    full: Annotated[
        Path | None, typer.Option("--json", help="Where to write everything that the book shows; of IDRiD alone.")
    ] = None,
) -> None:
    """Print how rare and how large the lesions are: dual_branch's Table 1 for all four."""
    from fundus_lib.data import recognise, stats, summary

    name = recognise.recognise(directory)
    for option, file, endings in (("--plot", plot, (".png", ".svg", ".pdf")), ("--json", full, (".json",))):
        if file is not None:
            check_output(option, file, endings)
    if full is not None and name != "IDRiD":
        raise ArgumentError(
            "--json",
            "this summary is of IDRiD alone",
            found=f"{directory}, which holds {name}",
            expected="a copy of IDRiD",
            remedy="leave --json out; the table is printed",
        )
    datasets = stats.open_any(directory, size=None if size is None else parse_size(size))
    table = stats.lesion_statistics(*datasets)
    formats = {"mean_area": "{:.3%}", "ratio": "{:.1f}", "p10": "{:.2e}", "p90": "{:.2e}"}
    typer.echo(table.to_string(formatters={column: form.format for column, form in formats.items()}))
    typer.echo("ratio: background to lesion; p10, p90: of the area of a component, share of the photograph")
    if name == "IDRiD" and datasets[0].size == stats.TABLE1_SIZE:
        typer.echo("dual_branch, Table 1, prints for the hard exudates of IDRiD at 1440x960: 110, 5.0e-6 and 1.1e-4")
    if plot is not None:
        from fundus_lib.viz.statistics import plot_statistics

        content = io.BytesIO()
        plot_statistics(*datasets).savefig(content, format=plot.suffix[1:].lower())
        write_atomically(plot, content.getvalue())
        typer.echo(plot)
    if full is not None:
        summarised = json.dumps(summary.summarise(directory), indent=1, allow_nan=False)
        write_atomically(full, (summarised + "\n").encode())
        typer.echo(full)


@app.command("label")
def label(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A copy of IDRiD.")],
    first: Annotated[str, typer.Argument(metavar="MODEL", help="model.pt of a grader, or the name of one that ships.")],
    second: Annotated[str, typer.Argument(metavar="MODEL", help="model.pt of another one.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The table, a .csv; lines of other graders are kept.")],
) -> None:
    """Grade the images that have masks: the answer of the more confident grader, corrected by heat maps and lesions."""
    from fundus_lib.protocols.pseudo_labels import label_images, read_labels, write_labels
    from fundus_lib.weights import find

    check_output("OUT", out, (".csv",))
    read_labels(out)  # before all the work
    models = [find(path) for path in (first, second)]
    shared = {bool(getattr(model.task.recipe, "shared", True)) for model in models}
    if len(shared) > 1:
        raise ArgumentError(
            "fundus data label",
            "one grader was trained on images of the segmentation part, the other was not",
            found=f"{first} and {second}",
            expected="the same `shared` in both recipes",
            remedy="name two models of the same kind",
        )
    tasks = {str(model.origin["row"]): model.task for model in models}
    write_labels(label_images(tasks, directory, leaks=shared.pop()), out)
    typer.echo(out)


def check_output(option: str, file: Path, endings: tuple[str, ...]) -> None:
    """Refuse a file that cannot be written, before minutes are spent on what shall be in it.

    Raises:
        ArgumentError: It is a folder, or its name has another ending.
        FileAccessError: Its folder cannot be made or written into.
    """
    if file.is_dir() or file.suffix.lower() not in endings:
        raise ArgumentError(
            option,
            "no file can be written under this name",
            found=f"{file}, which is a folder" if file.is_dir() else f"{file}",
            expected=f"a file name that ends in {' or '.join(endings)}",
            remedy=f"write for instance {option} {(file / 'stats' if file.is_dir() else file).with_suffix(endings[0])}",
        )
    check_folder(file.parent)
