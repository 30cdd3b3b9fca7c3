"""The region metric of dual_branch: components that overlap enough count as correct in full."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from fundus_lib.errors import ArgumentError
from fundus_lib.metrics._components import as_mask_pair, measure_components
from fundus_lib.metrics.pixel_counts import PixelCounts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray


def region_counts(pred: ArrayLike | Tensor, target: ArrayLike | Tensor, sigmas: Sequence[float]) -> list[PixelCounts]:
    r"""Count pixels by components, tolerant of their outlines.

    With :math:`P` the prediction, :math:`G` the ground truth, :math:`P_i` and :math:`G_i` their components
    (8-connected),

    .. math::

        TP &= (P \cap G)
            \;\cup \bigcup_{|P_i \cap G| \,>\, \sigma |P_i|} P_i
            \;\cup \bigcup_{|G_i \cap P| \,>\, \sigma |G_i|} G_i \\
        FP &= P \setminus TP, \qquad FN = G \setminus TP

    Beyond :math:`P \cap G`, a component adds :math:`P_i \setminus G` or :math:`G_i \setminus P`. These sets are
    disjoint, so their sizes add up, and one labelling of each mask suffices for every :math:`\sigma`: no loop over
    components.

    This is what dual_branch's code counts (Eqs. 7 to 9). As printed, the third set of Eq. 7 has a predicted component
    where the true one is meant, and Eq. 9 the missed fraction of a component where the detected one is meant, so that
    some pixels would be both true positive and false negative, and others neither.

    Args:
        pred: 0 and 1, or bool; (H, W), one image and one lesion.
        target: 0 and 1, or bool; the same shape.
        sigmas: Fractions from 0 to 1 that a component's overlap must exceed: at 0 one pixel suffices, at 1 none does,
            and the counts are those of `pixel_counts`. dual_branch reports 0.2, 0.35, 0.5, 0.65 and 0.8.

    Returns:
        One count per sigma, in their order, whose ``.f1`` is the paper's F at that sigma (Eq. 10). Counts of several
        images add up, sigma by sigma, and pooled is how dual_branch reports them:
        ``[sum(same, PixelCounts()) for same in zip(*images)]``. The ratios of empty masks are those of `PixelCounts`:
        NaN where the denominator is zero.

    Raises:
        ArgumentError: Shapes differ, a mask is not (H, W), a value is neither 0 nor 1, or a sigma lies outside 0 to 1.
    """
    sigmas = [float(sigma) for sigma in sigmas]
    outside = [sigma for sigma in sigmas if not 0 <= sigma <= 1]
    if outside:
        raise ArgumentError(
            "region_counts",
            "sigma is not a fraction",
            found=outside[0],
            expected="numbers from 0 to 1",
            remedy="divide percentages by 100",
        )
    predicted, lesion = as_mask_pair(pred, target, "region_counts")
    called_areas, called_shared = measure_components(predicted, lesion)
    lesion_areas, lesion_shared = measure_components(lesion, predicted)
    union = int(called_areas.sum() + lesion_areas.sum() - lesion_shared.sum())
    counts = []
    for sigma in sigmas:
        fp = _count_unmatched(called_areas, called_shared, sigma)
        fn = _count_unmatched(lesion_areas, lesion_shared, sigma)
        counts.append(PixelCounts(union - fp - fn, fp, fn, predicted.size - union))
    return counts


def _count_unmatched(areas: NDArray[np.int64], shared: NDArray[np.int64], sigma: float) -> int:
    """Pixels outside the other mask, of the components whose overlap with it is at most sigma.

    The comparison is exact: a quotient and the decimal sigma are rounded alike, so 1 pixel of 5 is not more than 0.2.
    """
    return int((areas - shared)[shared / areas <= sigma].sum())
