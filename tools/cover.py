"""Draw the book's cover: a synthetic fundus image, its lesions, and what the network that ships makes of them."""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import fundus_lib
from fundus_lib import viz
from fundus_lib.data.synthetic import SyntheticFundus

COVER = Path(__file__).resolve().parent.parent / "book" / "images" / "cover.webp"
SIZE, SHOWN = (1424, 2144), (480, 720)
SEED, NUMBER = 5, 2


def main() -> None:
    """Predict an image that the network has not seen; it was trained on real ones."""
    sample = SyntheticFundus(NUMBER + 1, size=SIZE, seed=SEED)[NUMBER]
    image, masks = sample["image"].permute(1, 2, 0).numpy(), sample["mask"].numpy()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.png"
        Image.fromarray(image).save(path)
        found = fundus_lib.predict(path, mirror=False).mask
    draw(image, masks, found)


def draw(image: np.ndarray, masks: np.ndarray, found: np.ndarray) -> None:
    """Three panels, with the meaning of their colours below them."""
    errors = viz.error_map(image, found.any(0), masks.any(0), palette="colorblind")
    outlined = viz.overlay(image, masks, thickness=3)
    viz.use_style()
    figure, axes = plt.subplots(1, 3, figsize=(14.4, 3.6), layout="none")
    figure.subplots_adjust(left=0, right=1, top=1, bottom=0.11, wspace=0.01)
    for axis, picture in zip(axes, (image, outlined, errors), strict=True):
        axis.imshow(np.array(Image.fromarray(picture).resize(SHOWN[::-1], Image.Resampling.BOX)))
        axis.axis("off")
    style = {"loc": "upper center", "bbox_to_anchor": (0.5, 0), "ncols": 4, "frameon": False, "fontsize": 14}
    style |= {"handlelength": 1.2, "handletextpad": 0.4, "columnspacing": 1.2, "borderpad": 0.2}
    viz.legend(axes[1], **style)
    viz.legend(axes[2], viz.ERROR_PALETTES["colorblind"], **style)
    COVER.parent.mkdir(exist_ok=True)
    figure.savefig(COVER, dpi=150, pil_kwargs={"quality": 80})


if __name__ == "__main__":
    main()
