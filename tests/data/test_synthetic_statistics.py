"""The statistics of IDRiD that the drawings follow: each printed beside the real number, with its tolerance."""

import numpy as np
import pytest

from fundus_lib.data.sample import LESIONS
from fundus_lib.data.stats import component_areas
from fundus_lib.data.synthetic.camera import draw_field_of_view
from fundus_lib.data.synthetic.canvas import Canvas
from fundus_lib.data.synthetic.fundus import create_patient, draw

SIZE = (960, 1440)
COUNT = 81
MEAN_AREA = {"MA": 0.11e-2, "HE": 1.0e-2, "EX": 0.81e-2, "SE": 0.39e-2}  # of the images that have it, IDRiD train
RATIO = 110.0
SMALL, LARGE = 5.0e-6, 1.1e-4


def draw_lesion_masks(index):
    """Masks of the lesions that an eye has, without its image: several times as fast as drawing all of it."""
    canvas, subject = Canvas(SIZE), create_patient(0, index, "segmentation")
    view = draw_field_of_view(np.random.default_rng([0, index, 2]), canvas, subject.eye) > 127
    masks = {}
    for kind in LESIONS:
        outlines = [outline for lesion in subject.lesions if lesion.kind == kind for outline in lesion.outlines]
        if outlines:
            surface = canvas.create_surface()
            for outline in outlines:
                canvas.fill_polygon(surface, outline)
            masks[kind] = canvas.to_mask(surface) * view
    return masks


def test_the_masks_measured_here_are_those_of_the_drawing():
    drawn = draw(0, 1, SIZE, "segmentation").masks
    masks = draw_lesion_masks(1)
    assert masks.keys() == drawn.keys()
    assert all(np.array_equal(masks[kind], drawn[kind]) for kind in drawn)


def measure(index):
    """Share of the image and components' shares, by lesion."""
    masks = draw_lesion_masks(index)
    pixels = SIZE[0] * SIZE[1]
    return {kind: (float(mask.mean()), component_areas(mask) / pixels) for kind, mask in masks.items()}


@pytest.fixture(scope="module")
def measured():
    return [measure(index) for index in range(COUNT)]


@pytest.mark.parametrize("lesion", MEAN_AREA)
def test_mean_area(measured, lesion):
    drawn = float(np.mean([m[lesion][0] for m in measured if lesion in m]))
    print(f"\nmean area of {lesion}: drawn {drawn:.2%}, IDRiD {MEAN_AREA[lesion]:.2%}")
    assert drawn == pytest.approx(MEAN_AREA[lesion], rel=0.4)


def test_background_to_exudate_ratio(measured):
    share = float(np.mean([m["EX"][0] if "EX" in m else 0.0 for m in measured]))
    ratio = (1 - share) / share
    print(f"\nbackground pixels per exudate pixel: drawn {ratio:.0f}, IDRiD {RATIO:.0f}")
    assert ratio == pytest.approx(RATIO, rel=0.25)


@pytest.mark.parametrize(("percentile", "real"), [(10, SMALL), (90, LARGE)])
def test_exudate_component_sizes(measured, percentile, real):
    areas = np.concatenate([m["EX"][1] for m in measured if "EX" in m])
    drawn = float(np.percentile(areas, percentile))
    print(f"\n{percentile}th percentile of an exudate's area: drawn {drawn:.1e}, IDRiD {real:.1e}")
    assert real / 2 < drawn < real * 2


def test_how_many_images_have_which_lesion(measured):
    having = {lesion: sum(lesion in m for m in measured) for lesion in MEAN_AREA}
    print(f"\nimages with a lesion, of 81: drawn {having}, IDRiD {{'MA': 81, 'HE': 80, 'EX': 81, 'SE': 40}}")
    assert having["MA"] == having["EX"] == 81
    assert having["HE"] >= 77
    assert 28 <= having["SE"] <= 52
