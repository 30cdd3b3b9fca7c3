"""Identities and bounds that the numbers of one row must obey, each with exact intervals for the printed digits.

A law takes the intervals of some cells and says in which interval another cell must lie. All formulas are monotone in
each argument, so the ends of the intervals give the exact range.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import log
from typing import Literal

from fundus_lib.published.digits import Interval

Cells = Mapping[str, Interval]
Kind = Literal["always", "pooled", "count", "area"]
"""When a law holds: `always`, whatever the protocol; if counts of all images are `pooled` before scores are computed (a
broken one then says "not pooled", which is no mistake by itself); if an accuracy is a `count` over one test set; if an
`area` lies under the curve that its name says, and the pixel scores beside it are a point on that curve."""


@dataclass(frozen=True)
class Law:
    """One identity or bound.

    Attributes:
        name: Short name, also used in tests and errata.
        kind: When it holds.
        formula: As it is written in the book.
        target: Metric that is tested.
        needs: Metrics that it is computed from.
        allowed: From the intervals of those metrics to the interval in which the target lies.
    """

    name: str
    kind: Kind
    formula: str
    target: str
    needs: tuple[str, ...]
    allowed: Callable[[Cells], Interval]


def f1_of(sensitivity: Fraction, ppv: Fraction) -> Fraction:
    """F1 = 2 SN PPV / (SN + PPV); 0 where both are 0."""
    return 2 * sensitivity * ppv / (sensitivity + ppv) if sensitivity + ppv else Fraction(0)


def iou_of(f1: Fraction) -> Fraction:
    """IoU = F1 / (2 - F1)."""
    return f1 / (2 - f1)


def _ends(cells: Cells, formula: Callable[..., Fraction], *names: str) -> Interval:
    """The range of a formula that rises with each argument."""
    return Interval(formula(*(cells[name].low for name in names)), formula(*(cells[name].high for name in names)))


def _at_most(high: Fraction) -> Interval:
    return Interval(Fraction(0), high)


def aupr_band(sensitivity: Fraction, ppv: Fraction) -> Interval:
    """The areas that a precision-recall curve through one point can have.

    With c = SN (1/PPV - 1), the false alarms for one lesion pixel, the precision at a recall r to the left of the point
    (SN, PPV) is at least r/(r + c), which is when all false alarms score highest. To its right it is at most that,
    which is when no more follow. So SN - c ln((SN + c)/c) <= AUPR <= 1 - c ln((1 + c)/(SN + c)).

    Args:
        sensitivity: In [0, 1]; at 0 the point is nowhere, and every area is possible.
        ppv: In [0, 1], likewise.

    Returns:
        The band; ends are exact to 1e-12 and moved outwards by as much.
    """
    if not sensitivity or not ppv:
        return Interval(Fraction(0), Fraction(1))
    found, alarms = float(sensitivity), float(sensitivity * (1 / ppv - 1))
    low = found - alarms * log((found + alarms) / alarms) if alarms else found
    high = 1 - alarms * log((1 + alarms) / (found + alarms))
    return Interval(Fraction(low) - Fraction(1, 10**12), Fraction(high) + Fraction(1, 10**12))


def _aupr(cells: Cells) -> Interval:
    # The lower end rises with both arguments. The upper one rises with PPV and is convex in SN: largest at an end.
    found, right = cells["sensitivity"], cells["ppv"]
    low = aupr_band(found.low, right.low).low
    return Interval(low, max(aupr_band(end, right.high).high for end in (found.low, found.high)))


def region_ceiling(f1: Fraction, sigma: Fraction) -> Fraction:
    """The largest region score F_sigma that can go with a pooled pixel F1.

    With TP = 1 there are E = 2/F1 - 2 wrong pixels. A predicted region turns wholly into hits only if more than sigma
    of it are hits, which rescues less than (1 - sigma)/sigma of its hits; the same for a true region. So at most
    min(E, 2 (1 - sigma)/sigma) wrong pixels become hits.

    Args:
        f1: Pixel F1, in [0, 1].
        sigma: Fraction of overlap, in (0, 1].
    """
    if not f1:
        return Fraction(0)
    wrong = 2 / f1 - 2
    rescued = min(wrong, 2 * (1 - sigma) / sigma)
    return 2 * (1 + rescued) / (2 * (1 + rescued) + wrong - rescued)


def roc_floor(recall: Fraction, f1: Fraction) -> Fraction:
    """The least area under a ROC curve that reaches this recall.

    The curve rises from (0, 0) through (FPR, R) to (1, 1), so at least R (1 - FPR) lies below it. With PPV from F1 and
    R, there are R (1/PPV - 1) = 2R/F1 - 1 - R false alarms for one lesion pixel, and FPR is smaller still if less than
    half of the image are lesion pixels.
    """
    return recall * (1 - max(Fraction(0), 2 * recall / f1 - 1 - recall)) if f1 else Fraction(0)


def _roc(cells: Cells) -> Interval:
    recall, f1 = cells["sensitivity"], cells["f1"]  # the floor rises with F1 and is concave in recall: least at an end
    floor = min(roc_floor(end, f1.low) for end in (recall.low, recall.high))
    return Interval(max(Fraction(0), floor), Fraction(1))


def _joint(cells: Cells) -> Interval:
    dr, dme = cells["DR accuracy"], cells["DME accuracy"]
    return Interval(max(Fraction(0), dr.low + dme.low - 1), min(dr.high, dme.high))


LAWS: tuple[Law, ...] = (
    Law(
        "F1 from SN and PPV",
        "pooled",
        "F1 = 2·SN·PPV / (SN + PPV)",
        "f1",
        ("sensitivity", "ppv"),
        lambda cells: _ends(cells, f1_of, "sensitivity", "ppv"),
    ),
    Law("IoU from F1", "pooled", "IoU = F1 / (2 − F1)", "iou", ("f1",), lambda cells: _ends(cells, iou_of, "f1")),
    Law(
        "IoU from SN and PPV",
        "pooled",
        "1/IoU = 1/SN + 1/PPV − 1",
        "iou",
        ("sensitivity", "ppv"),
        lambda cells: _ends(cells, lambda sn, ppv: iou_of(f1_of(sn, ppv)), "sensitivity", "ppv"),
    ),
    Law(
        "IoU within its band",
        "always",
        "F1 / (2 − F1) ≤ IoU ≤ F1, also for means over images or classes",
        "iou",
        ("f1",),
        lambda cells: Interval(iou_of(cells["f1"].low), cells["f1"].high),
    ),
    Law(
        "F1 bounded by recall",
        "always",
        "F1 ≤ 2·SN / (1 + SN), also for means",
        "f1",
        ("sensitivity",),
        lambda cells: _at_most(2 * cells["sensitivity"].high / (1 + cells["sensitivity"].high)),
    ),
    Law(
        "IoU bounded by recall",
        "always",
        "IoU ≤ SN, also for means",
        "iou",
        ("sensitivity",),
        lambda cells: _at_most(cells["sensitivity"].high),
    ),
    Law(
        "AUPR within its band",
        "area",
        "SN − c·ln((SN + c)/c) ≤ AUPR ≤ 1 − c·ln((1 + c)/(SN + c)), c = SN·(1/PPV − 1)",
        "aupr",
        ("sensitivity", "ppv"),
        _aupr,
    ),
    Law(
        "ROC AUC above recall",
        "area",
        "AUC ≥ SN·specificity, and specificity ≥ 1 − SN·(1/PPV − 1)",
        "auc",
        ("sensitivity", "f1"),
        _roc,
    ),
    Law(
        "joint accuracy within its band",
        "always",
        "max(0, DR + DME − 1) ≤ both right ≤ min(DR, DME)",
        "joint accuracy",
        ("DR accuracy", "DME accuracy"),
        _joint,
    ),
)
"""The laws that concern single cells of one row. Those of a whole row of region scores, of counts, of deviations and of
several rows are in `fundus_lib/published/audits.py` and `across.py`."""
