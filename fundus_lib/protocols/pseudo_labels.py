"""Grades for images that have masks: two trained graders' answers, corrected by heat maps and lesions, as a table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import torch
from torch import Tensor
from tqdm.auto import tqdm

from fundus_lib.atomic import write_atomically
from fundus_lib.data.field_of_view import field_of_view
from fundus_lib.data.field_square import FieldSquare
from fundus_lib.data.graded_lesions import find_grades
from fundus_lib.data.idrid import IDRiDSegmentation
from fundus_lib.data.image_set import ImageSet
from fundus_lib.data.inventory import title
from fundus_lib.data.sample import LESIONS
from fundus_lib.errors import ArgumentError
from fundus_lib.grades import GRADES
from fundus_lib.protocols.grades import predict_all
from fundus_lib.pseudo_labels import allow_grades, choose_confident, correct_labels, measure_heat

if TYPE_CHECKING:
    import pandas as pd

    from fundus_lib.tasks.base import FundusTask

SPLITS = ("train", "test")
GRADE_COLUMNS = tuple(f"{kind}{grade}" for kind in "ph" for grade in range(GRADES["dr"]))
COLUMNS = ("image", "grader", "leaks", *GRADE_COLUMNS[:5], "label", *GRADE_COLUMNS[5:], "flat", "lesions", "true")


def label_images(
    graders: Mapping[str, FundusTask], root: str | Path, *, leaks: bool, progress: bool = True
) -> pd.DataFrame:
    """Grade the images of the segmentation part by two graders, see :mod:`fundus_lib.pseudo_labels`.

    Args:
        graders: Two trained graders of retinopathy by their names.
        root: Root of a copy of IDRiD.
        leaks: Whether they were trained on images of the segmentation part.
        progress: Show progress bars.

    Returns:
        A line for each image and grader, sorted by these, with the `COLUMNS`: `grader`, its name; `leaks`, 0 or 1;
        `p0` …, its probabilities; `label`, the corrected grade of both graders together; `h0` …, how much of the
        Grad-CAM of each grade lies on the lesions, empty where the map is; `flat`, the same of a flat map; `lesions`,
        those that the image has; `true`, its grade in the grading part, −1 if it is not there.

    Raises:
        ArgumentError: These are not two graders, or one does not grade retinopathy.
    """
    import pandas as pd

    _check(graders)
    parts = [IDRiDSegmentation(root, split, cache=False) for split in SPLITS]
    names = [name for part in parts for name in part.names]
    lesions = torch.cat([torch.from_numpy(part.annotated) for part in parts])
    true = find_grades(root)
    probabilities, heat, flat = zip(*(_ask(task, root, progress) for task in graders.values()), strict=True)
    chosen, other = choose_confident(*probabilities)
    labels = correct_labels(
        chosen,
        torch.where(other[:, None], heat[1], heat[0]),
        torch.where(other, flat[1], flat[0]),
        allow_grades(lesions),
    )
    kinds = [" ".join(kind for kind, there in zip(LESIONS, own, strict=True) if there) for own in lesions]
    lines = [
        (
            *(name, grader, int(leaks)),
            *(round(value, 5) for value in probabilities[k][n].tolist()),
            int(labels.after[n]),
            *(round(value, 5) for value in (*heat[k][n].tolist(), float(flat[k][n]))),
            *(kinds[n], true.get(name, -1)),
        )
        for n, name in enumerate(names)
        for k, grader in enumerate(graders)
    ]
    return pd.DataFrame(lines, columns=list(COLUMNS)).sort_values(["leaks", "image", "grader"], ignore_index=True)


def write_labels(table: pd.DataFrame, file: str | Path) -> None:
    """Write a table of :func:`label_images`; what the file holds of graders with other leaks stays in it.

    Args:
        table: The table.
        file: CSV, new or written by this function.

    Raises:
        ArgumentError: The file holds something else.
        FileAccessError: It cannot be written.
    """
    import pandas as pd

    file = Path(file)
    there = read_labels(file)
    if there is not None:
        kept = there[~there["leaks"].isin(table["leaks"])]
        table = pd.concat([kept, table] if len(kept) else [table])
        table = table.sort_values(["leaks", "image", "grader"], ignore_index=True)
    write_atomically(file, table.to_csv(index=False, lineterminator="\n").encode())


def read_labels(file: Path) -> pd.DataFrame | None:
    """A table that :func:`write_labels` wrote; None if there is no such file.

    Raises:
        ArgumentError: The file holds something else.
    """
    import pandas as pd

    if not file.is_file():
        return None
    try:
        there = pd.read_csv(file, dtype={"lesions": str})
        found = ", ".join(map(str, there.columns))
    except (ValueError, UnicodeDecodeError) as error:
        there, found = pd.DataFrame(), str(error).partition("\n")[0]
    if list(there.columns) != list(COLUMNS):
        raise ArgumentError(
            str(file),
            "this is no table of pseudo labels",
            found=found,
            expected=", ".join(COLUMNS),
            remedy="name a new file",
        )
    return there


def _check(graders: Mapping[str, FundusTask]) -> None:
    if len(graders) != 2:
        _refuse(
            ", ".join(graders) or "none",
            "not two graders",
            "two of different names",
            "name two models, of different rows of a table",
        )
    for name, task in graders.items():
        if "dr" not in getattr(task.recipe, "diseases", ()):
            _refuse(
                name,
                "this model does not grade retinopathy",
                "a grader of the kind that `fundus run` trains",
                "name the model.pt of another run",
            )


def _ask(task: FundusTask, root: str | Path, progress: bool) -> tuple[Tensor, Tensor, Tensor]:
    """A grader's probabilities (N, 5), heat on lesions (N, 5), and that of a flat map (N,)."""
    square = FieldSquare(task.recipe.side)
    found = []
    for split in SPLITS:
        data = IDRiDSegmentation(root, split, size=square.read_size, transform=square)
        images = ImageSet.read(data, title(Path(root)))
        masks = [mask for mask in images.masks if mask is not None]
        prepared = task.prepare(torch.stack(images.images), images.statistics)
        seen = tqdm(images.images, desc=f"heat maps, {split}", unit="image", disable=not progress)
        heat = [
            measure_heat(task.model, x, mask.any(0), torch.from_numpy(field_of_view(image.permute(1, 2, 0).numpy())))
            for image, x, mask in zip(seen, prepared, masks, strict=True)
        ]
        inside = torch.stack([inside for inside, _ in heat])
        found.append((predict_all(task, images)["dr"].softmax(1), inside, torch.tensor([flat for _, flat in heat])))
    probabilities, inside, flat = (torch.cat(parts) for parts in zip(*found, strict=True))
    return probabilities, inside, flat.to(inside.dtype)


def _refuse(found: str, problem: str, expected: str, remedy: str) -> NoReturn:
    raise ArgumentError("label_images", problem, found=found, expected=expected, remedy=remedy)
