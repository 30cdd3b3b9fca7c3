"""Every audit on every row: the known violations are listed here, so that a typing error or a new finding fails."""

from __future__ import annotations

import pandas as pd
import pytest

from fundus_lib import published
from fundus_lib.errors import UnknownNameError
from fundus_lib.published import audits

# laws that hold whatever the protocol: (paper, table, row, law, columns at fault)
BROKEN = {
    ("dual_branch", 5, "Dual PSPNet + DSM (Ours)", "as in Table 3, Dual PSPNet + DSM", "all"),
    ("dual_branch", 5, "Dual PSPNet + DSM (Ours)", "unlike Table 3, PSPNet + Dice", "all"),
    ("pldmlt", 1, "segmentation: FPN", "IoU within its band", "miou"),
    ("pldmlt", 3, "L_S + L_C + Upd-Net", "IoU within its band", "miou"),
    ("pldmlt", 3, "L_S + L_C + Upd-Net + Weight", "as in Table 1, segmentation: Ours", "miou"),
    ("sunet", 1, "SUNet", "accuracy is k/103", "dr"),
}
# hold only if digits were truncated instead of rounded
TRUNCATED = {
    ("pldmlt", 2, "segmentation: UNet", "IoU within its band", "miou"),
    ("pldmlt", 2, "segmentation: UNet", "IoU from F1", "miou"),
    ("pldmlt", 2, "segmentation: Ours", "IoU from F1", "miou"),
    ("sunet", 1, "SUNet", "accuracy is k/103", "total"),
    ("sunet", 2, "SUNet", "accuracy is k/103", "total"),
}
# cannot come from pooled counts; all by IoU from F1
NOT_POOLED = {
    ("pldmlt", 1): ["UNet", "LinkNet", "FPN", "MTUnet", "Ours"],
    ("pldmlt", 3): ["L_S", "L_S + L_C + Upd-Net"],
    ("hecl", 1): ["H-DenseUNet", "Att-UNet", "DeepLabv3+", "HED", "CogSeg", "Ours"],
    ("hecl", 2): [
        "U-Net",
        "U-Net w/ Proposed",
        "ResUnet",
        "ResUnet w/ Proposed",
        "CE-Net",
        "CE-Net w/ Proposed",
        "UNet++",
        "UNet++ w/ L_pd",
        "UNet++ w/ L_de",
        "UNet++ w/ Proposed",
    ],
}
# no count out of any set, or fifth of a set, that the paper names
NO_COUNT = {
    ("pldmlt", 1): ["NASNet", "DenseNet-201", "MTUnet", "Ours"],
    ("pldmlt", 2): ["NASNet", "DenseNet-201", "ResNeXt-50", "MTUnet", "Ours"],
}


@pytest.fixture(scope="module")
def audit() -> pd.DataFrame:
    found = published.audit()
    found["fault"] = ["all" if len(cells) == 8 else " ".join(cells) for cells in found["cells"]]
    return found


def found_in(audit: pd.DataFrame) -> set[tuple[object, ...]]:
    return set(audit[["paper", "table", "row", "law", "fault"]].itertuples(index=False, name=None))


def test_laws_that_always_hold(audit: pd.DataFrame) -> None:
    assert found_in(audit[(audit.verdict == "broken") & (audit.kind == "always")]) == BROKEN


def test_truncated_digits(audit: pd.DataFrame) -> None:
    assert found_in(audit[audit.verdict == "truncated"]) == TRUNCATED


def test_rows_that_are_not_pooled(audit: pd.DataFrame) -> None:
    known = {
        (paper, number, f"segmentation: {row}" if (paper, number) == ("pldmlt", 1) else row, "IoU from F1")
        for (paper, number), rows in NOT_POOLED.items()
        for row in rows
    }
    broken = audit[(audit.verdict == "broken") & (audit.kind == "pooled")]
    assert {line[:4] for line in found_in(broken)} == known


