"""What a person calls the rows of the benchmark."""

from __future__ import annotations

NAMES = {
    "chosen": "the base",
    "base": "the start",
    "two_branches": "two branches",
    "two_branches_dice": "two branches, Dice",
    "two_branches_dsm": "two branches, DSM loss",
    "hecl": "contrast: density and edge",
    "hecl_density": "contrast: density",
    "hecl_edge": "contrast: edge",
    "global_context": "global context, fused",
    "wide": "wider U-Net",
    "grades_control": "blending block, no grades",
    "grades_shared": "grades, shared map",
    "grades_blending": "grades, blending block",
    "grades_pseudo": "grades from pseudo labels",
    "loss_dice": "Dice loss",
    "loss_classbalanced": "class-balanced loss",
    "loss_bin": "bin loss",
    "loss_weighted": "weighted loss",
    "loss_focal": "focal loss",
    "steps_2000": "2,000 steps",
    "steps_4000": "4,000 steps",
    "batch_3": "2,000 steps of 3 crops",
    "batch_12": "500 steps of 12 crops",
    "rate_0.001": "half the learning rate",
    "rate_0.004": "twice the learning rate",
    "average_0.99": "average of weights, .99",
    "average_0.998": "average of weights, .998",
    "width_8": "half the width",
    "width_32": "twice the width",
    "depth_3": "one level less",
    "depth_5": "one level more",
    "crop_192": "crops of 192²",
    "crop_320": "crops of 320²",
    "crop_448": "crops of 448²",
    "lesion_sampling": "crops by kind of lesion",
    "anywhere": "crops anywhere",
    "half_anywhere": "half of the crops anywhere",
    "colour_0": "no colour jitter",
    "colour_0.4": "twice the colour jitter",
    "zoom_1.3": "zoom up to 1.3",
    "one_view": "one view in the test",
    "by_image": "colours of each image",
    "dice": "Dice loss",
    "classbalanced": "class-balanced loss",
    "dice_crossentropy": "Dice + CE",
    "dice_crossentropy_batch_3": "Dice + CE, 2,000 steps of 3",
    "dice_crossentropy_lesions": "the same, by kind of lesion",
}


def name_row(row: str) -> str:
    """A row in words: its name, or its identifier with spaces."""
    return NAMES.get(row, row.replace("_", " "))
