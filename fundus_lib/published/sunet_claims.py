"""What sunet says about its tables, in our words."""

from __future__ import annotations

from fundus_lib.published.claim import (
    Claim,
    check_ahead,
    check_difference,
    check_significant,
    check_sum,
    list_rows,
    read_cell,
)

ALL3 = ["total", "dr", "dme"]
CLAIMS: tuple[Claim, ...] = (
    Claim(
        "Abstract",
        "It outperforms existing methods in DR and in DME grading (Table 2).",
        lambda: check_ahead("sunet", (2, "SUNet"), list_rows("sunet", 2, "SUNet"), ALL3[1:]),
    ),
    Claim(
        "Abstract",
        "It does so significantly (as statistics use the word: p < 0.05).",
        lambda: check_significant("sunet", 2, "SUNet", ALL3[1:]),
    ),
    Claim(
        "Section 3.2",
        "Learning both grades helps DR and hurts DME (Table 1).",
        lambda: (
            check_ahead("sunet", (1, "DR+DME"), [(1, "DR")], ["dr"])
            + check_ahead("sunet", (1, "DME"), [(1, "DR+DME")], ["dme"])
        ),
    ),
    Claim(
        "Section 3.2",
        "The lesion regulariser gives DR about 0.1 and DME about 0.02.",
        lambda: (
            check_difference(read_cell("sunet", 1, "DR+LR", "dr"), read_cell("sunet", 1, "DR", "dr"), 0.095, 0.115)
            + check_difference(
                read_cell("sunet", 1, "DME+LR", "dme"), read_cell("sunet", 1, "DME", "dme"), 0.015, 0.025
            )
        ),
    ),
    Claim(
        "Section 3.2",
        "It gives the total accuracy nearly 0.09.",
        lambda: check_difference(
            read_cell("sunet", 1, "SUNet", "total"), read_cell("sunet", 1, "DR+DME", "total"), 0.085, 0.09
        ),
    ),
    Claim(
        "Section 3.2",
        "It outperforms VGG19 and ResNet34 (Table 2).",
        lambda: check_ahead("sunet", (2, "SUNet"), [(2, "VGG19"), (2, "ResNet34")], ALL3),
    ),
    Claim(
        "Section 3.2",
        "It would be second in the challenge.",
        lambda: (
            check_ahead("sunet", (2, "1st"), [(2, "SUNet")], ["total"])
            + check_ahead("sunet", (2, "SUNet"), [(2, "2nd"), (2, "3rd")], ["total"])
        ),
    ),
    Claim("Section 3.1", "413 training and 103 test images are 516.", lambda: check_sum((413, 103), 516)),
)
