"""Networks and losses as they are usually written, to time ours against."""

import segmentation_models_pytorch
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from fundus_lib.models import create_model
from fundus_lib.models.pspnet import PyramidPooling


class PlainPyramidPooling(PyramidPooling):
    """The same layers, applied as the equations read."""

    def forward(self, x):
        enlarged = [F.interpolate(m(x), size=x.shape[-2:], mode="bilinear", align_corners=True) for m in self.means]
        return self.finish(self.mix(torch.cat([*enlarged, x], dim=1)))


class TorchvisionDeepLabV3(nn.Module):
    """torchvision's network under our names of what it gives."""

    def __init__(self):
        super().__init__()
        make = torchvision.models.segmentation.deeplabv3_resnet50
        self.module = make(weights=None, weights_backbone=None, num_classes=1, aux_loss=True)

    def forward(self, images):
        given = self.module(images)
        return {"logits": given["out"], "aux": given["aux"]} if self.training else {"logits": given["out"]}

    def train(self, mode=True):
        super().train(mode)
        self.module.classifier[0].convs[-1].eval()  # it normalises one value per image, and fails at batch size 1
        return self


class SmpDeepLabV3Plus(nn.Module):
    """segmentation_models_pytorch's network under our name of what it gives."""

    def __init__(self, encoder="resnet50"):
        super().__init__()
        self.module = segmentation_models_pytorch.DeepLabV3Plus(encoder, encoder_weights=None)

    def forward(self, images):
        return {"logits": self.module(images)}


def plain_network(base, **settings):
    """One network: with its means enlarged (PSPNet), torchvision's (DeepLabV3), smp's (DeepLabV3+), or ours (HED)."""
    if base == "deeplabv3":
        return TorchvisionDeepLabV3()
    if base == "deeplabv3plus":
        return SmpDeepLabV3Plus(**settings)
    model = create_model(base, **settings)
    for module in model.modules():
        if isinstance(module, PyramidPooling):
            module.__class__ = PlainPyramidPooling
    return model


class IndexTensors(nn.Module):
    """The re-balanced Dice loss of one lesion by drawing pixels from a list of the places of either class."""

    def __init__(self, p=0.5, smooth=1.0):
        super().__init__()
        self.p, self.smooth = p, smooth

    def forward(self, logits, target):
        predicted, truth = logits.sigmoid().flatten(), target.flatten().float()
        lesion, background = (truth == 1).nonzero()[:, 0], (truth == 0).nonzero()[:, 0]
        drawn = int(self.p * len(truth))
        places = torch.cat(
            [of[torch.randint(len(of), (n,))] for of, n in ((lesion, drawn), (background, len(truth) - drawn))]
        )
        chosen, label = predicted[places], truth[places]
        return 1 - (2 * (chosen * label).sum() + self.smooth) / (chosen.sum() + label.sum() + self.smooth)
