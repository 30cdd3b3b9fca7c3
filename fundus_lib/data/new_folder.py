"""Folders that are whole or not there."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fundus_lib.data.layout import describe_folder
from fundus_lib.errors import ArgumentError, naming


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A folder to fill, which takes the place of `target` when the block ends, and vanishes if the block fails.

    Args:
        target: The folder to make; must not exist, or be empty.

    Yields:
        A folder beside it.

    Raises:
        ArgumentError: It is a file, or a folder that is not empty.
        FileAccessError: It cannot be made here: no permission, no room, a file where a folder is meant.
    """
    target = target.absolute()
    with naming(target):
        if not _is_free(target):
            raise ArgumentError(
                target,
                "this folder is not empty" if target.is_dir() else "this is no folder",
                found=describe_folder(target),
                expected="a new or empty folder",
                remedy="choose another folder, or empty it",
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        try:
            yield work
            work.chmod(0o755)
            if target.exists():
                target.rmdir()
            work.rename(target)
        finally:
            shutil.rmtree(work, ignore_errors=True)


def _is_free(target: Path) -> bool:
    if target.exists() or target.is_symlink():
        return target.is_dir() and not any(target.iterdir())
    return True
