"""UNet++'s nodes, one by one; and the penultimate feature map that it and the U-Net give."""

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
    double = lambda before, here: 9 * here * (before + here) + 6 * here  # noqa: E731
    expected = double(3, 4) + double(4, 8) + double(4 + 8, 4) + 2 * (4 + 1)
    assert count_parameters("unetpp", width=4, depth=1, lesions=2) == expected


@pytest.mark.parametrize("name", ["unet", "unetpp"])
def test_the_penultimate_map_is_what_the_head_sees(name):
    model = create_model(name, width=4, depth=2, lesions=2).eval()
    images = torch.randn(2, 3, 33, 47)
    output = model(images, keep=("features",))
    assert set(output) == {"logits", "features"} and output["features"].shape == (2, 4, 33, 47)
    assert output["features"].min() >= 0
    torch.testing.assert_close(model.parts["head"].layer(output["features"]), output["logits"])
    assert set(model(images)) == {"logits"}


@pytest.mark.parametrize("name", ["unet", "hed"])
def test_features_that_a_network_lacks_are_refused(name):
    with pytest.raises(ArgumentError, match="'penultimate' do not exist"):
        create_model(name, width=4)(torch.randn(1, 3, 32, 32), keep=("penultimate",))


@pytest.mark.parametrize("settings", [{"width": 0}, {"depth": -1}, {"prior": 1.0}])
def test_impossible_settings_are_refused(settings):
    with pytest.raises(ArgumentError, match=f"UNetPP(.|\n)*{next(iter(settings))}"):
        create_model("unetpp", **settings)


def test_a_new_network_predicts_the_prior():
    model = create_model("unetpp", width=4, depth=1, prior=0.2)
    torch.testing.assert_close(torch.sigmoid(model.parts["head"].layer.bias), torch.tensor([0.2]))
