"""The metrics as classes of torchmetrics: updated batch by batch, merged across processes.

What they keep does not grow with the number of pixels: most keep counts. The areas under curves keep hits and false
alarms at their thresholds, on which the result depends:

- Given thresholds (a number, a sequence): the area over these, as in the papers' variants.
- None: every number of half precision (float16) is a threshold, and scores are rounded to the nearest. Rounding never
  swaps two scores but may tie them. The area is exact for scores of type float16 or uint8; for others ``bounds()`` says
  between which values it lies. Logits lose less than probabilities, which crowd just below 1.
- Exact for any scores: two sweeps over the images, since no single one can know which background scores will lie
  between two lesion pixels. The first keeps the scores of the lesion pixels and with them finds every threshold at
  which the curve turns, the second counts there::

      turns = CurveThresholds()
      for scores, target in loader:
          turns.update(scores, target)
      exact = AveragePrecision(thresholds=turns.compute())
      for scores, target in loader:
          exact.update(scores, target)
      exact.compute()

Each process updates with its own images; ``compute()`` merges them, and gives each process the same result.
"""

from fundus_lib.metrics.streaming_curves import AUPRC, ROCAUC, AveragePrecision, CurveArea, CurveThresholds
from fundus_lib.metrics.streaming_grading import GradingReport
from fundus_lib.metrics.streaming_pixels import ImageMean, MeanScore, PixelCounts
from fundus_lib.metrics.streaming_regions import LesionRecall, RegionCounts

__all__ = [
    "AUPRC",
    "ROCAUC",
    "AveragePrecision",
    "CurveArea",
    "CurveThresholds",
    "GradingReport",
    "ImageMean",
    "LesionRecall",
    "MeanScore",
    "PixelCounts",
    "RegionCounts",
]
