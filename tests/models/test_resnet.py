"""The dilated backbone against torchvision's, the two heads' shortcuts against the long way, ImageNet weights."""

import urllib.error

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import ResNet50_Weights

from fundus_lib.errors import ArgumentError, WeightsError
from fundus_lib.models import create_model
from fundus_lib.models.imagenet import load_imagenet_weights
from fundus_lib.models.pspnet import PyramidPooling, convolve_upsampled
from fundus_lib.models.resnet import convolution


def test_the_backbone_is_torchvisions_resnet50_with_all_blocks_of_a_stage_dilated(monkeypatch):
    theirs = torchvision.models.resnet50(weights=None, replace_stride_with_dilation=[False, True, True]).eval()
    monkeypatch.setattr("fundus_lib.models.imagenet.load_imagenet_weights", lambda weights: theirs.state_dict())
    model = create_model("deeplabv3", stem="torchvision", pretrained=True).eval()
    theirs.maxpool.ceil_mode = True
    for stage, dilation in ((theirs.layer3, 2), (theirs.layer4, 4)):
        stage[0].conv2.dilation = stage[0].conv2.padding = (dilation, dilation)
    x = images = torch.randn(1, 3, 40, 57)
    for name in ("stem", "layer1", "layer2", "layer3", "layer4", "last_block"):
        x = model.parts[name].module(x)
    expected = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(images))))
    for name in ("layer1", "layer2", "layer3", "layer4"):
        expected = getattr(theirs, name)(expected)
    assert x.shape[-2:] == (6, 8)  # an eighth; of 40, one more, since the pooling rounds up
    torch.testing.assert_close(x, expected)


def test_the_deep_stem_has_no_imagenet_weights():
    with pytest.raises(WeightsError, match="stem='torchvision'"):
        create_model("pspnet", pretrained=True)
    with pytest.raises(ArgumentError, match="stem='broad'"):
        create_model("pspnet", stem="broad")


def test_without_a_network_the_message_names_file_and_remedy(monkeypatch, tmp_path):
    def no_network(*args, **kwargs):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", no_network)
    with pytest.raises(WeightsError, match=r"(?s)no route to host.*resnet50-.*pth.*pretrained=False"):
        load_imagenet_weights(ResNet50_Weights.IMAGENET1K_V1)


@pytest.mark.parametrize("bins", [(1, 1), (2, 2), (6, 6), (3, 5)])
@pytest.mark.parametrize("size", [(1, 1), (2, 9), (17, 12)])
def test_convolving_an_upsampled_map_without_upsampling_it(bins, size):
    small, weight = torch.randn(2, 5, *bins, dtype=torch.double), torch.randn(4, 5, 3, 3, dtype=torch.double)
    large = F.interpolate(small, size=size, mode="bilinear", align_corners=True)
    torch.testing.assert_close(convolve_upsampled(small, weight, size), F.conv2d(large, weight, padding=1))


def test_pyramid_pooling_is_what_the_long_way_gives():
    torch.manual_seed(0)
    pyramid, x = PyramidPooling(channels=16, inner=4).eval(), torch.randn(2, 16, 11, 14)
    upsampled = [F.interpolate(m(x), size=(11, 14), mode="bilinear", align_corners=True) for m in pyramid.means]
    expected = pyramid.finish(pyramid.mix(torch.cat([*upsampled, x], dim=1)))
    torch.testing.assert_close(pyramid(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("size", "kept"), [((5, 5), 1), ((5, 12), 3), ((12, 5), 3), ((6, 9), 3), ((9, 9), 9)])
def test_atrous_convolutions_omit_what_only_meets_padding(size, kept):
    """A 3×3 kernel with a dilation rate of 6: the same values and gradients, fewer multiplications."""
    ours = convolution(3, 4, dilation=6)[0]
    usual = nn.Conv2d(3, 4, 3, padding=6, dilation=6, bias=False)
    usual.load_state_dict(ours.state_dict())
    x, results = torch.randn(2, 3, *size, requires_grad=True), []
    for layer in (ours, usual):
        with FlopCounterMode(display=False) as counted:
            y = layer(x)
        results.append((y, counted.get_total_flops(), *torch.autograd.grad(y.square().sum(), (x, layer.weight))))
    (y, flops, *gradients), (expected, all_flops, *expected_gradients) = results
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(gradients, expected_gradients)
    assert flops * 9 == all_flops * kept


def test_the_receptive_field_of_the_atrous_pyramid_follows_its_rates():
    model = create_model("deeplabv3", width=4)
    far = [m for m in model.parts["head"].modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    assert [m.dilation for m in far] == [m.padding for m in far] == [(12, 12), (24, 24), (36, 36)]
