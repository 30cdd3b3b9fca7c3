"""Images whose lesions are fused into one, as `pldmlt` segments them: the square around the field of view.

Source: Section 4.1 of `pldmlt`: "We fused the lesions of soft exudates, hard exudates, hemorrhages and
microaneurysms". The paper does not say how images of 3:2 become squares; here they are cropped and nothing is
stretched.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fundus_lib.data.base import FundusDataset, Item
from fundus_lib.data.ddr import DDRSegmentation
from fundus_lib.data.diaretdb1 import DiaRetDB1
from fundus_lib.data.field_square import FieldSquare
from fundus_lib.data.idrid import IDRiDSegmentation
from fundus_lib.data.images import Pixels, resize_mask
from fundus_lib.data.sample import ANY, LESIONS

CHANNELS = (ANY, *LESIONS)
"""Of the masks: all lesions in one, and each of the four."""


class Fused(FundusDataset):
    """A data set whose masks have five channels: the union of the four lesions, and each of them.

    The union is made at the size on disk and then shrunk, as a mask of one lesion is. It is a mixin: beside it stands
    the class that reads the files.

    Args:
        root: Root of the data set.
        split: As of the class beside it.
        side: Of the square in pixels, see :class:`~fundus_lib.data.field_square.FieldSquare`.

    Raises:
        FundusError: As the class beside it.
    """

    def __init__(self, root: Path, split: str, side: int):
        square = FieldSquare(side)
        settings: dict[str, Any] = {"size": square.read_size, "transform": square}
        super().__init__(root, split, lesions=LESIONS, **settings)  # type: ignore[misc,arg-type]
        self.title = f"{self.title} fused"
        self.lesions = CHANNELS

    def _decode_mask(self, item: Item, lesion: str) -> Pixels:
        if lesion != ANY:
            return super()._decode_mask(item, lesion)
        whole = copy.copy(self)  # and not this one: rows are decoded in several threads
        whole.size = None
        full = [super(Fused, whole)._decode_mask(item, one) for one in LESIONS]
        return resize_mask(np.ascontiguousarray(np.max(full, axis=0)), self._size_of(item))

    def _mask_sources(self, lesion: str) -> Sequence[Path | None]:
        if lesion != ANY:
            return super()._mask_sources(lesion)
        return list(dict.fromkeys(path for one in LESIONS for path in super(Fused, self)._mask_sources(one)))


class FusedIDRiD(Fused, IDRiDSegmentation):
    """Part A of IDRiD, see :class:`Fused`."""


class FusedDDR(Fused, DDRSegmentation):
    """The part of DDR with masks, see :class:`Fused`."""


class FusedDiaRetDB1(Fused, DiaRetDB1):
    """DiaRetDB1 2.1, see :class:`Fused`."""
