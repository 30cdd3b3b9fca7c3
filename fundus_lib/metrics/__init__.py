"""How good a prediction is. Every function says how it reduces and what it gives for empty masks."""

from fundus_lib.metrics.average_precision import average_precision
from fundus_lib.metrics.lesion_size import LesionRecall, lesion_recall
from fundus_lib.metrics.pixel_counts import PixelCounts, pixel_counts

__all__ = ["LesionRecall", "PixelCounts", "average_precision", "lesion_recall", "pixel_counts"]
