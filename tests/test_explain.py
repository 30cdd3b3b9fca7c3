"""Where a network looks: maps of known networks, and their share inside a mask."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from fundus_lib.errors import ArgumentError, UnknownNameError
from fundus_lib.explain import compute_class_map, compute_grad_cam, measure_inside, negative_gradient, upsample
from fundus_lib.models import create_model


class Linear(nn.Module):
    """Two convolutions, pooling over the map, a linear head: the network that both maps are defined on."""

    def __init__(self, pooling="mean", grades=3):
        super().__init__()
        self.first = nn.Conv2d(3, 5, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(5)
        self.second = nn.Sequential(nn.Conv2d(5, 7, 3, stride=2, padding=1), nn.ReLU(inplace=True))
        self.drop = nn.Dropout(0.5)
        self.pooling = pooling
        self.head = nn.Linear(7, grades)

    def features(self, images):
        return self.second(self.norm(self.first(images)))

    def forward(self, images):
        x = self.features(images)
        x = x.amax((2, 3)) if self.pooling == "max" else x.mean((2, 3))
        return {"dr": self.head(self.drop(x))}

    def compute_class_maps(self, images):
        return {"dr": torch.einsum("kc,bchw->bkhw", self.head.weight, self.features(images))}


def grade(number, disease="dr"):
    return lambda output: output[disease][:, number]


@pytest.fixture
def images():
    torch.manual_seed(0)
    return torch.randn(3, 3, 20, 28)


@pytest.fixture(params=["mean", "max"])
def network(request):
    torch.manual_seed(1)
    return Linear(request.param)


def test_class_map_equals_a_naive_loop(network, images):
    maps, grades = compute_class_map(network, images, "dr", torch.tensor([2, 0, 1])), [2, 0, 1]
    assert maps.shape == (3, 5, 7) and not maps.requires_grad
    features, weight = network.eval().features(images).detach(), network.head.weight.detach()
    for b in range(3):
        for row in range(5):
            for column in range(7):
                expected = sum(float(weight[grades[b], c]) * float(features[b, c, row, column]) for c in range(7))
                assert float(maps[b, row, column]) == pytest.approx(expected, abs=1e-5)
    torch.testing.assert_close(compute_class_map(network, images, "dr", 1)[2], maps[2]), "one grade for all"


def test_the_mean_of_the_class_map_plus_bias_is_the_logit(images):
    network = Linear("mean")
    logit = compute_class_map(network, images, "dr", 2).mean((1, 2)) + network.head.bias[2]
    torch.testing.assert_close(logit, network.eval()(images)["dr"][:, 2])


@pytest.mark.parametrize("layer", [None, "second", "second.1"])
def test_on_a_linear_head_grad_cam_is_the_positive_class_map_over_the_number_of_positions(network, images, layer):
    network = network.double()
    images = images.double()
    for number in range(3):
        expected = compute_class_map(network, images, "dr", number).relu() / (5 * 7)
        assert expected.max() > 0
        torch.testing.assert_close(compute_grad_cam(network, images, grade(number), layer), expected)


@pytest.mark.parametrize("layer", ["first", "norm", "second.0"])
def test_grad_cam_equals_weights_by_small_steps(images, layer):
    """The gradient of the layer's own output: what follows works in place on it."""
    network = Linear("mean").double().eval()
    images = images[:2].double()
    got = compute_grad_cam(network, images, grade(1), layer)
    kept = {}
    module = network.get_submodule(layer)

    def score(change):
        handle = module.register_forward_hook(lambda m, i, o: o + change)
        with torch.no_grad():
            each = network(images)["dr"][:, 1]
        handle.remove()
        return each

    handle = module.register_forward_hook(lambda m, i, o: kept.update(map=o.detach().clone()))
    network(images)
    handle.remove()
    maps, expected = kept["map"], torch.zeros_like(got)
    for channel in range(maps.shape[1]):
        step = torch.zeros_like(maps[:1])
        step[0, channel] = 1e-6  # at all places at once: the sum of the gradients
        weight = (score(step) - score(-step)) / 2e-6 / maps[0, 0].numel()
        expected += weight[:, None, None] * maps[:, channel]
    torch.testing.assert_close(got, expected.relu().float(), atol=1e-6, rtol=1e-3)
    assert got.max() > 0


