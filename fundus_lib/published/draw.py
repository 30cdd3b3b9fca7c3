"""Every printed row in one picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundus_lib.published.printed import PAPERS, table, tables
from fundus_lib.published.show import SIGNS, Shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = {
    None: "0.88",
    "broken": "#D55E00",
    "cut": "#E69F00",
    "pooled": "#56B4E9",
    "area": "#009E73",
    "count": "#CC79A7",
}
"""Colour of a row by its gravest mark, None for a row without one."""


def overview() -> Figure:
    """One square per printed row, one line per paper, with the gravest sign that a row earns.

    Returns:
        The figure, not shown yet.
    """
    import matplotlib.pyplot as plt
    from matplotlib.patches import Rectangle

    figure, axis = plt.subplots(figsize=(8.5, 2.5))
    for y, paper in enumerate(PAPERS):
        x = 0.0
        for known in (t for t in tables() if t.paper == paper):
            marks = Shown(known).marks
            for row in table(paper, known.number).index:
                earned = [key for (name, _), (key, _) in marks.items() if name == row]
                key = min(earned, key=list(SIGNS).index) if earned else None
                axis.add_patch(Rectangle((x, y - 0.4), 0.8, 0.8, color=COLOURS[key]))
                axis.text(x + 0.4, y, SIGNS[key].sign if key else "", ha="center", va="center", fontsize=8)
                x += 1
            x += 0.4  # a gap between tables
    axis.set(xlim=(-0.3, 45), ylim=(4.6, -0.6), xticks=[], title="Every printed row; gaps separate tables")
    axis.set_yticks(range(len(PAPERS)), PAPERS)
    axis.grid(visible=False)
    for side in ("left", "bottom"):
        axis.spines[side].set_visible(False)
    plt.close(figure)  # the returned figure is what the notebook shows; left open it would appear twice
    return figure
