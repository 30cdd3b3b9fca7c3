"""A hand-made data set in IDRiD's layout, small enough to be written for each test."""

from pathlib import Path

import numpy as np
from PIL import Image

from fundus_lib.data import layout
from fundus_lib.data.inventory import write_manifest

SIZE = (48, 72)
SEGMENTATION = {"train": ["IDRiD_01", "IDRiD_02", "IDRiD_03"], "test": ["IDRiD_04", "IDRiD_05"]}
ABSENT = {("HE", "IDRiD_02"), ("SE", "IDRiD_01"), ("SE", "IDRiD_03"), ("SE", "IDRiD_05")}
GRADES = {
    "train": {"IDRiD_001": (0, 0), "IDRiD_002": (3, 2), "IDRiD_003": (2, 1), "IDRiD_004": (4, 2)},
    "test": {"IDRiD_001": (1, 0), "IDRiD_002": (2, 0), "IDRiD_003": (0, 0)},
}
DISC, FOVEA = (2858, 1805), (1494, 1970)


def write(root: Path, size=SIZE, manifest=True, **extra) -> Path:
    """Write all three parts; `extra` goes into the manifest."""
    rng = np.random.default_rng(0)
    for split, names in SEGMENTATION.items():
        for name in names:
            write_photograph(root / layout.image_folder("segmentation", split) / f"{name}.jpg", size, rng)
            for lesion in layout.MASKS:
                if (lesion, name) not in ABSENT:
                    write_mask(root / layout.mask_folder(lesion, split) / f"{name}_{lesion}.tif", box(lesion, size))
    for split, grades in GRADES.items():
        for name in grades:
            write_photograph(root / layout.image_folder("grading", split) / f"{name}.jpg", size, rng)
        columns = "," * 9 if split == "train" else ""
        rows = ["Image name,Retinopathy grade,Risk of macular edema " + columns]
        rows += [f"{n},{dr},{dme}{columns}" for n, (dr, dme) in grades.items()]
        write_text(root / layout.grades_file(split), rows)
        for file, (x, y) in ((layout.optic_disc_file(split), DISC), (layout.fovea_file(split), FOVEA)):
            rows = ["Image No,X- Coordinate,Y - Coordinate" + "," * 45]
            rows += [f"{n},{x},{y}" + "," * 45 for n in grades] + ["," * 47] * 3
            write_text(root / file, rows)
    if manifest:
        write_manifest(root, "synthetic", size=size, **extra)
    return root


def box(lesion: str, size=SIZE) -> np.ndarray:
    """The mask of a lesion: a rectangle at a place of its own, of even corners so that halving is exact."""
    mask, step = np.zeros(size, np.uint8), list(layout.MASKS).index(lesion)
    mask[4 + 8 * step : 10 + 8 * step, 6 + 12 * step : 14 + 12 * step] = 1
    return mask


def write_photograph(path: Path, size, rng) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[: size[0], : size[1]]
    base = np.stack([x * 3, y * 4, (x + y) * 2], axis=-1) + rng.integers(0, 20)
    Image.fromarray(np.clip(base, 0, 255).astype(np.uint8)).save(path, quality=95)


def write_mask(path: Path, mask: np.ndarray, kind: str = "palette") -> None:
    """`kind`: palette (as published), rgba (as IDRiD_81_EX), grey (0 and 255)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "palette":
        picture = Image.fromarray(mask).convert("P")
        picture.putpalette([0, 0, 0, 255, 0, 0])
    elif kind == "rgba":
        zero = np.zeros_like(mask)
        picture = Image.fromarray(np.stack([mask * 255, zero, zero, zero + 255], axis=-1))
    else:
        picture = Image.fromarray(mask * 255)
    picture.save(path)


def write_text(path: Path, rows: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(row + "\r\n" for row in rows).encode())


def mask_path(root: Path, lesion: str, name: str, split: str = "train") -> Path:
    return root / layout.mask_folder(lesion, split) / f"{name}_{lesion}.tif"


def photograph_path(root: Path, name: str, split: str = "train", part: str = "segmentation") -> Path:
    return root / layout.image_folder(part, split) / f"{name}.jpg"


def write_with_corners(root: Path) -> Path:
    """Write the data set, with two pixels of hard exudate in its first image that touch at a corner."""
    write(root)
    corners = np.zeros(SIZE, np.uint8)
    corners[0, 0] = corners[1, 1] = 1
    write_mask(mask_path(root, "EX", "IDRiD_01"), corners)
    return root