def test_images_of_a_batch_do_not_depend_on_each_other(network, images):
    """In evaluation mode, with the statistics of training: else the batch would be part of every explanation."""
    together = compute_grad_cam(network, images, grade(0)), compute_class_map(network, images, "dr", 0)
    for k in range(3):
        torch.testing.assert_close(compute_grad_cam(network, images[k : k + 1], grade(0))[0], together[0][k])
        torch.testing.assert_close(compute_class_map(network, images[k : k + 1], "dr", 0)[0], together[1][k])


def test_the_network_is_left_as_it_was(network, images):
    network.train()
    network.norm.eval()  # frozen statistics stay frozen
    network(images)["dr"].sum().backward()
    gradients = {name: p.grad.clone() for name, p in network.named_parameters()}
    state, modes = copy.deepcopy(network.state_dict()), [m.training for m in network.modules()]
    for frozen in (False, True):
        network.head.weight.requires_grad_(not frozen)
        compute_grad_cam(network, images, grade(0)), compute_class_map(network, images, "dr", 0)
        assert [m.training for m in network.modules()] == modes
        assert all(not m._forward_hooks for m in network.modules())
        assert all(torch.equal(p.grad, gradients[name]) for name, p in network.named_parameters())
        assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert images.grad is None and not images.requires_grad


def test_the_network_is_left_as_it_was_after_an_error_too(network, images):
    network.train()

    def fail(output):
        raise RuntimeError("a mistake in the score")

    with pytest.raises(RuntimeError, match="mistake"):
        compute_grad_cam(network, images, fail)
    assert all(m.training and not m._forward_hooks for m in network.modules())


def test_no_gradient_mode_and_frozen_weights_do_not_matter(network, images):
    expected = compute_grad_cam(network, images, grade(1))
    network.requires_grad_(False)
    with torch.no_grad():
        torch.testing.assert_close(compute_grad_cam(network, images, grade(1)), expected)
    with torch.inference_mode():
        torch.testing.assert_close(compute_grad_cam(network, images.clone(), grade(1)), expected)
    assert not expected.requires_grad


def test_sixteen_bits(network, images):
    exact = compute_grad_cam(network, images, grade(1)), compute_class_map(network, images, "dr", 1)
    with torch.autocast("cpu", torch.bfloat16):
        rough = compute_grad_cam(network, images, grade(1)), compute_class_map(network, images, "dr", 1)
    for one, other in zip(exact, rough, strict=True):
        assert other.dtype == torch.float32
        torch.testing.assert_close(other, one, atol=0.03 * float(one.abs().max()), rtol=0)


GRADERS = {
    "grader": {"backbone": "resnet18", "split": "late"},
    "sunet": {"backbone": "resnet18", "channels": 8, "steps": 2},
}


@pytest.mark.parametrize("name", GRADERS)
@pytest.mark.parametrize("disease", ["dr", "dme"])
def test_the_graders_of_the_library(name, disease):
    """By default the map before the head of the disease in question, though the other disease's layer runs later."""
    torch.manual_seed(0)
    model = create_model(name, **GRADERS[name])
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_var.uniform_(0.5, 2)
    images = torch.randn(2, 3, 64, 96)
    brightest = []
    for number in range(3):
        cam = compute_class_map(model, images, disease, number)
        assert cam.shape == (2, 2, 3)
        got = compute_grad_cam(model, images, grade(number, disease))
        torch.testing.assert_close(got, cam.relu() / 6, atol=1e-6, rtol=1e-4)
        brightest.append(float(got.max()))
    assert max(brightest) > 0


