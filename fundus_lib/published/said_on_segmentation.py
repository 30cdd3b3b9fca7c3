"""What dual_branch, local_global and hecl say about their tables, in our words."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from fundus_lib.published.claim import (
    Claim,
    adds_up,
    better,
    cell,
    differ,
    rows_of,
    within_chance,
)
from fundus_lib.published.digits import interval
from fundus_lib.published.printed import info, table

REGION = ["f_0.2", "f_0.35", "f_0.5", "f_0.65", "f_0.8"]
PIXEL = ["f1", "iou", "aupr"]
NETS = ("PSPNet", "Deeplabv3", "HED")
DUAL = {"PSPNet": "Dual PSPNet + DSM", "Deeplabv3": "Dual Deeplabv3+DSM", "HED": "Dual HED + DSM"}
OURS = [f"Dual {net} + DSM (Ours)" for net in NETS]


LESIONS = ["ex", "ma", "he", "se"]


def _size_variation() -> list[str]:
    found = []
    for row, times in (("DDR", 48), ("IDRiD", 22)):
        large, small = (interval(cell("dual_branch", 1, row, f"size_{name}")) for name in ("large", "small"))
        if not large.low / small.high <= times + Fraction(1, 2) or not large.high / small.low >= times - Fraction(1, 2):
            found.append(f"{row}: {float(large.low / small.high):.1f} to {float(large.high / small.low):.1f} times")
    return found


def _dual_over(number: int, columns: list[str], losses: tuple[str, ...], nets: tuple[str, ...] = NETS) -> list[str]:
    return [
        line
        for net in nets
        for line in better("dual_branch", (number, DUAL[net]), [(number, f"{net} + {x}") for x in losses], columns)
    ]


def _best_of_ours(number: int, ours: list[str], columns: list[str]) -> list[str]:
    """Columns in which none of ours is ahead of all others."""
    others = rows_of("dual_branch", number, *ours)
    losing = [[line for c in columns for line in better("dual_branch", (number, o), others, [c])] for o in ours]
    return [
        next(line for line in losing[0] if line.startswith(f"{c}:"))
        for c in columns
        if all(any(line.startswith(f"{c}:") for line in lines) for lines in losing)
    ]


_BOTH = ("CBCE", "Dice")
_DB = [
    Claim("dual_branch", "Introduction", "Region sizes vary 48-fold on DDR and 22-fold on IDRiD.", _size_variation),
    Claim("dual_branch", "Data", "383 + 149 + 225 images are the 757 of DDR.", lambda: adds_up((383, 149, 225), 757)),
    Claim(
        "dual_branch",
        "Effect of sample rate",
        "The network is best at a sample rate of 0.5 (Table 2).",
        lambda: better("dual_branch", (2, "0.5"), rows_of("dual_branch", 2, "0.5"), PIXEL),
    ),
    Claim(
        "dual_branch",
        "Different losses",
        "On DDR, Dice loss gives single networks a better F1 than CBCE (Table 3).",
        lambda: [x for n in NETS for x in better("dual_branch", (3, f"{n} + Dice"), [(3, f"{n} + CBCE")], ["f1"])],
    ),
    Claim(
        "dual_branch", "Different losses", "On DDR, dual networks lead in IoU.", lambda: _dual_over(3, ["iou"], _BOTH)
    ),
    Claim(
        "dual_branch",
        "Different losses",
        "On DDR, dual networks lead in AUPR, but for HED.",
        lambda: _dual_over(3, ["aupr"], _BOTH, NETS[:2]),
    ),
    Claim(
        "dual_branch",
        "Different losses",
        "On DDR, dual DeepLabV3 leads in every region score.",
        lambda: _dual_over(3, REGION, _BOTH, ("Deeplabv3",)),
    ),
    Claim(
        "dual_branch",
        "Different losses",
        "On DDR, dual PSPNet leads in every region score but at σ = 0.65.",
        lambda: _dual_over(3, [c for c in REGION if c != "f_0.65"], _BOTH, ("PSPNet",)),
    ),
    Claim(
        "dual_branch",
        "Different losses",
        "On DDR, dual HED beats HED with Dice up to σ = 0.5 and loses beyond.",
        lambda: (
            _dual_over(3, REGION[:3], ("Dice",), ("HED",))
            + better("dual_branch", (3, "HED + Dice"), [(3, DUAL["HED"])], REGION[3:])
        ),
    ),
    Claim(
        "dual_branch",
        "Different losses",
        "On IDRiD, dual networks beat both single ones, but for HED at σ = 0.5 (Table 4).",
        lambda: [line for line in _dual_over(4, PIXEL + REGION, _BOTH) if not line.startswith("f_0.5: HED + Dice")],
    ),
    Claim(
        "dual_branch",
        "State of the art",
        "On DDR, all dual networks are ahead in pixel and region scores (Table 5).",
        lambda: [
            x for o in OURS for x in better("dual_branch", (5, o), rows_of("dual_branch", 5, *OURS), PIXEL + REGION)
        ],
    ),
    Claim(
        "dual_branch",
        "State of the art",
        "On IDRiD, the dual network is ahead of all others (Table 6): at least one of the three.",
        lambda: _best_of_ours(6, [*OURS[:2], "Dual HED + DSM"], PIXEL + REGION),
    ),
]

_LG = [
    Claim(
        "local_global",
        "Abstract",
        "The fused network is ahead of global and of local ones (Section 3.2: not of global ones for HE and SE).",
        lambda: better("local_global", (1, "Our fused model"), rows_of("local_global", 1, "Our fused model"), LESIONS),
    ),
    Claim(
        "local_global",
        "Section 3.2",
        "It is ahead of both for EX and MA.",
        lambda: better(
            "local_global", (1, "Our fused model"), rows_of("local_global", 1, "Our fused model"), LESIONS[:2]
        ),
    ),
    Claim(
        "local_global",
        "Section 3.2",
        "For HE and SE it is ahead of the local network.",
        lambda: better("local_global", (1, "Our fused model"), [(1, "LocalNet")], LESIONS[2:]),
    ),
    Claim(
        "local_global",
        "Table 1",
        "Bold marks the best of each column.",
        lambda: [
            x
            for row, c in info("local_global", 1).bold
            for x in better("local_global", (1, row), rows_of("local_global", 1, row), [c])
        ],
    ),
    Claim("local_global", "Section 2.2", "54 training and 27 test images are 81.", lambda: adds_up((54, 27), 81)),
]
H4 = ["iou", "f1", "auc", "recall"]
PAIRS = [(net, f"{net} w/ Proposed") for net in ("U-Net", "ResUnet", "CE-Net", "UNet++")]


def _gains(doubts: Callable[[str, str, list[str]], list[str]]) -> list[str]:
    """What speaks against a gain of each network, but for the AUC of UNet++: that it falls is said in the text."""
    return [x for plain, ours in PAIRS for x in doubts(plain, ours, [c for c in H4 if (plain, c) != ("UNet++", "auc")])]


_HE = [
    Claim(
        "hecl",
        "Section 4.2",
        "It has the best IoU, F1 and recall (Table 1).",
        lambda: better("hecl", (1, "Ours"), rows_of("hecl", 1, "Ours"), ["iou", "f1", "recall"]),
    ),
    Claim(
        "hecl",
        "Section 4.1",
        "It is compared with UNet++, H-DenseUNet, Att-UNet, DeepLabv3+, HED and CogSeg (Tables 1 and 2).",
        lambda: [
            f"no row {name}"
            for name in ("UNet++", "H-DenseUNet", "Att-UNet", "DeepLabv3+", "HED", "CogSeg")
            if name not in table("hecl", 1).index.union(table("hecl", 2).index)
        ],
    ),
    Claim(
        "hecl",
        "Section 4.2",
        "Table 2 shows it on three backbones (besides its own, UNet++).",
        lambda: differ(str(sum("w/" not in row for row in table("hecl", 2).index.drop("UNet++"))), "3"),
    ),
    Claim(
        "hecl",
        "Section 4.2",
        "It improves every metric of every network (Table 2; granted: the AUC of UNet++).",
        lambda: _gains(lambda plain, ours, columns: better("hecl", (2, ours), [(2, plain)], columns)),
    ),
    Claim(
        "hecl",
        "Section 4.2",
        "The improvements are substantial (at least: more than the spread over five runs explains).",
        lambda: _gains(lambda plain, ours, columns: within_chance("hecl", 2, [(plain, ours)], columns)),
    ),
    Claim(
        "hecl",
        "Section 4.2",
        "Both terms together are better than each alone, but for AUC.",
        lambda: better(
            "hecl", (2, "UNet++ w/ Proposed"), [(2, "UNet++ w/ L_pd"), (2, "UNet++ w/ L_de")], ["iou", "f1", "recall"]
        ),
    ),
    Claim(
        "hecl",
        "Table 2",
        "The underlined IoU is the second best.",
        lambda: [
            x
            for row, c in info("hecl", 2).second
            for x in better("hecl", (2, row), rows_of("hecl", 2, row, "UNet++ w/ Proposed"), [c])
        ],
    ),
    Claim("hecl", "Section 4", "54 training and 27 test images are 81.", lambda: adds_up((54, 27), 81)),
]

ON_SEGMENTATION: tuple[Claim, ...] = (*_DB, *_LG, *_HE)
"""The claims of the three papers on segmentation."""
