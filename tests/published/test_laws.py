"""Honest numbers obey every law: scores of random masks and curves, printed as papers do, are never called broken."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from fundus_lib import metrics
from fundus_lib.published import Check, aupr_band, implied_spread, info, roc_floor
from fundus_lib.published.audits import Row, _within
from fundus_lib.published.laws import LAWS, f1_of, iou_of, region_ceiling

COUNTS = st.lists(st.tuples(st.integers(1, 500), st.integers(0, 500), st.integers(0, 500)), min_size=1, max_size=8)


def audited(scores: dict[str, float], digits: int = 4, **known: object) -> list[Check]:
    """The checks of a row that prints these scores."""
    table = replace(info("dual_branch", 3), headings=dict.fromkeys(scores, ""), **known)
    return list(_within(Row(table, "made up", {k: f"{v:.{digits}f}" for k, v in scores.items()})))


def scored(tp: int, fp: int, fn: int) -> np.ndarray:
    """Sensitivity, PPV, F1 and IoU of counts."""
    return np.array([tp / (tp + fn), tp / (tp + fp), 2 * tp / (2 * tp + fp + fn), tp / (tp + fp + fn)])


@given(COUNTS, st.integers(2, 6))
def test_pooled_counts_obey_all_laws(counts: list[tuple[int, int, int]], digits: int) -> None:
    sn, ppv, f1, iou = scored(*(sum(column) for column in zip(*counts, strict=True)))
    checks = audited({"sn": sn, "ppv": ppv, "f1": f1, "iou": iou}, digits)
    tested = {check.law for check in checks}
    assert {"F1 from SN and PPV", "IoU from F1", "IoU from SN and PPV", "IoU within its band"} <= tested
    assert all(check.verdict == "holds" for check in checks)


@given(COUNTS, st.integers(2, 6))
def test_means_over_images_obey_the_laws_that_always_hold(counts: list[tuple[int, int, int]], digits: int) -> None:
    sn, ppv, f1, iou = np.mean([scored(*each) for each in counts], axis=0)
    checks = [c for c in audited({"sn": sn, "ppv": ppv, "f1": f1, "iou": iou}, digits) if c.kind == "always"]
    assert len(checks) == 3 and all(check.verdict == "holds" for check in checks)


def test_means_over_unequal_images_are_not_taken_for_pooled() -> None:
    sn, ppv, f1, iou = np.mean([scored(90, 10, 10), scored(1, 20, 40)], axis=0)
    broken = {c.law for c in audited({"sn": sn, "ppv": ppv, "f1": f1, "iou": iou}) if c.verdict == "broken"}
    assert {"IoU from F1", "IoU from SN and PPV"} <= broken


@given(st.lists(st.floats(0.01, 0.99), min_size=1, max_size=30))
def test_the_spread_over_images_is_bracketed(f1: list[float]) -> None:
    scores = np.array(f1)
    low, high = implied_spread(f"{scores.mean():.12f}", f"{(scores / (2 - scores)).mean():.12f}")
    assert low - 1e-6 <= scores.std() <= high + 1e-6


def test_the_bracket_is_as_narrow_as_can_be() -> None:
    for scores, which in (([0.0001, 0.0003], 1), ([0.9997, 0.9999], 0)):
        f1 = np.array(scores)
        found = implied_spread(f"{f1.mean():.15f}", f"{(f1 / (2 - f1)).mean():.15f}")
        assert found[which] == pytest.approx(f1.std(), rel=1e-3)


def test_impossible_means_have_no_spread() -> None:
    assert all(np.isnan(implied_spread("95.897", "87.101", unit=Fraction(1, 100))))


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.02, 0.4), st.floats(-1, 3))
def test_areas_lie_in_their_bands(seed: int, share: float, shift: float) -> None:
    rng = np.random.default_rng(seed)
    target = rng.random(300) < share
    target[0], target[1] = True, False
    scores = rng.normal(size=300) + shift * target
    pred = scores > 0.5
    tp = int((pred & target).sum())
    if not tp:
        return
    sn, ppv = Fraction(tp, int(target.sum())), Fraction(tp, int(pred.sum()))
    band, area = aupr_band(sn, ppv), average_precision_score(target, scores)
    # the step sum over few lesions is a little above the area of the smooth curve that the band is made for
    assert float(band.low) - 1e-9 <= area <= float(band.high) + 1 / target.sum()
    assert roc_auc_score(target, scores) >= float(roc_floor(sn, f1_of(sn, ppv))) - 1e-9


def test_bands_at_the_ends() -> None:
    one = Fraction(1)
    assert aupr_band(one, one).low <= 1 <= aupr_band(one, one).high
    half = aupr_band(one, Fraction(1, 2))  # c = 1: everything found, half of it false
    assert float(half.low) == pytest.approx(1 - np.log(2)) and float(half.high) == pytest.approx(1)
    assert f1_of(Fraction(0), Fraction(0)) == 0 and iou_of(one) == 1
    assert roc_floor(one, one) == 1


def test_formulas_rise_with_every_argument() -> None:
    grid = [Fraction(k, 40) for k in range(1, 41)]
    for a, b in pairwise(grid):
        assert iou_of(a) < iou_of(b)
        assert all(f1_of(a, x) < f1_of(b, x) for x in grid)
        assert all(aupr_band(a, x).low < aupr_band(b, x).low for x in grid)
        assert all(roc_floor(x, a) <= roc_floor(x, b) for x in grid)


def test_areas_that_cannot_be() -> None:
    verdicts = {c.law: c.verdict for c in audited({"sn": 0.9, "ppv": 0.8, "f1": 0.8471, "iou": 0.7347, "aupr": 0.2})}
    assert verdicts.pop("AUPR within its band") == "broken" and set(verdicts.values()) == {"holds"}
    verdicts = {c.law: c.verdict for c in audited({"recall": 0.655, "f1": 0.6896, "auc": 0.3898})}
    assert verdicts["ROC AUC above recall"] == "broken"


def test_zeros_are_read_as_nothing_below_zero() -> None:
    checks = audited({"sn": 0.0, "ppv": 0.0, "f1": 0.0, "iou": 0.0, "aupr": 0.01, "f_0.2": 0.0})
    assert len(checks) == 10 and all(check.verdict == "holds" for check in checks)


def test_region_scores() -> None:
    rising = {c.law: c for c in audited({"f1": 0.5, "f_0.2": 0.8, "f_0.5": 0.6, "f_0.8": 0.61})}
    assert rising["F_σ falls with σ"].verdict == "broken" and rising["F_σ falls with σ"].cells == ("f_0.8",)
    assert rising["F_σ above pixel F1"].verdict == "holds"
    low = {c.law: c for c in audited({"f1": 0.5, "f_0.2": 0.8, "f_0.5": 0.6, "f_0.8": 0.4})}
    assert low["F_σ above pixel F1"].cells == ("f_0.8",) and low["F_σ falls with σ"].verdict == "holds"


def test_a_region_score_has_a_ceiling() -> None:
    # one square of 10x10 found but for a fifth of it, and nothing else: at 0.8 it does not count, below it does
    f1 = Fraction(160, 180)
    assert region_ceiling(f1, Fraction(4, 5)) == 1
    assert region_ceiling(f1, Fraction(9, 10)) < 1
    assert region_ceiling(Fraction(1), Fraction(1)) == 1 and region_ceiling(Fraction(0), Fraction(1)) == 0
    assert region_ceiling(Fraction(1, 2), Fraction(1)) == Fraction(1, 2)  # nothing is rescued
    checks = {c.law: c for c in audited({"f1": 0.1, "f_0.2": 0.95, "f_0.8": 0.2})}
    assert checks["F_σ below its ceiling"].cells == ("f_0.2", "f_0.8")


def test_slow_rise_is_found_though_each_step_is_within_rounding() -> None:
    checks = {c.law: c for c in audited({"f1": 0.1, "f_0.2": 0.50, "f_0.35": 0.51, "f_0.5": 0.52}, 2)}
    assert checks["F_σ falls with σ"].verdict == "broken" and checks["F_σ falls with σ"].cells == ("f_0.5",)


def test_region_scores_of_random_masks_obey_their_laws() -> None:
    rng = np.random.default_rng(0)
    sigmas = (0.2, 0.35, 0.5, 0.65, 0.8)
    for _ in range(100):
        target = rng.random((24, 24)) < rng.uniform(0.05, 0.4)
        pred = np.roll(target, 1, 0) ^ (rng.random((24, 24)) < 0.05)
        regions = metrics.region_counts(pred, target, sigmas)
        scores = {f"f_{s}": c.f1 for s, c in zip(sigmas, regions, strict=True)}
        checks = audited({"f1": metrics.pixel_counts(pred, target).f1} | scores)
        assert len(checks) == 3 and all(check.verdict == "holds" for check in checks)


@given(st.integers(1, 60), st.data())
def test_joint_accuracy(n: int, data: st.DataObject) -> None:
    dr, dme = (np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n))) for _ in range(2))
    scores = {"dr": dr.mean(), "dme": dme.mean(), "total": (dr & dme).mean()}
    checks = audited(scores, n=n)
    assert {check.law for check in checks} == {"joint accuracy within its band", f"accuracy is k/{n}"}
    assert all(check.verdict == "holds" for check in checks)


@pytest.mark.parametrize("total", [0.5, 0.05])
def test_impossible_joint_accuracy(total: float) -> None:
    checks = {c.law: c.verdict for c in audited({"dr": 0.4, "dme": 0.7, "total": total}, n=100)}
    assert checks["joint accuracy within its band"] == "broken"


def test_deviations() -> None:
    runs = replace(info("hecl", 2), headings={"iou": "", "iou_sd": ""})
    for text, verdict in (("54.0", "holds"), ("56.0", "broken")):  # five runs at 0 or 100 spread by at most 54.8
        row = Row(runs, "made up", {"iou": "50.0", "iou_sd": text})
        assert {c.law: c.verdict for c in _within(row)}["deviation possible at this mean"] == verdict


def test_every_law_has_a_formula() -> None:
    assert len({law.name for law in LAWS}) == len(LAWS) and all(law.formula for law in LAWS)
