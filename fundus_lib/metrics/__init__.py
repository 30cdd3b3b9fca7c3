"""Metrics. Every function documents its reduction and its value for empty masks."""

from fundus_lib.metrics.average_precision import average_precision
from fundus_lib.metrics.bootstrap import Estimate, bootstrap
from fundus_lib.metrics.classes import class_counts, confusion_matrix, entropy, mean_score
from fundus_lib.metrics.curves import auprc, precision_recall_curve, roc_auc, roc_curve
from fundus_lib.metrics.grading import (
    GradeScores,
    GradingReport,
    grade_scores,
    grading_report,
    majority_accuracy,
    quadratic_weighted_kappa,
)
from fundus_lib.metrics.lesion_size import LesionRecall, lesion_recall
from fundus_lib.metrics.paired import PairedTest, mcnemar, paired_test
from fundus_lib.metrics.pixel_counts import PixelCounts, image_mean, pixel_counts
from fundus_lib.metrics.regions import region_counts
from fundus_lib.metrics.threshold_counts import (
    PrecisionRecallCurve,
    ROCCurve,
    ThresholdCounts,
    threshold_counts,
)

__all__ = [
    "Estimate",
    "GradeScores",
    "GradingReport",
    "LesionRecall",
    "PairedTest",
    "PixelCounts",
    "PrecisionRecallCurve",
    "ROCCurve",
    "ThresholdCounts",
    "auprc",
    "average_precision",
    "bootstrap",
    "class_counts",
    "confusion_matrix",
    "entropy",
    "grade_scores",
    "grading_report",
    "image_mean",
    "lesion_recall",
    "majority_accuracy",
    "mcnemar",
    "mean_score",
    "paired_test",
    "pixel_counts",
    "precision_recall_curve",
    "quadratic_weighted_kappa",
    "region_counts",
    "roc_auc",
    "roc_curve",
    "threshold_counts",
]
