"""Figures: the house style, lesions drawn on images, error maps, diagrams, and sliders that need no kernel."""

from fundus_lib.viz.diagram import Box, Diagram, diagram
from fundus_lib.viz.intervals import IntervalLine, plot_intervals
from fundus_lib.viz.overlays import ERROR_PALETTES, add_legend, error_map, legend, overlay
from fundus_lib.viz.slider import Slider, live_slider, slider
from fundus_lib.viz.style import (
    BASELINE,
    BRANCH_COLORS,
    GRADE_COLORS,
    LESION_COLORS,
    METHOD,
    PUBLISHED,
    gallery,
    use_style,
)
from fundus_lib.viz.unet import draw_unet
from fundus_lib.viz.windows import Window, windows_of_disagreement
from fundus_lib.viz.zoom import compare, zoom

__all__ = [
    "BASELINE",
    "BRANCH_COLORS",
    "ERROR_PALETTES",
    "GRADE_COLORS",
    "LESION_COLORS",
    "METHOD",
    "PUBLISHED",
    "Box",
    "Diagram",
    "IntervalLine",
    "Slider",
    "Window",
    "add_legend",
    "compare",
    "diagram",
    "draw_unet",
    "error_map",
    "gallery",
    "legend",
    "live_slider",
    "overlay",
    "plot_intervals",
    "slider",
    "use_style",
    "windows_of_disagreement",
    "zoom",
]
