"""What local_global says about its tables, in our words."""

from __future__ import annotations

from fundus_lib.published.claim import Claim, check_ahead, check_sum, list_rows
from fundus_lib.published.printed import info

LESIONS = ["ex", "ma", "he", "se"]

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
    Claim("Section 2.2", "54 training and 27 test images are 81.", lambda: check_sum((54, 27), 81)),
)
