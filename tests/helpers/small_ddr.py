"""DDR in small, in its layout: boxes of retina on black, with boxes of exudate of a colour of their own."""

import numpy as np
from PIL import Image

RETINA, EXUDATE = (150, 70, 40), (250, 240, 90)
BOXES = {"train": ["wide", "tall", "healthy"], "valid": ["landscape"], "test": ["portrait", "black"]}
NAMES = {"train": ["007-0004-000", "007-0007-000"], "valid": ["007-1774-100"], "test": ["20170323093305605"]}
SIZES = {"007-0004-000": (40, 60), "007-0007-000": (50, 50), "007-1774-100": (40, 60), "20170323093305605": (30, 44)}
LABEL = {"train": "label", "valid": "segmentation label", "test": "label"}


def drawn(name):
    """Photograph (H, W, 3) and exudates (H, W): a box of retina, in it boxes of exudate."""
    size, (top, left, height, width) = {
        "wide": ((120, 200), (20, 10, 60, 160)),
        "tall": ((200, 120), (10, 30, 180, 60)),
        "healthy": ((100, 100), (10, 10, 80, 80)),
        "landscape": ((90, 160), (0, 20, 90, 120)),
        "portrait": ((160, 90), (20, 0, 120, 90)),
        "black": ((50, 80), (0, 0, 0, 0)),
    }[name]
    photograph, exudates = np.zeros((*size, 3), np.uint8), np.zeros(size, np.uint8)
    photograph[top : top + height, left : left + width] = RETINA
    if name not in ("healthy", "black"):
        for row, column in ((top + 8, left + 8), (top + height - 24, left + width - 32)):
            exudates[row : row + 16, column : column + 16] = 1
    photograph[exudates > 0] = EXUDATE
    return photograph, exudates


def write(root, split, name, photograph, **masks):
    """One photograph of DDR with its masks; whatever is not given is black."""
    folder = root / "lesion_segmentation" / split
    (folder / "image").mkdir(parents=True, exist_ok=True)
    Image.fromarray(photograph).save(folder / "image" / f"{name}.jpg", quality=100, subsampling=0)
    for lesion in ("EX", "HE", "MA", "SE"):
        target = folder / LABEL[split] / lesion
        target.mkdir(parents=True, exist_ok=True)
        mask = masks.get(lesion, np.zeros(photograph.shape[:2], np.uint8))
        Image.fromarray(mask * np.uint8(255)).save(target / f"{name}.tif")


def write_all(root):
    """The three splits."""
    for split, names in BOXES.items():
        for name in names:
            photograph, exudates = drawn(name)
            write(root, split, name, photograph, EX=exudates)


def boxes(lesion, size):
    """The mask of a lesion; soft exudates are absent, which in DDR is a black file."""
    mask = np.zeros(size, np.uint8)
    row = {"EX": 2, "HE": 8, "MA": 14}.get(lesion)
    if row is not None:
        mask[row : row + 4, 4:12] = 1
    return mask


def write_both_parts(root):
    """Segmentation and grading, with photographs of several sizes and two in each split without masks."""
    for split, names in NAMES.items():
        folder = root / "lesion_segmentation" / split
        (folder / "image").mkdir(parents=True)
        for lesion in ("EX", "HE", "MA", "SE"):
            (folder / LABEL[split] / lesion).mkdir(parents=True)
            for name in names:
                Image.fromarray(boxes(lesion, SIZES[name]) * 255).save(folder / LABEL[split] / lesion / f"{name}.tif")
        grading = root / "DR_grading" / split
        grading.mkdir(parents=True)
        lines = []
        for k, name in enumerate([*names, f"{split}-a", f"{split}-b"]):
            picture = Image.fromarray(np.full((*SIZES.get(name, (20, 30)), 3), 40 * k, np.uint8))
            picture.save(grading / f"{name}.jpg")
            if name in names:
                picture.save(folder / "image" / f"{name}.jpg")
            lines.append(f"{name}.jpg {5 if name.endswith('-b') else k}")
        grading.with_suffix(".txt").write_text("\n".join(lines) + "\n")
