"""How rare and how large the lesions of a data set are, as a figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from fundus_lib.data.sample import LESION_NAMES
from fundus_lib.data.stats import PERCENTILES, components, lesion_statistics
from fundus_lib.viz.style import LESION_COLORS

if TYPE_CHECKING:
    from fundus_lib.data.base import FundusDataset


def plot_statistics(*datasets: FundusDataset) -> Figure:
    """Draw the statistics: the ratio of background to lesion, and the distribution of component areas, by lesion.

    Args:
        *datasets: As for `lesion_statistics`.

    Returns:
        A figure with two axes. Ticks mark the 10th and 90th percentile of each lesion's component areas.
    """
    per_lesion, parts = lesion_statistics(*datasets), components(*datasets)
    names = [LESION_NAMES.get(str(le), str(le)) for le in per_lesion.index]
    colours = [LESION_COLORS.get(str(le), "0.5") for le in per_lesion.index]
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(2, 3))

    bars = left.barh(names, per_lesion["ratio"], color=colours)
    left.bar_label(bars, fmt="%.4g", padding=3)
    left.set(xscale="log", xlabel="background pixels for each lesion pixel", title="How rare")
    left.invert_yaxis()
    left.set_xlim(1, 4 * np.nanmax([10, *per_lesion["ratio"]]))

    bins = np.geomspace(parts.area.min(), parts.area.max() * 1.0001, 40) if len(parts) else 10
    for lesion, name, colour in zip(per_lesion.index, names, colours, strict=True):
        row = per_lesion.loc[lesion]
        areas = parts.loc[parts.lesion == lesion, "area"]
        weights = np.full(len(areas), 1 / max(len(areas), 1))
        label = f"{name} ({len(areas)})"
        right.hist(areas, bins=bins, weights=weights, histtype="step", color=colour, lw=1.8, label=label)
        for fraction, mark in zip((row.p10, row.p90), PERCENTILES, strict=True):
            right.axvline(fraction, color=colour, lw=1, ls=":" if mark < 50 else "--")
    right.set(xscale="log", xlabel="area of a component, fraction of the image", ylabel="fraction of components")
    right.set_title("How large (dotted: 10th percentile, dashed: 90th)")
    right.set_ylim(top=1.3 * right.get_ylim()[1])  # room for the legend
    right.legend(ncols=2, fontsize="small")
    return figure
