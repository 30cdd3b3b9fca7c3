"""Points with intervals: where they are drawn, and which of them are hollow."""

import matplotlib.pyplot as plt
import pytest
from matplotlib.colors import to_hex

from fundus_lib.metrics.bootstrap import Estimate
from fundus_lib.viz import IntervalLine, plot_intervals, style

LINES = (
    IntervalLine("a heading"),
    IntervalLine("gain", Estimate(0.2, 0.1, 0.4)),
    IntervalLine("none", Estimate(0.1, -0.1, 0.2), hollow=True),
    IntervalLine("not run", Estimate(*[float("nan")] * 3)),
    IntervalLine("gain", Estimate(0.3, 0.2, 0.4), "#112233"),
)


def test_value_and_ends_stand_on_their_line() -> None:
    figure = plot_intervals({"one": LINES, "other": LINES})
    assert not plt.get_fignums(), "it would be shown twice"
    left, right = figure.axes
    figure.canvas.draw()
    assert (left.get_xlabel(), right.get_xlabel()) == ("one", "other")
    for axis in (left, right):
        points = {float(i.get_ydata()[0]): i for i in axis.lines if i.get_marker() == "o" and len(i.get_ydata())}
        bars = {float(i.get_ydata()[0]): i.get_xdata() for i in axis.lines[1:] if len(i.get_xdata()) == 2}
        assert {place: float(point.get_xdata()[0]) for place, point in points.items()} == {1: 0.2, 2: 0.1, 4: 0.3}
        for place in points:
            estimate = LINES[int(place)].estimate
            assert estimate and sorted(bars[place]) == pytest.approx([estimate.low, estimate.high])
        assert to_hex(points[1].get_markerfacecolor()) == to_hex(points[1].get_color())
        assert to_hex(points[2].get_markerfacecolor()) == "#ffffff"
        wide = {float(i.get_ydata()[0]): i.get_linewidth() for i in axis.lines[1:] if len(i.get_xdata()) == 2}
        assert to_hex(points[2].get_color()) != to_hex(points[1].get_color()), "an interval with zero is grey"
        assert wide[1] > wide[2] and points[1].get_markersize() > points[2].get_markersize(), "and thin"
        named_colours = {to_hex(one) for one in (*style.OKABE_ITO[:6], style.METHOD, style.BASELINE)}
        assert not named_colours & {to_hex(points[1].get_color()), to_hex(points[2].get_color())}, "two meanings"
        assert to_hex(points[4].get_color()) == "#112233"
        assert axis.get_ylim() == (4.5, -0.5), "the first on top"
    named = [label.get_text() for label in left.get_yticklabels()]
    assert named == ["", "gain", "none", "not run", "gain"] and left.texts[0].get_text() == "a heading"
    assert not right.texts and not any(label.get_text() for label in right.get_yticklabels())
