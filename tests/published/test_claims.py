"""What the papers say about their tables: which claims the digits contradict, and by how much at most."""

from math import comb

import pytest

from fundus_lib import published
from fundus_lib.errors import ArgumentError, UnknownNameError
from fundus_lib.published import best_case_p, welch_p
from fundus_lib.published.claim import check_ahead, check_beyond_chance, check_difference

# the claims that the printed digits contradict, and how many of them do
CONTRADICTED = {
    "On IDRiD, dual networks beat both single ones, but for HED at σ = 0.5 (Table 4).": 1,
    "On DDR, all dual networks are ahead in pixel and region scores (Table 5).": 8,
    "On IDRiD, the dual network is ahead of all others (Table 6): at least one of the three.": 3,
    "The fused network is ahead of global and of local ones (Section 3.2: not of global ones for HE and SE).": 2,
    "It is beyond all results of the challenge's leaderboard (read: the fused network, for all four lesions).": 1,
    "It segments better than all other methods, on both tables.": 2,
    "It is better than supervised single-task methods in both tasks (abstract: in grading it competes with them).": 2,
    "In grading on IDRiD it is at least 4.68 % ahead of single-task methods.": 1,
    "Results on DDR are similar (at least: half of these margins).": 2,
    "MTUnet grades better, but segments worse.": 2,
    "A weight of 0.8 for the grading loss gave the best results.": 1,
    "It outperforms existing methods in DR and in DME grading (Table 2).": 1,
    "It does so significantly (as statistics use the word: p < 0.05).": 5,
    "It outperforms VGG19 and ResNet34 (Table 2).": 1,
    "It improves every metric of every network (Table 2; granted: the AUC of UNet++).": 1,
    "The improvements are substantial (at least: more than the spread over five runs explains).": 6,
}


def test_contradicted_claims() -> None:
    found = published.claims()
    wrong = found[~found.holds]
    assert {line.says: line.against.count(";") + 1 for line in wrong.itertuples()} == CONTRADICTED
    assert found.groupby("paper").holds.agg(["size", "sum"]).to_dict("index") == {
        "dual_branch": {"size": 12, "sum": 9},
        "local_global": {"size": 6, "sum": 4},
        "pldmlt": {"size": 12, "sum": 6},
        "sunet": {"size": 8, "sum": 5},
        "hecl": {"size": 8, "sum": 6},
    }


def test_with_the_corrected_row_the_claim_holds() -> None:
    rivals = [(5, row) for row in ("Deeplabv3+", "DNL + CBCE", "DNL + Dice", "SPNet + CBCE", "SPNet + Dice")]
    columns = ["iou", "f1", "aupr", "f_0.2", "f_0.35", "f_0.5", "f_0.65", "f_0.8"]
    assert check_ahead("dual_branch", (3, "Dual PSPNet + DSM"), rivals, columns) == []


def test_equal_digits_decide_nothing() -> None:
    assert check_ahead("sunet", (1, "SUNet"), [(1, "DME+LR")], ["dme"]) == []
    assert check_ahead("sunet", (1, "DME"), [(1, "SUNet")], ["dme"]) == ["dme: SUNet 0.8155 against 0.7961"]
    behind = ["dme: DME 0.7961 against 0.8155"]
    assert check_ahead("sunet", (1, "SUNet"), [(1, "DME")], ["dme"], margin=0.0196) == behind


def test_a_difference_of_printed_numbers_is_an_interval() -> None:
    assert check_difference("0.61", "0.52", 0.095, 0.1) == []
    assert check_difference("0.61", "0.52", 0.101, 0.2) == ["0.61 − 0.52 is between 0.0800 and 0.1000"]


@pytest.mark.parametrize("both", [0, 10, 40])
def test_best_case_is_the_best_case(both: int) -> None:
    """McNemar's exact test over all ways in which 45 and 40 right answers can fall on 103 images."""

    def exact(b: int, c: int) -> float:
        return min(1.0, 2 * sum(comb(b + c, i) for i in range(min(b, c) + 1)) / 2 ** (b + c))

    b, c = 45 - both, 40 - both
    assert best_case_p(45, 40) <= exact(b, c) + 1e-12
    assert both < 40 or best_case_p(45, 40) == exact(b, c)


def test_no_difference_no_significance() -> None:
    assert best_case_p(50, 50) == 1
    with pytest.raises(ArgumentError):
        best_case_p(-1, 3)


@pytest.mark.parametrize(("t", "freedom", "p"), [(2.776, 4, 0.05), (2.306, 8, 0.05), (4.604, 4, 0.01), (0.0, 4, 1)])
def test_welch_against_the_printed_table_of_student(t: float, freedom: int, p: float) -> None:
    runs = freedom // 2 + 1  # with equal deviations Welch's freedom is 2 (n - 1)
    assert welch_p(0, 1, t * (2 / runs) ** 0.5, 1, runs) == pytest.approx(p, rel=2e-3)


def test_welch_needs_runs() -> None:
    with pytest.raises(ArgumentError):
        welch_p(1, 0.1, 2, 0.1, 1)
    with pytest.raises(ArgumentError):
        welch_p(1, 0, 2, 0.1, 5)


def test_clear_gains_are_not_called_chance() -> None:
    assert check_beyond_chance("hecl", 2, [("U-Net", "U-Net w/ Proposed")], ["iou", "f1", "recall"]) == []


def test_unknown_paper() -> None:
    with pytest.raises(UnknownNameError):
        published.claims("unet")
