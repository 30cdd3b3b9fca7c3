"""Names for the rows and tables of sunet's recipes, as figures and tables of the book show them."""

from __future__ import annotations

TABLES: dict[str, str] = {
    "lite": "EfficientNet-Lite0 from ImageNet, 224²",
    "lite_512": "EfficientNet-Lite0 from ImageNet, 512²",
    "small": "ResNet-18 from random weights, 224²",
}
"""Table of small runs → its network, start and size."""

NAMES: dict[str, str] = {
    "dr": "Retinopathy alone",
    "dme": "Edema alone",
    "dr_dme": "Both grades",
    "dr_lr": "Retinopathy and lesions, alternating",
    "dme_lr": "Edema and lesions, alternating",
    "dr_lr_mixed": "Retinopathy and lesions, mixed",
    "dme_lr_mixed": "Edema and lesions, mixed",
    "sunet": "SUNet, alternating",
    "dr_dme_alternating": "SUNet, alternating, lesion loss off",
    "sunet_mixed": "SUNet, mixed",
    "dr_dme_mixed": "SUNet, mixed, lesion loss off",
    "sunet_mixed_synthetic": "SUNet, mixed, synthetic first",
    "dr_dme_mixed_synthetic": "SUNet, mixed, lesion loss off, synthetic first",
    "grader": "One backbone",
    "grader_scratch": "One backbone, random start",
    "resnet18": "One backbone",
    "early": "Split early",
    "middle": "Split in the middle",
    "late": "Split late",
    "vgg19": "VGG19",
    "masks_5": "5 masks",
    "masks_9": "9 masks",
    "masks_18": "18 masks",
    "masks_27": "27 masks",
    "steps_0": "no step",
    "steps_1": "one step",
    "union_sum": "union: sum",
    "pooling_mean": "pooling: mean",
    "once": "each image once",
    "weighted": "weighted grades",
    "ordinal": "ordinal loss",
    "leaks": "leaks kept",
    "all_photographs": "+ no validation images",
    "as_published": "+ alternating",
}
"""Row of those tables and of `ablations` → name."""
