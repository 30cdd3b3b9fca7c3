"""What pldmlt and sunet say about their tables, in our words."""

from __future__ import annotations

from fundus_lib.published.claim import (
    Claim,
    about,
    adds_up,
    better,
    cell,
    differ,
    insignificant,
    rows_of,
)

SEG, GRADE = ["mdice", "miou"], ["accuracy"]


def _pldmlt(number: int, task: str, columns: list[str], *without: str, margin: float = 0) -> list[str]:
    ours = f"{task}: Ours"
    rivals = rows_of("pldmlt", number, ours, *(f"{task}: {name}" for name in without))
    return [f"Table {number}, {x}" for x in better("pldmlt", (number, ours), rivals, columns, margin)]


_PL = [
    Claim(
        "pldmlt",
        "Abstract",
        "It segments better than all other methods, on both tables.",
        lambda: _pldmlt(1, "segmentation", SEG) + _pldmlt(2, "segmentation", SEG),
    ),
    Claim(
        "pldmlt",
        "Section 4.3",
        "It is better than supervised single-task methods in both tasks (abstract: in grading it competes with them).",
        lambda: [
            x
            for number in (1, 2)
            for task, columns in (("segmentation", SEG), ("grading", GRADE))
            for x in _pldmlt(number, task, columns, "MTUnet")
        ],
    ),
    Claim(
        "pldmlt",
        "Section 4.3",
        "In segmentation on IDRiD it is at least 1.05 % ahead of single-task methods.",
        lambda: _pldmlt(1, "segmentation", SEG, "MTUnet", margin=1.05),
    ),
    Claim(
        "pldmlt",
        "Section 4.3",
        "In grading on IDRiD it is at least 4.68 % ahead of single-task methods.",
        lambda: _pldmlt(1, "grading", GRADE, "MTUnet", margin=4.68),
    ),
    Claim(
        "pldmlt",
        "Section 4.3",
        "Results on DDR are similar (at least: half of these margins).",
        lambda: (
            _pldmlt(2, "segmentation", SEG, "MTUnet", margin=1.05 / 2)
            + _pldmlt(2, "grading", GRADE, "MTUnet", margin=4.68 / 2)
        ),
    ),
    Claim(
        "pldmlt",
        "Section 4.3",
        "MTUnet grades better, but segments worse.",
        lambda: [
            f"Table {n}, {x}"
            for n in (1, 2)
            for x in (
                better("pldmlt", (n, "grading: MTUnet"), [(n, "grading: Ours")], GRADE)
                + better("pldmlt", (n, "segmentation: Ours"), [(n, "segmentation: MTUnet")], SEG)
            )
        ],
    ),
    Claim(
        "pldmlt",
        "Section 4.4",
        "The grading loss alone lowers the segmentation scores (Table 3).",
        lambda: better("pldmlt", (3, "L_S"), [(3, "L_S + L_C")], SEG),
    ),
    Claim(
        "pldmlt",
        "Section 4.4",
        "The update network improves the segmentation to some extent (Table 3).",
        lambda: better("pldmlt", (3, "L_S + L_C + Upd-Net"), [(3, "L_S + L_C")], SEG),
    ),
    Claim(
        "pldmlt",
        "Section 4.4",
        "With all parts the segmentation is best (Table 3).",
        lambda: better(
            "pldmlt",
            (3, "L_S + L_C + Upd-Net + Weight"),
            rows_of("pldmlt", 3, "L_S + L_C + Upd-Net + Weight"),
            SEG,
        ),
    ),
    Claim(
        "pldmlt",
        "Section 3.2",
        "A weight of 0.8 for the grading loss gave the best results.",
        lambda: [
            f"Table {n}: {x}"
            for n in (1, 2)
            for x in differ(cell("pldmlt", n, "segmentation: Ours", "weight"), "[1,0.8]")
        ],
    ),
    Claim(
        "pldmlt",
        "Conclusion",
        "Segmentation reaches 96.949 and 98.897, grading 57.69 and 81.98.",
        lambda: [
            x
            for n, task, column, said in (
                (1, "segmentation", "mdice", "96.949"),
                (2, "segmentation", "mdice", "98.897"),
                (1, "grading", "accuracy", "57.69"),
                (2, "grading", "accuracy", "81.98"),
            )
            for x in differ(cell("pldmlt", n, f"{task}: Ours", column), said)
        ],
    ),
    Claim("pldmlt", "Section 4.1", "84 + 5 images are the 89 of DiaRetDB1.", lambda: adds_up((84, 5), 89)),
]

ALL3 = ["total", "dr", "dme"]
_SU = [
    Claim(
        "sunet",
        "Abstract",
        "It outperforms existing methods in DR and in DME grading (Table 2).",
        lambda: better("sunet", (2, "SUNet"), rows_of("sunet", 2, "SUNet"), ALL3[1:]),
    ),
    Claim(
        "sunet",
        "Abstract",
        "It does so significantly (as statistics use the word: p < 0.05).",
        lambda: insignificant("sunet", 2, "SUNet", ALL3[1:]),
    ),
    Claim(
        "sunet",
        "Section 3.2",
        "Learning both grades helps DR and hurts DME (Table 1).",
        lambda: (
            better("sunet", (1, "DR+DME"), [(1, "DR")], ["dr"]) + better("sunet", (1, "DME"), [(1, "DR+DME")], ["dme"])
        ),
    ),
    Claim(
        "sunet",
        "Section 3.2",
        "The lesion regulariser gives DR about 0.1 and DME about 0.02.",
        lambda: (
            about(cell("sunet", 1, "DR+LR", "dr"), cell("sunet", 1, "DR", "dr"), 0.095, 0.115)
            + about(cell("sunet", 1, "DME+LR", "dme"), cell("sunet", 1, "DME", "dme"), 0.015, 0.025)
        ),
    ),
    Claim(
        "sunet",
        "Section 3.2",
        "It gives the total accuracy nearly 0.09.",
        lambda: about(cell("sunet", 1, "SUNet", "total"), cell("sunet", 1, "DR+DME", "total"), 0.085, 0.09),
    ),
    Claim(
        "sunet",
        "Section 3.2",
        "It outperforms VGG19 and ResNet34 (Table 2).",
        lambda: better("sunet", (2, "SUNet"), [(2, "VGG19"), (2, "ResNet34")], ALL3),
    ),
    Claim(
        "sunet",
        "Section 3.2",
        "It would be second in the challenge.",
        lambda: (
            better("sunet", (2, "1st"), [(2, "SUNet")], ["total"])
            + better("sunet", (2, "SUNet"), [(2, "2nd"), (2, "3rd")], ["total"])
        ),
    ),
    Claim("sunet", "Section 3.1", "413 training and 103 test images are 516.", lambda: adds_up((413, 103), 516)),
]

ON_GRADING: tuple[Claim, ...] = (*_PL, *_SU)
"""The claims of the two papers that grade."""
