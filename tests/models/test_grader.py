"""The graders that sunet is compared with: their sizes, and that they are torchvision's networks with other ends."""

import pytest
import torch
from torch.nn import functional as F
from torchvision import models

from fundus_lib.errors import ArgumentError
from fundus_lib.models import create_model
from helpers.networks import count, count_parameters

SPLITS = {"early": ["stem", "layer1"], "middle": ["stem", "layer1", "layer2"]}
SPLITS["late"] = [*SPLITS["middle"], "layer3"]
TINY_VGG = {"backbone": "vgg19", "width": 4, "hidden": 16}


@pytest.mark.parametrize(
    ("settings", "parameters"),
    [
        ({}, 21_288_776),
        ({"backbone": "resnet18"}, 11_180_616),
        ({"backbone": "vgg19"}, 139_603_016),
        ({"split": "early"}, 42_341_960),
        ({"split": "middle"}, 41_225_544),
        ({"split": "late"}, 34_403_144),
    ],
)
def test_parameters(settings, parameters):
    assert count_parameters("grader", **settings) == parameters


@pytest.mark.parametrize("backbone", ["resnet18", "resnet34", "vgg19"])
def test_with_one_disease_it_is_as_large_as_torchvisions(backbone):
    with torch.device("meta"):
        theirs = count(models.get_model(backbone, weights=None, num_classes=5))
    assert count_parameters("grader", backbone=backbone, diseases=("dr",)) == theirs
    millions = {"resnet18": 11.18, "resnet34": 21.29, "vgg19": 139.59}
    assert round(theirs / 1e6, 2) == millions[backbone]


@pytest.mark.parametrize("split", [None, *SPLITS])
def test_a_resnet_grades_as_torchvisions_does_wherever_the_tasks_part(split, monkeypatch):
    torch.manual_seed(0)
    theirs = models.resnet18(weights=None).eval()
    monkeypatch.setattr("fundus_lib.models.trunks.imagenet_weights", lambda weights: theirs.state_dict())
    model = create_model("grader", backbone="resnet18", split=split, pretrained=True).eval()
    images = torch.randn(2, 3, 75, 50)
    output = model(images)
    for disease, grades in (("dr", 5), ("dme", 3)):
        theirs.fc = model.heads[disease]
        assert output[disease].shape == (2, grades)
        torch.testing.assert_close(output[disease], theirs(images))


def test_vgg19_is_torchvisions_layer_by_layer(monkeypatch):
    with torch.device("meta"):
        theirs = models.vgg19(weights=None)
        monkeypatch.setattr("fundus_lib.models.trunks.imagenet_weights", lambda weights: theirs.state_dict())
        own = create_model("grader", backbone="vgg19", pretrained=True).shared  # refuses names and shapes that differ
    assert str(own.features) == str(theirs.features)
    assert str(own.classifier) == str(theirs.classifier[:6])
    narrow = create_model("grader", **TINY_VGG).eval()
    images = torch.randn(2, 3, 70, 40)
    flat = F.adaptive_avg_pool2d(narrow.shared.features(images), 7).flatten(1)
    expected = narrow.heads["dr"](narrow.shared.classifier(flat))
    torch.testing.assert_close(narrow(images)["dr"], expected)


@pytest.mark.parametrize("split", SPLITS)
def test_parted_tasks_start_equal_and_learn_apart(split):
    torch.manual_seed(0)
    model = create_model("grader", backbone="resnet18", split=split)
    assert len(model.shared) == len(SPLITS[split])
    one, other = (dict(model.own[disease].named_parameters()) for disease in ("dr", "dme"))
    assert one.keys() == other.keys() and len(one) > 0
    assert all(torch.equal(one[name], other[name]) and one[name] is not other[name] for name in one)
    model(torch.randn(2, 3, 64, 64))["dr"].square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in (*model.shared.parameters(), *one.values()))
    assert all(p.grad is None for p in (*other.values(), *model.heads["dme"].parameters()))


@pytest.mark.parametrize("size", [(1, 1), (33, 47), (64, 96)])
@pytest.mark.parametrize("split", [None, "early", "late"])
def test_the_mean_of_a_class_map_plus_the_bias_is_the_logit_at_any_size(size, split):
    model = create_model("grader", backbone="resnet18", split=split).eval()
    images = torch.randn(2, 3, *size)
    output, maps = model(images), model.class_maps(images)
    assert output.keys() == maps.keys() == {"dr", "dme"}
    for disease, class_map in maps.items():
        assert class_map.shape[-2:] == tuple(-(-side // 32) for side in size)
        torch.testing.assert_close(output[disease], class_map.mean((2, 3)) + model.heads[disease].bias)


def test_one_disease_has_one_end():
    model = create_model("grader", backbone="resnet18", split="late", diseases=("dme",)).eval()
    assert {name: tuple(y.shape) for name, y in model(torch.randn(1, 3, 64, 64)).items()} == {"dme": (1, 3)}
    assert not any(".dr." in name for name, _ in model.named_parameters())
    assert count(model) == count(create_model("grader", backbone="resnet18", diseases=("dme",)))


@pytest.mark.parametrize("settings", [{"backbone": "resnet18"}, {"backbone": "resnet18", "split": "late"}, TINY_VGG])
def test_gradients_reach_every_parameter(settings):
    torch.manual_seed(0)
    model = create_model("grader", **settings)
    torch.stack([(y**2).sum() for y in model(torch.randn(4, 3, 64, 96)).values()]).sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("split", [None, "late"])
def test_overfits_a_batch(split):
    torch.manual_seed(0)
    model = create_model("grader", backbone="resnet18", split=split)
    images = torch.randn(4, 3, 64, 64)
    grades = {"dr": torch.tensor([0, 4, 2, 1]), "dme": torch.tensor([2, 0, 1, 1])}
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(8):
        output = model(images)
        losses = [F.cross_entropy(output[name], target) for name, target in grades.items()]
        optimiser.zero_grad()
        sum(losses).backward()
        optimiser.step()
    assert max(losses) < 0.1


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"backbone": "resnet50"}, "backbone='resnet50'"),
        ({"split": "between"}, "split='between'"),
        ({"backbone": "vgg19", "split": "early"}, "split='early', backbone='vgg19'"),
        ({"width": 8}, "width"),
        ({"backbone": "vgg19", "width": 0}, "width=0"),
        ({"backbone": "vgg19", "colour": 3}, "colour"),
        ({**TINY_VGG, "pretrained": True}, "width=4, hidden=16"),
        ({"diseases": ("amd",)}, "amd"),
    ],
)
def test_impossible_settings_are_refused(settings, says):
    with pytest.raises(ArgumentError, match=says):
        create_model("grader", **settings)


def test_vgg19_has_no_class_maps_and_halves_an_image_five_times():
    model = create_model("grader", **TINY_VGG).eval()
    with pytest.raises(ArgumentError, match="Grad-CAM"):
        model.class_maps(torch.zeros(1, 3, 32, 32))
    assert model(torch.zeros(1, 3, 32, 47))["dme"].shape == (1, 3)
    with pytest.raises(ArgumentError, match="31×64"):
        model(torch.zeros(1, 3, 31, 64))
