"""SUNet: its size part by part, its equations, and what its outputs mean."""

import pytest
import torch
from torch.nn import functional as F
from torchvision import models

from fundus_lib.errors import ArgumentError
from fundus_lib.models import create_model
from fundus_lib.models.blending import FeatureBlending
from fundus_lib.models.sunet import compute_log_odds
from helpers.networks import count, count_parameters

ROWS = {  # of Table 1, and the parameters of each
    "dr": ({"diseases": ("dr",), "regulariser": False}, 25_614_405),
    "dme": ({"diseases": ("dme",), "regulariser": False}, 25_613_891),
    "dr_dme": ({"regulariser": False}, 26_205_256),
    "dr_lr": ({"diseases": ("dr",)}, 29_746_330),
    "dme_lr": ({"diseases": ("dme",)}, 29_745_816),
    "sunet": ({}, 30_337_181),
}
GRADES = {"dr": 5, "dme": 3}
SMALL = {"backbone": "resnet18", "channels": 8}
SIZES = [(1, 1), (33, 47), (64, 96), (95, 31)]


def small(**settings):
    return create_model("sunet", **SMALL | settings)


def block(channels_in, channels_out):
    """Parameters of a 3×3 convolution without bias, and of its batch normalisation."""
    return 9 * channels_in * channels_out + 2 * channels_out


@pytest.mark.parametrize("row", ROWS)
def test_parameters_of_the_rows_of_table_1(row):
    settings, parameters = ROWS[row]
    assert count_parameters("sunet", **settings) == parameters


@pytest.mark.parametrize(
    ("settings", "parameters"),
    [
        ({"union": "sum"}, 29_157_533),
        ({"steps": 0}, 23_124_125),
        ({"steps": 1}, 25_353_373),
        ({"channels": 64}, 22_299_741),
        ({"backbone": "resnet18"}, 20_229_021),
        ({"lesions": 1}, 30_337_130),
        ({"pooling": "mean"}, 30_337_181),
    ],
)
def test_parameters_of_other_settings(settings, parameters):
    assert count_parameters("sunet", **settings) == parameters


