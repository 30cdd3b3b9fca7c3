"""Draw the book's cover: a synthetic fundus, its lesions, and what the first segmenter makes of its hard exudates."""

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from fundus_lib import recipes, viz
from fundus_lib.data.synthetic import SyntheticFundus, make_idrid
from fundus_lib.prediction import predict
from fundus_lib.run import run

COVER = Path(__file__).resolve().parent.parent / "book" / "images" / "cover.webp"
SEED, NUMBER = 5, 2


def main() -> None:
    """Train the first segmenter on drawn fundi, and show a fundus that it has not seen."""
    with tempfile.TemporaryDirectory() as folder:
        root = make_idrid(Path(folder) / "IDRiD", size=(480, 720), seed=1, segmentation=(54, 2), grading=(6, 3))
        recipe = recipes.find("first_segmenter", "unet").replace(size=(480, 720), crop=192, epochs=10)
        run(recipe, root, folder)
        sample = SyntheticFundus(NUMBER + 1, size=(480, 720), seed=SEED)[NUMBER]
        photograph = Path(folder) / "photograph.png"
        image = sample["image"].permute(1, 2, 0).numpy()  # (H, W, 3)
        Image.fromarray(image).save(photograph)
        found = predict(photograph, next(Path(folder).glob("first_segmenter-*/model.pt"))).mask[0]
    errors = viz.error_map(image, found, sample["mask"][2])
    panels = np.concatenate([image, viz.overlay(image, sample["mask"]), errors], axis=1)
    COVER.parent.mkdir(exist_ok=True)
    Image.fromarray(panels).save(COVER, quality=85)


if __name__ == "__main__":
    main()
