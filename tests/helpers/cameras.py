"""The same synthetic eyes on three cameras: IDRiD's, a larger one in DDR's layout, and one in DiaRetDB1's."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from fundus_lib.data import IDRiDSegmentation
from fundus_lib.data.sample import LESIONS
from helpers import small_ddr
from helpers.small_diaretdb1 import CIRCLE, marking, xml

KINDS = dict(zip(LESIONS, ("Red_small_dots", "Haemorrhages", "Hard_exudates", "Soft_exudates"), strict=True))
BORDER, SCALE = 60, 2
"""Black columns on either side, and rows above and below, of DDR's; and by how much its images are larger."""


def photograph(image, border=BORDER, scale=SCALE):
    """An image (H, W, 3) or a mask (H, W) as the larger camera takes it, with more of a black border."""
    large = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
    return np.pad(large, ((border, border), (border, border), (0, 0))[: large.ndim])


def samples(idrid: Path):
    """Name, image (H, W, 3) and masks by lesion of the test images of a copy of IDRiD, at their size on disk."""
    data = IDRiDSegmentation(idrid, "test")
    for sample in data:
        masks = dict(zip(LESIONS, sample["mask"].numpy(), strict=True))
        yield sample["name"], np.ascontiguousarray(sample["image"].permute(1, 2, 0).numpy()), masks


def write_ddr(root: Path, idrid: Path) -> None:
    """The test split of DDR."""
    for name, image, masks in samples(idrid):
        large = {lesion: photograph(mask) for lesion, mask in masks.items()}
        small_ddr.write(root, "test", f"ddr {name}", photograph(image), **large)


def write_diaretdb1(root: Path, idrid: Path) -> None:
    """The test split of DiaRetDB1 2.1: all experts put one circle around all lesions of a kind."""
    (root / "images").mkdir(parents=True)
    (root / "groundtruth").mkdir()
    rows = []
    for name, image, masks in samples(idrid):
        Image.fromarray(image).save(root / "images" / f"{name}.png")
        marks = []
        for lesion, mask in masks.items():
            down, across = np.nonzero(mask)
            if len(down):
                x, y = (int(values.max() + values.min()) // 2 for values in (across, down))
                reach = int(np.hypot(down - y, across - x).max()) + 2
                marks.append(marking(CIRCLE.format(x=x, y=y, r=reach), kind=KINDS[lesion]))
        files = [f"groundtruth/{name}_{expert}.xml" for expert in range(4)]
        for file in files:
            (root / file).write_text(xml(*marks))
        rows.append(" ".join([f"images/{name}.png", *files]))
    (root / "ddb1_v02_01_test_plain.txt").write_text("\n".join(rows) + "\n")
    Image.fromarray(image).save(root / "images" / "train.png")
    (root / "ddb1_v02_01_train_plain.txt").write_text(" ".join(["images/train.png", *files]) + "\n")
