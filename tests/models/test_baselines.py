"""The compared networks' own ideas, each against a second way to compute it."""

import sys

import pytest
import torch
from torch import nn

from fundus_lib.errors import ArgumentError, MissingPackageError
from fundus_lib.models import create_model
from fundus_lib.models.dnl import DisentangledNonLocal
from fundus_lib.models.spnet import MixedPooling, StripGate


def test_disentangled_attention_position_by_position():
    torch.manual_seed(0)
    block = DisentangledNonLocal(channels=6, inner=3).double()
    for parameter in block.parameters():
        nn.init.normal_(parameter)
    x = torch.randn(2, 6, 4, 5, dtype=torch.double)
    query, key, value, salience = (
        layer(x).flatten(2) for layer in (block.query, block.key, block.value, block.salience)
    )
    expected = x.clone()
    for b in range(2):
        means = query[b].mean(1), key[b].mean(1)
        everyone = sum(w * value[b, :, j] for j, w in enumerate(salience[b, 0].softmax(0)))
        for i in range(20):
            alike = torch.stack([(query[b, :, i] - means[0]) @ (key[b, :, j] - means[1]) for j in range(20)])
            seen = sum(w * value[b, :, j] for j, w in enumerate(alike.softmax(0)))
            expected[b, :, i // 5, i % 5] += block.gamma * seen + everyone
    torch.testing.assert_close(block(x), expected)


def test_a_new_non_local_block_has_no_pairwise_part():
    block = DisentangledNonLocal(channels=6, inner=3)
    x = torch.randn(1, 6, 4, 5)
    added = block(x) - x
    torch.testing.assert_close(added, added.mean((2, 3), keepdim=True).expand_as(added))


def test_a_strip_gate_opens_by_row_and_column():
    torch.manual_seed(0)
    gate = StripGate(channels=4).eval()
    for layer in (gate.rows, gate.columns):
        nn.init.normal_(layer[0].weight)
    x = torch.rand(1, 4, 6, 7) + 1
    changed = x.clone()
    changed[..., 2, 3] += 5
    ratio = gate(changed) / changed - gate(x) / x  # by how much each place's gate moved
    moved = ratio.abs().amax(1)[0] > 1e-5
    near = torch.zeros(6, 7, dtype=torch.bool)
    near[1:4], near[:, 2:5] = True, True  # the strips' convolutions reach one place further
    assert moved[near].float().mean() > 0.9
    assert not moved[~near].any()


def test_mixed_pooling_reaches_along_rows_and_columns_and_in_fields():
    torch.manual_seed(0)
    reached = {}
    for half in ("strips", "fields"):
        pooling = MixedPooling(channels=32, bins=(4, 2)).eval()
        weight = pooling.mix[0].weight.detach()  # (32, 8 of fields + 8 of strips, 1, 1)
        weight[:, slice(0, 8) if half == "strips" else slice(8, 16)] = 0
        x = torch.randn(1, 32, 30, 41, requires_grad=True)
        y = pooling(x)
        assert y.shape == x.shape
        y[..., 15, 20].square().sum().backward()
        reached[half] = x.grad.abs().sum((0, 1)) > 0
    cross = torch.zeros(30, 41, dtype=torch.bool)
    cross[13:18], cross[:, 18:23] = True, True  # two 3×3 convolutions reach two positions further
    assert reached["strips"][cross].float().mean() > 0.9
    assert not reached["strips"][~cross].any()
    assert reached["fields"][~cross].float().mean() > 0.9  # each of four fields is convolved with its neighbours


def test_lsegs_lesions_do_not_mix():
    model = create_model("lseg", width=4)
    torch.nn.init.normal_(model.parts["stage5"].side.weight)
    model(torch.randn(1, 3, 32, 32))["logits"][:, 2].sum().backward()
    grad = model.parts["stage5"].side.weight.grad
    assert [bool((grad[lesion] != 0).any()) for lesion in range(4)] == [False, False, True, False]


def test_lsegs_feature_maps_end_where_the_image_ends():
    model = create_model("lseg", width=4)
    features = {"images": torch.randn(1, 3, 37, 50)}
    features["x"] = features["images"]
    for size in ((37, 50), (19, 25), (10, 13), (5, 7), (3, 4)):
        features = model.parts[f"stage{len(features) - 1}"](features)  # each adds its side output
        assert features["x"].shape[-2:] == size


def test_lwenets_side_outputs_can_be_rectified_as_its_authors_have_them():
    torch.manual_seed(0)
    images = torch.randn(2, 3, 33, 40)
    for rectified in (False, True):
        model = create_model("lwenet", width=8, rectified=rectified)
        for part in ("stage1", "stage2"):
            nn.init.normal_(model.parts[part].side[2].weight)
        sides = model(images)["sides"]
        assert (sides < 0).any() != rectified
        torch.testing.assert_close(model(images)["logits"], 0.1 * sides.sum(2))
    with pytest.raises(ArgumentError, match="width=6"):
        create_model("lwenet", width=6)


def test_lwenets_side_outputs_move_with_the_image():
    torch.manual_seed(0)
    model = create_model("lwenet", width=4).eval()
    images = torch.randn(1, 3, 168, 168)
    sides = model(images)["sides"]
    moved = model(images.roll((4, 8), dims=(2, 3)))["sides"]
    inside = slice(64, 104)  # away from what the edges change
    torch.testing.assert_close(moved[..., inside, inside], sides.roll((4, 8), dims=(3, 4))[..., inside, inside])
    assert sides[..., inside, inside].std((3, 4)).min() > 1e-3


def test_deeplabv3plus_is_the_packages(monkeypatch):
    import segmentation_models_pytorch as smp

    theirs = smp.DeepLabV3Plus("resnet18", encoder_weights=None, classes=2).eval()
    monkeypatch.setattr(smp, "DeepLabV3Plus", lambda **settings: theirs)
    model = create_model("deeplabv3plus", lesions=2, encoder="resnet18").eval()
    images = torch.randn(1, 3, 64, 96)
    torch.testing.assert_close(model(images)["logits"], theirs(images))
    continued = nn.functional.pad(images[..., :60, :83], (0, 13, 0, 4), mode="replicate")
    torch.testing.assert_close(model(images[..., :60, :83])["logits"], theirs(continued)[..., :60, :83])


def test_without_the_package_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", None)
    with pytest.raises(MissingPackageError, match="pip install segmentation-models-pytorch"):
        create_model("deeplabv3plus")


def test_an_encoder_must_be_a_resnet():
    with pytest.raises(ArgumentError, match="encoder='vgg16'"):
        create_model("deeplabv3plus", encoder="vgg16")
