"""Rules for verdicts of a trained model, from images whose lesions are known and that it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from tqdm.auto import tqdm

from fundus_lib.atomic import check_folder
from fundus_lib.checkpoints import save_model
from fundus_lib.errors import ArgumentError, LabelFormatError, MissingFileError
from fundus_lib.image_verdicts import Areas, Rule, make_rules
from fundus_lib.prediction.about import averages_views
from fundus_lib.prediction.image import check_threshold, predict
from fundus_lib.weights import find


def calibrate(
    checkpoint: str | Path,
    table: str | Path,
    out: str | Path,
    *,
    threshold: float = 0.5,
    mirror: bool = True,
    device: str = "auto",
    progress: bool = True,
) -> list[Rule]:
    """Write a copy of a model that gives verdicts, by rules made from images of known lesions.

    Do it with images of the camera and the patients that the model shall be used on, and not with those that it was
    trained on: on them it errs less.

    Args:
        checkpoint: A `model.pt`, or the name of a model that ships with the library.
        table: A CSV file with the column `image` (a path, relative to the file itself) and a column for each lesion
            that is known, such as `EX`: 1 where the image has it, 0 where it has not, empty where nobody knows.
        out: The model with the rules, a new file.
        threshold: Probability from which on a pixel counts; verdicts are given at this one only.
        mirror: Whether mirrored views are averaged; likewise.
        device: As for `predict`.
        progress: Show a progress bar.

    Returns:
        The rules, one per lesion of the model. Where fewer than five images have it, or have not, it gives no verdict.

    Raises:
        LabelFormatError: The table has no such columns or other values.
        CheckpointError: The model cannot be used.
        ArgumentError: It segments no lesions, or `out` is there already.
        FileAccessError: `out` cannot be written.
        MissingFileError: An image of the table is not there.
        UnreadableImageError: An image cannot be predicted.
    """
    check_threshold(threshold)
    model, out = find(checkpoint), Path(out)
    mirror = averages_views(model, mirror)
    lesions = model.task.recipe.lesions if model.task.segments else ()
    if not lesions:
        raise ArgumentError(
            checkpoint,
            "this model segments no lesions",
            found="a model that grades alone",
            expected="a model whose lesions get verdicts",
            remedy="name another model",
        )
    rows = read_presence(Path(table), lesions)
    if out.exists():
        raise ArgumentError(
            out,
            "a new file is meant",
            found="a folder" if out.is_dir() else "a file",
            expected="a name that is free",
            remedy="name another file",
        )
    check_folder(out.parent)
    for image, _ in rows:
        if not image.is_file():
            raise MissingFileError(
                image,
                f"{table} names an image that is not there",
                found="a folder" if image.is_dir() else "no such file",
                expected="a path relative to the table",
                remedy="correct the table, or move it beside the images",
            )
    areas = {lesion: Areas() for lesion in lesions}
    for path, known in tqdm(rows, unit="image", disable=not progress):
        counts = predict(path, model, threshold=threshold, mirror=mirror, device=device).counts.set_index("lesion")
        for lesion, there in known.items():
            kind = areas[lesion].present if there else areas[lesion].absent
            kind.append(float(counts.loc[lesion, "area_percent"]))  # type: ignore[arg-type]
    rules = make_rules(areas, mirrored=mirror, source=Path(table).name, threshold=threshold)
    save_model(out, model.task, trained_on=model.trained_on, origin=model.origin, colours=model.colours, rules=rules)
    return rules


def read_presence(path: Path, lesions: Sequence[str]) -> list[tuple[Path, dict[str, bool]]]:
    """Images with what is known of their lesions, see :func:`calibrate`.

    Args:
        path: The CSV file.
        lesions: Those that matter; other columns do not.

    Raises:
        LabelFormatError: It is no such table.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", index_col=False)
    except (OSError, ValueError) as error:
        raise _bad_table(path, f"{type(error).__name__}: {error}", lesions) from error
    table = table.rename(columns=str.strip).apply(lambda column: column.fillna("").str.strip())
    table = table[(table != "").any(axis=1)]  # spreadsheets write empty lines, and 1 as 1.0
    columns = [lesion for lesion in lesions if lesion in table]
    table[columns] = table[columns].replace(r"^([01])\.0+$", r"\1", regex=True)
    if "image" not in table or not columns:
        raise _bad_table(path, f"the columns {', '.join(map(str, table))}", lesions)
    if (table["image"] == "").any():
        raise _bad_table(path, "a line without an image", lesions)
    again = table["image"].map(lambda name: (path.parent / name).resolve()).duplicated()
    if again.any():
        raise _bad_table(path, f"{table.loc[again, 'image'].tolist()[0]} twice", lesions)
    for column in columns:
        wrong = table.loc[~table[column].isin(("", "0", "1")), ["image", column]]
        if len(wrong):
            raise _bad_table(path, f"{column} is {wrong[column].tolist()[0]!r}", lesions)
    return [
        (path.parent / row["image"], {c: row[c] == "1" for c in columns if row[c]}) for row in table.to_dict("records")
    ]


def _bad_table(path: Path, found: str, lesions: Sequence[str]) -> LabelFormatError:
    return LabelFormatError(
        path,
        "this is no table of which image has which lesion",
        found=found,
        expected=f"CSV with the column image, and one or more of {', '.join(lesions)} with 1, 0 or nothing",
        remedy="write one line per image, with commas between the cells",
    )
