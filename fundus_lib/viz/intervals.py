"""Points with their intervals, one line each: gains, differences and what they are to be compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fundus_lib.viz.style import OKABE_ITO

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fundus_lib.metrics.bootstrap import Estimate

GREY = "0.45"
"""Of an interval that contains zero."""


@dataclass(frozen=True)
class IntervalLine:
    """One line of a figure of intervals.

    Attributes:
        label: Stands on its left; of a heading, over the lines that follow.
        estimate: Value and interval; NaN leaves the line empty, and None makes it a heading.
        colour: Of the point; without, blue where the interval excludes zero, and grey where it does not.
        hollow: Whether the point is hollow, as that of a single run.
    """

    label: str
    estimate: Estimate | None = None
    colour: str = ""
    hollow: bool = False


def plot_intervals(axis: Axes, lines: Sequence[IntervalLine], *, labels: bool = True) -> None:
    """Draw estimates below each other, with a line at zero.

    Args:
        axis: On which to draw.
        lines: The first is on top.
        labels: Whether labels and headings are written, as on the first of several axes side by side.
    """
    import seaborn as sns

    axis.axvline(0, color="0.35", lw=1, zorder=0)
    axis.patch.set_visible(False)  # headings run on from the axes on the left
    for place, line in enumerate(lines):
        found = line.estimate
        if found is None:
            if labels:
                axis.text(0, place, line.label, transform=axis.get_yaxis_transform(), va="center", weight="bold")
            continue
        clear = found.low > 0 or found.high < 0
        colour = line.colour or (OKABE_ITO[0] if clear else GREY)
        sns.pointplot(
            x=[found.low, found.value, found.high],
            y=[place] * 3,
            estimator="median",
            errorbar=("pi", 100),
            native_scale=True,
            orient="h",
            color=colour,
            markers="o",
            markersize=6,
            markerfacecolor="white" if line.hollow else colour,
            err_kws={"linewidth": 1.8},
            linestyle="none",
            ax=axis,
        )
    names = [line.label if line.estimate and labels else "" for line in lines]
    axis.set_yticks(range(len(lines)), names)
    axis.tick_params(axis="y", length=0)
    axis.grid(visible=False, axis="y")
    axis.set(ylabel="", ylim=(len(lines) - 0.5, -0.5))