def test_the_parameters_counted_by_hand():
    with torch.device("meta"):
        backbone = count(models.resnet34(weights=None)) - (512 * 1000 + 1000)
    separations = 2 * (block(512, 256) + 2 * block(256, 256))
    unions = 2 * block(512, 256)
    compressed = 2 * (3 * 256 * 256 + 256)
    classifiers = sum(9 * 256 * 256 + 256 + 256 * grades + grades for grades in (5, 3))
    regulariser = block(256, 128) + block(128, 64) + block(64, 32) + block(32, 16) + block(16, 16) + 16 * 5 + 5
    assert backbone == 21_284_672
    assert backbone + separations + unions + compressed + classifiers + regulariser == ROWS["sunet"][1]


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("size", SIZES)
def test_a_row_gives_what_it_has_parts_for_at_any_size(row, size):
    settings = ROWS[row][0]
    model = small(lesions=3, **settings).eval()
    output = model(torch.randn(2, 3, *size))
    shapes = {disease: (2, GRADES[disease]) for disease in settings.get("diseases", ("dr", "dme"))}
    if settings.get("regulariser", True):
        shapes |= {"classes": (2, 4, *size), "logits": (2, 3, *size)}
    assert {name: tuple(value.shape) for name, value in output.items()} == shapes
    maps = model.compute_class_maps(torch.randn(2, 3, *size))
    height, width = (-(-side // 32) for side in size)
    assert {name: tuple(m.shape) for name, m in maps.items()} == {
        name: (2, GRADES[name], height, width) for name in shapes if name in GRADES
    }


@pytest.mark.parametrize("row", ROWS)
def test_what_a_row_leaves_out_has_no_parameter(row):
    settings = ROWS[row][0]
    names = [name for name, _ in small(**settings).named_parameters()]
    assert any(name.startswith(("regulariser.", "blending.lesion.")) for name in names) == (
        settings.get("regulariser", True)
    )
    assert any("lesion" in name for name in names) == settings.get("regulariser", True)
    for disease in GRADES:
        assert any(f".{disease}." in name for name in names) == (disease in settings.get("diseases", GRADES))


@pytest.mark.parametrize("union", ["concatenation", "sum"])
@pytest.mark.parametrize("lesions", [True, False])
def test_blending_is_equations_1_and_2(union, lesions):
    torch.manual_seed(0)
    block = FeatureBlending(6, 4, 3, union, lesion_stream=lesions).eval()
    x = start = torch.randn(2, 6, 5, 7)
    separated, diagnosed = [], []
    for step in range(3):
        diagnosed.append(block.diagnosis[step](x))
        if lesions:
            separated.append(block.lesion[step](x))
        if step < 2:
            both = [*separated[step : step + 1], diagnosed[step]]
            x = block.unions[step](torch.cat(both, 1) if union == "concatenation" else sum(both))
    found = block(start)
    torch.testing.assert_close(found[1], block.compress_diagnosis(torch.cat(diagnosed, 1)))
    if lesions:
        torch.testing.assert_close(found[0], block.compress_lesion(torch.cat(separated, 1)))
    else:
        assert found[0] is None


def test_without_steps_both_maps_are_the_backbones_compressed():
    block, x = FeatureBlending(6, 4, 0, "concatenation"), torch.randn(1, 6, 3, 3)
    lesion, diagnosis = block(x)
    torch.testing.assert_close(lesion, block.compress_lesion(x))
    torch.testing.assert_close(diagnosis, block.compress_diagnosis(x))


def test_each_task_learns_in_the_others_layers_but_the_last():
    """BackbonePart the unions each task shapes what the other works with; the last separation is a task's own."""
    torch.manual_seed(0)
    model = small()
    output = model(torch.randn(2, 3, 64, 64))

    def learnt(module):
        return any(p.grad is not None and (p.grad != 0).any() for p in module.parameters())

    for key, own, other in (("dr", "diagnosis", "lesion"), ("classes", "lesion", "diagnosis")):
        model.zero_grad(set_to_none=True)
        (output[key] ** 2).sum().backward(retain_graph=True)
        assert [learnt(layer) for layer in getattr(model.blending, own)] == [True, True, True]
        assert [learnt(layer) for layer in getattr(model.blending, other)] == [True, True, False]
        assert learnt(model.regulariser) == (key == "classes")
        assert learnt(model.classifiers["dr"]) == (key == "dr")
        assert not learnt(model.classifiers["dme"])


@pytest.mark.parametrize("pooling", ["max", "mean"])
@pytest.mark.parametrize("settings", [{}, {"steps": 0}, {"union": "sum"}, {"regulariser": False}])
def test_gradients_reach_every_parameter(settings, pooling):
    torch.manual_seed(0)
    model = small(pooling=pooling, **settings)
    torch.stack([(y**2).sum() for y in model(torch.randn(4, 3, 64, 96)).values()]).sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_with_mean_pooling_a_logit_is_the_mean_of_its_map_plus_the_bias():
    model = small(pooling="mean").eval()
    images = torch.randn(2, 3, 100, 70)
    output, maps = model(images), model.compute_class_maps(images)
    for disease, class_map in maps.items():
        bias = model.classifiers[disease].linear.bias
        torch.testing.assert_close(output[disease], class_map.mean((2, 3)) + bias)


@pytest.mark.parametrize("pooling", ["max", "mean"])
def test_where_the_map_has_one_position_the_logit_is_its_value_plus_the_bias(pooling):
    model = small(pooling=pooling).eval()
    images = torch.randn(2, 3, 32, 32)
    for disease, class_map in model.compute_class_maps(images).items():
        bias = model.classifiers[disease].linear.bias
        torch.testing.assert_close(model(images)[disease], class_map[..., 0, 0] + bias)


def test_max_pooling_takes_each_channels_largest_value():
    model = small().eval()
    seen = []
    head = model.classifiers["dr"]
    head.features.register_forward_hook(lambda module, args, features: seen.append(features))
    logits = model(torch.randn(1, 3, 96, 96))["dr"]
    highest = torch.tensor([max(channel.flatten().tolist()) for channel in seen[0][0]])
    torch.testing.assert_close(logits, F.linear(highest, head.linear.weight, head.linear.bias)[None])


def test_the_sigmoid_of_the_logits_is_the_softmax_of_the_classes():
    output = small().eval()(torch.randn(1, 3, 40, 50) * 3)
    torch.testing.assert_close(output["logits"].sigmoid(), output["classes"].softmax(1)[:, 1:])


@pytest.mark.parametrize("lesions", [1, 2, 4])
def test_log_odds_by_their_definition_and_at_extremes(lesions):
    torch.manual_seed(0)
    classes = torch.randn(2, 1 + lesions, 3, 5) * 4
    p = classes.double().softmax(1)[:, 1:]
    torch.testing.assert_close(compute_log_odds(classes), (p / (1 - p)).log().float(), rtol=1e-4, atol=1e-4)
    far = (torch.randn(1, 1 + lesions, 2, 2) * 1e4).requires_grad_()
    found = compute_log_odds(far)
    found.sum().backward()
    assert found.isfinite().all() and far.grad.isfinite().all()


def test_overfits_a_batch_of_grades_and_lesions():
    torch.manual_seed(0)
    model = small(channels=16, lesions=2)
    images = torch.randn(4, 3, 64, 64)
    grades = {"dr": torch.tensor([0, 4, 2, 1]), "dme": torch.tensor([2, 0, 1, 1])}
    classes = torch.zeros(4, 64, 64, dtype=torch.long)
    classes[:, 8:24, 8:40], classes[::2, 40:56, 30:50] = 1, 2
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(20):
        output = model(images)
        parts = {name: F.cross_entropy(output[name], target) for name, target in grades.items()}
        parts["classes"] = F.cross_entropy(output["classes"], classes)
        optimiser.zero_grad()
        sum(parts.values()).backward()
        optimiser.step()
    assert parts["dr"] < 0.05 and parts["dme"] < 0.05 and parts["classes"] < 0.25
    assert (output["classes"].argmax(1) == classes).float().mean() > 0.95


def test_the_backbone_is_torchvisions_and_starts_from_its_weights(monkeypatch):
    theirs = models.resnet18(weights=None).eval()
    monkeypatch.setattr("fundus_lib.models.backbones.load_imagenet_weights", lambda weights: theirs.state_dict())
    x = images = torch.randn(1, 3, 57, 40)
    for name in ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"):
        x = getattr(theirs, name)(x)
    torch.testing.assert_close(small(pretrained=True).eval().trunk(images), x)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"lesions": 0}, "lesions=0"),
        ({"channels": 0}, "channels=0"),
        ({"steps": -1}, "steps=-1"),
        ({"steps": 1.5}, r"steps=1\.5"),
        ({"union": "product"}, "union='product'"),
        ({"pooling": "median"}, "pooling='median'"),
        ({"backbone": "vgg19"}, "backbone='vgg19'"),
        ({"diseases": ()}, r"diseases=\(\)"),
        ({"diseases": ("dr", "amd")}, "amd"),
        ({"diseases": ("dr", "dr")}, "'dr', 'dr'"),
        ({"colour": 3}, "colour"),
    ],
)
def test_impossible_settings_are_refused(settings, says):
    with pytest.raises(ArgumentError, match=says):
        small(**settings)
