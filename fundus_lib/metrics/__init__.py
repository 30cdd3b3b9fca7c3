"""How good a prediction is. Every function says how it reduces and what it gives for empty masks."""

from fundus_lib.metrics.average_precision import average_precision
from fundus_lib.metrics.pixel_counts import PixelCounts, pixel_counts

__all__ = ["PixelCounts", "average_precision", "pixel_counts"]
