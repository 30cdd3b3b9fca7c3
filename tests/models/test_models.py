"""The registry, and the U-Net's shape, size and ability to learn."""

import pytest
import torch
from torch import nn

from fundus_lib.errors import ArgumentError, UnknownNameError
from fundus_lib.models import count_parameters, create_model, list_models


def test_names_are_lower_case_without_separators_and_each_makes_a_model():
    assert "unet" in list_models()
    for name in list_models():
        assert name == name.lower() and name.isalnum()
        with torch.device("cpu" if name == "unet" else "meta"):  # without memory, where no value is needed to start
            assert isinstance(create_model(name), nn.Module)


def test_an_unknown_name_raises_with_the_names_that_exist():
    with pytest.raises(UnknownNameError, match="unet"):
        create_model("U-Net")


@pytest.mark.parametrize(
    ("name", "meant"),
    [("dual_branch", "dualbranch"), ("SUNet", "sunet"), ("UNet++", "unetpp"), ("DeepLabV3+", "deeplabv3plus")],
)
def test_a_name_as_papers_print_it_is_guessed(name, meant):
    with pytest.raises(UnknownNameError, match=rf"did you mean {meant}\?"):
        create_model(name)
    with pytest.raises(UnknownNameError, match="None"):
        create_model(None)


@pytest.mark.parametrize("name", list_models())
def test_what_is_no_batch_of_colour_images_is_refused(name):
    with torch.device("meta"):
        model = create_model(name).eval()
        byte = torch.zeros(1, 3, 256, 256, dtype=torch.uint8)
        cases = (
            (byte, "floating"),
            (byte[0].float(), "shape"),
            (byte[:, :1].float(), "shape"),
            (byte.double(), "type"),
        )
        for images, part in cases:
            with pytest.raises(ArgumentError, match=part):
                model(images)


@pytest.mark.parametrize("settings", [{"colour": 3}, {"width": 0}, {"prior": 1.0}])
def test_impossible_settings_are_refused(settings):
    with pytest.raises(ArgumentError, match=next(iter(settings))):
        create_model("unet", **settings)


@pytest.mark.parametrize(
    ("settings", "parameters"),
    [({}, 1_093_381), ({"width": 64}, 31_037_633), ({"width": 4, "depth": 2, "lesions": 4}, 7_564)],
)
def test_parameter_counts(settings, parameters):
    assert sum(p.numel() for p in create_model("unet", **settings).parameters()) == parameters


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (33, 47), (64, 32)])
def test_logits_have_the_size_of_the_input(size):
    model = create_model("unet", lesions=4, width=4).eval()
    assert model(torch.randn(2, 3, *size))["logits"].shape == (2, 4, *size)


def test_padding_leaves_a_fitting_image_alone():
    model = create_model("unet", width=4, depth=1).eval()
    image = torch.randn(1, 3, 32, 32)
    far = model(image)["logits"][..., :20, :20]  # the receptive field of depth 1 ends well before the cut
    torch.testing.assert_close(model(image[..., :31, :31])["logits"][..., :20, :20], far)


def test_a_new_network_predicts_the_prior():
    model = create_model("unet", width=4, prior=0.2).eval()
    torch.testing.assert_close(torch.sigmoid(model.parts["head"].layer.bias), torch.tensor([0.2]))


def test_overfits_a_batch():
    torch.manual_seed(0)
    model = create_model("unet", width=6, depth=2)
    images, target = torch.randn(2, 3, 32, 32), (torch.rand(2, 1, 32, 32) > 0.9).float()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(120):
        loss = nn.functional.binary_cross_entropy_with_logits(model(images)["logits"], target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.02


def test_parameters_are_counted_by_name_and_in_modules():
    small = create_model("unet", width=4, depth=2)
    expected = sum(value.numel() for value in small.state_dict().values() if value.is_floating_point()) - sum(
        value.numel() for name, value in small.named_buffers() if value.is_floating_point()
    )
    assert count_parameters("unet", width=4, depth=2) == count_parameters(small) == expected
    assert count_parameters(nn.Linear(2, 3), None, nn.Linear(3, 1)) == 9 + 4 and count_parameters() == 0


def test_a_refused_image_leaves_batch_normalisation_as_it_was():
    with pytest.raises(ArgumentError, match="pooling"):
        create_model("gradedunet", width=4, depth=2, channels=8, pooling="maximum")
    model = create_model("gradedunet", width=4, depth=2, channels=8)
    momenta = [module.momentum for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for images in (torch.zeros(1, 3, 32, 32, dtype=torch.uint8), torch.zeros(1, 3, 1, 1)):
        with pytest.raises((ArgumentError, ValueError, RuntimeError)):
            model.train().grade(images)
    assert [module.momentum for module in model.modules() if isinstance(module, nn.BatchNorm2d)] == momenta
