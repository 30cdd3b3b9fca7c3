"""The local-global U-nets: that each patch meets its own place on the global map, and that both networks are fused."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from fundus_lib.errors import ArgumentError
from fundus_lib.models import create_model
from fundus_lib.models.localglobal import sample_boxes
from fundus_lib.models.patch_grid import PatchGrid
from helpers.networks import count_parameters

SMALL = {"global_width": 3, "global_depth": 2, "local_width": 4, "local_depth": 1, "global_size": 24, "patch": 16}
CROP, PATCH = (2816, 3328), 256


def small(**settings):
    torch.manual_seed(0)
    model = create_model("localglobal", **SMALL | settings).eval()
    for norm in (layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)):
        nn.init.normal_(norm.running_mean, std=0.1)  # as after some training
    return model


def ramps(side, dtype):
    """A map (1, 2, side, side) with its rows' numbers and its columns' numbers, 0 in the middle."""
    place = torch.arange(side, dtype=dtype) - (side - 1) / 2
    return torch.stack(torch.meshgrid(place, place, indexing="ij"))[None]


def positions(side, length):
    """Where the middles of an image's pixels are on a map."""
    return (torch.arange(length, dtype=torch.float64) + 0.5) * side / length - side / 2


def errors(found, side):
    """The largest difference from the ramps in each patch of the paper's grid, in pixels of the map, (143,)."""
    worst, (rows, columns) = [], (positions(side, length) for length in CROP)
    for patch, (top, left) in zip(found.double(), PatchGrid(CROP, PATCH).corners, strict=True):
        down = patch[0] - rows[top : top + PATCH, None]
        right = patch[1] - columns[left : left + PATCH]
        worst.append(torch.maximum(down.abs().max(), right.abs().max()))
    return torch.stack(worst)


@pytest.mark.parametrize("side", [640, 320])
def test_a_ramp_survives_in_every_one_of_the_143_patches(side):
    places = PatchGrid(CROP, PATCH).places()
    assert places.shape == (143, 5)
    found = sample_boxes(ramps(side, torch.float32), places, (PATCH, PATCH))
    assert errors(found, side).max() < 1e-4
    for axis in (2, 3):
        moved = sample_boxes(ramps(side, torch.float32).roll(1, axis), places, (PATCH, PATCH))
        assert errors(moved, side).min() > 0.999


def test_a_ramp_survives_exactly_in_float64():
    height, width = CROP
    boxes = [[0, y / height, x / width, PATCH / height, PATCH / width] for y, x in PatchGrid(CROP, PATCH).corners]
    found = sample_boxes(ramps(640, torch.float64), torch.tensor(boxes, dtype=torch.float64), (PATCH, PATCH))
    assert errors(found, 640).max() < 1e-9


def test_between_the_rims_it_is_interpolation_and_half_a_pixel_at_the_rim_is_continued():
    torch.manual_seed(0)
    maps, size = torch.randn(1, 2, 10, 8, dtype=torch.float64), (40, 48)
    whole = F.interpolate(maps, size, mode="bilinear", align_corners=False)
    found = sample_boxes(maps, torch.tensor([[0, 0.0, 0.0, 1.0, 1.0]]), size)[0]
    rows, columns = slice(2, -2), slice(3, -3)  # half a pixel of the map is 2 rows, 3 columns
    torch.testing.assert_close(found[:, rows, columns], whole[0, :, rows, columns])
    first = maps[0, :, 0] + (0.125 - 0.5) * (maps[0, :, 1] - maps[0, :, 0])  # the middle of the first row is at 1/8
    torch.testing.assert_close(found[:, 0, columns], F.interpolate(first[None], 48, mode="linear")[0, :, columns])