def test_grad_cam_of_a_network_that_has_no_map_for_its_classifier():
    vgg = create_model("grader", backbone="vgg19", width=4, hidden=8)
    assert compute_grad_cam(vgg, torch.randn(1, 3, 96, 64), grade(2)).shape == (1, 3, 2)


@pytest.mark.parametrize(
    ("name", "settings", "size", "expected"),
    [
        ("unet", {"width": 4, "depth": 3}, 64, (8, 8)),
        ("lseg", {"width": 4, "lesions": 1}, 64, (4, 4)),
        ("dualbranch", {"base": "unet", "width": 4, "depth": 3}, 64, (8, 8)),
        ("pspnet", {"width": 4}, 224, (29, 29)),  # not its pyramid, which pools to 1, 2, 3 and 6 places
    ],
)
def test_grad_cam_of_a_lesion_in_a_region(name, settings, size, expected):
    torch.manual_seed(0)
    model, images = create_model(name, **settings), torch.randn(2, 3, size, size)
    region = torch.zeros(size, size)
    region[10:20, 10:20] = 1
    cam = compute_grad_cam(model, images, lambda output: (output["logits"][:, 0] * region).sum((1, 2)))
    assert cam.shape == (2, *expected)
    assert bool(cam.isfinite().all()) and cam.min() >= 0


@pytest.mark.parametrize(
    ("score", "layer", "error", "message"),
    [
        (grade(0), "third", UnknownNameError, "second.0"),
        (grade(0), nn.ReLU(), ArgumentError, "not part of the model"),
        (grade(0), "head", ArgumentError, "not a feature map"),
        (grade(0), "", ArgumentError, "not a feature map"),
        (grade(0), "unused", ArgumentError, "does not run"),
        (lambda output: output["side"], "second", ArgumentError, "does not depend"),
        (lambda output: output["dr"], None, ArgumentError, r"\(3, 3\)"),
        (lambda output: output["dr"].sum(), None, ArgumentError, "one number per image"),
        (lambda output: output["dr"].argmax(1), None, ArgumentError, "without gradient"),
        (lambda output: output["dr"].detach()[:, 0], None, ArgumentError, "without gradient"),
    ],
)
def test_what_cannot_be_explained_is_refused(images, score, layer, error, message):
    network = Linear()
    network.unused = nn.Conv2d(3, 3, 1)
    forward = network.forward
    network.forward = lambda x: {**forward(x), "side": x.sum((1, 2, 3))}
    with pytest.raises(error, match=message):
        compute_grad_cam(network, images, score, layer)
    assert all(not m._forward_hooks for m in network.modules())


@pytest.mark.parametrize(
    ("disease", "number", "message"),
    [
        ("dme", 0, "'dr'"),
        ("dr", 3, "0 to 2"),
        ("dr", torch.tensor([0, -1, 1]), "unknown"),
        ("dr", 1.9, "integers"),
        ("dr", torch.tensor([0, 1]), "for each"),
    ],
)
def test_a_class_map_of_no_class_is_refused(images, disease, number, message):
    with pytest.raises(ArgumentError, match=message):
        compute_class_map(Linear(), images, disease, number)
    with pytest.raises(ArgumentError, match="grad_cam"):
        compute_class_map(nn.Conv2d(3, 3, 1), images, disease, number)


def slow_fraction(cam, mask, field):
    inside = total = 0.0
    for row in range(cam.shape[0]):
        for column in range(cam.shape[1]):
            if field[row, column] and cam[row, column] > 0:
                total += cam[row, column]
                if mask[row, column]:
                    inside += cam[row, column]
    return inside / total


