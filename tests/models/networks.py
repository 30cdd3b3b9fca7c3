"""The networks made of parts: settings that make them small, and facts about each."""

SMALL = {
    "deeplabv3": {"width": 4},
    "hed": {"width": 4},
    "pspnet": {"width": 4},
}
"""Every network made of parts, with settings that make it small."""

PARAMETERS = {
    "deeplabv3": 44_216_258,
    "hed": 14_716_171,
    "pspnet": 51_426_754,
}

AUX = {"deeplabv3", "pspnet"}
SIDES = {"hed": 5}


def count(model):
    return sum(p.numel() for p in model.parameters())
