"""`grading_report` as a metric of torchmetrics: updated batch by batch, merged across processes."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from fundus_lib.errors import ArgumentError
from fundus_lib.grades import GRADES
from fundus_lib.metrics import grading


class GradingReport(Metric):
    """`grading_report` over all images of all processes.

    What it keeps is how often each combination of given and true grades came, so its memory does not grow, processes
    merge by adding, and the intervals do not depend on which process saw which image. A sampler that fills up the last
    batch by repeating images, as torch's DistributedSampler does, would have them counted twice.

    Args:
        dme: Whether macular edema is graded too.
        resamples: As in `grading_report`.
        confidence: As in `grading_report`.
        seed: As in `grading_report`.
        **kwargs: Passed to `torchmetrics.Metric`.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    counts: Tensor

    def __init__(self, *, dme: bool, resamples: int = 2000, confidence: float = 0.95, seed: int = 0, **kwargs: Any):
        super().__init__(**kwargs)
        self.report = partial(grading.grading_report, resamples=resamples, confidence=confidence, seed=seed)
        self.scales = [GRADES[disease] for disease in (("dr", "dr", "dme", "dme") if dme else ("dr", "dr"))]
        self.add_state("counts", torch.zeros(self.scales, dtype=torch.long), dist_reduce_fx="sum")

    def update(
        self, dr_pred: Tensor, dr_target: Tensor, dme_pred: Tensor | None = None, dme_target: Tensor | None = None
    ) -> None:
        """Add images.

        Args:
            dr_pred: Grades of retinopathy that were given, whole numbers 0 to 4; (B,).
            dr_target: The true ones; (B,).
            dme_pred: Grades of macular edema that were given, 0 to 2; (B,).
            dme_target: The true ones; (B,).
        """
        columns = grading.grade_columns(dr_pred, dr_target, dme_pred, dme_target)
        if len(columns) != len(self.scales):
            raise ArgumentError(
                "GradingReport",
                "grades of macular edema are missing, or not expected",
                found=f"{len(columns)} arguments",
                expected=len(self.scales),
                remedy="GradingReport(dme=True) takes both diseases, GradingReport(dme=False) retinopathy alone",
            )
        combination = np.ravel_multi_index(columns, self.scales)  # (B,)
        counts = np.bincount(combination, minlength=self.counts.numel()).reshape(self.scales)
        self.counts += torch.from_numpy(counts).to(self.device)

    def compute(self) -> dict[str, Tensor]:
        """The numbers of a report's ``metrics()`` (float64), and ``dr_confusion``, ``dme_confusion`` (int64).

        The intervals are those of `grading_report` for the images in the order of their grades.
        """
        images = np.repeat(np.arange(self.counts.numel()), self.counts.cpu().numpy().reshape(-1))
        report = self.report(*np.unravel_index(images, self.scales))
        tensors = {name: torch.tensor(score, dtype=torch.float64) for name, score in report.metrics().items()}
        for name, scores in (("dr", report.dr), ("dme", report.dme)):
            if scores:
                tensors[f"{name}_confusion"] = torch.from_numpy(scores.confusion.value)
        return tensors
