"""Decode once: arrays at the wanted size, kept on disk and mapped into memory.

Decoding a photograph of 12 megapixels takes a hundred times as long as reading the shrunk array. Each array (the
photographs of a split, or the masks of one lesion) is one `.npy` file in `$FUNDUS_CACHE/arrays`, filled on first use.

- Safe for several processes: one fills under a file lock while the others wait for it.
- Atomic: an array is written under another name and renamed when complete; what a killed fill leaves is never read.
- Invalidated by the size and by the files: the name holds a digest of every source file's path, length and time of
  change. Content is not read for this, as reading 560 MB to find that nothing changed would cost what the cache saves.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from tqdm import tqdm

from fundus_lib.errors import ArgumentError, MissingFileError
from fundus_lib.settings import cache_home

FORMAT = 1
"""To be raised when the same files would give other arrays."""


def cached_array(
    label: str,
    root: Path,
    sources: Sequence[Path | None],
    shape: tuple[int, ...],
    decode: Callable[[int], NDArray[np.uint8]],
) -> NDArray[np.uint8]:
    """The decoded files as one read-only array mapped into memory, filled now if it is not in the cache.

    Args:
        label: What it is, for the progress bar and the file name, e.g. `"IDRiD segmentation train EX"`.
        root: Root of the data set: two copies of a data set do not share arrays.
        sources: Every file that the array is made of, in the order of the items; None where an item has none.
        shape: Shape of the array, e.g. (54, 3, 960, 1440) for 54 items.
        decode: Gives item i, uint8 of shape `shape[1:]`; called from several threads.

    Returns:
        uint8 array of that shape.

    Raises:
        MissingFileError: A source file is not there.
        ArgumentError: The disk of the cache is full.
        FundusError: Whatever `decode` raises for a bad file; nothing is kept then.
    """
    folder = cache_home() / "arrays"
    folder.mkdir(exist_ok=True)
    where = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:8]
    dims = "x".join(map(str, shape[1:]))
    stem = f"{re.sub(r'[^A-Za-z0-9.]+', '-', label)}-{where}-{dims}"
    target = folder / f"{stem}-{_stamp(root, sources)}.npy"
    array = _open(target, shape)
    if array is not None:
        return array
    with FileLock(folder / f"{stem}.lock"):
        array = _open(target, shape)  # another process may have filled it while this one waited
        if array is None:
            _fill(target, label, shape, decode)
            for old in folder.glob(f"{stem}-*.npy"):
                if old != target:
                    old.unlink(missing_ok=True)
            array = _open(target, shape)
    assert array is not None
    return array


def _open(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8] | None:
    """The array if it is there and whole, else None."""
    try:
        array = np.load(path, mmap_mode="r")
    except (FileNotFoundError, ValueError, EOFError):
        return None
    return array if array.shape == shape and array.dtype == np.uint8 else None


def _fill(target: Path, label: str, shape: tuple[int, ...], decode: Callable[[int], NDArray[np.uint8]]) -> None:
    """Decode all items in threads into `target`; the caller holds the lock, so what an earlier fill left is stale."""
    needed, free = int(np.prod(shape)), shutil.disk_usage(target.parent).free
    if needed > free:
        raise ArgumentError(
            target.parent,
            "there is no room for the decoded arrays",
            found=f"{free / 1e6:.0f} MB free",
            expected=f"{needed / 1e6:.0f} MB",
            remedy="set FUNDUS_CACHE to a folder on another disk, choose a smaller size, or pass cache=False",
        )
    partial = target.with_suffix(".partial")
    try:
        array: Any = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)

        def work(i: int) -> None:
            array[i] = decode(i)

        pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))
        try:
            for _ in tqdm(pool.map(work, range(shape[0])), desc=label, total=shape[0], unit="image"):
                pass
        finally:
            pool.shutdown(cancel_futures=True)
        array.flush()
        partial.replace(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _stamp(root: Path, sources: Sequence[Path | None]) -> str:
    lines = [f"{FORMAT}"]
    for path in sources:
        if path is None:
            lines.append("-")
            continue
        try:
            state = path.stat()
        except FileNotFoundError:
            raise MissingFileError(
                path,
                "this file is not there any more",
                found="no such file",
                expected="the file that was there when the data set was opened",
                remedy="unpack the archive again",
            ) from None
        lines.append(f"{path.relative_to(root).as_posix()} {state.st_size} {state.st_mtime_ns}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
