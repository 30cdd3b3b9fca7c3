"""The networks of pldmlt: layer by layer the package's or torchvision's, their grade heads, and what they compare."""

import pytest
import segmentation_models_pytorch as smp
import torch
from torch import nn
from torch.nn import functional as F
from torchvision import models

from fundus_lib.errors import ArgumentError, WeightsError
from fundus_lib.explain import compute_class_map, compute_grad_cam
from fundus_lib.models import backbones, create_model, packaged
from fundus_lib.models import pldmlt as networks
from helpers.networks import count_parameters

GRADERS = {"resnext50": 22_990_149, "resnext101": 86_752_581, "densenet201": 18_102_533, "nasnet": 84_740_315}
"""With five grades."""


def test_parameters():
    assert count_parameters("pldmlt", grades=False) == 23_748_241, "23.75 million"
    assert count_parameters("pldmlt") == 23_748_241 + 512 * 5 + 5
    with torch.device("meta"):
        vgg16 = sum(p.numel() for p in models.vgg16().features.parameters())
    assert count_parameters("labelnet") == vgg16 + 512 * 5 + 5
    assert count_parameters("pldmlt", width=16) < 1.5e6
    with torch.device("meta"):
        theirs, own = smp.Unet("vgg16_bn", encoder_weights=None), create_model("pldmlt", grades=False, norm=True)
    assert [v.shape for v in theirs.state_dict().values()] == [v.shape for v in own.state_dict().values()]


def test_it_is_the_packages_unet_layer_by_layer():
    torch.manual_seed(0)
    theirs = smp.Unet("vgg16", encoder_weights=None).eval()
    own = create_model("pldmlt", grades=False).eval()
    values = list(theirs.state_dict().values())
    own.load_state_dict(dict(zip(own.state_dict(), values, strict=True)))
    images = torch.randn(1, 3, 64, 96)
    torch.testing.assert_close(own(images)["logits"], theirs(images))


def test_grades_are_a_linear_classifier_on_the_mean_of_the_bottleneck():
    model = create_model("pldmlt", width=8, lesions=2).eval()
    output = model(torch.randn(3, 3, 70, 33), keep=("bottleneck", "features"))
    assert output["bottleneck"].shape == (3, 64, 3, 2)
    assert output["features"].shape == (3, 2, 70, 33)
    assert output["dr"].shape == (3, 5)
    head = model.parts["grade"].layer
    torch.testing.assert_close(output["dr"], head(output["bottleneck"].mean((2, 3))))
    assert "dr" not in create_model("pldmlt", width=8, grades=False)(torch.randn(1, 3, 64, 64))
    cam = compute_grad_cam(model, torch.randn(1, 3, 96, 64), lambda out: out["dr"][:, 3])
    assert cam.shape == (1, 3, 2)


@pytest.mark.parametrize("name", ["pldmlt", "labelnet"])
def test_the_encoder_starts_from_torchvisions_vgg16(name, monkeypatch):
    torch.manual_seed(0)
    with torch.device("meta"):
        values = {key: torch.empty_like(value, device="cpu") for key, value in models.vgg16().state_dict().items()}
    values = {key: value.normal_() for key, value in values.items() if key.startswith("features")}
    monkeypatch.setattr(networks, "load_imagenet_weights", lambda weights: values | {"classifier.0.bias": 0})
    encoder = create_model(name, pretrained=True).parts["encoder"]
    assert all(torch.equal(value, values[key]) for key, value in encoder.state_dict().items())
    assert len(values) == len(encoder.state_dict()) == 26
    with pytest.raises(ArgumentError, match="width=16"):
        create_model(name, width=16, pretrained=True)


def test_a_new_plain_network_keeps_the_scale_of_its_input():
    """Without normalisation, thirteen convolutions would shrink it to nothing if they started as PyTorch's do."""
    torch.manual_seed(0)
    model = create_model("labelnet", width=32)
    bottleneck = model(torch.randn(2, 3, 64, 64), keep=("bottleneck",))["bottleneck"]
    assert 0.3 < bottleneck.std() < 10


