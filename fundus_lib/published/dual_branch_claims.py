"""What dual_branch says about its tables, in our words."""

from __future__ import annotations

from fractions import Fraction

from fundus_lib.published.claim import Claim, check_ahead, check_sum, list_rows, read_cell
from fundus_lib.published.digits import interval

REGION = ["f_0.2", "f_0.35", "f_0.5", "f_0.65", "f_0.8"]
PIXEL = ["f1", "iou", "aupr"]
NETS = ("PSPNet", "Deeplabv3", "HED")
DUAL = {"PSPNet": "Dual PSPNet + DSM", "Deeplabv3": "Dual Deeplabv3+DSM", "HED": "Dual HED + DSM"}
OURS = [f"Dual {net} + DSM (Ours)" for net in NETS]


def _size_variation() -> list[str]:
    found = []
    for row, times in (("DDR", 48), ("IDRiD", 22)):
        large, small = (interval(read_cell("dual_branch", 1, row, f"size_{name}")) for name in ("large", "small"))
        if not large.low / small.high <= times + Fraction(1, 2) or not large.high / small.low >= times - Fraction(1, 2):
            found.append(f"{row}: {float(large.low / small.high):.1f} to {float(large.high / small.low):.1f} times")
    return found


def _dual_over(number: int, columns: list[str], losses: tuple[str, ...], nets: tuple[str, ...] = NETS) -> list[str]:
    return [
        line
        for net in nets
        for line in check_ahead("dual_branch", (number, DUAL[net]), [(number, f"{net} + {x}") for x in losses], columns)
    ]


def _best_of_ours(number: int, ours: list[str], columns: list[str]) -> list[str]:
    """Columns in which none of ours is ahead of all others."""
    others = list_rows("dual_branch", number, *ours)
    losing = [[line for c in columns for line in check_ahead("dual_branch", (number, o), others, [c])] for o in ours]
    return [
        next(line for line in losing[0] if line.startswith(f"{c}:"))
        for c in columns
        if all(any(line.startswith(f"{c}:") for line in lines) for lines in losing)
    ]


_BOTH = ("CBCE", "Dice")

CLAIMS: tuple[Claim, ...] = (
    Claim("Introduction", "Region sizes vary 48-fold on DDR and 22-fold on IDRiD.", _size_variation),
    Claim("Data", "383 + 149 + 225 images are the 757 of DDR.", lambda: check_sum((383, 149, 225), 757)),
    Claim(
        "Effect of sample rate",
        "The network is best at a sample rate of 0.5 (Table 2).",
        lambda: check_ahead("dual_branch", (2, "0.5"), list_rows("dual_branch", 2, "0.5"), PIXEL),
    ),
    Claim(
        "Different losses",
        "On DDR, Dice loss gives single networks a better F1 than CBCE (Table 3).",
        lambda: [x for n in NETS for x in check_ahead("dual_branch", (3, f"{n} + Dice"), [(3, f"{n} + CBCE")], ["f1"])],
    ),
    Claim("Different losses", "On DDR, dual networks lead in IoU.", lambda: _dual_over(3, ["iou"], _BOTH)),
    Claim(
        "Different losses",
        "On DDR, dual networks lead in AUPR, but for HED.",
        lambda: _dual_over(3, ["aupr"], _BOTH, NETS[:2]),
    ),
    Claim(
        "Different losses",
        "On DDR, dual DeepLabV3 leads in every region score.",
        lambda: _dual_over(3, REGION, _BOTH, ("Deeplabv3",)),
    ),
    Claim(
        "Different losses",
        "On DDR, dual PSPNet leads in every region score but at σ = 0.65.",
        lambda: _dual_over(3, [c for c in REGION if c != "f_0.65"], _BOTH, ("PSPNet",)),
    ),
    Claim(
        "Different losses",
        "On DDR, dual HED beats HED with Dice up to σ = 0.5 and loses beyond.",
        lambda: (
            _dual_over(3, REGION[:3], ("Dice",), ("HED",))
            + check_ahead("dual_branch", (3, "HED + Dice"), [(3, DUAL["HED"])], REGION[3:])
        ),
    ),
    Claim(
        "Different losses",
        "On IDRiD, dual networks beat both single ones, but for HED at σ = 0.5 (Table 4).",
        lambda: [line for line in _dual_over(4, PIXEL + REGION, _BOTH) if not line.startswith("f_0.5: HED + Dice")],
    ),
    Claim(
        "State of the art",
        "On DDR, all dual networks are ahead in pixel and region scores (Table 5).",
        lambda: [
            x
            for o in OURS
            for x in check_ahead("dual_branch", (5, o), list_rows("dual_branch", 5, *OURS), PIXEL + REGION)
        ],
    ),
    Claim(
        "State of the art",
        "On IDRiD, the dual network is ahead of all others (Table 6): at least one of the three.",
        lambda: _best_of_ours(6, [*OURS[:2], "Dual HED + DSM"], PIXEL + REGION),
    ),
)
