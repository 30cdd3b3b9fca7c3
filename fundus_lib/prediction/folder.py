"""Predictions for many images: a folder for each, one table of all, and what is done is not done again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm.auto import tqdm

from fundus_lib.atomic import write_atomically
from fundus_lib.checkpoints import Checkpoint
from fundus_lib.devices import choose_device
from fundus_lib.errors import ArgumentError, CheckpointError, FundusError, MissingFileError, naming
from fundus_lib.prediction.about import averages_views, describe, read_json
from fundus_lib.prediction.image import check_threshold, hash_file, predict
from fundus_lib.prediction.tables import AS_CSV
from fundus_lib.weights import find

if TYPE_CHECKING:
    import pandas as pd

ENDINGS = (".jpg", ".jpeg", ".jpe", ".jfif", ".jp2", ".png", ".tif", ".tiff", ".bmp", ".webp", ".ppm", ".gif")
"""Of the files in a folder that are taken for images; a file that is named itself may have any."""

ABOUT, DONE, TABLE = "about.json", "prediction.json", "predictions.csv"


@dataclass(frozen=True)
class Predictions:
    """What `predict_all` did.

    Attributes:
        table: All images in the output folder, one line per image and lesion, see `predict_all`.
        errors: Image of this call → why it was not predicted.
        done_before: How many images of this call had been predicted before.
        replaced: Images of this call in whose place there was a prediction of other content.
    """

    table: pd.DataFrame
    errors: dict[str, FundusError]
    done_before: int
    replaced: tuple[str, ...] = ()


def predict_all(
    images: str | Path | Iterable[str | Path],
    checkpoint: str | Path | Checkpoint,
    out: str | Path,
    *,
    threshold: float = 0.5,
    mirror: bool = True,
    device: str = "auto",
    progress: bool = True,
) -> Predictions:
    """Predict many images, each as :func:`~fundus_lib.prediction.image.predict` does.

    `out` gets a folder for each image, named after its file, with what `Prediction.save` writes; `predictions.csv`; and
    `about.json`: the model, the settings and the limits. It holds predictions of one model with one setting only. What
    it holds of an image of the same name and content is kept, so that a call that was cut off goes on; a file of the
    same name with other content is predicted anew, and what was there of the old one is deleted. An image that cannot
    be predicted is named in the table, and the others go on.

    Args:
        images: An image, a folder of images (its files that end as `ENDINGS`, not those of its folders), or several.
        checkpoint: As for `predict`.
        out: A new or empty folder, or one that an earlier call wrote.
        threshold: As for `predict`.
        mirror: As for `predict`.
        device: As for `predict`.
        progress: Show a progress bar.

    Returns:
        What was done. The table, which is `predictions.csv` too, has the columns `image`, `lesion`, `verdict`,
        `components`, `area_px`, `area_percent`; for a model that grades `dr`, `dr_p0` …, `dme`, `dme_p0` …, the same in
        each line of an image; `cautions`, `error`, and `model`. An image without lesions to segment, or with an error,
        has one line.

    Raises:
        MissingFileError: A folder or file is not there, or a folder holds no image.
        ArgumentError: Two images have the same name, or `out` holds something else.
        UnknownNameError: See `predict`.
        CheckpointError: See `predict`.
        FileAccessError: `out` cannot be written, or its disk is full.
    """
    check_threshold(threshold)
    choose_device(device)
    out, files = Path(out), find_images(images)
    model = find(checkpoint)
    mirror = averages_views(model, mirror)
    about = describe(model, threshold=threshold, mirrored=mirror)
    _open_output(out, about)
    errors: dict[str, FundusError] = {}
    before, replaced = 0, list[str]()
    try:
        for path in tqdm(files, unit="image", disable=not progress or len(files) < 2):
            folder = out / path.name
            there = read_json(folder / DONE).get("sha256")
            try:
                digest = hash_file(path)
            except FundusError as error:  # its content is not known: what is there of it stays
                errors[path.name] = error
                if not there:
                    _write_failure(folder, path, error, about)
                continue
            if there == digest:
                before += 1
                continue
            if there:
                replaced.append(path.name)
            _clear(folder, model)
            try:
                found = predict(path, model, threshold=threshold, mirror=mirror, device=device)
            except CheckpointError:
                raise
            except FundusError as error:
                errors[path.name] = error
                _write_failure(folder, path, error, about)
                continue
            found.save(folder)
    finally:  # also of what is done when somebody stops it
        table = _read_table(out)
        write_atomically(out / TABLE, table.to_csv(**AS_CSV).encode())
    return Predictions(table, errors, before, tuple(replaced))


def _write_failure(folder: Path, path: Path, error: FundusError, about: Mapping[str, Any]) -> None:
    """Write down that an image could not be predicted, and why."""
    failure = {"image": path.name, "error": f"{type(error).__name__}: {error}", "about": about}
    write_atomically(folder / DONE, (json.dumps(failure, indent=1, ensure_ascii=False) + "\n").encode())


def find_images(images: str | Path | Iterable[str | Path]) -> list[Path]:
    """The image files that are named, or lie in a folder that is, in order and each once.

    Raises:
        MissingFileError: One is not there, or a folder holds none.
        ArgumentError: Two in different folders have the same name, or a name is not UTF-8.
        FileAccessError: A folder may not be read.
    """
    found: dict[Path, None] = {}
    for given in [images] if isinstance(images, str | Path) else images:
        path = Path(given)
        if not path.is_dir() and not path.is_file():
            raise MissingFileError(
                path,
                "there is no such image",
                found="no such file or folder",
                expected="an image, or a folder of images",
                remedy="correct the path",
            )
        with naming(path):
            there = list(path.iterdir()) if path.is_dir() else []
        inside = sorted(filter(_is_image, there)) if path.is_dir() else [path]
        if not inside:
            folders = sum(p.is_dir() for p in there)
            raise MissingFileError(
                path,
                "there is no image in this folder",
                found=f"{sum(p.is_file() for p in there)} other files, {folders} folders",
                expected=f"files that end in {', '.join(ENDINGS)}",
                remedy="name the folder that holds the images itself" if folders else "name another folder, or files",
            )
        found |= dict.fromkeys(inside)
    names: dict[str, Path] = {}
    for path in found:
        try:
            path.name.encode()
        except UnicodeEncodeError:
            raise ArgumentError(
                ascii(str(path)),
                "this file name is not UTF-8",
                found=ascii(path.name),
                expected="a name in UTF-8, which goes into every output",
                remedy="rename it, for instance with convmv -f latin1 -t utf8 --notest",
            ) from None
        other = names.setdefault(path.name.casefold(), path)
        if other is not path and other.resolve() != path.resolve():
            raise ArgumentError(
                path,
                "two images have the same name",
                found=f"{other} and {path}",
                expected="names that differ, since each image gets a folder of its name",
                remedy="rename one of them, or predict them with another --out",
            )
    return list(names.values())


def name_left_out(images: Iterable[Path]) -> list[str]:
    """What of the folders among these is no image by its ending, in words, one line for each such folder."""
    said = []
    for path in images:
        rest = [p for p in path.iterdir() if not _is_image(p) and not p.name.startswith(".")] if path.is_dir() else []
        if rest:
            some = ", ".join(sorted(p.name for p in rest)[:3])
            said.append(f"left out of {path}: {len(rest)} that are no files ending in {', '.join(ENDINGS)} ({some} …)")
    return said


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in ENDINGS and not path.name.startswith(".") and path.is_file()


def _open_output(out: Path, about: dict[str, Any]) -> None:
    """Write what the folder will hold; refuse one that holds something else.

    Raises:
        ArgumentError: It does, or it cannot be made or written.
    """
    if out.exists() and not out.is_dir():
        raise _bad_output(out, "a file is where a folder is meant", f"the file {out}", "a folder")
    known = read_json(out / ABOUT)
    if not known and out.is_dir() and any(out.iterdir()):
        names = sorted(p.name for p in out.iterdir())
        shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
        raise _bad_output(
            out, "this folder holds something else", shown, "a new or empty folder, or one of predictions"
        )
    kept = ("digest", "settings")
    if known and any(known.get(name) != about[name] for name in kept):
        raise _bad_output(
            out,
            "this folder holds predictions of another model or setting",
            f"model {known.get('digest')}, {known.get('settings')}",
            f"model {about['digest']}, {about['settings']}",
        )
    try:
        write_atomically(out / ABOUT, (json.dumps(about, indent=1, ensure_ascii=False) + "\n").encode())
    except OSError as error:
        raise _bad_output(out, "this folder cannot be written", str(error), "a folder that you may write") from error


def _bad_output(out: Path, problem: str, found: str, expected: str) -> ArgumentError:
    remedy = "name another folder with --out"
    return ArgumentError(out, problem, found=found, expected=expected, remedy=remedy)


def _clear(folder: Path, model: Checkpoint) -> None:
    """Delete what was written of an image before, the mark that it is done first; other files stay."""
    pictures = [f"{lesion}_{what}.png" for lesion in model.task.recipe.lesions for what in ("mask", "scores")]
    for name in (DONE, "overlay.png", "regions.csv", *pictures):
        (folder / name).unlink(missing_ok=True)


def _read_table(out: Path) -> pd.DataFrame:
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for path in sorted(out.glob(f"*/{DONE}")):
        rows += _rows(read_json(path))
    columns = ["image", "lesion", "verdict", "components", "area_px", "area_percent"]
    for disease in ("dr", "dme"):
        columns += sorted({name for row in rows for name in row if name == disease or name.startswith(f"{disease}_p")})
    columns += ["cautions", "error", "model"]
    table = pd.DataFrame(rows, columns=columns)
    whole = [name for name in ("components", "area_px", "dr", "dme") if name in table]
    return table.astype(dict.fromkeys(whole, "Int64"))


def _rows(done: dict[str, Any]) -> Sequence[dict[str, Any]]:
    if "image" not in done:
        return []
    error = "; ".join(line.strip() for line in done.get("error", "").splitlines())
    common: dict[str, Any] = {"image": done["image"], "cautions": "; ".join(done.get("cautions", ())), "error": error}
    common["model"] = done["about"]["digest"]
    for row in done.get("grades", ()):
        disease = row["disease"]
        common[disease] = row["grade"]
        common |= {f"{disease}_{name}": value for name, value in row.items() if name not in ("disease", "grade")}
    return [common | row for row in done.get("lesions", ())] or [common]
