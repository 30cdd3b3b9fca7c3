"""Names for the rows of dual_branch's recipes, as figures and tables of the book show them."""

from __future__ import annotations

DUAL, SINGLE = "Dual branch", "Single branch"

NAMES: dict[str, str] = {
    "unet_dual_dsm": f"{DUAL}, DSM loss",
    "unet_dual_dice": f"{DUAL}, Dice losses",
    "unet_dice": f"{SINGLE}, Dice loss",
    "unet_dice_long": f"{SINGLE}, Dice loss, twice the epochs",
    "unet_cbce": f"{SINGLE}, CBCE",
    "unet_ce": f"{SINGLE}, cross-entropy",
    "unet_dice_synthetic": f"{SINGLE}, Dice loss, synthetic first",
    "unet_dual_dsm_synthetic": f"{DUAL}, DSM loss, synthetic first",
    "pspnet_dice": f"{SINGLE}, Dice loss (PSPNet)",
    "pspnet_dual_dsm": f"{DUAL}, DSM loss (PSPNet)",
    "p25": "p = 0.25",
    "p75": "p = 0.75",
    "reverse": "p: reverse frequency",
    "equation": "schedule of Eq. 5",
    "not_shared": "nothing shared",
    "sampled": "pixels drawn",
    "sgd": "SGD",
    "sgd_equation": "SGD, schedule of Eq. 5",
}
"""Row of the tables `small`, `paper_size` and `ablations` → name; rows of the paper's tables keep the printed names."""
