"""Decode once: arrays at the wanted size, kept on disk and mapped into memory.

Decoding an image of 12 megapixels takes a hundred times as long as reading the shrunk array. Each array (the images of
a split, or the masks of one lesion) is one `.npy` file in `$FUNDUS_CACHE/arrays` with a row for every image of the
split, and beside it a `.rows` file with one byte for each row: 1 where the row is filled. Rows are filled on first use,
so a part of a split decodes no more than that part, and the whole split only what the part has left.

- Safe for several processes: one fills under a file lock while the others wait for it.
- Whole or not there: a row counts as filled only after it has been written to disk.
- Invalidated by the size and by the files: the name holds a digest of every source file's path, length and time of
  change. Content is not read for this, as reading 560 MB to find that nothing changed would cost what the cache saves.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from tqdm import tqdm

from fundus_lib.atomic import write_atomically
from fundus_lib.environment import OTHER_CACHE, cache_home
from fundus_lib.errors import FileAccessError, MissingFileError, explain_os_error, naming

FORMAT = 2
"""To be raised when the same files would give other arrays."""


def cached_array(
    label: str,
    root: Path,
    sources: Sequence[Path | None],
    shape: tuple[int, ...],
    decode: Callable[[int], NDArray[np.uint8]],
    rows: Sequence[int] | None = None,
) -> NDArray[np.uint8]:
    """The decoded files as one read-only array mapped into memory; rows that are not in the cache are filled now.

    Args:
        label: What it is, for the progress bar and the file name, e.g. `"IDRiD segmentation train EX"`.
        root: Root of the data set: two copies of a data set do not share arrays.
        sources: Every file that the array is made of, in the order of the rows; None where a row has none.
        shape: Shape of the array, e.g. (54, 3, 960, 1440) for 54 images.
        decode: Gives row i, uint8 of shape `shape[1:]`; called from several threads.
        rows: The rows that are needed, all by default; the content of the others is undefined.

    Returns:
        uint8 array of that shape.

    Raises:
        MissingFileError: A source file is not there.
        FileAccessError: The cache cannot be read or written, or its disk is full.
        FundusError: Whatever `decode` raises for a bad file; the row is not kept then.
    """
    folder = cache_home() / "arrays"
    where = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:8]
    stem = f"{re.sub(r'[^A-Za-z0-9.]+', '-', label)}-{where}-{'x'.join(map(str, shape[1:]))}"
    target = folder / f"{stem}-{_stamp(root, sources)}.npy"
    needed = np.unique(np.arange(shape[0]) if rows is None else np.asarray(rows, np.intp))

    def decode_row(row: int) -> NDArray[np.uint8]:
        try:
            return decode(row)
        except OSError as error:  # of a source, not of the cache
            raise explain_os_error(error, error.filename or sources[row] or root) from error

    with naming(target, OTHER_CACHE):
        folder.mkdir(exist_ok=True)
        array = _open(target, shape)
        if array is None or not _filled(target, shape[0])[needed].all():
            with FileLock(folder / f"{stem}.lock"):
                if _open(target, shape) is None:
                    _create(target, stem, shape)
                filled = _filled(target, shape[0])  # another process may have filled some while this one waited
                _fill(target, label, shape, decode_row, filled, needed[~filled[needed]])
            array = _open(target, shape)
    assert array is not None
    return array


def _open(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8] | None:
    """The array if it is there at its full length, else None."""
    try:
        array = np.load(path, mmap_mode="r")
    except (FileNotFoundError, ValueError, EOFError):
        return None
    return array if array.shape == shape and array.dtype == np.uint8 else None


def _filled(target: Path, count: int) -> NDArray[np.bool_]:
    """Which rows of an array are filled, (N,)."""
    try:
        marks = target.with_suffix(".rows").read_bytes()
    except FileNotFoundError:
        marks = b""
    return np.frombuffer(marks.ljust(count, b"\0"), np.bool_, count).copy()


def _create(target: Path, stem: str, shape: tuple[int, ...]) -> None:
    """An array without a filled row, in place of those of files that have changed; the caller holds the lock.

    A file system that knows sparse files stores nothing for rows that are not filled.
    """
    for suffix in (".rows", ".npy"):  # in this order: an array without marks holds nothing
        for old in target.parent.glob(f"{stem}-*{suffix}"):
            old.unlink(missing_ok=True)
    np.lib.format.open_memmap(target, mode="w+", dtype=np.uint8, shape=shape)


def _fill(
    target: Path,
    label: str,
    shape: tuple[int, ...],
    decode: Callable[[int], NDArray[np.uint8]],
    filled: NDArray[np.bool_],
    missing: NDArray[np.intp],
) -> None:
    """Decode the missing rows in threads and mark them as filled; the caller holds the lock."""
    length = int(np.prod(shape[1:]))
    pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))
    with target.open("r+b") as file:  # not through the mapping, which would end the process on a full disk
        start = target.stat().st_size - length * shape[0]
        _reserve(target, file.fileno(), [start + row * length for row in missing.tolist()], length)
        try:
            bar = tqdm(pool.map(decode, missing.tolist()), desc=label, total=len(missing), unit="image")
            for row, pixels in zip(missing.tolist(), bar, strict=True):
                file.seek(start + row * length)
                file.write(np.broadcast_to(pixels, shape[1:]).astype(np.uint8).tobytes())
                filled[row] = True
        finally:
            pool.shutdown(cancel_futures=True)
            file.flush()
            os.fsync(file.fileno())
            write_atomically(target.with_suffix(".rows"), filled.tobytes())


def _reserve(target: Path, file: int, offsets: Sequence[int], length: int) -> None:
    """Reserve the room for rows before anything is decoded; where that cannot be done, see whether there is room now.

    Args:
        target: The file, for the message.
        file: Its descriptor.
        offsets: Where each of the rows begins.
        length: Bytes of each.
    """
    try:
        for offset in offsets:
            os.posix_fallocate(file, offset, length)
        return
    except AttributeError:  # macOS, Windows
        pass
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENODEV):
            raise
    needed, free = length * len(offsets), shutil.disk_usage(target.parent).free
    if needed > free:
        raise FileAccessError(
            target.parent,
            "there is no room for the decoded arrays",
            found=f"{free / 1e6:.0f} MB free",
            expected=f"{needed / 1e6:.0f} MB",
            remedy="set FUNDUS_CACHE to a folder on another disk, choose a smaller size, or pass cache=False",
        )


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
