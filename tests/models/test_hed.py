"""HED's geometry against the original's: fixed bilinear deconvolutions and their crops."""

import pytest
import torch
from torch.nn import functional as F
from torchvision.models.vgg import cfgs, make_layers

from fundus_lib.errors import ArgumentError
from fundus_lib.models import create_model


def deconvolve(side, stride, offset, size):
    """The original's way: a fixed transposed convolution of size 2·stride, cut at an offset."""
    ramp = 1 - (torch.arange(2 * stride) - (stride - 0.5)).abs() / stride
    kernel = (ramp[:, None] * ramp).to(side.dtype).expand(side.shape[1], 1, -1, -1)
    large = F.conv_transpose2d(side, kernel, stride=stride, groups=side.shape[1])
    return large[..., offset : offset + size[0], offset : offset + size[1]]


@pytest.mark.parametrize("size", [(1, 1), (37, 53), (64, 48), (45, 18)])
def test_side_outputs_are_those_of_the_fixed_deconvolutions_and_crops(size):
    model = create_model("hed", lesions=2, width=2).double().eval()
    images, features = torch.randn(2, 3, *size, dtype=torch.double), None
    for number, offset in zip(range(1, 6), (34, 35, 36, 38, 42), strict=True):
        stage = model.parts[f"stage{number}"]
        torch.nn.init.normal_(stage.side.weight)
        features = stage(features or {"images": images, "x": images})
        side = stage.side(features["x"])
        expected = side[..., 34 : 34 + size[0], 34 : 34 + size[1]]
        if number > 1:
            expected = deconvolve(side, 2 ** (number - 1), offset, size)
        torch.testing.assert_close(features[f"side{number}"], expected)


def test_a_new_network_predicts_one_half_and_fuses_evenly():
    model = create_model("hed", lesions=2, width=4)
    output = model(torch.randn(1, 3, 20, 20))
    assert (output["logits"] == 0).all()
    assert (output["sides"] == 0).all()
    weight = model.parts["fuse"].layer.weight
    torch.testing.assert_close(weight, torch.full_like(weight, 0.2))


def test_a_lesion_is_fused_from_its_own_side_outputs():
    model = create_model("hed", lesions=3, width=4)
    for number in range(1, 6):
        torch.nn.init.normal_(model.parts[f"stage{number}"].side.weight)
    output = model(torch.randn(2, 3, 20, 30))
    torch.testing.assert_close(output["logits"], output["sides"].mean(2))


def test_the_backbone_is_vgg16(monkeypatch):
    theirs = make_layers(cfgs["D"])  # VGG16 without its classifier
    values = {f"features.{name}": value for name, value in theirs.state_dict().items()}
    monkeypatch.setattr("fundus_lib.models.imagenet.load_imagenet_weights", lambda weights: values)
    model = create_model("hed", pretrained=True, padding=1).eval()
    images = torch.randn(1, 3, 32, 48)
    features = {"images": images, "x": images}
    for number in range(1, 6):
        features = model.parts[f"stage{number}"](features)
    torch.testing.assert_close(features["x"], theirs[:30](images))


def test_imagenet_weights_fit_one_width_only():
    with pytest.raises(ArgumentError, match="width=8"):
        create_model("hed", width=8, pretrained=True)
