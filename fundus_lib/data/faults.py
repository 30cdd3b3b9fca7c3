"""Reading all that a data set reads: where no checksum vouches for a file, this alone tells whether it is usable."""

from __future__ import annotations

from collections.abc import Container
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from fundus_lib.data.base import FundusDataset, Item
from fundus_lib.errors import FundusError


def read_all(
    data: FundusDataset, *, known: Container[Path] = (), read: Container[Path] = ()
) -> tuple[list[str], NDArray[np.bool_]]:
    """Read each image and each mask of a data set at its size on disk as its loader does, in threads.

    Args:
        data: The data set, opened without a size.
        known: Files of known content: images that need not be read, nor the masks of these images.
        read: Images that have been read already; their masks are read nevertheless.

    Returns:
        What the loader says against the files, in order; and whether image n has a pixel of lesion l, (N, L), false
        where nothing was read.
    """

    def check(item: Item) -> tuple[list[str], list[bool]]:
        faults, present = [], [False] * len(data.lesions)
        try:
            if item.image not in known and item.image not in read:
                data._decode_image(item)
        except FundusError as error:
            return [str(error)], present
        for number, lesion in enumerate(data.lesions):
            if item.image in known and (lesion not in item.masks or item.masks[lesion] in known):
                continue
            try:
                present[number] = bool(data._decode_mask(item, lesion).any())
            except FundusError as error:
                faults.append(str(error))
        return faults, present

    with ThreadPoolExecutor() as pool:
        bar = tqdm(pool.map(check, data.items), f"{data.title} {data.split}", len(data), unit="image", disable=None)
        found = list(bar)
    present = np.array([row for _, row in found], np.bool_).reshape(len(data), len(data.lesions))
    return [fault for faults, _ in found for fault in faults], present
