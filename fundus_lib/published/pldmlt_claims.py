"""What pldmlt says about its tables, in our words."""

from __future__ import annotations

from fundus_lib.published.claim import Claim, check_ahead, check_equal, check_sum, list_rows, read_cell

SEG, GRADE = ["mdice", "miou"], ["accuracy"]


def _pldmlt(number: int, task: str, columns: list[str], *without: str, margin: float = 0) -> list[str]:
    ours = f"{task}: Ours"
    rivals = list_rows("pldmlt", number, ours, *(f"{task}: {name}" for name in without))
    return [f"Table {number}, {x}" for x in check_ahead("pldmlt", (number, ours), rivals, columns, margin)]


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "Abstract",
        "It segments better than all other methods, on both tables.",
        lambda: _pldmlt(1, "segmentation", SEG) + _pldmlt(2, "segmentation", SEG),
    ),
    Claim(
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
        "Section 4.3",
        "In segmentation on IDRiD it is at least 1.05 % ahead of single-task methods.",
        lambda: _pldmlt(1, "segmentation", SEG, "MTUnet", margin=1.05),
    ),
    Claim(
        "Section 4.3",
        "In grading on IDRiD it is at least 4.68 % ahead of single-task methods.",
        lambda: _pldmlt(1, "grading", GRADE, "MTUnet", margin=4.68),
    ),
    Claim(
        "Section 4.3",
        "Results on DDR are similar (at least: half of these margins).",
        lambda: (
            _pldmlt(2, "segmentation", SEG, "MTUnet", margin=1.05 / 2)
            + _pldmlt(2, "grading", GRADE, "MTUnet", margin=4.68 / 2)
        ),
    ),
    Claim(
        "Section 4.3",
        "MTUnet grades better, but segments worse.",
        lambda: [
            f"Table {n}, {x}"
            for n in (1, 2)
            for x in (
                check_ahead("pldmlt", (n, "grading: MTUnet"), [(n, "grading: Ours")], GRADE)
                + check_ahead("pldmlt", (n, "segmentation: Ours"), [(n, "segmentation: MTUnet")], SEG)
            )
        ],
    ),
    Claim(
        "Section 4.4",
        "The grading loss alone lowers the segmentation scores (Table 3).",
        lambda: check_ahead("pldmlt", (3, "L_S"), [(3, "L_S + L_C")], SEG),
    ),
    Claim(
        "Section 4.4",
        "The update network improves the segmentation to some extent (Table 3).",
        lambda: check_ahead("pldmlt", (3, "L_S + L_C + Upd-Net"), [(3, "L_S + L_C")], SEG),
    ),
    Claim(
        "Section 4.4",
        "With all parts the segmentation is best (Table 3).",
        lambda: check_ahead(
            "pldmlt",
            (3, "L_S + L_C + Upd-Net + Weight"),
            list_rows("pldmlt", 3, "L_S + L_C + Upd-Net + Weight"),
            SEG,
        ),
    ),
    Claim(
        "Section 3.2",
        "A weight of 0.8 for the grading loss gave the best results.",
        lambda: [
            f"Table {n}: {x}"
            for n in (1, 2)
            for x in check_equal(read_cell("pldmlt", n, "segmentation: Ours", "weight"), "[1,0.8]")
        ],
    ),
    Claim(
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
            for x in check_equal(read_cell("pldmlt", n, f"{task}: Ours", column), said)
        ],
    ),
    Claim("Section 4.1", "84 + 5 images are the 89 of DiaRetDB1.", lambda: check_sum((84, 5), 89)),
)
