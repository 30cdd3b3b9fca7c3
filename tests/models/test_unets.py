"""The networks that hecl compares UNet++ with: their parameters by hand, their own ideas, and the penultimate map."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models import densenet161, resnet18

from fundus_lib.errors import ArgumentError
from fundus_lib.models import create_model
from fundus_lib.models.attentionunet import AttentionGate
from fundus_lib.models.cenet import DenseAtrousConvolution, MultiKernelPooling
from fundus_lib.models.hdenseunet import load_densenet161
from fundus_lib.models.resunet import ResidualBlock
from helpers.networks import SMALL, count_parameters

NAMES = ("attentionunet", "cenet", "hdenseunet", "resunet", "unet", "unetpp")
SETTINGS = SMALL | {"unet": {"width": 4, "depth": 2}}


def conv(before, here, side=3):
    return side * side * before * here + here


def norm(channels):
    return 2 * channels


def test_attentionunets_parameters_by_hand():
    def double(before, here):
        return conv(before, here) + conv(here, here) + 2 * norm(here)

    total = double(3, 64) + conv(64, 1, 1)
    for here in (64, 128, 256, 512):
        gate = 2 * (conv(here, here // 2, 1) + norm(here // 2)) + conv(here // 2, 1, 1) + norm(1)
        total += double(here, 2 * here) + conv(2 * here, here) + norm(here) + gate + double(2 * here, here)
    assert count_parameters("attentionunet") == total == 34_878_573


def test_resunets_parameters_by_hand():
    def block(before, here):
        return norm(before) + conv(before, here) + norm(here) + conv(here, here) + conv(before, here) + norm(here)

    total = conv(3, 64) + norm(64) + conv(64, 64) + conv(3, 64) + conv(64, 1, 1)
    for here in (64, 128, 256):
        total += block(here, 2 * here) + conv(2 * here, 2 * here, 2) + block(3 * here, here)
    assert count_parameters("resunet") == total == 13_043_009


def test_cenets_parameters_by_hand():
    total = 21_284_672 + 3 * conv(512, 512) + conv(512, 512, 1) + conv(512, 1, 1)  # ResNet-34 without its classifier
    for before, here in ((516, 256), (256, 128), (128, 64), (64, 64)):
        inner = before // 4
        total += conv(before, inner, 1) + conv(inner, inner) + conv(inner, here, 1) + 2 * norm(inner) + norm(here)
    total += conv(64, 32, 4) + conv(32, 32) + conv(32, 1)
    assert count_parameters("cenet") == total == 29_003_093


def test_hdenseunets_parameters_by_hand():
    total = 26_472_000 + conv(2112, 2208, 1) + conv(64, 1, 1)  # DenseNet-161 without its classifier
    for before, here in ((2208, 768), (768, 384), (384, 96), (96, 96), (96, 64)):
        total += conv(before, here) + norm(here)
    assert count_parameters("hdenseunet") == total == 49_527_713


@pytest.mark.parametrize("name", NAMES)
def test_the_penultimate_map_is_what_the_head_sees(name):
    model = create_model(name, **SETTINGS[name] | {"lesions": 2}).eval()
    images = torch.randn(2, 3, 64, 96)
    output = model(images, keep=("features",))
    layer = model.parts["head"].layer
    assert set(output) == {"logits", "features"}
    assert output["features"].shape == (2, layer.in_channels, 64, 96)
    assert (output["features"].min() >= 0) == (name != "resunet")
    torch.testing.assert_close(layer(output["features"]), output["logits"])
    assert set(model(images)) == {"logits"}
    assert model(images[..., :33, :47], keep=("features",))["features"].shape == (2, layer.in_channels, 33, 47)


@pytest.mark.parametrize("name", ["unet", "hed"])
def test_features_that_a_network_lacks_are_refused(name):
    with pytest.raises(ArgumentError, match="'penultimate' do not exist"):
        create_model(name, width=4)(torch.randn(1, 3, 32, 32), keep=("penultimate",))


@pytest.mark.parametrize("name", NAMES)
def test_a_new_network_predicts_the_prior(name):
    model = create_model(name, **SETTINGS[name] | {"prior": 0.2})
    torch.testing.assert_close(torch.sigmoid(model.parts["head"].layer.bias), torch.tensor([0.2]))
    with pytest.raises(ArgumentError, match=r"prior=1\.0"):
        create_model(name, **SETTINGS[name] | {"prior": 1.0})


def test_an_attention_gate_weighs_positions():
    torch.manual_seed(0)
    gate = AttentionGate(channels=4)
    skip, gating = torch.randn(2, 4, 5, 6), torch.randn(2, 4, 5, 6)
    ratio = gate(skip, gating) / skip
    torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio), msg="one weight for all channels")
    assert ratio.min() > 0 and ratio.max() < 1 and ratio.std() > 0.01
    with pytest.raises(ArgumentError, match="width ≥ 2"):
        create_model("attentionunet", width=1)


def test_a_residual_block_normalises_before_it_convolves():
    block = ResidualBlock(3, 5, stride=2).eval()
    x = torch.randn(1, 3, 8, 6)
    kept = x.clone()
    first, second = block.layers[2], block.layers[5]
    scale = (1 + 1e-5) ** -0.5  # of a new normalisation
    expected = second(F.relu(scale * first(F.relu(scale * x)))) + scale * block.shortcut[0](x)
    torch.testing.assert_close(block(x), expected)
    torch.testing.assert_close(x, kept)
    kinds = [type(layer) for layer in create_model("resunet", width=4, depth=1).parts["encoder"].blocks[0].layers]
    assert kinds == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.Conv2d], "the image itself is not normalised"


def test_dense_atrous_convolution_chain_by_chain():
    torch.manual_seed(0)
    block = DenseAtrousConvolution(3)
    (one, three, five), last = block.rates, block.last
    x = torch.randn(1, 3, 25, 25)
    chains = one(x), last(three(x)), last(three(one(x))), last(five(three(one(x))))
    torch.testing.assert_close(block(x), x + sum(F.relu(chain) for chain in chains))
    place = torch.zeros(1, 3, 25, 25, requires_grad=True)
    five(three(one(place)))[..., 12, 12].sum().backward()
    assert place.grad.abs().sum((0, 1)).nonzero().aminmax(dim=0).max.tolist() == [21, 21], "19×19"


def test_multi_kernel_pooling_window_by_window():
    block = MultiKernelPooling(3)
    x = torch.randn(1, 3, 30, 60)
    y = block(x)
    torch.testing.assert_close(y[:, 4:], x)
    for k, side in enumerate((2, 3, 5, 6)):
        windows = x.unfold(2, side, side).unfold(3, side, side).amax((-2, -1))
        weighed = torch.einsum("c,bchw->bhw", block.weigh.weight[0, :, 0, 0], windows)[:, None] + block.weigh.bias
        expected = F.interpolate(weighed, size=(30, 60), mode="bilinear", align_corners=False)
        torch.testing.assert_close(y[:, k : k + 1], expected)
    assert block(x[..., :1, :4]).shape == (1, 7, 1, 4), "no window is larger than the map"


def test_cenets_backbone_is_torchvisions(monkeypatch):
    theirs = resnet18(weights=None)
    monkeypatch.setattr("fundus_lib.models.backbones.load_imagenet_weights", lambda weights: theirs.state_dict())
    model = create_model("cenet", backbone="resnet18", pretrained=True)
    for stage in ("layer1", "layer4"):
        for ours, value in zip(model.parts[stage].parameters(), getattr(theirs, stage).parameters(), strict=True):
            assert torch.equal(ours, value)
    with pytest.raises(ArgumentError, match="backbone='vgg19'"):
        create_model("cenet", backbone="vgg19")


def test_hdenseunets_encoder_is_torchvisions():
    model = create_model("hdenseunet", width=6, blocks=(1, 2, 1, 1)).eval()
    encoder = model.parts["encoder"]
    images = torch.randn(1, 3, 64, 96)
    features = encoder({"images": images, "x": images})
    torch.testing.assert_close(features["x"], F.relu(encoder.layers(images)))
    maps = [*(features[f"skip{k}"] for k in range(4)), features["x"]]
    assert [x.shape[1] for x in maps] == encoder.channels
    assert [64 // x.shape[2] for x in maps] == [2, 4, 8, 16, 32]


def test_densenets_weights_under_the_names_of_their_file(monkeypatch):
    with torch.device("meta"):
        theirs = densenet161(weights=None)
        model = create_model("hdenseunet")
    old = {
        name.replace("norm1", "norm.1").replace("norm2", "norm.2").replace("conv1", "conv.1").replace("conv2", "conv.2")
        for name in theirs.state_dict()
        if not name.endswith("num_batches_tracked")  # came later
    }
    monkeypatch.setattr("fundus_lib.models.hdenseunet.load_imagenet_weights", lambda weights: dict.fromkeys(old))
    ours = {name for name in model.parts["encoder"].layers.state_dict() if not name.endswith("num_batches_tracked")}
    assert set(load_densenet161()) == ours


@pytest.mark.parametrize("settings", [{"blocks": (1, 1)}, {"blocks": (1, 0, 1, 1)}, {"width": 6, "pretrained": True}])
def test_encoders_that_do_not_exist_are_refused(settings):
    with pytest.raises(ArgumentError, match=next(iter(settings))):
        create_model("hdenseunet", **settings)
