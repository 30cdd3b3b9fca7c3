"""The networks made of parts: settings that make them small, and facts about each."""

import torch

from fundus_lib.models import create_model

SMALL = {
    "attentionunet": {"width": 8, "depth": 2},
    "cenet": {"backbone": "resnet18"},
    "deeplabv3": {"width": 4},
    "deeplabv3plus": {"encoder": "resnet18"},
    "dnl": {"width": 4},
    "fpn": {"encoder": "resnet18"},
    "hdenseunet": {"width": 6, "blocks": (1, 1, 1, 1)},
    "hed": {"width": 4},
    "linknet": {"encoder": "resnet18"},
    "lseg": {"width": 4, "lesions": 1},
    "lwenet": {"width": 8},
    "pldmlt": {"width": 8, "norm": True, "grades": False},
    "pspnet": {"width": 4},
    "resunet": {"width": 4, "depth": 2},
    "spnet": {"width": 4},
    "unetpp": {"width": 8, "depth": 2},
}
"""Every network made of parts, with settings that make it small."""

PARAMETERS = {
    "attentionunet": 34_878_573,
    "cenet": 29_003_093,
    "deeplabv3": 44_216_258,
    "deeplabv3plus": 26_677_585,
    "dnl": 52_473_796,
    "fpn": 26_116_033,
    "hdenseunet": 49_527_713,
    "hed": 14_716_171,
    "linknet": 11_663_777,
    "lseg": 14_720_620,
    "lwenet": 1_961_045,
    "pldmlt": 23_750_806,
    "pspnet": 51_426_754,
    "resunet": 13_043_009,
    "spnet": 47_723_394,
    "unetpp": 9_163_329,
}

AUX = {"deeplabv3", "dnl", "pspnet", "spnet"}
SIDES = {"hed": 5, "lseg": 5, "lwenet": 2}


def count(model):
    return sum(p.numel() for p in model.parameters())


def count_parameters(name, **settings):
    """The number of parameters of a model at full size, made without memory for them."""
    with torch.device("meta"):
        return count(create_model(name, **settings))
