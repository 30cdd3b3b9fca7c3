"""One synthetic image: an eye by its index, with masks, grades and landmarks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fundus_lib.data.sample import LESIONS, Size
from fundus_lib.data.synthetic import camera, retina
from fundus_lib.data.synthetic.canvas import FRAME, Canvas, Layer
from fundus_lib.data.synthetic.distractors import sample_distractors
from fundus_lib.data.synthetic.grades import Lesion
from fundus_lib.data.synthetic.patient import Patient, Population, choose_grades, sample_patient
from fundus_lib.data.synthetic.vessels import draw_vessels


@dataclass(frozen=True)
class Fundus:
    """A synthetic image with its ground truth.

    Attributes:
        image: uint8 (H, W, 3), RGB, after JPEG compression.
        jpeg: The same image as JPEG file.
        masks: From lesion (MA, HE, EX, SE; only those that the eye has) to uint8 {0, 1} (H, W).
        optic_disc_mask: uint8 {0, 1} (H, W).
        vessels: uint8 {0, 1} (H, W).
        distractors: Where something resembles a lesion but is none: uint8 {0, 1} (H, W).
        optic_disc: Centre (x, y) of the optic disc in pixels.
        disc_diameter: Its diameter in pixels of the image's height.
        fovea: (x, y) in pixels.
        side: "left" or "right" eye.
        dr: Grade of retinopathy, 0-4; follows from `lesions`.
        dme: Risk of macular edema, 0-2; follows from `lesions`.
        lesions: All lesions, in units of a 1440×960 frame, including kinds without a mask.
    """

    image: Layer
    jpeg: bytes
    masks: dict[str, Layer]
    optic_disc_mask: Layer
    vessels: Layer
    distractors: Layer
    optic_disc: tuple[float, float]
    disc_diameter: float
    fovea: tuple[float, float]
    side: str
    dr: int
    dme: int
    lesions: tuple[Lesion, ...]


def create_patient(seed: int, index: int, population: Population) -> Patient:
    """Create eye, vessels, lesions and grades of image `index`, without drawing it."""
    rng = np.random.default_rng([seed, index])
    return sample_patient(rng, choose_grades(seed, index, population), population)


def draw(seed: int, index: int, size: Size, population: Population = "segmentation") -> Fundus:
    """Draw image `index` of the data set of a seed: the same eye at every size, the same bytes on every machine.

    Args:
        seed: Seed of the data set.
        index: Index of the image.
        size: (height, width) in pixels.
        population: Population of patients.
    """
    subject = create_patient(seed, index, population)
    eye, canvas = subject.eye, Canvas(size)
    rng = np.random.default_rng([seed, index, 1])
    by_kind = {kind: [le for le in subject.lesions if le.kind == kind] for kind in LESIONS}
    painting, bluish = retina.Painting(canvas, eye.rgb), retina.compute_blue_fraction(eye)
    retina.paint_background(rng, painting, eye)
    disc = retina.paint_disc(rng, painting, eye)
    distractors = sample_distractors(rng, eye, subject.vessels, subject.dr)
    beneath = retina.paint_distractors(painting, [m for m in distractors if not m.above])
    surfaces = {"EX": retina.paint_exudates(rng, painting, eye, by_kind["EX"])}
    arteries, veins, vessels = draw_vessels(canvas, subject.vessels)
    retina.paint_vessels(painting, eye, arteries, veins, float(rng.uniform(0.7, 1.15)))
    surfaces["MA"] = retina.paint_blood(rng, painting, by_kind["MA"], 1.0, (0.09, 0.40, 0.36 * bluish))
    surfaces["HE"] = retina.paint_blood(rng, painting, by_kind["HE"], 2.2, (0.14, 0.44, 0.40 * bluish))
    surfaces["SE"] = retina.paint_soft(rng, painting, eye, by_kind["SE"])
    retina.paint_proliferation(painting, subject.lesions)
    above = retina.paint_distractors(painting, [m for m in distractors if m.above])
    camera.illuminate(rng, painting, eye)
    view = camera.draw_field_of_view(np.random.default_rng([seed, index, 2]), canvas, eye)
    jpeg = camera.encode_jpeg(camera.expose(rng, painting, view, eye, [seed, index, 3]))
    inside = (view > 127).astype(np.uint8)
    masks = {kind: canvas.to_mask(s) * inside for kind in LESIONS if (s := surfaces[kind]) is not None}
    return Fundus(
        camera.decode_jpeg(jpeg),
        jpeg,
        {kind: mask for kind, mask in masks.items() if mask.any()},
        disc * inside,
        vessels * inside,
        (beneath | above) * inside,
        canvas.to_pixels(eye.disc),
        eye.diameter * size[0] / FRAME[0],
        canvas.to_pixels(eye.fovea),
        "left" if eye.temporal > 0 else "right",
        subject.dr,
        subject.dme,
        tuple(subject.lesions),
    )
