"""What hecl says about its tables, in our words."""

from __future__ import annotations

from collections.abc import Callable

from fundus_lib.published.claim import Claim, check_ahead, check_beyond_chance, check_equal, check_sum, list_rows
from fundus_lib.published.printed import info, table

H4 = ["iou", "f1", "auc", "recall"]
PAIRS = [(net, f"{net} w/ Proposed") for net in ("U-Net", "ResUnet", "CE-Net", "UNet++")]


def _gains(doubts: Callable[[str, str, list[str]], list[str]]) -> list[str]:
    """What speaks against a gain of each network, but for the AUC of UNet++: that it falls is said in the text."""
    return [x for plain, ours in PAIRS for x in doubts(plain, ours, [c for c in H4 if (plain, c) != ("UNet++", "auc")])]


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "Section 4.2",
        "It has the best IoU, F1 and recall (Table 1).",
        lambda: check_ahead("hecl", (1, "Ours"), list_rows("hecl", 1, "Ours"), ["iou", "f1", "recall"]),
    ),
    Claim(
        "Section 4.1",
        "It is compared with UNet++, H-DenseUNet, Att-UNet, DeepLabv3+, HED and CogSeg (Tables 1 and 2).",
        lambda: [
            f"no row {name}"
            for name in ("UNet++", "H-DenseUNet", "Att-UNet", "DeepLabv3+", "HED", "CogSeg")
            if name not in table("hecl", 1).index.union(table("hecl", 2).index)
        ],
    ),
    Claim(
        "Section 4.2",
        "Table 2 shows it on three backbones (besides its own, UNet++).",
        lambda: check_equal(str(sum("w/" not in row for row in table("hecl", 2).index.drop("UNet++"))), "3"),
    ),
    Claim(
        "Section 4.2",
        "It improves every metric of every network (Table 2; granted: the AUC of UNet++).",
        lambda: _gains(lambda plain, ours, columns: check_ahead("hecl", (2, ours), [(2, plain)], columns)),
    ),
    Claim(
        "Section 4.2",
        "The improvements are substantial (at least: more than the spread over five runs explains).",
        lambda: _gains(lambda plain, ours, columns: check_beyond_chance("hecl", 2, [(plain, ours)], columns)),
    ),
    Claim(
        "Section 4.2",
        "Both terms together are better than each alone, but for AUC.",
        lambda: check_ahead(
            "hecl", (2, "UNet++ w/ Proposed"), [(2, "UNet++ w/ L_pd"), (2, "UNet++ w/ L_de")], ["iou", "f1", "recall"]
        ),
    ),
    Claim(
        "Table 2",
        "The underlined IoU is the second best.",
        lambda: [
            x
            for row, c in info("hecl", 2).second
            for x in check_ahead("hecl", (2, row), list_rows("hecl", 2, row, "UNet++ w/ Proposed"), [c])
        ],
    ),
    Claim("Section 4", "54 training and 27 test images are 81.", lambda: check_sum((54, 27), 81)),
)