@pytest.mark.parametrize("seed", range(20))
def test_fraction_inside_equals_a_naive_loop(seed):
    rng = np.random.default_rng(seed)
    cam, mask, field = rng.normal(size=(7, 9)), rng.random((7, 9)) < 0.3, rng.random((7, 9)) < 0.7
    assert measure_inside(cam, mask, field) == pytest.approx(slow_fraction(cam, mask, field))
    assert measure_inside(cam, mask) == pytest.approx(slow_fraction(cam, mask, np.ones_like(mask)))
    assert measure_inside(100 * cam, mask.astype(np.uint8)) == pytest.approx(measure_inside(cam, mask))
    assert measure_inside(torch.tensor(cam), torch.tensor(mask)) == pytest.approx(measure_inside(cam, mask))


def test_a_flat_map_has_the_mask_s_fraction_of_the_field():
    mask, field = np.zeros((4, 5), bool), np.zeros((4, 5), bool)
    mask[1, 1:3], field[1:3] = True, True
    mask[0, 0] = True  # outside the field
    assert measure_inside(np.ones((4, 5)), mask, field) == 2 / 10
    assert measure_inside(np.full((4, 5), 3), mask) == pytest.approx(3 / 20), "whole numbers too"


def test_a_map_without_positive_values_has_no_fraction_and_an_empty_mask_has_0():
    mask = np.eye(3)
    assert math.isnan(measure_inside(np.zeros((3, 3)), mask))
    assert math.isnan(measure_inside(-np.ones((3, 3)), mask))
    assert math.isnan(measure_inside(np.eye(3), mask, field=1 - mask)), "positive only outside the field"
    assert measure_inside(np.ones((3, 3)), np.zeros((3, 3))) == 0


def test_sixteen_bits_do_not_overflow_in_the_sum():
    cam = torch.full((200, 200), 1000.0, dtype=torch.float16, requires_grad=True)
    mask = torch.zeros(200, 200)
    mask[:50] = 1
    assert measure_inside(cam, mask) == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cam": np.ones((2, 2)), "mask": np.ones((4, 4))}, "shape"),
        ({"cam": np.ones((2, 2)), "mask": np.ones((2, 2)), "field": np.ones((1, 2))}, "shape"),
        ({"cam": np.full((2, 2), np.nan), "mask": np.ones((2, 2))}, "not a number"),
        ({"cam": np.full((2, 2), np.inf), "mask": np.ones((2, 2))}, "infinite"),
        ({"cam": np.ones((2, 2)), "mask": np.full((2, 2), 255)}, "255"),
        ({"cam": np.ones((2, 2)), "mask": np.ones((2, 2)), "field": np.full((2, 2), 0.5)}, "0.5"),
    ],
)
def test_what_has_no_fraction_is_refused(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        measure_inside(**arguments)


def test_upsampled_maps_keep_their_axes_and_their_level():
    maps = torch.arange(24.0).reshape(2, 3, 2, 2)
    large = upsample(maps, (8, 6))
    assert large.shape == (2, 3, 8, 6)
    torch.testing.assert_close(large.mean((2, 3)), maps.mean((2, 3)))
    torch.testing.assert_close(upsample(maps[1, 2], (8, 6)), large[1, 2])
    assert torch.equal(upsample(maps, (2, 2)), maps)
    assert upsample(torch.tensor([[0.0, 1.0]]), (1, 4)).tolist() == [[0, 0.25, 0.75, 1]], (
        "a place is a square of pixels"
    )
    assert torch.equal(large[..., 0, 0], maps[..., 0, 0]), "corners keep the value of their place"
    half = maps.bfloat16().requires_grad_()
    assert upsample(half, (4, 4)).dtype == torch.float32 and not upsample(half, (4, 4)).requires_grad


def test_a_loss_moves_logits_towards_the_mask_and_leaves_them_as_they_are():
    logits, mask = torch.tensor([[0.0, 2.0]], requires_grad=True), torch.tensor([[1.0, 0.0]])
    moved = negative_gradient(nn.BCEWithLogitsLoss(), logits, mask)
    torch.testing.assert_close(moved, (mask - logits.sigmoid()).detach() / 2)
    assert logits.grad is None and not moved.requires_grad