def test_both_overfit_a_batch():
    torch.manual_seed(0)
    target = torch.zeros(3, 1, 48, 48)
    target[0, :, 10:40, :30] = target[1, :, :20, 30:] = 1
    images, grades = torch.randn(3, 3, 48, 48) + 2 * target, torch.tensor([4, 1, 0])
    segmenter, labels = create_model("pldmlt", width=16), create_model("labelnet", width=16)
    optimiser = torch.optim.Adam([*segmenter.parameters(), *labels.parameters()], lr=2e-3)
    for _ in range(60):
        output = segmenter(images)
        losses = [F.binary_cross_entropy_with_logits(output["logits"], target), F.cross_entropy(output["dr"], grades)]
        losses.append(F.cross_entropy(labels(images)["dr"], grades))
        if max(losses) < 0.15:
            return
        optimiser.zero_grad()
        sum(losses).backward()
        optimiser.step()
    pytest.fail(f"after 60 steps: {[round(float(loss), 2) for loss in losses]}")


@pytest.mark.parametrize(
    ("name", "settings", "says"),
    [
        ("pldmlt", {"width": 6}, "width=6"),
        ("pldmlt", {"prior": 0.0}, "prior"),
        ("labelnet", {"width": 0}, "width=0"),
        ("linknet", {"encoder": "vgg16"}, "encoder='vgg16'"),
        ("fpn", {"prior": 1.0}, "prior"),
    ],
)
def test_impossible_settings_are_refused(name, settings, says):
    with pytest.raises(ArgumentError, match=says):
        create_model(name, **settings)


@pytest.mark.parametrize(("name", "network"), [("linknet", "Linknet"), ("fpn", "FPN")])
def test_they_are_the_packages(name, network, monkeypatch):
    torch.manual_seed(0)
    theirs = getattr(smp, network)("resnet18", encoder_weights=None, classes=2).eval()
    monkeypatch.setattr(smp, network, lambda **settings: theirs)
    model = create_model(name, lesions=2, encoder="resnet18", prior=0.2).eval()
    images = torch.randn(1, 3, 64, 96)
    torch.testing.assert_close(model(images)["logits"], theirs(images))
    torch.testing.assert_close(theirs.segmentation_head[0].bias.sigmoid(), torch.tensor([0.2, 0.2]))
    continued = nn.functional.pad(images[..., :60, :83], (0, 13, 0, 4), mode="replicate")
    torch.testing.assert_close(model(images[..., :60, :83])["logits"], theirs(continued)[..., :60, :83])


def test_the_packages_encoder_starts_from_torchvisions_weights(monkeypatch):
    theirs = models.resnet18(weights=None)
    monkeypatch.setattr("fundus_lib.models.imagenet.load_imagenet_weights", lambda weights: theirs.state_dict())
    made = packaged.build_packaged("test", "FPN", "resnet18", lesions=1, pretrained=True)
    assert torch.equal(made.encoder.layer4[1].conv2.weight, theirs.layer4[1].conv2.weight)


@pytest.mark.parametrize("backbone", GRADERS)
def test_graders(backbone):
    if backbone == "nasnet":
        pytest.importorskip("timm")
    assert count_parameters("grader", backbone=backbone, diseases=("dr",)) == GRADERS[backbone]
    with torch.device("meta"):
        output = create_model("grader", backbone=backbone, diseases=("dr",)).eval()(torch.zeros(2, 3, 64, 96))
    assert output["dr"].shape == (2, 5)


@pytest.mark.parametrize("backbone", ["resnext50", "densenet201"])
def test_they_grade_as_torchvisions_do_and_their_class_maps_are_of_the_last_map(backbone, monkeypatch):
    torch.manual_seed(0)
    theirs = models.get_model(backbones.RESNEXTS.get(backbone, backbone), weights=None).eval()
    monkeypatch.setattr(backbones, "load_imagenet_weights", lambda weights: theirs.state_dict())
    model = create_model("grader", backbone=backbone, diseases=("dr",), pretrained=True).eval()
    classifier = "classifier" if backbone == "densenet201" else "fc"
    setattr(theirs, classifier, model.heads["dr"])
    images = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(model(images)["dr"], theirs(images))
    assert compute_class_map(model, images, "dr", 2).shape == (1, 2, 2)


def test_densenets_older_names_are_read(monkeypatch):
    assert backbones.rename_dense_layer("features.denseblock1.denselayer2.norm.1.weight").endswith("norm1.weight")
    assert backbones.rename_dense_layer("features.norm5.weight") == "features.norm5.weight"


def test_nasnets_weights_that_cannot_be_had_are_an_error_that_says_so(monkeypatch):
    timm = pytest.importorskip("timm")

    def refuse(name, pretrained, num_classes):
        raise ConnectionError("no network")

    monkeypatch.setattr(timm, "create_model", refuse)
    with pytest.raises(WeightsError, match=r"(?s)no network.*pretrained=False"):
        create_model("grader", backbone="nasnet", pretrained=True)
