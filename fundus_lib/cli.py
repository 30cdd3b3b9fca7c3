"""The command `fundus`: thin calls of the library, for those who do not want to write Python."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from fundus_lib.atomic import check_folder, write_atomically
from fundus_lib.errors import ArgumentError, CheckpointError, FundusError

app = typer.Typer(
    help="Data sets, runs and records of the book on diabetic retinopathy.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
data = typer.Typer(help="Check, shrink, measure or draw a data set.", no_args_is_help=True)
app.add_typer(data, name="data")

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


@data.command("make")
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


@data.command("check")
def check(directory: Annotated[Path, typer.Argument(metavar="DIR", help="IDRiD/, DDR/ or DiaRetDB1/.")]) -> None:
    """Say what a copy of a data set is: complete, resized, altered or incomplete, and what to know about it.

    Exit code 0: as published, or as the library made it; 1: usable, but not as published; 2: not usable.
    """
    from fundus_lib.data import doctor

    report = doctor.check(directory)
    typer.echo(str(report))
    raise typer.Exit(report.exit_code)


@data.command("shrink")
def shrink(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="A copy of IDRiD.")],
    target: Annotated[Path, typer.Argument(metavar="DST", help="The folder to make.")],
    size: SizeOption = "1440x960",
) -> None:
    """Write a small copy in the same layout, for a machine with little room or a slow disk."""
    from fundus_lib.data.shrink import shrink as shrink_copy

    typer.echo(shrink_copy(source, target, parse_size(size)))


@data.command("stats")
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
    if name == "IDRiD":
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


@app.command("run")
def run(
    paper: Annotated[str, typer.Argument(help="Name of the paper or chapter, e.g. first_segmenter.")],
    table: Annotated[str | None, typer.Option(help="Only this table.")] = None,
    row: Annotated[str | None, typer.Option(help="Only this row.")] = None,
    seeds: Annotated[int, typer.Option(help="How many seeds of each row.")] = 1,
    minutes: Annotated[float | None, typer.Option(help="Stop after so many minutes; the next call goes on.")] = None,
    shard: Annotated[str, typer.Option(help="i/n: the i-th of n machines that share the work.")] = "1/1",
    devices: Annotated[int, typer.Option(help="GPUs, or processes on a CPU, for one run.")] = 1,
    nodes: Annotated[int, typer.Option(help="Machines for one run.")] = 1,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto",
    precision: Annotated[
        str | None, typer.Option(help="32 or bf16, in place of the recipes' own; another precision is another run.")
    ] = None,
    root: Annotated[
        Path | None, typer.Option("--data", help="The data set; default: that under FUNDUS_DATA, or else drawn.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where checkpoints and records go.")] = Path("runs"),
    smoke: Annotated[bool, typer.Option("--smoke", help="Shrink every run to seconds.")] = False,
) -> None:
    """Train and test what has no record in OUT yet, row by row; go on with what was interrupted."""
    from fundus_lib import settings
    from fundus_lib.run_table import run_table

    sources = settings.roots() if root is None else root
    if root is None and settings.data_home() is None:
        height, width = settings.SYNTHETIC_SIZE
        typer.echo(
            "data: drawn by the program, since FUNDUS_DATA is not set; set it to a folder that holds IDRiD/ or DDR/ to "
            f"run on photographs. The stand-in is {height}×{width}; recipes of a larger size enlarge it."
        )
    elif root is None:
        typer.echo(f"data: {', '.join(map(str, settings.roots().values()))}")
    options = {"minutes": minutes, "smoke": smoke, "device": device, "precision": precision}
    sharing = {"shard": shard, "devices": devices, "nodes": nodes}
    run_table(paper, sources, out, table=table, row=row, seeds=seeds, **options, **sharing)  # type: ignore[arg-type]


@app.command("records")
def list_records(
    folder: Annotated[Path | None, typer.Argument(help="More records, e.g. runs.")] = None,
    paper: Annotated[str | None, typer.Option(help="Only this paper.")] = None,
    table: Annotated[str | None, typer.Option(help="Only this table.")] = None,
    compare: Annotated[
        str | None, typer.Option(metavar="METRIC", help="Compare rows by this score over their seeds, e.g. EX_aupr.")
    ] = None,
) -> None:
    """List the recorded runs, those of the package and those in FOLDER; or compare rows, the best mean first."""
    from fundus_lib import records

    runs = records.load(*([folder] if folder else []))
    for column, wanted in (("paper", paper), ("table", table)):
        runs = runs[runs[column] == wanted] if wanted is not None else runs
    if compare is None:
        shown = runs.drop(columns=["file", "precision", "images", "split"]).dropna(axis=1, how="all")
        typer.echo(shown.to_string(index=False, float_format="{:.4g}".format) if len(runs) else "no records")
        return
    if compare not in runs:
        raise ArgumentError(
            "--compare",
            "the records have no such score",
            found=repr(compare),
            expected=", ".join(name for name in runs.columns if name.startswith("EX_")),
            remedy="name one of these",
        )
    by = runs.groupby(["paper", "table", "row", "dataset", "trained_on"])[compare]
    compared = by.agg(["mean", "min", "max", "count"]).query("count > 0").sort_values("mean", ascending=False)
    typer.echo(compared.reset_index().to_string(index=False, float_format="{:.3f}".format))


@app.command("predict")
def predict(
    image: Annotated[Path, typer.Argument(help="A fundus photograph.")],
    checkpoint: Annotated[
        Path | None, typer.Option(help="model.pt of a run; the newest under runs/ if not given.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where grades, masks, overlay and counts go.")] = Path("prediction"),
    threshold: Annotated[float, typer.Option(help="Score from which a pixel is called lesion.")] = 0.5,
) -> None:
    """Grade a photograph of your own, or find lesions in it, as the model was trained to.

    Prints the grades with their probabilities, and counts of lesions; writes both, with masks and an overlay.
    """
    from fundus_lib.predict import predict as predict_image

    prediction = predict_image(image, checkpoint or newest_model(Path("runs")), threshold=threshold)
    prediction.save(out)
    for table, digits in ((prediction.grades, "{:.3f}"), (prediction.counts, "{:.4g}")):
        if len(table):
            typer.echo(table.to_string(index=False, na_rep="", float_format=digits.format))
    typer.echo(f"written to {out}/")


def newest_model(runs: Path) -> Path:
    """The `model.pt` under a folder of runs that was written last.

    Raises:
        CheckpointError: There is none.
    """
    models = sorted(runs.glob("*/model.pt"), key=lambda path: path.stat().st_mtime)
    if models:
        return models[-1]
    raise CheckpointError(
        runs,
        "no trained model here",
        found="no file */model.pt" if runs.is_dir() else "no such folder",
        expected="the output of `fundus run`",
        remedy="train one with `fundus run first_segmenter --row unet`, or name one with --checkpoint",
    )


def main() -> None:
    """Entry point: what is wrong with an input is said in four lines, without a traceback."""
    try:
        app()
    except FundusError as error:
        typer.echo(f"{type(error).__name__}: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
