"""DDR in small, in its layout: boxes of retina on black, with boxes of exudate of a colour of their own."""

import numpy as np
from PIL import Image

RETINA, EXUDATE = (150, 70, 40), (250, 240, 90)
BOXES = {"train": ["wide", "tall", "healthy"], "valid": ["landscape"], "test": ["portrait", "black"]}
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