def test_boxes_are_of_their_own_image_and_their_gradient_is_right():
    torch.manual_seed(0)
    maps = torch.randn(3, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    places = torch.tensor([[2, 0.1, 0.2, 0.5, 0.3], [0, 0.0, 0.55, 1.0, 0.45], [2, 0.7, 0.0, 0.3, 0.9]])
    found = sample_boxes(maps, places, (7, 9))
    for k, place in enumerate(places):
        alone = sample_boxes(maps[int(place[0])][None], place[None] * torch.tensor([0, 1, 1, 1, 1]), (7, 9))
        torch.testing.assert_close(found[k : k + 1], alone)
    assert torch.autograd.gradcheck(lambda maps: sample_boxes(maps, places, (7, 9)), maps)
    found.sum().backward()
    assert not maps.grad[1].any() and maps.grad[0].any() and maps.grad[2].any()


@pytest.mark.parametrize(
    ("width", "depth", "parameters"),
    [(64, 6, 497_693_889), (32, 6, 124_437_089), (16, 6, 31_116_081), (8, 6, 7_782_425), (64, 3, 7_700_161)],
)
def test_parameters_by_width(width, depth, parameters):
    widths = [width * 2**level for level in range(depth + 1)]

    def double(before, here):
        return 9 * here * (before + here) + 4 * here

    by_hand = sum(double(before, here) for before, here in zip([3, *widths], widths, strict=False)) + width + 1
    by_hand += sum(4 * 2 * here * here + here + double(2 * here, here) for here in widths[:-1])
    assert count_parameters("unet", width=width, depth=depth) == by_hand == parameters
    other = {"local_width": 8, "local_depth": 2}
    fused = 9 * 8 * (8 + width) + 9 * 8 * 8 + 4 * 8 + 8 + 1
    both = parameters + count_parameters("unet", width=8, depth=2) + fused
    assert count_parameters("localglobal", global_width=width, global_depth=depth, **other) == both


@pytest.mark.parametrize("overlap", [0, 5])
@pytest.mark.parametrize("size", [(48, 32), (50, 41), (7, 100), (3, 2)])
def test_stitching_equals_patch_by_patch(size, overlap):
    model, images = small(lesions=2), torch.randn(2, 3, *size)
    output = model(images, overlap=overlap, chunk=3, keep=("features", "local_features", "global_features"))
    assert {name: value.shape[1:] for name, value in output.items()} == {
        "logits": (2, *size),
        "global_logits": (2, *size),
        "local_logits": (2, *size),
        "features": (4, *size),
        "local_features": (4, *size),
        "global_features": (3, 24, 24),
    }
    grid, whole = PatchGrid(size, 16, overlap), model.shrink(images)
    for image in range(2):
        fused, local = torch.zeros(2, *size), torch.zeros(2, *size)
        for k, (patch, (top, left)) in enumerate(zip(grid.cut(images[image]), grid.corners, strict=True)):
            alone = model.forward_patches(whole[image : image + 1], patch[None], grid.places()[k : k + 1])
            place = (..., slice(top, top + grid.shape[0]), slice(left, left + grid.shape[1]))
            fused[place] += grid.weights(k) * alone["logits"][0]
            local[place] += grid.weights(k) * alone["local_logits"][0]
        torch.testing.assert_close(output["logits"][image], fused)
        torch.testing.assert_close(output["local_logits"][image], local)
        global_net = model.global_net(whole[image : image + 1])["logits"]
        torch.testing.assert_close(output["global_logits"][image], F.interpolate(global_net, size, mode="bilinear")[0])
    torch.testing.assert_close(model.fusion.head.layer(output["features"]), output["logits"])
    assert set(model(images)) == {"logits", "global_logits", "local_logits"}


def test_at_inference_the_global_network_runs_once():
    model, calls = small(), []
    model.global_net.register_forward_hook(lambda *_: calls.append("global"))
    model.local_net.register_forward_hook(lambda *_: calls.append("local"))
    model(torch.randn(1, 3, 64, 64), chunk=5)
    assert calls == ["global"] + 4 * ["local"]


def test_constant_logits_survive_blending():
    model = small()
    for head in (model.fusion.head, model.local_net.parts["head"]):
        nn.init.zeros_(head.layer.weight)
        nn.init.constant_(head.layer.bias, 1.7)
    for overlap in (0, 5, 15):
        output = model(torch.randn(1, 3, 50, 41), overlap=overlap)
        torch.testing.assert_close(output["logits"], torch.full((1, 1, 50, 41), 1.7))
        torch.testing.assert_close(output["local_logits"], torch.full((1, 1, 50, 41), 1.7))


def test_the_global_map_reaches_the_patch_and_can_be_zeroed_or_shifted():
    model, images = small(), torch.randn(1, 3, 48, 32)
    plain, zeroed = model(images), model(images, zero=True)
    shifted, back = model(images, shift=(7, -3)), model(images, shift=(24, -24))
    for other in (zeroed, shifted):
        assert (plain["logits"] - other["logits"]).abs().max() > 1e-3
        assert torch.equal(plain["local_logits"], other["local_logits"])
        assert torch.equal(plain["global_logits"], other["global_logits"])
    torch.testing.assert_close(back["logits"], plain["logits"])  # once around
    rolled = model.global_net(model.shrink(images), keep=("features",))["features"].roll((7, -3), (2, 3))
    grid = PatchGrid((48, 32), 16)
    local = model.local_net(torch.stack([*grid.cut(images[0])]), keep=("features",))["features"]
    fused = model.fusion(local, sample_boxes(rolled, grid.places(), (16, 16)))["logits"]
    torch.testing.assert_close(fused[3, 0], shifted["logits"][0, 0, 16:32, 16:])


def test_gradients_reach_both_networks_through_the_fused_logits():
    model = small().train()
    grid = PatchGrid((48, 32), 16)
    output = model.forward_patches(torch.randn(2, 3, 24, 24), torch.randn(3, 3, 16, 16), grid.places()[[0, 3, 5]])
    assert output["global_logits"].shape == (2, 1, 24, 24)
    assert output["logits"].shape == output["local_logits"].shape == (3, 1, 16, 16)
    output["logits"].sum().backward()
    without = {name for name, value in model.named_parameters() if value.grad is None}
    assert without == {
        f"{net}_net.parts.head.layer.{kind}" for net in ("global", "local") for kind in ("weight", "bias")
    }


def test_gradient_of_the_whole():
    model = small(global_depth=1).double()
    places = PatchGrid((48, 32), 16).places()[[1, 4]]
    inputs = torch.randn(1, 3, 24, 24).double().requires_grad_(), torch.randn(2, 3, 16, 16).double().requires_grad_()

    def run(whole, patches):
        return model.forward_patches(whole, patches, places, shift=(1, 2))["logits"]

    assert torch.autograd.gradcheck(run, inputs, fast_mode=True)


def test_overfits_a_batch():
    torch.manual_seed(0)
    model = create_model("localglobal", **SMALL)
    images, target = torch.randn(1, 3, 32, 32), (torch.rand(1, 1, 32, 32) > 0.9).float()
    grid, whole = PatchGrid((32, 32), 16), model.shrink(images)
    patches, masks = torch.stack([*grid.cut(images[0])]), torch.stack([*grid.cut(target[0])])
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(100):
        logits = model.forward_patches(whole, patches, grid.places())["logits"]
        loss = F.binary_cross_entropy_with_logits(logits, masks)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.05


def test_a_new_network_predicts_the_prior():
    model = small(prior=0.2)
    for head in (model.fusion.head, model.global_net.parts["head"], model.local_net.parts["head"]):
        torch.testing.assert_close(torch.sigmoid(head.layer.bias), torch.tensor([0.2]))


def test_in_half_precision_places_stay_exact():
    maps = ramps(640, torch.float32).bfloat16()
    places = PatchGrid(CROP, PATCH).places()[[77]]
    assert torch.equal(sample_boxes(maps, places, (8, 8)), sample_boxes(maps.float(), places, (8, 8)))
    model, images = small(), torch.randn(1, 3, 48, 41)
    exact = model(images, overlap=5)
    with torch.autocast("cpu", torch.bfloat16):
        found = model(images, overlap=5)
    assert found["logits"].dtype == torch.float32, "blended in full precision"
    torch.testing.assert_close(found["logits"], exact["logits"], atol=0.1, rtol=0.05)


@pytest.mark.parametrize(
    "settings",
    [{"lesions": 0}, {"global_width": 0}, {"local_depth": -1}, {"global_size": 1}, {"patch": 0}, {"prior": 1.0}],
)
def test_impossible_settings_are_refused(settings):
    name = next(iter(settings)).removeprefix("global_w").removeprefix("local_d")
    with pytest.raises(ArgumentError, match=name):
        create_model("localglobal", **SMALL | settings)


def test_impossible_calls_are_refused():
    model, images = small(), torch.randn(1, 3, 48, 32)
    for settings, message in (
        ({"overlap": 16}, "overlap=16"),
        ({"chunk": 0}, "chunk=0"),
        ({"keep": ("penultimate",)}, "'penultimate' do not exist"),
    ):
        with pytest.raises(ArgumentError, match=message):
            model(images, **settings)
    with pytest.raises(ArgumentError, match=r"expected: places \(2, 5\)"):
        model.forward_patches(model.shrink(images), torch.randn(2, 3, 16, 16), torch.zeros(1, 5))
    for places in ([0, 16, 16, 16, 16.0], [1, 0, 0, 0.5, 0.5], [0, -0.25, 0, 0.5, 0.5]):
        with pytest.raises(ArgumentError, match="divide pixels by the image's sides"):
            model.forward_patches(model.shrink(images), torch.randn(1, 3, 16, 16), torch.tensor([places]))
    for wrong in (images.to(torch.uint8), images[0], images.double()):
        with pytest.raises(ArgumentError, match=r"LocalGlobal\.shrink: the images"):
            model.shrink(wrong)
        with pytest.raises(ArgumentError, match=r"LocalGlobal\.forward_patches: the images"):
            model.forward_patches(wrong, torch.randn(2, 3, 16, 16), torch.zeros(2, 5))
        with pytest.raises(ArgumentError, match=r"LocalGlobal\.forward_patches: the images"):
            model.forward_patches(images, wrong, torch.zeros(2, 5))
