"""How good a prediction is. Every function says how it reduces and what it gives for empty masks."""

from fundus_lib.metrics.average_precision import average_precision, average_precision_stream
from fundus_lib.metrics.classes import class_counts, confusion_matrix, mean_score
from fundus_lib.metrics.curves import auprc, precision_recall_curve, roc_auc, roc_curve
from fundus_lib.metrics.lesion_size import LesionRecall, lesion_recall
from fundus_lib.metrics.pixel_counts import PixelCounts, image_mean, pixel_counts
from fundus_lib.metrics.regions import region_counts
from fundus_lib.metrics.threshold_counts import ThresholdCounts, threshold_counts, threshold_counts_stream

__all__ = [
    "LesionRecall",
    "PixelCounts",
    "ThresholdCounts",
    "auprc",
    "average_precision",
    "average_precision_stream",
    "class_counts",
    "confusion_matrix",
    "image_mean",
    "lesion_recall",
    "mean_score",
    "pixel_counts",
    "precision_recall_curve",
    "region_counts",
    "roc_auc",
    "roc_curve",
    "threshold_counts",
    "threshold_counts_stream",
]
