"""Trainings of seconds on the pages."""

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from fundus_lib.data.patches import Crops
from fundus_lib.metrics import average_precision
from fundus_lib.models import create_model
from fundus_lib.short_training import predict_logits, train_on_crops


@pytest.fixture
def bright_spots():
    """Images of 48×48 in which what is bright is lesion, with their masks and channel statistics."""
    rng = np.random.default_rng(0)
    masks = torch.zeros(6, 1, 48, 48, dtype=torch.uint8)
    for mask in masks:
        top, left = rng.integers(0, 40, 2)
        mask[0, top : top + 8, left : left + 8] = 1
    images = (60 + 120 * masks).expand(-1, 3, -1, -1).contiguous()
    return images, masks, torch.tensor([[100.0] * 3, [50.0] * 3]).expand(6, 2, 3)


def test_a_network_learns_and_is_measured_on_the_way(bright_spots):
    images, masks, statistics = bright_spots
    torch.manual_seed(0)
    network = create_model("unet", width=4, depth=2)
    crops = Crops(images, masks, statistics, crop=32, length=40 * 4, lesion_fraction=0.9)
    shown = (images - 100.0) / 50

    def measure(trained):
        return average_precision(predict_logits(trained, shown), masks)

    scores = train_on_crops(
        network, crops, binary_cross_entropy_with_logits, 1e-2, batch=4, clip=1.0, every=20, measure=measure
    )
    assert len(scores) == 2
    assert scores[-1] > 0.95


def test_what_is_measured_changes_nothing(bright_spots):
    weights = []
    for measure in (None, lambda network: network.eval()):
        torch.manual_seed(0)
        network = create_model("unet", width=4, depth=1)
        crops = Crops(*bright_spots, crop=16, length=12, lesion_fraction=0.9)
        train_on_crops(network, crops, binary_cross_entropy_with_logits, 1e-2, batch=4, every=1, measure=measure)
        weights.append(torch.cat([value.flatten().float() for value in network.state_dict().values()]))
    assert torch.equal(*weights)
