"""Images at the side of a global network, made once for each set of images."""

from types import SimpleNamespace

import torch

from fundus_lib.models import create_model
from fundus_lib.tasks.shrunk import Shrunk
from helpers.images import squares

IMAGES = squares(4, (48, 64))
MODEL = create_model(
    "localglobal", lesions=1, global_size=16, global_width=4, global_depth=2, local_width=4, local_depth=2, patch=32
)


def test_images_are_shrunk_once():
    shrunk = Shrunk()
    wholes, masks = shrunk.get(IMAGES, MODEL)
    assert wholes.shape == (4, 3, 16, 16) and masks.shape == (4, 1, 16, 16) and masks.any()
    assert shrunk.get(IMAGES, MODEL)[0] is wholes


def test_images_of_a_stage_are_not_taken_for_those_of_the_stage_before():
    gone = []

    class Watched(tuple):
        def __del__(self):
            gone.append(len(self))

    shrunk = Shrunk()
    shrunk.get(SimpleNamespace(images=Watched(IMAGES.images), masks=IMAGES.masks, dr=IMAGES.dr), MODEL)
    assert not gone, "other images could lie at their place in memory, and be taken for them"
    wholes = shrunk.get(IMAGES.part([2, 3]), MODEL)[0]
    assert gone and torch.equal(wholes, Shrunk().get(IMAGES, MODEL)[0][2:])
