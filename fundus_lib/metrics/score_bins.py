"""Scores of each image counted in a few bins: small enough for a record, and enough to pool any selection of images."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from fundus_lib.errors import ArgumentError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

BIN_EDGES = np.round(2 * np.sinh(np.arange(-29, 52) / 29 * np.arcsinh(8)), 3)
"""Logits at which a bin ends and the next, to which the edge belongs, begins: 81 from -16 to 131, denser around 0.

They stand .2 apart at a logit of 0 and .8 apart at 8, so that a network whose logits are large (Dice) or small (focal
loss) has its lesion pixels in many bins, too. Records that were made before have 60 bins, the last from 16 on: for
networks that give no lesion more, that is the same.
"""

BINS = len(BIN_EDGES) + 1
"""Number of bins: the first is below all edges, the last from the last edge on."""


_PARTS = 8
"""Points within a bin at which its precision is computed."""


def average_precision_from_bins(counts: ArrayLike) -> NDArray[np.float64]:
    r"""Average precision, pooled, of pixels whose scores are known by bin alone.

    From the upper end of a bin to its lower end, the lesion pixels that are reached are taken to grow linearly, and the
    background pixels, of which there are ever more towards low scores, geometrically. With :math:`a` lesion pixels
    above a bin and :math:`\alpha` in it, and :math:`b` background pixels above it and :math:`b'` with those in it, the
    bin adds

    .. math:: \alpha \int_0^1 \frac{a + t\alpha}{a + t\alpha + b^{1-t} b'^t}\, dt

    to the sum of precisions (linearly if :math:`b = 0`), and the sum is divided by the number of lesion pixels. On
    scores of networks this is within .004 of the exact value; a straight line for both underestimates it by up to .02.

    Args:
        counts: Pixels of background and of lesion in each bin, lowest scores first; (…, 2, K), of one image or summed
            over some.

    Returns:
        (…), 0 to 1; NaN without lesion pixels.
    """
    fallen = np.asarray(counts, np.float64)[..., ::-1]  # highest scores first
    background, lesion = fallen[..., 0, :], fallen[..., 1, :]
    false, true = np.cumsum(background, -1), np.cumsum(lesion, -1)
    area = np.zeros(fallen.shape[:-2])
    with np.errstate(divide="ignore", invalid="ignore"):
        before = false - background
        growth = false / before
        for t in (np.arange(_PARTS) + 0.5) / _PARTS:
            reached = np.where(before > 0, before * growth**t, t * false)
            hits = true - (1 - t) * lesion
            area += (lesion * np.where(hits > 0, hits / (hits + reached), 0.0)).sum(-1)
        average: NDArray[np.float64] = area / _PARTS / true[..., -1]
    return average


def write_counts(counts: ArrayLike) -> str:
    """Counts (2, K) of an image as a short text: numbers of base 36, background first.

    Args:
        counts: Integers from 0 on.
    """
    return "/".join(" ".join(np.base_repr(int(number), 36) for number in part) for part in np.asarray(counts))


def read_counts(texts: Iterable[str]) -> NDArray[np.int64]:
    """The inverse of :func:`write_counts` for all images of a record, int64 (N, 2, K).

    Raises:
        ArgumentError: A text is none that it wrote.
    """
    try:
        if isinstance(texts, str):
            raise ValueError("one text in place of several")
        texts = list(texts)
        each = [[[int(n, 36) for n in part.split()] for part in text.split("/")] for text in texts]
        made = np.array(each, np.int64)
        if made.ndim != 3 or made.shape[1] != 2 or (made < 0).any():
            raise ValueError("not two rows of counts each")
        return made
    except ValueError as error:
        texts = [texts] if isinstance(texts, str) else list(texts)
        raise ArgumentError(
            "read_counts",
            "these are no counts of scores",
            found=f"{texts[0]!r:.60}" if texts else "nothing",
            expected="texts that write_counts made, all of equally many bins",
            remedy="give the `…_counts` of one record of the benchmark",
        ) from error
