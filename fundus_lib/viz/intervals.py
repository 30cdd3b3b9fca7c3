"""Points with their intervals, one line each: gains, differences and what they are to be compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fundus_lib.metrics.bootstrap import Estimate

CLEAR, UNCLEAR = ("0.1", 3.2, 7.0), ("0.55", 1.5, 5.0)
"""Colour, width of the line and size of the point of an interval that excludes zero, and of one that does not. Neither
is a colour of the house style, so that a method, a baseline or a branch keeps its own on the same page."""

COLOURED = 1.8, 5.5
"""Width and size of a line that has a colour of its own, which says what it is and nothing of zero."""


@dataclass(frozen=True)
class IntervalLine:
    """One line of a figure of intervals.

    Attributes:
        label: Stands on its left; of a heading, over the lines that follow.
        estimate: Value and interval; NaN leaves the line empty, and None makes it a heading.
        colour: Of the point; without, dark and bold where the interval excludes zero, grey and thin where it does not.
        hollow: Whether the point is hollow, as that of a single run.
    """

    label: str
    estimate: Estimate | None = None
    colour: str = ""
    hollow: bool = False


def plot_intervals(panels: Mapping[str, Sequence[IntervalLine]], *, width: float = 5.2, dpi: int = 125) -> Figure:
    """Draw estimates below each other, with a line at zero, in panels side by side that have their labels in common.

    Args:
        panels: What is written below each panel → its lines, the first on top.
        width: Of the figure in inches; the default is what is legible on a phone.
        dpi: Pixels per inch.

    Returns:
        The figure; in a notebook, end the cell with it and it is shown once.
    """
    import matplotlib.pyplot as plt

    rows = max(map(len, panels.values()))
    figure, axes = plt.subplots(1, len(panels), figsize=(width, 0.55 + 0.2 * rows), dpi=dpi, squeeze=False)
    for k, (axis, (name, lines)) in enumerate(zip(axes[0], panels.items(), strict=True)):
        _draw(axis, lines, labels=not k)
        axis.locator_params(axis="x", nbins=max(2, 7 // len(panels)))  # ticks must not run into each other
        axis.tick_params(axis="x", labelsize=8 if len(panels) > 2 else 10)
        axis.set(xlabel=name, ylabel="", ylim=(rows - 0.5, -0.5))
    plt.close(figure)  # the returned figure is what the notebook shows; left open it would appear twice
    return figure


def _draw(axis: Axes, lines: Sequence[IntervalLine], *, labels: bool) -> None:
    """Draw one panel."""
    import seaborn as sns

    axis.axvline(0, color="0.35", lw=1, zorder=0)
    axis.set_zorder(2 if labels else 1)  # headings run on into the panels on the right
    axis.patch.set_visible(False)
    for place, line in enumerate(lines):
        found = line.estimate
        if found is None:
            if labels:
                at = "figure fraction", "data"  # the column of labels and the first panel have room for it
                text = axis.annotate(line.label, (0.01, place), xycoords=at, va="center", weight="bold", fontsize=9.5)
                text.set_bbox({"fc": "white", "lw": 0, "pad": 1})
                text.set_in_layout(False)
            continue
        colour, wide, large = CLEAR if found.low > 0 or found.high < 0 else UNCLEAR
        if line.colour:
            colour, (wide, large) = line.colour, COLOURED
        sns.pointplot(
            x=[found.low, found.value, found.high],
            y=[place] * 3,
            estimator="median",
            errorbar=("pi", 100),
            native_scale=True,
            orient="h",
            color=colour,
            markers="o",
            markersize=large,
            markerfacecolor="white" if line.hollow else colour,
            err_kws={"linewidth": wide},
            linestyle="none",
            ax=axis,
        )
    axis.set_yticks(range(len(lines)), [line.label if line.estimate and labels else "" for line in lines])
    axis.tick_params(axis="y", length=0)
    axis.grid(visible=False, axis="y")
    axis.margins(x=0.12)
