"""The command `fundus`: thin calls of the library, for those who do not want to write Python."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from fundus_lib import cli_data
from fundus_lib.errors import FULL, ArgumentError, FundusError, RecordError, explain_os_error, suggest
from fundus_lib.recipes import PAPERS
from fundus_lib.weights import DEFAULT

if TYPE_CHECKING:
    import pandas as pd

app = typer.Typer(
    help="Data sets, runs and records of the book on diabetic retinopathy.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(cli_data.app, name="data")

LISTED = 10
"""So many images at most are printed line by line; the table in the output folder has all."""


@app.command("run")
def run(
    paper: Annotated[str, typer.Argument(help=f"Paper or chapter: {', '.join(PAPERS)}.")],
    table: Annotated[str | None, typer.Option(help="Only this table.")] = None,
    row: Annotated[str | None, typer.Option(help="Only this row.")] = None,
    seeds: Annotated[int, typer.Option(help="How many seeds of each row.")] = 1,
    fold: Annotated[
        int | None, typer.Option(help="Of a cross-validation only this fold, from 1; default: all.")
    ] = None,
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

    if root is None and settings.data_home() is None:
        height, width = settings.SYNTHETIC_SIZE
        typer.echo(
            "data: drawn by the program, since FUNDUS_DATA is not set; set it to a folder that holds IDRiD/ or DDR/ to "
            f"run on photographs. The stand-in is {height}×{width}; recipes of a larger size enlarge it."
        )
    elif root is None:
        typer.echo(f"data: {', '.join(map(str, settings.roots().values()))}")
    options = {"fold": fold, "minutes": minutes, "smoke": smoke, "device": device, "precision": precision}
    sharing = {"shard": shard, "devices": devices, "nodes": nodes}
    run_table(paper, root, out, table=table, row=row, seeds=seeds, **options, **sharing)  # type: ignore[arg-type]


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
    from fundus_lib.records.compare import compare as compare_runs
    from fundus_lib.records.compare import list_scores
    from fundus_lib.records.rows import check_name

    left_out: list[RecordError] = []
    runs = records.load(*([folder] if folder else []), left_out=left_out)
    for error in left_out:
        typer.echo(f"left out: {error.where}: {error.problem} ({error.found})", err=True)
    for column, wanted, known in (("paper", paper, PAPERS), ("table", table, ())):
        if wanted is not None:
            check_name(column, wanted, {*runs[column], *known})
            runs = runs[runs[column] == wanted].dropna(axis=1, how="all")
    if compare is None:
        typer.echo(_list(runs) if len(runs) else "no records")
        return
    scores = list_scores(runs)
    if not len(runs):
        typer.echo("no records")
        return
    if compare not in scores:
        raise ArgumentError(
            "--compare",
            "the records have no such score",
            found=repr(compare),
            expected=_group_scores(scores),
            remedy=suggest(compare, scores, "name one of these"),
        )
    compared, older = compare_runs(runs, compare)
    typer.echo(compared.to_string(index=False, float_format="{:.3f}".format))
    if len(papers := compared["paper"].unique()) > 1:
        names = ", ".join(papers)
        typer.echo(f"each of {names} is scored by a protocol of its own: only rows of one paper compare (--paper)")
    if older:
        typer.echo(f"one run per seed counts, the newest; left out: {', '.join(Path(file).name for file in older)}")


def _list(runs: pd.DataFrame) -> str:
    """A line for each run: what it is, how long it took, accuracies and AUPR; of other fields those that differ."""
    from fundus_lib.records import read
    from fundus_lib.records.compare import list_scores, tell_scores
    from fundus_lib.records.rows import fold_of

    fold = [" of ".join(map(str, fold_of(read(file)) or ())) for file in runs["file"]]
    more = runs[["precision", "trained_on"]].assign(fold=fold)
    shown = runs[["paper", "table", "row", "dataset"]].assign(
        **{str(name): values for name, values in more.items() if len(set(values)) > 1},
        seed=runs["seed"],
        minutes=(runs["train_seconds"] / 60).round(1),
        date=runs["date"].str[:10],
    )
    told = [run.dropna().to_dict() for _, run in runs[list_scores(runs)].iterrows()]
    scores = [tell_scores({str(name): value for name, value in run.items()}, most=3) for run in told]
    named = shown.columns[len(set(shown["paper"])) == 1 :]  # of one paper alone its name says nothing
    lines = shown[named].to_string(index=False).splitlines()
    return "\n".join(f"{line}  {score}" for line, score in zip(lines, ["scores", *scores], strict=True))


def _group_scores(scores: list[str]) -> str:
    """Names of scores by what stands before the first underscore: `"EX_aupr, …; dr_accuracy, …"`."""
    groups: dict[str, list[str]] = {}
    for name in scores:
        groups.setdefault(name.partition("_")[0], []).append(name)
    return "; ".join(", ".join(names) for names in groups.values()) or "a score; there are no records"


@app.command("predict")
def predict(
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGE…",
            help="Fundus images, or folders that hold them (.jpg, .png, .tif, .ppm, …), not folders in these.",
        ),
    ],
    checkpoint: Annotated[
        str,
        typer.Option(
            "--checkpoint",
            "--model",
            help="model.pt of a run of your own, or the name of a model that ships with the library.",
        ),
    ] = DEFAULT,
    out: Annotated[Path, typer.Option(help="Where everything goes: a folder per image, and a table.")] = Path(
        "prediction"
    ),
    threshold: Annotated[float, typer.Option(help="Probability from which on a pixel is predicted as lesion.")] = 0.5,
    mirror: Annotated[
        bool, typer.Option(help="Average over mirrored views, if the model is tested so; one view is faster.")
    ] = True,
    csv: Annotated[Path | None, typer.Option(help="Where to write the table besides.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto",
) -> None:
    """Grade images of your own, or find lesions in them, as the model was trained to.

    Writes a line per image and lesion into OUT/predictions.csv, and masks, scores, an overlay and a list of regions of
    each image. What OUT holds already is not done again. A model that `fundus calibrate` was run on says besides
    whether each lesion is likely, unclear or unlikely. Not a medical device.

    Exit code 2: an image could not be predicted, and is named.
    """
    from fundus_lib import weights
    from fundus_lib.atomic import write_atomically
    from fundus_lib.prediction.about import averages_views, describe
    from fundus_lib.prediction.folder import find_images, name_left_out, predict_all
    from fundus_lib.prediction.tables import AS_CSV

    if csv is not None:
        cli_data.check_output("--csv", csv, (".csv",))
    files = find_images(images)
    model = weights.find(checkpoint)
    found = predict_all(files, model, out, threshold=threshold, mirror=mirror, device=device)
    if csv is not None:
        write_atomically(csv, found.table.to_csv(**AS_CSV).encode())
    own = found.table[found.table["image"].isin([path.name for path in files]) & (found.table["error"] == "")]
    cautions = own.loc[own["cautions"] != "", ["image", "cautions"]].drop_duplicates()
    if len(files) <= LISTED and len(own):
        shown = own.drop(columns=["cautions", "error", "model"]).dropna(axis=1, how="all")
        typer.echo(shown.to_string(index=False, na_rep="", float_format="{:.3g}".format))
    for name, caution in cautions.itertuples(index=False):
        typer.echo(f"caution, {name}: {caution}")
    about = describe(model, threshold=threshold, mirrored=averages_views(model, mirror))
    for line in (about["model"], *about["verdicts"], *about["limits"]):
        typer.echo(line)
    for line in name_left_out(images):
        typer.echo(line, err=True)
    if found.replaced:
        typer.echo(f"predicted anew, as images of this name had another content: {', '.join(found.replaced)}", err=True)
    done = len(files) - len(found.errors)
    typer.echo(f"{done} of {len(files)} images, {found.done_before} of them before, in {out}/")
    for error in found.errors.values():
        typer.echo(f"{type(error).__name__}: {error}", err=True)
    if found.errors:
        raise typer.Exit(2)


@app.command("calibrate")
def calibrate(
    checkpoint: Annotated[
        str, typer.Argument(metavar="MODEL", help="model.pt of a run, or the name of a model that ships.")
    ],
    table: Annotated[
        Path, typer.Argument(metavar="TABLE", help="CSV: image, and a column per lesion with 1, 0 or nothing.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The model with the rules, a new file.")],
    threshold: Annotated[float, typer.Option(help="Probability from which on a pixel is predicted as lesion.")] = 0.5,
    mirror: Annotated[bool, typer.Option(help="Average over mirrored views; as you will predict.")] = True,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto",
) -> None:
    """Make a copy of a model whose verdicts (likely, unclear, unlikely) rest on images whose lesions are known.

    Use images of your own camera, and none that the model was trained on.
    """
    from fundus_lib.prediction import calibrate as make_calibrated

    for rule in make_calibrated(checkpoint, table, out, threshold=threshold, mirror=mirror, device=device):
        typer.echo(rule.explain())
    typer.echo(out)


def main() -> None:
    """Entry point: what is wrong with an input, a file or a disk is said in four lines, without a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a pipe on Windows cannot write a minus sign
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except FundusError as error:
        _fail(error)
    except OSError as error:
        if error.filename is None and error.errno not in FULL:
            raise
        _fail(explain_os_error(error, os.fsdecode(error.filename or Path.cwd())))


def _fail(error: FundusError) -> NoReturn:
    typer.echo(f"{type(error).__name__}: {error}", err=True)
    sys.exit(2)


if __name__ == "__main__":
    main()
