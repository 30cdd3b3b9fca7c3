"""What local_global says about its tables, in our words."""

from __future__ import annotations

from fundus_lib.published.claim import Claim, check_ahead, check_sum, list_rows
from fundus_lib.published.printed import info, table

LESIONS = ["ex", "ma", "he", "se"]

LEADERBOARD = {"ex": 0.8850, "ma": 0.5017, "he": 0.6804, "se": 0.6995}
"""The best AUPR of each lesion in the challenge of 2018, of three teams (Porwal et al. 2020); not in the paper."""


def _behind_the_challenge(row: str) -> list[str]:
    """Lesions of which a row is not above the challenge's best."""
    ours = table("local_global", 1).loc[row]
    return [f"{c}: {best:.4f} against {ours[c]:.3f}" for c, best in LEADERBOARD.items() if ours[c] <= best]


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "Abstract",
        "The fused network is ahead of global and of local ones (Section 3.2: not of global ones for HE and SE).",
        lambda: check_ahead(
            "local_global", (1, "Our fused model"), list_rows("local_global", 1, "Our fused model"), LESIONS
        ),
    ),
    Claim(
        "Section 3.2",
        "It is ahead of both for EX and MA.",
        lambda: check_ahead(
            "local_global", (1, "Our fused model"), list_rows("local_global", 1, "Our fused model"), LESIONS[:2]
        ),
    ),
    Claim(
        "Section 3.2",
        "For HE and SE it is ahead of the local network.",
        lambda: check_ahead("local_global", (1, "Our fused model"), [(1, "LocalNet")], LESIONS[2:]),
    ),
    Claim(
        "Table 1",
        "Bold marks the best of each column.",
        lambda: [
            x
            for row, c in info("local_global", 1).bold
            for x in check_ahead("local_global", (1, row), list_rows("local_global", 1, row), [c])
        ],
    ),
    Claim(
        "Section 3.2",
        "It is beyond all results of the challenge's leaderboard (read: the fused network, for all four lesions).",
        lambda: _behind_the_challenge("Our fused model"),
    ),
    Claim("Section 2.2", "54 training and 27 test images are 81.", lambda: check_sum((54, 27), 81)),
)
