"""Every system that the papers name can be created, or its row is quoted; and every printed row has a recipe."""

import pytest
import torch

from fundus_lib.losses import create_loss
from fundus_lib.models import count_parameters, create_model
from fundus_lib.published import table, tables
from fundus_lib.published.ledger import counterparts, recipe_names
from fundus_lib.recipes import PAPERS, recipes

DR = {"diseases": ("dr",)}

SYSTEMS = {
    "HED": ("hed", {}),
    "PSPNet": ("pspnet", {}),
    "DeepLabV3": ("deeplabv3", {}),
    "DeepLabV3+": ("deeplabv3plus", {}),
    "DNL": ("dnl", {}),
    "SPNet": ("spnet", {}),
    "L-Seg": ("lseg", {}),
    "LWENet": ("lwenet", {}),
    "dual branch": ("dualbranch", {}),
    "U-Net": ("unet", {}),
    "U-Net (VGG16)": ("pldmlt", {"grades": False}),
    "UNet++": ("unetpp", {}),
    "Attention U-Net": ("attentionunet", {}),
    "ResUNet": ("resunet", {}),
    "CE-Net": ("cenet", {}),
    "H-DenseUNet": ("hdenseunet", {}),
    "local and global": ("localglobal", {}),
    "LinkNet": ("linknet", {}),
    "FPN": ("fpn", {}),
    "MTUnet": ("pldmlt", {}),
    "PLDMLT": ("pldmlt", {}),
    "label update network": ("labelnet", {}),
    "ResNeXt-50": ("grader", {"backbone": "resnext50", **DR}),
    "ResNeXt-101": ("grader", {"backbone": "resnext101", **DR}),
    "DenseNet-201": ("grader", {"backbone": "densenet201", **DR}),
    "NASNet": ("grader", {"backbone": "nasnet", **DR}),
    "VGG19": ("grader", {"backbone": "vgg19"}),
    "ResNet-34": ("grader", {"backbone": "resnet34"}),
    "early split": ("grader", {"split": "early"}),
    "middle split": ("grader", {"split": "middle"}),
    "late split": ("grader", {"split": "late"}),
    "SUNet": ("sunet", {}),
}
"""What the papers call it → name and settings of ours."""

MILLIONS = {
    "HED": 14.716, "DeepLabV3+": 26.68, "SPNet": 47.72, "L-Seg": 14.72, "LWENet": 1.961, "U-Net (VGG16)": 23.75,
    "UNet++": 9.163, "Attention U-Net": 34.88, "ResUNet": 13.04, "CE-Net": 29.00, "LinkNet": 11.66, "FPN": 26.12,
    "ResNeXt-50": 22.99, "ResNeXt-101": 86.75, "DenseNet-201": 18.10, "NASNet": 84.74,
}  # fmt: skip
"""Parameters, of a table that was made before these networks were written."""

QUOTED = {"CogSeg"}
"""Nobody has published its code."""

LOSSES = ("bin", "dice", "focal", "classbalanced")


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_system_can_be_created(system):
    name, settings = SYSTEMS[system]
    with torch.device("cpu" if name == "unet" else "meta"):
        assert create_model(name, **settings)
    if system in MILLIONS:
        assert count_parameters(name, **settings) / 1e6 == pytest.approx(MILLIONS[system], abs=0.006)


def test_losses_that_are_compared_with():
    assert all(create_loss(name) for name in LOSSES)


def test_a_system_that_cannot_be_created_is_quoted():
    quoted = {row for t in tables() if t.paper == "hecl" for row in t.quoted}
    assert quoted >= QUOTED


def test_every_printed_row_has_a_recipe_is_measured_or_is_quoted():
    assert {t.paper for t in tables()} <= set(PAPERS)
    without = []
    for printed in tables():
        there = {f"{recipe.table}/{recipe.row}" for recipe in recipes(printed.paper)}
        for row in table(printed.paper, printed.number).index:
            entry = counterparts(printed.paper).of(printed.number, str(row))
            named = recipe_names(entry)
            assert set(named) <= there
            if not named and "measured" not in entry and row not in printed.quoted:
                without.append((printed.paper, printed.number, str(row)))
    assert without == [("dual_branch", 1, "DDR")], "statistics of data that is not at hand"
