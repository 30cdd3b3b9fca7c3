"""UNet++'s nodes, one by one."""

import pytest
import torch
from torch.nn import functional as F

from fundus_lib.errors import ArgumentError
from fundus_lib.models import create_model
from helpers.networks import count_parameters


def plain_forward(model, images):
    """The nodes as Fig. 1a of the paper reads."""
    encoder, nodes = model.parts["encoder"].blocks, {}
    depth = len(encoder) - 1
    for i in range(depth + 1):
        nodes[i, 0] = encoder[i](F.max_pool2d(nodes[i - 1, 0], 2) if i else images)
    for j in range(1, depth + 1):
        for i in range(depth + 1 - j):
            below = F.interpolate(nodes[i + 1, j - 1], scale_factor=2, mode="bilinear", align_corners=True)
            joined = torch.cat([nodes[i, k] for k in range(j)] + [below], dim=1)
            nodes[i, j] = model.parts["decoder"].blocks[f"x{i}_{j}"](joined)
    return model.parts["head"].layer(nodes[0, depth]), nodes[0, depth]


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_nodes_one_by_one(depth):
    torch.manual_seed(0)
    model = create_model("unetpp", width=3, depth=depth, lesions=2).double()
    images = torch.randn(2, 3, 24, 16, dtype=torch.double)
    logits, features = plain_forward(model, images)
    output = model(images, keep=("features",))
    torch.testing.assert_close(output["logits"], logits)
    torch.testing.assert_close(output["features"], features)


def test_parameters_of_a_small_one_by_hand():
    def double(before, here):
        return 9 * here * (before + here) + 6 * here

    expected = double(3, 4) + double(4, 8) + double(4 + 8, 4) + 2 * (4 + 1)
    assert count_parameters("unetpp", width=4, depth=1, lesions=2) == expected


@pytest.mark.parametrize("settings", [{"width": 0}, {"depth": -1}, {"prior": 1.0}])
def test_impossible_settings_are_refused(settings):
    with pytest.raises(ArgumentError, match=next(iter(settings))):
        create_model("unetpp", **settings)


def test_a_new_network_predicts_the_prior():
    model = create_model("unetpp", width=4, depth=1, prior=0.2)
    torch.testing.assert_close(torch.sigmoid(model.parts["head"].layer.bias), torch.tensor([0.2]))