def test_accuracies_that_are_no_count(audit: pd.DataFrame) -> None:
    known = {(*table, f"grading: {row}") for table, rows in NO_COUNT.items() for row in rows}
    assert {line[:3] for line in found_in(audit[(audit.verdict == "broken") & (audit.kind == "count")])} == known


def test_areas_that_lie_under_no_such_curve(audit: pd.DataFrame) -> None:
    broken = found_in(audit[(audit.verdict == "broken") & (audit.kind == "area")])
    assert broken == {("hecl", 1, "HED", "ROC AUC above recall", "auc")}


def test_summary() -> None:
    counts = published.summary()
    assert list(counts.columns) == [
        "tables",
        "rows",
        "checked",
        "checks",
        "broken",
        "truncated",
        "not_pooled",
        "no_count",
        "no_area",
    ]
    assert {paper: tuple(line) for paper, line in zip(counts.index, counts.to_numpy().tolist(), strict=True)} == {
        "dual_branch": (6, 42, 40, 339, 1, 0, 0, 0, 0),
        "local_global": (1, 3, 2, 2, 0, 0, 0, 0, 0),
        "pldmlt": (3, 28, 28, 45, 3, 1, 7, 9, 0),
        "sunet": (2, 15, 15, 47, 1, 1, 0, 0, 0),
        "hecl": (2, 16, 16, 106, 0, 0, 16, 0, 1),
        "all": (14, 104, 101, 539, 5, 2, 23, 9, 1),
    }


def test_every_row_with_a_score_is_checked() -> None:
    checked = {(check.paper, check.table, check.row) for check in audits.checks()}
    unchecked = {
        (t.paper, t.number, row)
        for t in published.tables()
        for row in published.table(t.paper, t.number).index
        if (t.paper, t.number, row) not in checked
    }
    # one score alone, the first of its kind, and sizes of regions: nothing to hold against them
    assert unchecked == {
        ("dual_branch", 1, "DDR"),
        ("dual_branch", 5, "Deeplabv3+"),
        ("local_global", 1, "GlobalNet"),
    }


def test_no_such_table() -> None:
    for paper, number in (("sunet", 3), ("sunet", 0), ("unet", None), (None, 1), ("sunet", "1")):
        with pytest.raises(UnknownNameError, match="there is no such table"):
            published.audit(paper, number)  # type: ignore[arg-type]


def test_one_paper_and_one_table(audit: pd.DataFrame) -> None:
    assert len(published.audit("sunet")) == (audit.paper == "sunet").sum()
    assert len(published.audit("sunet", 2)) == ((audit.paper == "sunet") & (audit.table == 2)).sum()


@pytest.mark.parametrize(
    ("paper", "number", "old", "new"),
    [
        ("dual_branch", 4, "0.7659", "0.7669"),  # F1
        ("dual_branch", 3, "0.7372", "0.7392"),  # PPV
        ("dual_branch", 6, "0.8642", "0.8942"),  # region score
        ("dual_branch", 2, "0.5587", "0.5578"),  # AUPR, the same as in Table 3
        ("pldmlt", 2, "94.829", "94.289"),  # mIoU
        ("sunet", 2, "0.7864", "0.7846"),  # a count
        ("hecl", 1, "65.65", "66.56"),  # the best of five
    ],
)
def test_a_slip_of_the_finger_is_found(
    paper: str, number: int, old: str, new: str, monkeypatch: pytest.MonkeyPatch, audit: pd.DataFrame
) -> None:
    def typed(name: str, which: int, *, text: bool = False) -> pd.DataFrame:
        cells = published.table(name, which, text=text)
        if (name, which) != (paper, number):
            return cells
        assert (cells == old).to_numpy().any()
        return cells.replace(old, new)

    monkeypatch.setattr(audits, "table", typed)
    audits._of_paper.cache_clear()
    changed = published.audit(paper)
    audits._of_paper.cache_clear()
    before = audit[audit.paper == paper]
    assert (changed.verdict == "broken").sum() > (before.verdict == "broken").sum()
